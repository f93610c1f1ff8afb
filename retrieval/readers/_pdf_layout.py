"""Reading order of a PDF page: rows of words, columns of rows.

A page is cut along gutters: strips that no word crosses over many rows, with prose on both sides. Gutters within
tables have short or numeric cells beside them, and are left to the table finder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from ._pdf_words import Word

__all__ = ("Row", "make_rows", "regions")

_MIN_ROWS = 5
"""Fewer rows side by side are a heading in two parts or a small table, not columns of prose."""


@dataclass(slots=True)
class Row:
    """Words on one line, from left to right."""

    words: list[Word]
    top: float
    bottom: float

    @property
    def size(self) -> float:
        """The font size of most of its letters."""
        sizes: dict[float, int] = {}
        for word in self.words:
            sizes[word.size] = sizes.get(word.size, 0) + len(word.text)
        return max(sizes, key=lambda size: (sizes[size], size))

    @property
    def bold(self) -> bool:
        """Whether all of its words are bold."""
        return all(word.bold for word in self.words)

    @property
    def x0(self) -> float:
        """Its left end."""
        return self.words[0].x0

    @property
    def x1(self) -> float:
        """Its right end."""
        return max(word.x1 for word in self.words)

    @property
    def text(self) -> str:
        """Its words with one space between them."""
        return " ".join(word.text for word in self.words)


def make_rows(words: list[Word]) -> list[Row]:
    """Words grouped by height: those whose middles differ by less than half a line stand in one row."""
    rows: list[Row] = []
    anchors: list[Word] = []
    for word in sorted(words, key=lambda each: each.middle):
        for back in range(min(3, len(rows))):
            anchor = anchors[-1 - back]
            height = min(anchor.bottom - anchor.top, word.bottom - word.top)
            overlap = min(anchor.bottom, word.bottom) - max(anchor.top, word.top)
            if overlap > 0.55 * height:
                rows[-1 - back].words.append(word)
                if word.size > anchor.size:
                    anchors[-1 - back] = word  # small print beside it hangs on to the larger word
                break
        else:
            rows.append(Row([word], 0, 0))
            anchors.append(word)
    for row, anchor in zip(rows, anchors, strict=True):
        row.words.sort(key=lambda each: each.x0)
        row.top, row.bottom = anchor.top, anchor.bottom
    rows.sort(key=lambda row: row.top)
    return rows


def regions(words: list[Word], depth: int = 0) -> Iterator[list[Row]]:
    """The page's columns and the full-width parts between them, in reading order, each as rows."""
    rows = make_rows(words)
    cut = _column_cut(rows) if depth < 6 else None
    if cut is None:
        if rows:
            yield rows
        return
    first, last, x = cut
    if first:
        yield from regions([word for row in rows[:first] for word in row.words], depth + 1)
    inside = [word for row in rows[first : last + 1] for word in row.words]
    yield from regions([word for word in inside if (word.x0 + word.x1) / 2 < x], depth + 1)
    yield from regions([word for word in inside if (word.x0 + word.x1) / 2 >= x], depth + 1)
    if last + 1 < len(rows):
        yield from regions([word for row in rows[last + 1 :] for word in row.words], depth + 1)


@dataclass(slots=True)
class _Gutter:
    left: float
    right: float
    first: int


def _column_cut(rows: list[Row]) -> tuple[int, int, float] | None:
    """The first and last row beside the longest gutter between columns of prose, and where it lies."""
    if len(rows) < _MIN_ROWS:
        return None
    size = median(row.size for row in rows)
    start, end = min(row.x0 for row in rows), max(row.x1 for row in rows)
    least = max(0.6 * size, 4.0)
    runs: list[tuple[int, int, float]] = []
    active: list[_Gutter] = []
    for at, row in enumerate([*rows, None]):
        free = _free(row, start, end, least) if row is not None else []
        following: list[_Gutter] = []
        for gutter in active:
            meets = [
                _Gutter(max(gutter.left, left), min(gutter.right, right), gutter.first)
                for left, right in free
                if min(gutter.right, right) - max(gutter.left, left) >= least
            ]
            if meets:
                following.extend(meets)
            elif at - gutter.first >= _MIN_ROWS and start < (gutter.left + gutter.right) / 2 < end:  # no margin
                runs.append((gutter.first, at - 1, (gutter.left + gutter.right) / 2))
        seen = {(round(gutter.left), round(gutter.right)) for gutter in following}
        following.extend(_Gutter(left, right, at) for left, right in free if (round(left), round(right)) not in seen)
        active = sorted(following, key=lambda gutter: gutter.first)[:40]
    for first, last, x in sorted(runs, key=lambda run: run[0] - run[1])[:12]:
        trimmed = _trim(rows, first, last, x)
        if trimmed is not None and _prose(rows, *trimmed, _beside(runs, *trimmed, x)):
            return (*trimmed, x)
    return None


