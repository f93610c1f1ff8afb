"""Readers: any supported file as Markdown, page by page.

    >>> from pathlib import Path
    >>> from ragloom.retrieval.readers import read_document
    >>> read_document(Path("handbook/offices.csv")).format  # doctest: +SKIP
    'csv'

Every failure is a `ReaderError` with a one-line reason, so that one bad file never stops an ingestion.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import replace
from pathlib import Path

from ...errors import ReaderError
from ._hidden import HIDDEN_TEXT, flagged
from ._sniff import SUFFIXES, sniff_format
from .base import Page, ParsedDocument, Reader
from .files import check_regular, one_line

__all__ = (
    "HIDDEN_TEXT",
    "READERS",
    "READER_VERSION",
    "Page",
    "ParsedDocument",
    "Reader",
    "read_document",
    "sniff_format",
    "supported_suffixes",
)

READER_VERSION = "2"
"""Part of the ingestion fingerprint: raised whenever any reader's output changes, so that files are read anew."""


def _lazy(module: str, function: str) -> Reader:
    """A reader whose module, and with it the parsing library, is imported when the first such file comes."""

    def read(path: Path) -> ParsedDocument:
        reader: Reader = getattr(importlib.import_module(f".{module}", __name__), function)
        return reader(path)

    return read


READERS: dict[str, Reader] = {
    "csv": _lazy("csv", "read_csv"),
    "docx": _lazy("docx", "read_docx"),
    "email": _lazy("email", "read_email"),
    "epub": _lazy("epub", "read_epub"),
    "html": _lazy("html", "read_html"),
    "json": _lazy("jsonl", "read_json"),
    "jsonl": _lazy("jsonl", "read_jsonl"),
    "markdown": _lazy("markdown", "read_markdown"),
    "pdf": _lazy("pdf", "read_pdf"),
    "pptx": _lazy("pptx", "read_pptx"),
    "text": _lazy("text", "read_text"),
    "xlsx": _lazy("xlsx", "read_xlsx"),
}
"""Each format's reader, by the name that `sniff_format` gives it."""


def supported_suffixes() -> tuple[str, ...]:
    """The file name endings known to hold documents, sorted. Other files are read too where they hold text."""
    return tuple(sorted(SUFFIXES))


def read_document(path: Path) -> ParsedDocument:
    """Reads a file of any supported format.

    The format is told by the content where it can be, by the suffix otherwise. Raises `ReaderError`, and nothing else
    short of running out of memory, where the file cannot be read or holds no text.

    Text that a person does not see is left out as far as it can be told, and counted in `ParsedDocument.hidden`, the
    metadata key `hidden_text` and a warning.
    """
    name = "file"
    try:
        check_regular(path)
        name = sniff_format(path)
        document = flagged(READERS[name](path))
    except ReaderError:
        raise
    except MemoryError:
        raise
    except RecursionError as error:
        raise ReaderError(str(path), f"is nested too deeply for the {name} reader") from error
    except OSError as error:
        raise ReaderError(str(path), _os_reason(error)) from error
    except Exception as error:
        raise ReaderError(str(path), f"{name} reader failed: {one_line(error)}") from error
    if not any(page.text.strip() for page in document.pages):
        raise ReaderError(str(path), "holds no text")
    expected = SUFFIXES.get(path.suffix.lower())
    if expected not in (None, "text", document.format) and {expected, document.format} != {"json", "jsonl"}:
        warning = f"named {path.suffix} but holds {document.format}"
        document = replace(document, warnings=(*document.warnings, warning))
    return document


def _os_reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file (or it vanished while being read)"
    if isinstance(error, PermissionError):
        return "permission denied"
    return os.strerror(error.errno).lower() if error.errno else one_line(error)
