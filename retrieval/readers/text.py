"""Plain text in any encoding: notes, logs, source code, configuration."""

from __future__ import annotations

from pathlib import Path

from .base import Page, ParsedDocument
from .files import clean_text, decode, read_bytes

__all__ = ("read_text",)


def read_text(path: Path) -> ParsedDocument:
    """Reads a text file as one page, its lines unchanged.

    Zero bytes and other control characters are dropped and reported: they come from damaged or half-binary files, and
    neither stores nor models take them.
    """
    data = read_bytes(path)
    zeros = b"\x00" in data
    text, warnings = decode(data)
    del data  # a 200 MB file must not be held thrice
    if zeros and "\x00" in text:
        warnings = (*warnings, "null bytes dropped")
    return ParsedDocument(pages=(Page(1, clean_text(text)),), format="text", warnings=warnings)
