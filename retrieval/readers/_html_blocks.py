"""An HTML tree as Markdown blocks.

The walk keeps its own stack instead of recursing, since pages nest thousands of elements deep by mistake or malice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...markdown import cell, join_blocks, on_one_line, pipe_table

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

__all__ = ("to_markdown",)

_SKIP = re.compile(
    r"(?:script|style|noscript|template|svg|iframe|object|embed|canvas|audio|video|head|title|meta|link)$|[-!]"
).match
_BLOCK = re.compile(
    r"(?:address|article|aside|blockquote|body|caption|center|dd|details|dialog|div|dl|dt|fieldset|figcaption|figure|"
    r"footer|form|header|hgroup|hr|html|label|legend|main|nav|option|p|section|select|summary|table|tbody|td|tfoot|th|"
    r"thead|tr|ul|ol|li|h[1-6])$"
).match
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_MARKERS = re.compile(r"^(#{1,6} |[-+*] |>|\d+[.)] )")
_MAX_SPAN = 100


class _Writer:
    """Collects inline text and closes it into blocks."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.inline: list[str] = []
        self.level = 0  # of the open heading
        self.lists: list[int] = []  # a counter for each open list; -1 for bullets
        self.marker = ""  # of the list item whose text comes next

    def close(self) -> None:
        text = "".join(self.inline)
        self.inline.clear()
        lines = [line for line in map(on_one_line, text.split("\v")) if line]
        if not lines:
            return
        if self.level:
            self.blocks.append(f"\n{'#' * self.level} {' '.join(lines)}\n")
        elif self.lists:
            indent = "  " * (len(self.lists) - 1)
            first = f"{indent}{self.marker or ' '} {lines[0]}" if self.marker else f"{indent}  {lines[0]}"
            self.blocks.append("\n".join([first, *(f"{indent}  {line}" for line in lines[1:])]))
            self.marker = ""
        else:
            lines = [_MARKERS.sub(r"\\\1", line) for line in lines]
            self.blocks.append("\n" + "\n".join(lines) + "\n")

    def text(self) -> str:
        self.close()
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self.blocks)).strip("\n")


def to_markdown(root: LexborNode) -> str:
    """The content below `root` as Markdown."""
    writer = _Writer()
    # Entries are (node, is_closing); closing entries end the block that the opening began.
    stack: list[tuple[LexborNode, bool]] = [(root, False)]
    while stack:
        node, closing = stack.pop()
        tag = node.tag or ""
        if closing:
            _leave(writer, tag)
            continue
        if tag == "-text":
            writer.inline.append(node.text_content or "")
            continue
        if _SKIP(tag):
            continue
        if tag == "table" and _is_data(node):
            writer.close()
            writer.blocks.append("\n" + join_blocks(_table(node)) + "\n")
            continue
        if tag == "pre":
            writer.close()
            code = node.text().strip("\n")
            if code.strip():
                writer.blocks.append(f"\n```\n{code}\n```\n")
            continue
        if _enter(writer, node, tag):
            continue
        stack.append((node, True))
        stack.extend((child, False) for child in reversed(list(node.iter(include_text=True))))
    return writer.text()


def _enter(writer: _Writer, node: LexborNode, tag: str) -> bool:
    """Opens an element; True where it has no children of interest."""
    if tag == "br":
        writer.inline.append("\v")
        return True
    if tag == "img":
        writer.inline.append(_image(node))
        return True
    if tag == "input":
        if (node.attributes.get("type") or "text").lower() not in ("hidden", "password", "submit", "button"):
            writer.inline.append(f" {node.attributes.get('value') or ''} ")
        return True
    if tag in _HEADINGS:
        writer.close()
        writer.level = _HEADINGS[tag]
    elif tag in ("ul", "ol", "menu"):
        writer.close()
        if not writer.lists:
            writer.blocks.append("")
        writer.lists.append(0 if tag == "ol" else -1)
    elif tag == "li":
        writer.close()
        if not writer.lists:
            writer.lists.append(-1)
        if writer.lists[-1] >= 0:
            writer.lists[-1] += 1
        writer.marker = f"{writer.lists[-1]}." if writer.lists[-1] > 0 else "-"
    elif _BLOCK(tag):
        writer.close()
    return False


def _leave(writer: _Writer, tag: str) -> None:
    if tag in _HEADINGS:
        writer.close()
        writer.level = 0
    elif tag in ("ul", "ol", "menu"):
        writer.close()
        writer.marker = ""
        if writer.lists:
            writer.lists.pop()
        if not writer.lists:
            writer.blocks.append("")
    elif _BLOCK(tag):
        writer.close()
        if tag == "li":
            writer.marker = ""


def _image(node: LexborNode) -> str:
    alt = " ".join((node.attributes.get("alt") or "").split())
    return f" [image: {alt}] " if len(alt) > 3 and " " in alt else ""


def _is_data(table: LexborNode) -> bool:
    """Whether a table is one: layout tables, which hold further tables or one cell a row, are read as plain blocks."""
    inner = table.css("table")
    if any(other.mem_id != table.mem_id for other in inner):
        return False
    rows = table.css("tr")
    return any(sum(child.tag in ("td", "th") for child in row.iter()) > 1 for row in rows)


def _table(table: LexborNode) -> list[str]:
    """Caption and pipe table; a spanned cell stands at its first column and, over several rows, in each of them."""
    caption = table.css_first("caption")
    grid: list[list[str]] = []
    carried: dict[int, tuple[int, str]] = {}  # column -> (rows left, text)
    for row in table.css("tr"):
        cells: list[str] = []
        for child in row.iter():
            if child.tag not in ("td", "th"):
                continue
            _carry(cells, carried)
            text = _cell_text(child)
            down, across = _span(child, "rowspan"), _span(child, "colspan")
            for step in range(across):
                if down > 1:
                    carried[len(cells)] = (down - 1, text if step == 0 else "")
                cells.append(text if step == 0 else "")
        _carry(cells, carried, rest=True)
        grid.append(cells)
    title = " ".join(caption.text().split()) if caption is not None else ""
    return [title, pipe_table([[each.replace("\\|", "|") for each in row] for row in grid])]


def _carry(cells: list[str], carried: dict[int, tuple[int, str]], *, rest: bool = False) -> None:
    while len(cells) in carried or (rest and carried and len(cells) <= max(carried)):
        left, text = carried.pop(len(cells), (0, ""))
        if left > 1:
            # Kept for the next row under a key that this loop has passed already.
            carried[-len(cells) - 1] = (left - 1, text)
        cells.append(text)
    if rest:
        for key in [key for key in carried if key < 0]:
            carried[-key - 1] = carried.pop(key)


def _cell_text(node: LexborNode) -> str:
    return cell(to_markdown_inline(node))


def to_markdown_inline(node: LexborNode) -> str:
    """All text of a node on one line, list dashes and heading marks left out."""
    parts: list[str] = []
    stack = [node]
    while stack:
        current = stack.pop()
        tag = current.tag or ""
        if tag == "-text":
            parts.append(current.text_content or "")
        elif tag == "br":
            parts.append(" ")
        elif tag == "img":
            parts.append(_image(current))
        elif tag == "input":
            parts.append(f" {current.attributes.get('value') or ''} ")
        elif not _SKIP(tag):
            if _BLOCK(tag):
                parts.append(" ")
            stack.extend(reversed(list(current.iter(include_text=True))))
    return on_one_line("".join(parts))


def _span(node: LexborNode, name: str) -> int:
    try:
        return min(max(int(node.attributes.get(name) or 1), 1), _MAX_SPAN)
    except ValueError:
        return 1
