"""Tables without lines: columns are told by the gaps that neighbouring rows share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from statistics import median

from ._pdf_layout import Row
from ._pdf_words import Word

__all__ = ("find_tables",)

_BULLET = re.compile(r"^(?:[•▪‣◦●○■□·–—\-*➢✓▶»]|\(?(?:\d{1,2}|[a-zA-Z]|[ivx]{1,4})[.)]|\[\d+\])$")
_BEFORE = re.compile(r"^[$€£¥(]{1,2}$")
_AFTER = re.compile(r"^(?:\)?%?\)?|pts|bps)$")
_NUMBER = re.compile(r"^[($€£¥+\-–—]*\s*\d[\d.,\s]*[)%]*\s*%?\)?$|^[-–—]+$")

Segment = list[Word]


def segments(row: Row) -> list[Segment]:
    """A row's words, cut where the gap is wider than any gap between words of prose."""
    gap = 0.95 * row.size
    found: list[Segment] = [[row.words[0]]]
    for word in row.words[1:]:
        last = found[-1][-1]
        if word.x0 - last.x1 > gap and not (len(found) == 1 and len(found[0]) == 1 and _BULLET.match(last.text)):
            found.append([word])
        else:
            found[-1].append(word)
    return found


def find_tables(rows: list[Row]) -> Iterator[list[Row] | list[list[str]]]:
    """The rows in order, runs of them that are tables as lists of cells, the others as they are."""
    cuts = [segments(row) for row in rows]
    plain: list[Row] = []
    at = 0
    while at < len(rows):
        end = _extent(rows, cuts, at) if len(cuts[at]) > 1 else at
        table = _table(rows[at:end], cuts[at:end]) if end - at > 1 else None
        if table is None:
            plain.append(rows[at])
            at += 1
            continue
        if plain:
            yield plain
            plain = []
        yield table
        at = end
    if plain:
        yield plain


def _extent(rows: list[Row], cuts: list[list[Segment]], start: int) -> int:
    """One past the last row of the run that begins at `start`: rows of several cells, with labels between them."""
    end = start + 1
    pending = 0
    values = cuts[start][-1][0].x0  # where the last column begins
    for at in range(start + 1, len(rows)):
        gap = rows[at].top - rows[at - 1].bottom
        if gap > 3.2 * max(rows[at].size, rows[at - 1].size):
            break
        if len(cuts[at]) > 1:
            if not _aligned(cuts[at], [cut for cut in cuts[max(start, at - 5) : at] if len(cut) > 1]):
                break
            end, pending = at + 1, 0
            values = max(values, cuts[at][-1][0].x0)
            continue
        pending += 1
        prose = len(rows[at].words) > 6 and rows[at].x1 > values
        if pending > 6 or prose:
            break
    return end


def _aligned(cut: list[Segment], before: list[list[Segment]]) -> bool:
    """Whether a row has the columns of the rows before: a common edge or middle, or half of its cells below others."""
    near = 0.15 * cut[0][0].size
    below = 0
    for segment in cut:
        x0, x1 = segment[0].x0, segment[-1].x1
        under = False
        for other in (each for row in before for each in row):
            y0, y1 = other[0].x0, other[-1].x1
            if abs(x0 - y0) < near or abs(x1 - y1) < near or abs(x0 + x1 - y0 - y1) < 2 * near:
                return True
            under = under or min(x1, y1) - max(x0, y0) > 0.3 * min(x1 - x0, y1 - y0)
        below += under
    return 2 * below >= len(cut)


def _table(rows: list[Row], cuts: list[list[Segment]]) -> list[list[str]] | None:
    several = [cut for cut in cuts if len(cut) > 1]
    if len(several) < 2:
        return None
    size = median(row.size for row in rows)
    gutters = _gutters(several, size)
    if not gutters or (len(several) < 3 and len(gutters) < 2):
        return None
    cells = [_cells(cut, gutters) for cut in cuts]
    columns = _join_signs(cells, len(gutters) + 1)
    grid = [[" ".join(part for part in (row[c] for c in group) if part) for group in columns] for row in cells]
    if len(columns) < 2 or not _tabular(grid):
        return None
    return _join_wrapped(grid, rows)


