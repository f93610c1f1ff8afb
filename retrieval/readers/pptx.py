"""PowerPoint files: one page a slide, with tables, charts, diagrams and speaker notes."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...markdown import heading, join_blocks, pipe_table
from .base import Page, ParsedDocument
from .containers import core_properties, open_container, parse_xml
from .files import clean_text

if TYPE_CHECKING:
    from pptx.chart.chart import Chart
    from pptx.shapes.base import BaseShape
    from pptx.shapes.graphfrm import GraphicFrame
    from pptx.text.text import TextFrame

__all__ = ("read_pptx",)

_ROW = 457_200
"""Half an inch in EMU: shapes whose tops differ by less stand beside each other."""
_DRAWING_TEXT = "{http://schemas.openxmlformats.org/drawingml/2006/main}t"
_DRAWING_PARAGRAPH = "{http://schemas.openxmlformats.org/drawingml/2006/main}p"


def read_pptx(path: Path) -> ParsedDocument:
    """Reads a presentation, slide by slide, shapes from top to bottom."""
    from pptx import Presentation

    archive, data = open_container(path)
    with archive:
        metadata = core_properties(archive)
    presentation = Presentation(io.BytesIO(data))
    pages, warnings = [], []
    hidden: Counter[str] = Counter()
    size = (presentation.slide_width or 0, presentation.slide_height or 0)
    for number, slide in enumerate(presentation.slides, start=1):
        title = slide.shapes.title
        name = " ".join(title.text_frame.text.split()) if title is not None and title.has_text_frame else ""
        blocks = [heading(name, 1)] if name else []
        skip = title.shape_id if name and title is not None else None
        for shape in _in_order(slide.shapes):
            if shape.shape_id == skip:
                continue
            if _is_outside(shape, *size):
                hidden["off-page"] += any(block.strip() for block in _blocks(shape))
            else:
                blocks.extend(_blocks(shape))
        if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None and frame.text.strip():
            blocks += ["Notes:", frame.text]
        text = clean_text(join_blocks(blocks))
        hidden["collapsed"] += slide.element.get("show") in ("0", "false")
        if not text:
            warnings.append(f"slide {number} holds no text")
        pages.append(Page(number, text, name))
    title_text = metadata.pop("title", "") or next((page.label for page in pages if page.label), "")
    if title_text == "PowerPoint Presentation":  # what the program writes when nobody does
        title_text = next((page.label for page in pages if page.label), title_text)
    return ParsedDocument(tuple(pages), "pptx", title_text, metadata, tuple(warnings), dict(+hidden))


def _is_outside(shape: BaseShape, width: int, height: int) -> bool:
    """Whether nothing of a shape is on a slide of this size. A place that is inherited is one of the layout's."""
    if not (width and height) or shape.left is None or shape.top is None:
        return False
    right, bottom = shape.left + (shape.width or 0), shape.top + (shape.height or 0)
    return right < 0 or bottom < 0 or shape.left > width or shape.top > height


def _in_order(shapes: Iterable[BaseShape]) -> list[BaseShape]:
    return sorted(shapes, key=lambda shape: ((shape.top or 0) // _ROW, shape.left or 0))


def _blocks(shape: BaseShape) -> Iterator[str]:
    from pptx.shapes.graphfrm import GraphicFrame
    from pptx.shapes.group import GroupShape

    if isinstance(shape, GroupShape):
        for inner in _in_order(shape.shapes):
            yield from _blocks(inner)
    elif isinstance(shape, GraphicFrame):
        if shape.has_table:
            yield pipe_table([[cell.text for cell in row.cells] for row in shape.table.rows])
        elif shape.has_chart:
            yield _chart(shape.chart)
        else:
            yield "\n".join(_diagram(shape))
    elif (frame := getattr(shape, "text_frame", None)) is not None:
        yield "\n".join(_paragraphs(frame, listed=shape.is_placeholder and len(frame.paragraphs) > 1))


def _paragraphs(frame: TextFrame, *, listed: bool) -> Iterator[str]:
    """The lines of a text frame; `listed` where they have bullets, as in the body of a slide."""
    for paragraph in frame.paragraphs:
        text = " ".join(paragraph.text.replace("\v", " ").split())
        if text:
            yield f"{'  ' * paragraph.level}- {text}" if listed or paragraph.level else text


def _chart(chart: Chart) -> str:
    """A chart as the table of its values."""
    title = chart.chart_title.text_frame.text if chart.has_title and chart.chart_title.has_text_frame else ""
    rows: list[list[object]] = []
    for plot in chart.plots:
        series = list(plot.series)
        rows.append(["", *(each.name for each in series)])
        rows.extend(
            [category, *(each.values[at] if at < len(each.values) else "" for each in series)]
            for at, category in enumerate(plot.categories)
        )
    return join_blocks([title, pipe_table(rows)])


def _diagram(shape: GraphicFrame) -> Iterator[str]:
    """The lines of a SmartArt diagram, which python-pptx has no model for."""
    ids = {value for element in shape.element.iter() for key, value in element.attrib.items() if key.endswith("}dm")}
    for relation in ids & set(shape.part.rels):
        root = parse_xml(shape.part.related_part(relation).blob)
        for paragraph in root.iter(_DRAWING_PARAGRAPH):
            text = "".join(run.text or "" for run in paragraph.iter(_DRAWING_TEXT)).strip()
            if text:
                yield f"- {text}"
