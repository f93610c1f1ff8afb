"""Words and ruling lines of a PDF page with their places, from pdfium.

Places are in points from the top left corner of the page as it is shown, its rotation applied.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._pdf_hidden import hidden_words

if TYPE_CHECKING:
    from pypdfium2 import PdfPage, PdfTextPage
    from pypdfium2.raw import FPDF_PAGEOBJECT

__all__ = ("PageWords", "Rule", "Word", "page_words")

_WORD = re.compile("[^\\s\x02\ufffe]+[\x02\ufffe]?")  # a hyphen at a line's end ends the word's first part
_SOFT_HYPHENS = {ord("\x02"): "\u00ad", 0xFFFE: "\u00ad"}  # what pdfium writes for a hyphen at a line's end
_LETTERS = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ft", "ﬆ": "st", "\ue000": None, "\ue001": None}
)
_BOLD = re.compile(rb"bold|black|heavy", re.IGNORECASE)
_FORCE_BOLD = 1 << 18  # a flag of PDF font descriptors
_MAX_OBJECTS = 6_000
_MAX_SEGMENTS = 400
_THIN = 3.0
_TINY = 1.5
"""Points: smaller letters are dots in print."""


@dataclass(slots=True)
class Word:
    """A run of characters without space, and its box."""

    text: str
    x0: float
    top: float
    x1: float
    bottom: float
    size: float
    """The font's size in points, all scaling applied."""
    bold: bool = False

    @property
    def middle(self) -> float:
        """The height of its centre."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line: horizontal where `x1 > x0`, else vertical."""

    x0: float
    top: float
    x1: float
    bottom: float


@dataclass(slots=True)
class PageWords:
    """All that the layout of a page is told from."""

    words: list[Word]
    rotated: str
    """Text that runs up or down the page, in the file's order."""
    rules: list[Rule]
    width: float
    height: float
    hidden: Counter[str]
    """How many words were left out that nobody sees, by the reason."""


def page_words(page: PdfPage) -> PageWords:
    """The words and lines of a pypdfium2 page."""
    width, height = page.get_size()  # as shown
    rotation = page.get_rotation()
    place = _Place(rotation, *page.get_bbox())  # what of the crop box is within the media box
    textpage = page.get_textpage()
    try:
        words, rotated, hidden = _words(page, textpage, place)
    finally:
        textpage.close()
    return PageWords(words, " ".join(rotated), list(_rules(page, place)), width, height, hidden)


