"""PDF files, through pdfium: text in reading order, headings by font size, tables as pipe tables.

pdfium gives letters with their places, quickly and for nearly every file. It has no notion of tables or columns; those
are told here from the places: see `_pdf_layout`, `_pdf_grid` and `_pdf_tables`.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ReaderError
from ...markdown import join_blocks, pipe_table
from ._pdf_grid import ruled_tables
from ._pdf_layout import Row, regions
from ._pdf_tables import find_tables
from ._pdf_words import PageWords, Word, page_words
from .base import Page, ParsedDocument
from .files import clean_text, one_line, read_bytes

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

__all__ = ("read_pdf",)

_PDFIUM = threading.Lock()
"""pdfium keeps global state and crashes when two threads use it at once."""
_SAMPLED = 12
"""Pages from which the size of body text is told."""
_BOLD_LEVEL = 4
_MARK = "\ue000"
"""Stands in the flow of words where a ruled table was taken out; a private character, removed from real text."""
_BROKEN = "\ue001"
"""Stands where a line ended in a hyphen within a word."""
_BREAK = re.compile(f"(\\w+){_BROKEN}(\\w+)")
_BULLET = re.compile(r"^[•▪‣◦●○■□·➢✓▶»]\s*")
_ITEM = re.compile(r"^(?:[•▪‣◦●○■□·➢✓▶»–]|\(?\d{1,2}[.)]|\([a-z]\))(?:\s|$)")
_LEADER = re.compile(r"(?:\s*\.){5,}\s*|(?:\s*…){2,}\s*")
_NO_TITLE = re.compile(
    r"^\W*(?:untitled|anonymous|unspecified|microsoft word - .*|.*\.(?:docx?|pdf|indd|tex|dvi))?\W*$", re.I
)
_METADATA = {"Title": "title", "Author": "author", "Subject": "subject", "Keywords": "keywords"}


def read_pdf(path: Path) -> ParsedDocument:
    """Reads a PDF page by page. Pages without text (scans) become warnings; a file of nothing else is refused."""
    data = read_bytes(path)
    with _PDFIUM:
        return _read(path, data)


def _read(path: Path, data: bytes) -> ParsedDocument:
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        document = PdfDocument(data)
    except PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise ReaderError(
                str(path), "is encrypted: needs a password", hint="save a copy without a password"
            ) from error
        raise ReaderError(str(path), f"is damaged or truncated ({one_line(error)})") from error
    warnings: list[str] = []
    if b"%%EOF" not in data[-2048:]:
        warnings.append("the file seems truncated: what could be recovered was read")
    try:
        count = len(document)
        early = {at: _words_of(document, at) for at in range(min(count, _SAMPLED))}
        body = _body_size(early.values())
        pages = []
        hidden: Counter[str] = Counter()
        for at in range(count):
            words = early.pop(at, None) or _words_of(document, at)
            if isinstance(words, str):
                warnings.append(f"page {at + 1} cannot be read: {words}")
                pages.append(Page(at + 1, ""))
                continue
            hidden += words.hidden
            text = clean_text(_page(words, body))
            if not text:
                warnings.append(f"page {at + 1} holds no text")
            pages.append(Page(at + 1, text, _label(document, at)))
        metadata = {_METADATA[key]: value for key, value in document.get_metadata_dict().items() if key in _METADATA}
        metadata = {key: " ".join(clean_text(value).split()) for key, value in metadata.items()}
        metadata = {key: value for key, value in metadata.items() if not _NO_TITLE.match(value)}
    finally:
        document.close()
    if hidden and not any(page.text for page in pages):
        raise ReaderError(str(path), "holds no text that a person sees: all of it is hidden")
    if not any(page.text for page in pages):
        raise ReaderError(str(path), "holds no text (scanned images?)", hint="run OCR on it first, such as ocrmypdf")
    title = metadata.pop("title", "")
    if sum(map(str.isalpha, title)) < 3:  # file numbers and dates
        title = _first_title(pages) or title
    return ParsedDocument(tuple(pages), "pdf", title, metadata, tuple(warnings), dict(hidden))


def _words_of(document: PdfDocument, at: int) -> PageWords | str:
    """The words of a page, or why it cannot be read: one broken page must not cost the others."""
    from pypdfium2 import PdfiumError

    try:
        page = document[at]
        try:
            return page_words(page)
        finally:
            page.close()
    except PdfiumError as error:
        return one_line(error)


def _label(document: PdfDocument, at: int) -> str:
    label = document.get_page_label(at) or ""
    return label if label != str(at + 1) else ""


def _body_size(pages: Iterable[PageWords | str]) -> float:
    sizes: Counter[float] = Counter()
    for page in pages:
        if not isinstance(page, str):
            for word in page.words:
                sizes[round(word.size * 2) / 2] += len(word.text)
    return sizes.most_common(1)[0][0] if sizes else 10.0


def _first_title(pages: list[Page]) -> str:
    for page in pages[:1]:
        for line in page.text.split("\n"):
            if line.startswith("#"):
                return line.lstrip("# ")
    return ""


def _page(page: PageWords, body: float) -> str:
    """A page as Markdown."""
    words = page.words
    grids = ruled_tables(words, page.rules)
    if grids:
        taken = {id(word) for grid in grids for word in grid.words}
        words = [word for word in words if id(word) not in taken]
        for number, grid in enumerate(grids):
            words.append(Word(f"{_MARK}{number}", grid.x0, grid.top, grid.x1, grid.top + body, body))
    blocks: list[str] = []
    for region in regions(words):
        blocks.extend(_region(region, [grid.cells for grid in grids], body))
    return _mended(join_blocks([*blocks, page.rotated]))


def _mended(text: str) -> str:
    """Words broken over lines put together, with the hyphen only where the page writes the word so elsewhere."""
    if _BROKEN not in text:
        return text
    lower = text.lower()
    text = _BREAK.sub(
        lambda found: f"{found[1]}-{found[2]}" if f"{found[1]}-{found[2]}".lower() in lower else found[1] + found[2],
        text,
    )
    return text.replace(_BROKEN, "-")


def _region(rows: list[Row], grids: list[list[list[str]]], body: float) -> Iterator[str]:
    plain: list[Row] = []
    for row in rows:
        mark = next((word for word in row.words if word.text.startswith(_MARK)), None)
        if mark is None:
            plain.append(row)
            continue
        yield from _flow(plain, body)
        plain = []
        others = [word for word in row.words if word is not mark]
        if others:
            yield " ".join(word.text for word in others)
        yield pipe_table(grids[int(mark.text[1:])])
    yield from _flow(plain, body)


def _flow(rows: list[Row], body: float) -> Iterator[str]:
    if not rows:
        return
    left, right = min(row.x0 for row in rows), max(row.x1 for row in rows)
    for part in find_tables(rows):
        if isinstance(part[0], Row):
            yield from _paragraphs([row for row in part if isinstance(row, Row)], left, right, body)
        else:
            yield pipe_table([cells for cells in part if isinstance(cells, list)])


def _level(row: Row, body: float) -> int:
    """The heading level that a row's font size tells; 0 for body text."""
    ratio = row.size / body
    text = row.text
    if len(text) > 200 or sum(map(str.isalpha, text)) < 3 or _ITEM.match(text):
        return 0
    if ratio >= 1.15:
        return 1 if ratio >= 1.7 else 2 if ratio >= 1.35 else 3
    titled = len(row.words) <= 12 and not text[0].islower() and text[-1] not in ".,;:"
    return _BOLD_LEVEL if row.bold and ratio > 0.95 and titled else 0


