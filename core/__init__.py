"""ragloom: published RAG strategies as LangGraph state machines, offline by default."""

from __future__ import annotations

__version__ = "0.1.0"
