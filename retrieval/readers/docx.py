"""Word documents, through mammoth: it knows styles, lists, notes, text boxes and tracked changes."""

from __future__ import annotations

import io
from pathlib import Path

from ...markdown import first_heading
from ._docx_hidden import without_hidden
from .base import Page, ParsedDocument
from .containers import core_properties, open_container
from .files import clean_text, one_line
from .html import html_fragment_to_markdown

__all__ = ("read_docx",)

_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => h2:fresh"


def read_docx(path: Path) -> ParsedDocument:
    """Reads a Word document as one page: where its pages break is known only to the program that prints it."""
    import mammoth

    archive, data = open_container(path)
    with archive:
        metadata = core_properties(archive)
        data, hidden = without_hidden(archive, data)
    # Pictures are dropped: as data URIs they would be most of the output.
    result = mammoth.convert_to_html(
        io.BytesIO(data), style_map=_STYLES, convert_image=mammoth.images.img_element(lambda image: {"src": ""})
    )
    text = clean_text(html_fragment_to_markdown(result.value))
    # Styles that mammoth has no rule for are read as plain paragraphs: nothing is lost, nothing to tell.
    warnings = tuple(one_line(Exception(message.message)) for message in result.messages if message.type == "error")
    title = metadata.pop("title", "") or first_heading(text)
    return ParsedDocument((Page(1, text),), "docx", title, metadata, warnings, hidden)
