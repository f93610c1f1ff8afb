"""Web pages: headings, lists and tables as Markdown, scripts and navigation left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...markdown import first_heading
from ._html_blocks import to_markdown
from ._html_hidden import take_out_hidden
from .base import Page, ParsedDocument
from .files import between, clean_text, decode, read_bytes

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

__all__ = ("HtmlPage", "html_fragment_to_markdown", "html_to_markdown", "read_html")

_CHARSET = re.compile(rb"""(?:charset\s*=\s*["']?|<\?xml[^>]*encoding\s*=\s*["'])([\w.:-]+)""", re.IGNORECASE)
_NOISE = "nav, [role=navigation], [role=search], dialog, li:has(> a[hreflang])"
_CODE = re.compile(r"[<{}=]|\[if")
_MANY_WORDS = 8
"""Notes of builders ('end of main column') are shorter, orders to a model longer."""
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
    page = html_to_markdown(clean_text(text))
    return ParsedDocument((Page(1, page.text),), "html", page.title, page.metadata, warnings, page.hidden)


class HtmlPage(NamedTuple):
    """A web page as Markdown."""

    text: str
    title: str
    metadata: dict[str, str]
    hidden: dict[str, int]
    """As in `ParsedDocument`."""


def html_to_markdown(source: str) -> HtmlPage:
    """HTML as Markdown, with its title and metadata, without what a person does not see.

    Navigation is dropped by what the page itself declares (`nav`, roles), never by a guess on class names; and kept
    after all where it turns out to hold most of the page. Of a page on which nothing is seen, the hidden text is read.
    """
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(source)
    title, metadata = _title(tree), _metadata(tree)
    hidden = take_out_hidden(tree)
    text = _text(tree)
    if hidden and not text.strip():
        text = _text(LexborHTMLParser(source))
    if comments := sum(is_prose(source[start:end]) for start, end in between(source, "<!--", "-->")):
        hidden["comment"] += comments
    return HtmlPage(text, title or first_heading(text), metadata, dict(hidden))


def html_fragment_to_markdown(source: str) -> str:
    """HTML that a program of ours made, as Markdown: nothing of it is dropped."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(source)
    root = tree.body or tree.root
    return "" if root is None else to_markdown(root)


def is_prose(comment: str) -> bool:
    """Whether a comment talks to somebody: a whole sentence, and no markup or code that was switched off."""
    return not _CODE.search(comment[4:-3]) and len(comment.split()) > _MANY_WORDS


def _text(tree: LexborHTMLParser) -> str:
    root = tree.body or tree.root
    if root is None:
        return ""
    full = ""
    noisy = tree.css(_NOISE)
    if noisy:
        full = to_markdown(root)
        for node in noisy:
            node.decompose(recursive=False) if node.tag == "body" else node.decompose()
        root = tree.body or tree.root
    page = to_markdown(root) if root is not None else full
    return full if full and len(page) < min(200, len(full)) and len(page) < len(full) * 0.2 else page


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
