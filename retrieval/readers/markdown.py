"""Markdown files: kept as they are, the YAML front matter moved to the metadata."""

from __future__ import annotations

import re
from pathlib import Path

from ...markdown import first_heading
from ._markdown_hidden import without_comments
from .base import Page, ParsedDocument
from .files import clean_text, decode, read_bytes

__all__ = ("read_markdown",)

_FRONT = re.compile(r"\A\s*---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FIELD = re.compile(r"^([A-Za-z][\w -]*):[ \t]*(\S.*)$", re.MULTILINE)
_SETEXT = re.compile(r"^(?!\s*[-*+>|#\d])(\S.*)\n=+[ \t]*$", re.MULTILINE)


def read_markdown(path: Path) -> ParsedDocument:
    """Reads a Markdown file as one page.

    Only the plain `key: value` lines of the front matter become metadata. What is no such line stays in no place of
    interest to a reader, so a full YAML parser would buy nothing.
    """
    text, warnings = decode(read_bytes(path))
    text = clean_text(text)
    metadata: dict[str, str] = {}
    if (front := _FRONT.match(text)) and (fields := _FIELD.findall(front[1])):
        metadata = {key.strip().lower(): value.strip().strip("\"'") for key, value in fields}
        # A file of nothing but front matter keeps it as its text.
        rest = text[front.end() :].lstrip("\n")
        text = rest if rest.strip() else text
    text, comments = without_comments(text)
    setext = _SETEXT.search(text)
    title = metadata.pop("title", "") or first_heading(text) or (setext[1].strip() if setext else "")
    hidden = {"comment": comments} if comments else {}
    return ParsedDocument((Page(1, text),), "markdown", title, metadata, warnings, hidden)
