"""Comma, tab, semicolon or pipe separated values, as one pipe table."""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path

from ...markdown import pipe_table
from .base import Page, ParsedDocument
from .files import clean_text, decode, read_bytes

__all__ = ("read_csv",)

_DELIMITERS = (",", "|", ";", "\t")
"""The later, the more it is believed at a draw: commas also stand within text and numbers ('1,5;2,5')."""


def read_csv(path: Path) -> ParsedDocument:
    """Reads separated values as a pipe table whose header is the first row.

    Rows stay rows in column order, so that a quotation of neighbouring cells can be found again in the source.
    """
    text, warnings = decode(read_bytes(path))
    text = clean_text(text)
    try:
        rows = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter_of(text, path.suffix)))
    except csv.Error as error:
        warnings = (*warnings, f"not readable as a table ({error}): read as plain text")
        return ParsedDocument((Page(1, text),), format="csv", warnings=warnings)
    widths = {len(row) for row in rows if any(map(str.strip, row))}
    if len(widths) > 1:
        warnings = (*warnings, f"rows differ in length ({min(widths)} to {max(widths)} cells)")
    return ParsedDocument((Page(1, pipe_table(rows)),), format="csv", warnings=warnings)


def delimiter_of(text: str, suffix: str) -> str:
    """The delimiter under which nearly all of the first rows have one number of cells, the more the better.

    `csv.Sniffer` guesses from character counts, and takes letters for delimiters in short files.
    """
    head = list(islice((line for line in text[: 1 << 16].splitlines(keepends=True) if line.strip()), 100))
    preferred = "\t" if suffix.lower() in (".tsv", ".tab") else ","
    found: list[tuple[float, bool, int, int]] = []
    for rank, delimiter in enumerate(_DELIMITERS):
        try:
            widths = [len(row) for row in csv.reader(head, delimiter=delimiter) if row]
        except csv.Error:
            continue
        common = max(set(widths), key=widths.count, default=1)
        if common > 1:
            agree = widths.count(common) / len(widths) * (1.0 if widths[0] == common else 0.7)
            found.append((agree, delimiter == "\t" == preferred, common, rank))
    if not found:
        return preferred
    best = max(agree for agree, *_ in found)
    return _DELIMITERS[max(each[1:] for each in found if each[0] >= best - 0.1)[-1]]