def _free(row: Row, start: float, end: float, least: float) -> list[tuple[float, float]]:
    """The strips of a row without words, margins included."""
    found = []
    at = start - 1000
    for word in row.words:
        if word.x0 - at >= least:
            found.append((at, word.x0))
        at = max(at, word.x1)
    found.append((at, end + 1000))
    return found


def _trim(rows: list[Row], first: int, last: int, x: float) -> tuple[int, int] | None:
    """The rows of a gutter from the first to the last that have words on both of its sides, or nearly so.

    Rows on one side above the first common row are a heading of the page, not of a column; below the last they are
    the longer column's end, which stays as long as lines follow each other closely.
    """
    both = [at for at in range(first, last + 1) if rows[at].x0 < x < rows[at].x1]
    beside = list(range(first, last + 1))
    if not both:
        # Columns whose baselines never meet: rows alternate between the sides.
        left = sum(rows[at].x1 <= x for at in beside)
        if min(left, len(beside) - left) < _MIN_ROWS:
            return None
        switches = sum((rows[at].x1 <= x) != (rows[at + 1].x1 <= x) for at in beside[:-1])
        return (first, last) if switches >= _MIN_ROWS else None
    begin, finish = both[0], both[-1]
    while begin > first and rows[begin].top - rows[begin - 1].bottom < 0.8 * rows[begin].size:
        begin -= 1
    while finish < last and rows[finish + 1].top - rows[finish].bottom < 1.2 * rows[finish].size:
        finish += 1
    # Page headers and footers stand apart, and are as wide as the page.
    for _ in range(2):
        if finish - begin > _MIN_ROWS and rows[begin + 1].top - rows[begin].bottom > 1.5 * rows[begin].size:
            begin += 1
        if finish - begin > _MIN_ROWS and rows[finish].top - rows[finish - 1].bottom > 1.5 * rows[finish].size:
            finish -= 1
    return (begin, finish) if finish - begin + 1 >= _MIN_ROWS else None


def _beside(runs: list[tuple[int, int, float]], first: int, last: int, x: float) -> list[float]:
    """`x` and the other gutters that run along most of the same rows, from left to right: there may be many columns."""
    least = 0.6 * (last - first + 1)
    others = [at for begin, end, at in runs if min(end, last) - max(begin, first) + 1 >= least]
    found: list[float] = []
    for at in sorted({x, *others}):
        if not found or at - found[-1] > 20:
            found.append(at)
    return found


def _prose(rows: list[Row], first: int, last: int, gutters: list[float]) -> bool:
    """Whether all columns between gutters read as running text: full lines of words, with no gaps like a table's."""
    edges = [float("-inf"), *gutters, float("inf")]
    for start, end in zip(edges, edges[1:], strict=False):
        lines = []
        for row in rows[first : last + 1]:
            words = [word for word in row.words if start <= (word.x0 + word.x1) / 2 < end]
            if words:
                lines.append(words)
        if len(lines) < 4 or not _running(lines):
            return False
    return True


def _running(lines: list[list[Word]]) -> bool:
    left = min(words[0].x0 for words in lines)
    right = max(words[-1].x1 for words in lines)
    filled = median((words[-1].x1 - words[0].x0) / max(right - left, 1) for words in lines)
    letters = sum(letter.isalpha() for words in lines for word in words for letter in word.text)
    total = sum(len(word.text) for words in lines for word in words)
    gaps = sum(any(b.x0 - a.x1 > 1.6 * a.size for a, b in zip(words, words[1:], strict=False)) for words in lines)
    if filled < 0.55 or letters < 0.6 * total or gaps > 0.25 * len(lines):
        return False
    return median(len(words) for words in lines) >= 3