def _paragraphs(rows: list[Row], left: float, right: float, body: float) -> Iterator[str]:
    """Rows as headings and paragraphs. Lines that reach the right margin flow on; short ones keep their line end."""
    text = ""
    level = 0
    last: Row | None = None
    levels = _levels(rows, body)
    full = [_full(rows, at, left, right) for at in range(len(rows))]
    for at, (row, row_level) in enumerate(zip(rows, levels, strict=True)):
        gap = row.top - last.bottom if last is not None else 0.0
        line = _LEADER.sub(" … ", _BULLET.sub("- ", row.text))
        apart = last is None or gap > 0.75 * max(row.size, last.size) or row_level != level
        if text and not apart and last is not None:
            if level:
                text = _flowed(text, line)
            elif _ITEM.match(row.text) or (row.x0 - last.x0 > 0.8 * row.size and last.x1 < right - 2 * row.size):
                text = f"{text}\n{line}"
            elif full[at - 1] and _flows(last) and _flows(row):
                text = _flowed(text, line)
            else:
                text = f"{text}\n{line}"
        else:
            if text:
                yield _block(text, level)
            text, level = line, row_level
        last = row
    if text:
        yield _block(text, level)


def _full(rows: list[Row], at: int, left: float, right: float) -> bool:
    """Whether a row runs to the right margin: the region's, or that of the lines around it if most of them do."""
    row = rows[at]
    if row.x1 - left > 0.8 * (right - left):
        return True
    around = [each for each in rows[max(at - 4, 0) : at + 5] if abs(each.x0 - row.x0) < 2 * row.size]
    width = max(each.x1 for each in around) - row.x0
    reach = sorted((each.x1 - row.x0) / max(width, 1) for each in around)
    return len(around) > 2 and len(row.words) > 4 and reach[len(reach) // 2] > 0.88 and row.x1 - row.x0 > 0.85 * width


def _levels(rows: list[Row], body: float) -> list[int]:
    """The heading level of each row. Bold rows are headings of the lowest level unless they make a bold paragraph."""
    levels = [_level(row, body) for row in rows]
    at = 0
    while at < len(levels):
        end = at
        while end < len(levels) and levels[end] == _BOLD_LEVEL:
            end += 1
        if end - at > 2 or (0 < end - at == len(levels)):
            levels[at:end] = [0] * (end - at)
        at = max(end, at + 1)
    return levels


def _flows(row: Row) -> bool:
    """Whether a row is running text: drawn lines and entries of a table of contents are not."""
    text = row.text
    return any(map(str.isalnum, text)) and not _LEADER.search(text)


def _flowed(text: str, line: str) -> str:
    """`line` behind `text`, a word hyphenated at the line's end put together."""
    if text.endswith(("\u00ad", "-")) and len(text) > 1 and text[-2].isalpha():
        word = re.split(r"\s", text)[-1]
        if line[:1].islower() and "-" not in word[:-1] and word[:-1].isalpha():
            return f"{text[:-1]}{_BROKEN}{line}"  # `_mended` decides between 'fore-cast' and 'cost-based'
        return f"{text[:-1]}-{line}"
    return f"{text} {line}"


def _block(text: str, level: int) -> str:
    text = re.sub("\u00ad(?=\\s|$)", "-", text).replace("\u00ad", "-")
    if level:
        return f"{'#' * level} {text}"
    return re.sub(r"^(#{1,6} )", r"\\\1", text, flags=re.MULTILINE)
