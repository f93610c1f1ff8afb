"""Web pages: headings, lists and tables as Markdown, scripts and navigation left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ._files import clean_text, decode, read_bytes
from ._html_blocks import to_markdown
from ._markdown import first_heading
from .base import Page, ParsedDocument

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

__all__ = ("html_to_markdown", "read_html")

_CHARSET = re.compile(rb"""(?:charset\s*=\s*["']?|<\?xml[^>]*encoding\s*=\s*["'])([\w.:-]+)""", re.IGNORECASE)
_NOISE = "nav, [role=navigation], [role=search], [hidden], dialog, li:has(> a[hreflang])"
_METADATA = {
    "author": "author",
    "description": "description",
    "keywords": "keywords",
    "date": "date",
    "article:published_time": "date",
}


def read_html(path: Path) -> ParsedDocument:
    """Reads a web page as one page of Markdown."""
    data = read_bytes(path)
    declared = _CHARSET.search(data[:4096])
    text, warnings = decode(data, declared=declared[1].decode("ascii", "replace") if declared else "")
    page, title, metadata = html_to_markdown(clean_text(text))
    return ParsedDocument((Page(1, page),), format="html", title=title, metadata=metadata, warnings=warnings)


def html_to_markdown(source: str, *, drop_noise: bool = True) -> tuple[str, str, dict[str, str]]:
    """HTML as Markdown, with its title and metadata.

    Navigation is dropped by what the page itself declares (`nav`, roles, `hidden`), never by a guess on class names;
    and kept after all where it turns out to hold most of the page.
    """
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(source)
    title = _title(tree)
    metadata = _metadata(tree)
    root = tree.body or tree.root
    if root is None:
        return "", title, metadata
    if not drop_noise:
        return to_markdown(root), title, metadata
    full = ""
    noisy = tree.css(_NOISE)
    if noisy:
        full = to_markdown(root)
        for node in noisy:
            node.decompose(recursive=False) if node.tag == "body" else node.decompose()
        root = tree.body or tree.root
    page = to_markdown(root) if root is not None else full
    if full and len(page) < min(200, len(full)) and len(page) < len(full) * 0.2:
        page = full
    return page, title or first_heading(page), metadata


def _title(tree: LexborHTMLParser) -> str:
    node = tree.css_first("head > title") or tree.css_first("title")
    return " ".join(node.text().split()) if node is not None else ""


def _metadata(tree: LexborHTMLParser) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.css("meta[content]"):
        name = _METADATA.get((node.attributes.get("name") or node.attributes.get("property") or "").lower())
        content = " ".join((node.attributes.get("content") or "").split())
        if name and content:
            found.setdefault(name, content)
    html = tree.css_first("html")
    if html is not None and (language := html.attributes.get("lang")):
        found["language"] = language
    return found
