"""Excel workbooks: one page a sheet, with its cells as pipe tables."""

from __future__ import annotations

import datetime as dt
import io
import warnings as python_warnings
import zipfile
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from ...markdown import join_blocks, on_one_line, pipe_table
from .base import Page, ParsedDocument
from .containers import core_properties, open_container
from .files import clean_text

if TYPE_CHECKING:
    from openpyxl import Workbook
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

__all__ = ("read_xlsx",)

_MAX_EMPTY_ROWS = 20_000
"""Sheets formatted down to their last row are read until so many empty rows follow each other."""


def read_xlsx(path: Path) -> ParsedDocument:
    """Reads a workbook. Formulas show their stored result; the formula itself where none was stored.

    openpyxl's streaming mode is slower than Rust readers, but holds one row at a time: a cell in the last column of the
    last row does not make it reserve memory for a sheet of seventeen thousand million cells.
    """
    archive, data = open_container(path)
    with archive:
        metadata = core_properties(archive)
        formulas = _has_formulas(archive)
    pages, warnings = [], []
    hidden = 0
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that hold no text
        values = _open(data, computed=True)
        sources = _open(data, computed=False) if formulas else None
        for number, name in enumerate(values.sheetnames, start=1):
            sheet = values[name]
            if not hasattr(sheet, "iter_rows"):  # a sheet that is a chart
                warnings.append(f"sheet {number} ({name}) is a chart: not read")
                pages.append(Page(number, "", name))
                continue
            rows = _rows(sheet, sources[name] if sources is not None else None)
            text = clean_text(join_blocks(_tables(rows)))
            if not text:
                warnings.append(f"sheet {number} ({name}) is empty")
            if getattr(sheet, "sheet_state", "visible") != "visible":
                hidden += 1
                warnings.append(f"sheet {number} ({name}) is hidden in the workbook; it was read")
            pages.append(Page(number, text, name))
    found = {"collapsed": hidden} if hidden else {}
    return ParsedDocument(tuple(pages), "xlsx", metadata.pop("title", ""), metadata, tuple(warnings), found)


def _open(data: bytes, *, computed: bool) -> Workbook:
    from openpyxl import load_workbook

    return load_workbook(io.BytesIO(data), read_only=True, data_only=computed, keep_links=False)


def _has_formulas(archive: zipfile.ZipFile) -> bool:
    names = [name for name in archive.namelist() if name.startswith("xl/worksheets/") and name.endswith(".xml")]
    return any(b"<f>" in (xml := archive.read(name)) or b"<f " in xml for name in names)


def _rows(sheet: ReadOnlyWorksheet, source: ReadOnlyWorksheet | None) -> Iterator[list[str]]:
    sheet.reset_dimensions()  # the stored dimensions are often wrong
    if source is None:
        for row in sheet.iter_rows(values_only=True):
            yield [_show(value) for value in row]
        return
    source.reset_dimensions()
    for row, formulas in zip_longest(
        sheet.iter_rows(values_only=True), source.iter_rows(values_only=True), fillvalue=()
    ):
        yield [_show(value if value is not None else formula) for value, formula in zip_longest(row, formulas)]


def _tables(rows: Iterable[list[str]]) -> Iterator[str]:
    """Blocks between empty rows: a pipe table each, or a line of text where a row has a single cell.

    Titles and notes above or below a table thereby stay out of its columns.
    """
    block: list[list[str]] = []
    empty = 0
    for row in rows:
        if any(row):
            empty = 0
            block.append(row)
            continue
        if block:
            yield from _table(block)
            block = []
        empty += 1
        if empty > _MAX_EMPTY_ROWS:
            return
    if block:
        yield from _table(block)


def _table(block: list[list[str]]) -> Iterator[str]:
    start, end = 0, len(block)
    many = [at for at, row in enumerate(block) if sum(map(bool, row)) > 1]
    if not many:
        # A single column is a list of lines; with a header it still reads as one.
        yield "\n".join(value for row in block for value in row if value)
        return
    start, end = many[0], many[-1] + 1
    for row in block[:start]:
        yield " ".join(filter(None, row))
    # A last row with one cell may well be a row of the table (a label with no values): only notes behind it go.
    yield pipe_table(block[start:end])
    for row in block[end:]:
        yield " ".join(filter(None, row))


def _show(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.12g}"
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(sep=" ", timespec="seconds")
    return on_one_line(str(value))
