"""Which format a file has: by content where the content says so, by suffix otherwise."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from ...errors import ReaderError
from .files import binary_kind, check_regular, looks_binary, one_line

__all__ = ("SUFFIXES", "sniff_format")

SUFFIXES: dict[str, str] = {
    ".pdf": "pdf",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdx": "markdown",
    ".docx": "docx",
    ".docm": "docx",
    ".pptx": "pptx",
    ".pptm": "pptx",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".epub": "epub",
    ".eml": "email",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".rst": "text",
    ".yaml": "text",
    ".yml": "text",
    ".toml": "text",
    ".ini": "text",
    ".cfg": "text",
    ".xml": "text",
    ".py": "text",
}
"""Known suffixes and the format that each promises."""

_CONTAINERS = (
    ("word/document.xml", "docx"),
    ("xl/workbook.xml", "xlsx"),
    ("ppt/presentation.xml", "pptx"),
    ("META-INF/container.xml", "epub"),
)
_BINARY = frozenset({"pdf", "docx", "pptx", "xlsx", "epub"})
_HTML = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*|<\?xml[^>]*\?>\s*)*<(?:!doctype\s+html|html[\s>])",
    re.IGNORECASE | re.DOTALL,
)
_HEAD = 1 << 13


def sniff_format(path: Path) -> str:
    """The name of the format of a file, a key of `READERS`; reads a few kilobytes at most.

    Raises `ReaderError` for binary files that no reader knows.
    """
    check_regular(path)
    promised = SUFFIXES.get(path.suffix.lower(), "")
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if _is_pdf(head, promised):
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _container(path, promised)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise _old_office(path)
    kind = binary_kind(head)
    if kind or looks_binary(head):
        if promised in _BINARY and not kind:
            raise ReaderError(str(path), f"is damaged or no {promised} file", hint="the file's first bytes are unknown")
        raise _unsupported(path, kind)
    if promised in _BINARY or promised in ("", "text"):
        return "html" if _HTML.match(head) and path.suffix.lower() != ".py" else "text"
    return promised


def _is_pdf(head: bytes, promised: str) -> bool:
    # Junk before the mark is common in PDFs, yet a text may also speak of it: only the suffix tells these apart.
    return head.lstrip(b"\xef\xbb\xbf \t\r\n\x00").startswith(b"%PDF-") or (
        promised == "pdf" and b"%PDF-" in head[:1024]
    )


def _container(path: Path, promised: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        if promised in _BINARY:
            raise ReaderError(str(path), "is damaged or truncated (not a whole zip container)") from error
        raise _unsupported(path, f"damaged zip archive: {one_line(error)}") from error
    for member, name in _CONTAINERS:
        if member in names:
            return name
    if promised in _BINARY and promised != "pdf":
        raise ReaderError(str(path), f"is a zip archive but no {promised} file")
    raise _unsupported(path, "zip archive")


def _old_office(path: Path) -> ReaderError:
    """OLE containers: Office before 2007, Outlook messages, and new Office files under a password."""
    with path.open("rb") as stream:
        data = stream.read(1 << 22)
    if "EncryptedPackage".encode("utf-16-le") in data:
        return ReaderError(str(path), "is encrypted: needs a password", hint="save it without a password")
    return _unsupported(path, "old Office document", hint="save it as .docx, .xlsx, .pptx or .eml")


def _unsupported(path: Path, kind: str, *, hint: str = "") -> ReaderError:
    known = "supported: " + " ".join(sorted(SUFFIXES))
    return ReaderError(str(path), f"unsupported binary format{f' ({kind})' if kind else ''}", hint=hint or known)