class _Place:
    """Turns boxes in PDF's own coordinates into those of the page as shown, from its top left."""

    def __init__(self, rotation: int, left: float, bottom: float, right: float, top: float) -> None:
        self.rotation = rotation % 360
        self.left, self.bottom, self.right, self.top = left, bottom, right, top

    def __call__(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        if self.rotation == 90:
            return y0 - self.bottom, x0 - self.left, y1 - self.bottom, x1 - self.left
        if self.rotation == 180:
            return self.right - x1, y0 - self.bottom, self.right - x0, y1 - self.bottom
        if self.rotation == 270:
            return self.top - y1, self.right - x1, self.top - y0, self.right - x0
        return x0 - self.left, self.top - y1, x1 - self.left, self.top - y0

    def holds(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        """Whether any of a box in PDF's own coordinates is on the page."""
        return x1 >= self.left and x0 <= self.right and y1 >= self.bottom and y0 <= self.top


def _words(page: PdfPage, textpage: PdfTextPage, place: _Place) -> tuple[list[Word], list[str], Counter[str]]:
    from pypdfium2 import raw

    count = textpage.count_chars()
    unseen: Counter[str] = Counter()
    if count <= 0:
        return [], [], unseen
    text = textpage.get_text_range(0, count)
    if len(text) != count:  # characters beyond the basic plane: read one by one to keep the count
        codes = [raw.FPDFText_GetUnicode(textpage, at) for at in range(count)]
        text = "".join(chr(code) if 0 < code < 0x110000 else " " for code in codes)
    first, last, matrix = raw.FS_RECTF(), raw.FS_RECTF(), raw.FS_MATRIX()
    name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    sideways = place.rotation in (90, 270)
    words: list[Word] = []
    rotated: list[str] = []
    found_words = list(_WORD.finditer(text))
    hidden = hidden_words(page, textpage, [(each.start(), each.end() - 1) for each in found_words], place)
    for found in found_words:
        start, end = found.start(), found.end() - 1
        if start in hidden:
            unseen[hidden[start]] += 1
            continue
        if not raw.FPDFText_GetLooseCharBox(textpage, start, first):
            continue
        raw.FPDFText_GetLooseCharBox(textpage, end, last)
        raw.FPDFText_GetMatrix(textpage, start, matrix)
        size = raw.FPDFText_GetFontSize(textpage, start) * math.hypot(matrix.c, matrix.d)
        shown = found[0].translate(_SOFT_HYPHENS).translate(_LETTERS)
        if not shown:
            continue
        x0, x1 = min(first.left, last.left), max(first.right, last.right)
        y0, y1 = min(first.bottom, last.bottom), max(first.top, last.top)
        upright = abs(matrix.b) <= abs(matrix.a)
        if max(size, y1 - y0 if upright else x1 - x0) < _TINY:
            unseen["tiny"] += 1
            continue
        if not place.holds(x0, y0, x1, y1):
            unseen["off-page"] += 1
            continue
        if upright == sideways:
            rotated.append(shown)
            continue
        box = place(x0, y0, x1, y1)
        size = size if 0.5 < size < 400 else max(box[3] - box[1], 1.0)
        if end > start and not sideways and box[2] - box[0] > 1.3 * size * (end - start + 1):
            words.extend(_split(textpage, text, start, end, place, size))
        elif box[3] - box[1] < 3 * size:
            length = raw.FPDFText_GetFontInfo(textpage, start, name, 128, flags)
            bold = bool(flags.value & _FORCE_BOLD) or (0 < length <= 128 and bool(_BOLD.search(name.value)))
            word = Word(shown, *box, size, bold)
            if words and _lost_letter(textpage, start, words[-1], word):
                words[-1].text += "f" + shown
                words[-1].x1 = word.x1
            else:
                words.append(word)
        else:  # a word broken over two lines: its first half's line
            words.append(Word(shown, box[0], box[1], box[2], box[1] + size * 1.2, size))
    return words, rotated, unseen


def _lost_letter(textpage: PdfTextPage, start: int, before: Word, word: Word) -> bool:
    """Whether pdfium lost the second f of 'ff' between two words.

    Of a ligature pdfium at times reports only the first letter, and a space that the file does not hold: 'Dif erent'.
    It is told by its letter f, which is twice as wide as any f in print.
    """
    from pypdfium2 import raw

    if not (before.text.endswith("f") and start > 1 and word.text[:1].islower()) or before.text in ("of", "if"):
        return False
    rect = raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(textpage, start - 2, rect)
    return (
        rect.right - rect.left > 0.55 * word.size
        and -0.2 * word.size < word.x0 - before.x1 < 0.18 * word.size
        and abs(word.middle - before.middle) < word.size / 2
        and raw.FPDFText_IsGenerated(textpage, start - 1) == 1
    )


def _split(textpage: PdfTextPage, text: str, start: int, end: int, place: _Place, size: float) -> Iterator[Word]:
    """A 'word' far wider than its letters, cut where the file left a gap without writing a space."""
    from pypdfium2 import raw

    rect = raw.FS_RECTF()
    word: Word | None = None
    for at in range(start, end + 1):
        if not raw.FPDFText_GetLooseCharBox(textpage, at, rect):
            continue
        box = place(rect.left, rect.bottom, rect.right, rect.top)
        if word is not None and abs(box[0] - word.x1) < 0.6 * size and abs(box[1] - word.top) < size / 2:
            word.text += text[at]
            word.x1 = max(word.x1, box[2])
            continue
        if word is not None:
            yield word
        word = Word(text[at].translate(_SOFT_HYPHENS).translate(_LETTERS), *box, size)
    if word is not None:
        yield word


def _rules(page: PdfPage, place: _Place) -> Iterator[Rule]:
    """Straight lines: thin filled boxes, stroked lines, and the sides of stroked boxes."""
    from pypdfium2 import raw

    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    for at in range(min(raw.FPDFPage_CountObjects(page), _MAX_OBJECTS)):
        item = raw.FPDFPage_GetObject(page, at)
        if raw.FPDFPageObj_GetType(item) != raw.FPDF_PAGEOBJ_PATH:
            continue
        if not raw.FPDFPageObj_GetBounds(item, left, bottom, right, top):
            continue
        raw.FPDFPath_GetDrawMode(item, fill, stroke)
        if not (fill.value or stroke.value):
            continue
        wide, high = right.value - left.value, top.value - bottom.value
        if wide < _THIN or high < _THIN:
            if max(wide, high) > 6:
                yield _rule(place(left.value, bottom.value, right.value, top.value))
        elif stroke.value:
            yield from _sides(item, place)


def _sides(item: FPDF_PAGEOBJECT, place: _Place) -> Iterator[Rule]:
    from pypdfium2 import raw

    count = raw.FPDFPath_CountSegments(item)
    if not 1 < count <= _MAX_SEGMENTS:
        return
    matrix = raw.FS_MATRIX()
    raw.FPDFPageObj_GetMatrix(item, matrix)
    x, y = ctypes.c_float(), ctypes.c_float()
    start = last = (0.0, 0.0)
    for at in range(count):
        segment = raw.FPDFPath_GetPathSegment(item, at)
        raw.FPDFPathSegment_GetPoint(segment, x, y)
        point = (
            matrix.a * x.value + matrix.c * y.value + matrix.e,
            matrix.b * x.value + matrix.d * y.value + matrix.f,
        )
        kind = raw.FPDFPathSegment_GetType(segment)
        if kind == raw.FPDF_SEGMENT_MOVETO:
            start = point
        elif kind == raw.FPDF_SEGMENT_LINETO:
            yield from _straight(last, point, place)
        last = point
        if raw.FPDFPathSegment_GetClose(segment):
            yield from _straight(last, start, place)
            last = start


def _straight(a: tuple[float, float], b: tuple[float, float], place: _Place) -> Iterator[Rule]:
    x0, x1 = sorted((a[0], b[0]))
    y0, y1 = sorted((a[1], b[1]))
    if min(x1 - x0, y1 - y0) < 1 and max(x1 - x0, y1 - y0) > 6:
        yield _rule(place(x0, y0, x1, y1))


def _rule(box: tuple[float, float, float, float]) -> Rule:
    x0, top, x1, bottom = box
    if x1 - x0 >= bottom - top:
        y = (top + bottom) / 2
        return Rule(x0, y, x1, y)
    x = (x0 + x1) / 2
    return Rule(x, top, x, bottom)