def _gutters(cuts: list[list[Segment]], size: float) -> list[float]:
    """The middles of the strips that (nearly) no cell crosses; headers over several columns are forgiven."""
    typical = median(len(cut) for cut in cuts)
    used = [cut for cut in cuts if len(cut) >= typical / 2] or cuts
    strict = _strips(used, size, 0)
    if len(used) < 5:
        return strict
    # What one row covers is a gutter to all others, unless forgiving it finds no more columns.
    loose = _strips(used, size, max(1, len(used) // 9))
    return loose if len(loose) > len(strict) else strict


def _strips(cuts: list[list[Segment]], size: float, forgiven: int) -> list[float]:
    events: list[tuple[float, int]] = []
    for cut in cuts:
        for segment in cut:
            events += [(segment[0].x0, 1), (max(segment[-1].x1, segment[0].x0 + 1), -1)]
    events.sort(key=lambda event: (event[0], -event[1]))
    found: list[float] = []
    covered, opened = 0, None
    seen = 0
    for x, step in events:
        before = covered
        covered += step
        if before > forgiven >= covered:
            opened = x
        elif before <= forgiven < covered:
            if opened is not None and x - opened >= 0.35 * size and seen:
                found.append((opened + x) / 2)
            opened = None
            seen += 1
    return found


def _cells(cut: list[Segment], gutters: list[float]) -> list[str]:
    """A row's text by column. What spans several columns stands in the first of them."""
    cells: list[list[str]] = [[] for _ in range(len(gutters) + 1)]
    for segment in cut:
        # A lone segment is a wrapped cell or a label: gaps between its words mean nothing.
        for part in _parts(segment, gutters) if len(cut) > 1 else [segment]:
            middle = (part[0].x0 + part[-1].x1) / 2
            inside = [x for x in gutters if part[0].x0 < x < part[-1].x1]
            column = sum(x <= (part[0].x0 + 1 if inside else middle) for x in gutters)
            cells[column].extend(word.text for word in part)
    return [" ".join(cell) for cell in cells]


def _parts(segment: Segment, gutters: list[float]) -> Iterator[Segment]:
    """A segment cut where a gap between its words, though narrow, lies upon a gutter."""
    part: Segment = []
    for word in segment:
        if part and word.x0 - part[-1].x1 > 0.4 * word.size and any(part[-1].x1 <= x <= word.x0 for x in gutters):
            yield part
            part = []
        part.append(word)
    if part:
        yield part


def _join_signs(cells: list[list[str]], count: int) -> list[list[int]]:
    """Columns in groups that make one: signs of currency go with the number behind, percent signs with that before."""
    groups: list[list[int]] = []
    pull = False
    for column in range(count):
        texts = [row[column] for row in cells if row[column]]
        before = bool(texts) and sum(bool(_BEFORE.match(text)) for text in texts) >= 0.8 * len(texts)
        after = bool(texts) and sum(bool(_AFTER.match(text)) for text in texts) >= 0.8 * len(texts)
        if groups and (pull or after):
            groups[-1].append(column)
        else:
            groups.append([column])
        pull = before
    return groups


def _tabular(grid: list[list[str]]) -> bool:
    """Whether cells look like a table's: several rows with several of them, and no running text in all columns."""
    several = [row for row in grid if sum(map(bool, row)) > 1]
    if len(several) < 2:
        return False
    width = len(grid[0])
    for column in range(width):
        texts = [row[column] for row in several if row[column]]
        if texts and median(len(text.split()) for text in texts) <= 7:
            return True
    return False


def _join_wrapped(grid: list[list[str]], rows: list[Row]) -> list[list[str]]:
    """Rows that go on in the next line as one: a wrapped label or cell must not stand apart from its numbers."""
    if (groups := _spaced_groups(grid, rows)) is not None:
        return [[" ".join(filter(None, column)) for column in zip(*group, strict=True)] for group in groups]
    joined: list[list[str]] = []
    heading = True  # within the lines of a header: rows without a label above all others
    for at, row in enumerate(grid):
        if joined:
            last = joined[-1]
            tight = rows[at].top - rows[at - 1].bottom < 0.7 * rows[at].size
            if tight and (_goes_on(last, row) or (heading and not row[0] and not last[0] and at < 4)):
                joined[-1] = [" ".join(filter(None, pair)) for pair in zip(last, row, strict=True)]
                continue
        heading = heading and not row[0]
        joined.append(list(row))
    return joined


def _spaced_groups(grid: list[list[str]], rows: list[Row]) -> list[list[list[str]]] | None:
    """Lines in groups, where wider gaps stand between rows than between the lines of a row; None where this fails.

    It fails where a group has two lines with several cells each: such lines are rows, and the gaps part sections.
    """
    gaps = [max(after.top - row.bottom, 0.0) for row, after in zip(rows, rows[1:], strict=False)]
    limit = min(gaps) + 0.3 * rows[0].size
    if max(gaps) < limit:
        return None
    groups = [[grid[0]]]
    for row, gap in zip(grid[1:], gaps, strict=True):
        if gap > limit:
            groups.append([row])
        else:
            groups[-1].append(row)
    for group in groups:
        if sum(sum(map(bool, row)) > 1 for row in group) > 1 or len(group) > 8:
            return None
        values = [text for row in group for text in row[1:] if text]
        if len(group) > 1 and (not values or any(row[0].endswith(":") for row in group)):
            return None
    return groups if len(groups) > 2 and any(len(group) > 1 for group in groups) else None


def _goes_on(last: list[str], row: list[str]) -> bool:
    filled = [text for text in row if text]
    values = any(row[1:])
    if row[0]:
        if not row[0][:1].islower() or last[0].endswith(":") or not last[0]:
            return False
        # 'Net cash provided by operating' / 'activities   1,234': one of both lines has the values.
        return not (values and any(last[1:]))
    if not filled or any(_NUMBER.match(text) for text in filled):
        return False
    return all(last[column] for column, text in enumerate(row) if text) and any(text[:1].islower() for text in filled)
