"""Tables drawn with lines: cells are told by the rules around them, so wrapped lines stay in their cell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ._pdf_layout import Row, make_rows
from ._pdf_words import Rule, Word

__all__ = ("Grid", "ruled_tables")

_NUMBER = re.compile(r"^[^\w\s]*\s?\d[\d.,]*\s?[^\w\s]*$")
_TOUCH = 3.0
_SAME = 2.5
_MAX_RULES = 400


@dataclass(slots=True)
class Grid:
    """A ruled table: its box, the words inside, and the text of its cells."""

    x0: float
    top: float
    x1: float
    bottom: float
    words: list[Word]
    cells: list[list[str]]


def ruled_tables(words: list[Word], rules: list[Rule]) -> list[Grid]:
    """The tables with vertical and horizontal rules on a page."""
    flat = _merged([rule for rule in rules if rule.x1 > rule.x0], across=True)
    upright = _merged([rule for rule in rules if rule.x1 <= rule.x0], across=False)
    if len(upright) < 2 or len(flat) < 2 or len(flat) + len(upright) > _MAX_RULES:
        return []
    return [grid for group in _groups(flat, upright) if (grid := _grid(words, *group)) is not None]


def _merged(rules: list[Rule], *, across: bool) -> list[Rule]:
    """Rules in line with each other as one: tables are often drawn cell by cell."""
    lines: list[list[float]] = []  # [where, from, to]
    spans = [(r.top, r.x0, r.x1) if across else (r.x0, r.top, r.bottom) for r in rules]
    for where, start, end in sorted(spans, key=lambda span: (round(span[0] / _SAME), span[1])):
        for line in reversed(lines[-60:]):
            if abs(line[0] - where) < _SAME and start <= line[2] + _TOUCH and end >= line[1] - _TOUCH:
                line[1], line[2] = min(line[1], start), max(line[2], end)
                break
        else:
            lines.append([where, start, end])
    return [Rule(b, a, c, a) if across else Rule(a, b, a, c) for a, b, c in lines]


def _groups(flat: list[Rule], upright: list[Rule]) -> Iterator[tuple[list[Rule], list[Rule]]]:
    """Rules that touch each other, table by table."""
    parent = list(range(len(flat) + len(upright)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for i, h in enumerate(flat):
        for j, v in enumerate(upright, start=len(flat)):
            if h.x0 - _TOUCH <= v.x0 <= h.x1 + _TOUCH and v.top - _TOUCH <= h.top <= v.bottom + _TOUCH:
                parent[root(i)] = root(j)
    groups: dict[int, tuple[list[Rule], list[Rule]]] = {}
    for i, h in enumerate(flat):
        groups.setdefault(root(i), ([], []))[0].append(h)
    for j, v in enumerate(upright, start=len(flat)):
        groups.setdefault(root(j), ([], []))[1].append(v)
    yield from groups.values()


def _steps(values: list[float]) -> list[float]:
    found: list[float] = []
    for value in sorted(values):
        if not found or value - found[-1] > _TOUCH:
            found.append(value)
    return found


def _grid(words: list[Word], flat: list[Rule], upright: list[Rule]) -> Grid | None:
    if len(flat) < 2 or not upright:
        return None
    # The outer frame may be left undrawn at both sides: the ends of the horizontal rules stand for it.
    left, right = min(h.x0 for h in flat), max(h.x1 for h in flat)
    xs = _steps([left, right, *(v.x0 for v in upright)])
    top, bottom = min(v.top for v in upright), max(v.bottom for v in upright)
    ys = _steps([*(h.top for h in flat), *(y for y in (top, bottom))])
    if len(xs) < 3 or len(ys) < 3:
        return None
    inside = [w for w in words if xs[0] - 2 <= (w.x0 + w.x1) / 2 <= xs[-1] + 2 and ys[0] - 2 <= w.middle <= ys[-1] + 2]
    if not inside:
        return None
    owner = _owners(xs, ys, flat, upright)
    held: dict[tuple[int, int], list[Word]] = {}
    for word in inside:
        held.setdefault(owner[_band(ys, word.middle), _band(xs, (word.x0 + word.x1) / 2)], []).append(word)
    if max(len(make_rows(each)) for each in held.values()) > 12 or len(held) < 4:
        return None  # a frame around text, or columns ruled without rows: left to the finder that goes by gaps
    cells = []
    for r in range(len(ys) - 1):
        cells.extend(_band_rows([make_rows(held.get((r, c), [])) for c in range(len(xs) - 1)], xs))
    filled = [row for row in cells if any(row)]
    several = [row for row in filled if sum(map(bool, row)) > 1]
    crossed = sum(any(w.x0 + 2 < x < w.x1 - 2 for x in xs[1:-1]) for w in inside)
    if len(several) < 2 or len(several) < 0.4 * len(filled) or crossed > 0.2 * len(inside):
        return None
    return Grid(xs[0], ys[0], xs[-1], ys[-1], inside, filled)


def _band_rows(band: list[list[Row]], xs: list[float]) -> list[list[str]]:
    """The rows of cells between two rules: one, or several where only some rows of a table are ruled off.

    Lines of two or more cells that end although the next word had room are no wrapped text, but rows of their own.
    """
    apart = [lines for c, lines in enumerate(band) if len(lines) > 1 and _ended_early(lines, xs[c + 1])]
    counts = [len(lines) for lines in apart]
    if len(apart) < 2 or counts.count(counts[0]) < 2:
        return [[" ".join(row.text for row in lines) for lines in band]]
    tops = [row.top - row.size / 4 for row in apart[0]]
    found = [[""] * len(band) for _ in tops]
    for c, lines in enumerate(band):
        for row in lines:
            at = 0 if len(lines) == 1 else max(sum(top <= row.top for top in tops) - 1, 0)
            found[at][c] = f"{found[at][c]} {row.text}".strip()
    return found


def _ended_early(lines: list[Row], right: float) -> bool:
    if all(_NUMBER.match(line.text) for line in lines):
        return True
    room = sum(
        line.x1 + line.size / 3 + (after.words[0].x1 - after.words[0].x0) < right - line.size / 2
        for line, after in zip(lines, lines[1:], strict=False)
    )
    return room >= 0.6 * (len(lines) - 1)


def _band(steps: list[float], value: float) -> int:
    for at in range(len(steps) - 2, -1, -1):
        if value >= steps[at]:
            return at
    return 0


def _owners(
    xs: list[float], ys: list[float], flat: list[Rule], upright: list[Rule]
) -> dict[tuple[int, int], tuple[int, int]]:
    """The top left cell of the merged cell that each cell of the grid belongs to."""
    owner = {(r, c): (r, c) for r in range(len(ys) - 1) for c in range(len(xs) - 1)}
    for r in range(len(ys) - 1):
        y = (ys[r] + ys[r + 1]) / 2
        for c in range(1, len(xs) - 1):
            if not any(abs(v.x0 - xs[c]) <= _TOUCH and v.top <= y <= v.bottom for v in upright):
                owner[r, c] = owner[r, c - 1]
    for c in range(len(xs) - 1):
        x = (xs[c] + xs[c + 1]) / 2
        for r in range(1, len(ys) - 1):
            if not any(abs(h.top - ys[r]) <= _TOUCH and h.x0 <= x <= h.x1 for h in flat):
                owner[r, c] = owner[r - 1, c]
    return owner
