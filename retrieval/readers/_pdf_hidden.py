"""Words of a PDF page that are in the file and not on the page as people see it.

Invisible words (text render mode 3, or no opacity) paint nothing. Where they lie on an image they are kept: that is how
OCR stores what a scan says. Words in white are hidden where the page looks the same without them, which is tried: white
on a dark header is read by everybody. Words that only clip (mode 7) are hidden where nothing is drawn.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil, floor, inf
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pypdfium2 import PdfPage, PdfTextPage

__all__ = ("Box", "hidden_words")

Box = tuple[float, float, float, float]
Look = Literal["", "invisible", "white", "clip"]

_NEAR_WHITE = 240
"""Least value of each colour (0 to 255) of text that white paper hides."""
_SEEN = 20
"""Difference of brightness (0 to 255) that a person may notice."""
_TRANSPARENT = 10
_MOST_PIXELS = 2_000_000
_FILLED, _BOTH, _INVISIBLE, _CLIP = (0, 2, 4, 6), (2, 6), 3, 7
"""Text render modes of PDF (ISO 32000-2, table 104): filled, filled and stroked, neither, only a mask for others."""
_AROUND = 8
"""Points drawn around what is looked at."""
_MAX_DEPTH = 5


def hidden_words(
    page: PdfPage, textpage: PdfTextPage, words: Iterable[tuple[int, int]], place: Callable[..., Box]
) -> dict[int, str]:
    """Why words are not seen (`invisible` or `color`), by the index of their first character. Words that are seen miss.

    `words` are the indexes of first and last characters. `place` turns a box of PDF's own coordinates into one of the
    page as it is shown. A word of which one end is seen counts as seen.
    """
    look = _looks(textpage)
    suspects: dict[Look, list[tuple[int, int]]] = {}
    for start, end in words:
        if (kind := look(start)) and (end == start or look(end) == kind):
            suspects.setdefault(kind, []).append((start, end))
    found: dict[int, str] = {}
    if invisible := suspects.get("invisible"):
        images = list(_images(page))
        for start, end in invisible:
            if not any(_within(_box(textpage, start, end), image) for image in images):
                found[start] = "invisible"
    white, clips = suspects.get("white", []), suspects.get("clip", [])
    if white or clips:
        found |= dict(_hidden_as_drawn(page, textpage, place, white, clips))
    return found


def _looks(textpage: PdfTextPage) -> Callable[[int], Look]:
    """How the character at an index is painted: the empty string where it may well be seen."""
    from pypdfium2 import raw

    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))

    def pale(read: Callable[..., int], at: int) -> Look:
        if not read(textpage, at, red, green, blue, alpha):
            return ""
        if alpha.value < _TRANSPARENT:
            return "invisible"
        return "white" if min(red.value, green.value, blue.value) >= _NEAR_WHITE else ""

    def look(at: int) -> Look:
        item = raw.FPDFText_GetTextObject(textpage, at)
        mode = raw.FPDFTextObj_GetTextRenderMode(item) if item else 0
        if mode in (_INVISIBLE, _CLIP):
            return "invisible" if mode == _INVISIBLE else "clip"
        kind = pale(raw.FPDFText_GetFillColor if mode in _FILLED else raw.FPDFText_GetStrokeColor, at)
        return "" if kind and mode in _BOTH and pale(raw.FPDFText_GetStrokeColor, at) != kind else kind

    return look


def _box(textpage: PdfTextPage, start: int, end: int) -> Box:
    """The box of a word in PDF's own coordinates: x0, y0, x1, y1."""
    from pypdfium2 import raw

    first, last = raw.FS_RECTF(), raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(textpage, start, first)
    raw.FPDFText_GetLooseCharBox(textpage, end, last)
    return (
        min(first.left, last.left),
        min(first.bottom, last.bottom),
        max(first.right, last.right),
        max(first.top, last.top),
    )


def _within(box: Box, other: Box) -> bool:
    """Whether the centre of a box lies in another."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]


def _images(page: PdfPage) -> Iterator[Box]:
    """The boxes of images, and of groups of objects that hold images."""
    from pypdfium2 import PdfiumError, raw

    image, group = raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM
    for item in page.get_objects([image, group], max_depth=1):
        if item.type == image or any(True for _ in page.get_objects([image], max_depth=_MAX_DEPTH, form=item.raw)):
            try:
                yield item.get_bounds()
            except PdfiumError:  # it may be anywhere
                yield -inf, -inf, inf, inf


def _hidden_as_drawn(
    page: PdfPage,
    textpage: PdfTextPage,
    place: Callable[..., Box],
    white: Sequence[tuple[int, int]],
    clips: Sequence[tuple[int, int]],
) -> Iterator[tuple[int, str]]:
    """White words without which the page is drawn the same, and masks that mask nothing: first character, and kind."""
    from pypdfium2 import PdfiumError, raw

    boxes = {start: place(*_box(textpage, start, end)) for start, end in [*white, *clips]}
    area = (
        min(box[0] for box in boxes.values()),
        min(box[1] for box in boxes.values()),
        max(box[2] for box in boxes.values()),
        max(box[3] for box in boxes.values()),
    )
    try:
        whole = _drawn(page, area)
        for start, _ in white:
            raw.FPDFPageObj_SetIsActive(raw.FPDFText_GetTextObject(textpage, start), False)
        change = abs(whole.pixels - _drawn(page, area).pixels) if white else whole.pixels
    except (PdfiumError, ValueError, OverflowError):  # what cannot be drawn cannot be told to be hidden
        return
    for start, _ in white:
        if not (change[whole.at(boxes[start])] >= _SEEN).any():
            yield start, "color"
    for start, _ in clips:
        part = whole.pixels[whole.at(boxes[start])]
        if part.size == 0 or part.max() - part.min() < _SEEN:
            yield start, "invisible"


class _Drawn(NamedTuple):
    """A part of a page as brightness, 0 to 255."""

    pixels: NDArray[np.int16]
    """Height by width."""
    left: float
    top: float
    scale: float
    """Pixels per point."""

    def at(self, box: Box) -> tuple[slice, slice]:
        """Where a box of the page is in `pixels`, with a margin."""
        x0, x1 = (round((x - self.left) * self.scale) for x in (box[0], box[2]))
        y0, y1 = (round((y - self.top) * self.scale) for y in (box[1], box[3]))
        return slice(max(y0 - 2, 0), max(y1 + 2, 0)), slice(max(x0 - 2, 0), max(x1 + 2, 0))


def _stretch(first: float, last: float, size: float) -> tuple[float, float]:
    """A side of a box with what is around it, at least one point long, on a page of that size."""
    least = min(max(floor(first) - _AROUND, 0), size - 1)
    return least, min(max(ceil(last) + _AROUND, least + 1), size)


def _drawn(page: PdfPage, area: Box) -> _Drawn:
    """What of the page lies in a box as shown, and around it."""
    width, height = page.get_size()
    left, right = _stretch(area[0], area[2], width)
    top, bottom = _stretch(area[1], area[3], height)
    scale = min(1.0, (_MOST_PIXELS / ((right - left) * (bottom - top))) ** 0.5)
    bitmap = page.render(
        scale=scale,
        crop=(left, height - bottom, width - right, top),
        grayscale=True,
        may_draw_forms=False,
        draw_annots=False,
    )
    try:
        return _Drawn(bitmap.to_numpy().reshape(bitmap.height, -1).astype("int16"), left, top, scale)
    finally:
        bitmap.close()
