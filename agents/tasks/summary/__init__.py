"""Summaries of documents, of collections and of topics: parts are summed up, and read together."""

from .graph import summary_rag
from .library import KnowledgeBaseLibrary, Library, LibraryEntry

__all__ = ("KnowledgeBaseLibrary", "Library", "LibraryEntry", "summary_rag")
