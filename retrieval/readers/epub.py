"""EPUB books: one page a chapter, in reading order."""

from __future__ import annotations

import posixpath
import zipfile
from collections import Counter
from pathlib import Path
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from ...errors import ReaderError
from ...markdown import first_heading
from .base import Page, ParsedDocument
from .containers import open_container, parse_xml
from .files import clean_text, decode
from .html import html_to_markdown

__all__ = ("read_epub",)

_METADATA = {"creator": "author", "language": "language", "publisher": "publisher", "date": "date"}


def read_epub(path: Path) -> ParsedDocument:
    """Reads a book, each chapter under its name; chapters without text (covers, pictures) are left out."""
    archive, _ = open_container(path)
    with archive:
        names = set(archive.namelist())
        if "META-INF/rights.xml" in names or _encrypted(archive, names):
            raise ReaderError(str(path), "is encrypted: needs a password", hint="copy-protected books cannot be read")
        package_name = _package_name(path, archive)
        package = parse_xml(archive.read(package_name))
        base = posixpath.dirname(package_name)
        title, metadata = _metadata(package)
        pages: list[Page] = []
        warnings: list[str] = []
        hidden: Counter[str] = Counter()
        for href in _spine(package):
            name = posixpath.normpath(posixpath.join(base, unquote(href)))
            if name not in names:
                warnings.append(f"chapter {href!r} is missing from the book")
                continue
            source, _ = decode(archive.read(name))
            chapter = html_to_markdown(source)
            hidden.update(chapter.hidden)
            if chapter.text.strip():
                label = first_heading(chapter.text) or (chapter.title if chapter.title != title else "")
                pages.append(Page(1, clean_text(chapter.text), label))  # a book has chapters, no pages
    return ParsedDocument(tuple(pages), "epub", title, metadata, tuple(warnings), dict(hidden))


def _local(element: Element) -> str:
    return element.tag.rsplit("}", 1)[-1]


def _encrypted(archive: zipfile.ZipFile, names: set[str]) -> bool:
    """Whether chapters are encrypted: fonts may be scrambled in a book that is free to read."""
    if "META-INF/encryption.xml" not in names:
        return False
    root = parse_xml(archive.read("META-INF/encryption.xml"))
    return any(each.get("URI", "").lower().endswith(("html", "htm", "xml")) for each in root.iter())


def _package_name(path: Path, archive: zipfile.ZipFile) -> str:
    try:
        container = parse_xml(archive.read("META-INF/container.xml"))
        name = next(each.get("full-path", "") for each in container.iter() if _local(each) == "rootfile")
        archive.getinfo(name)
    except (KeyError, StopIteration):
        found = [each for each in archive.namelist() if each.endswith(".opf")]
        if not found:
            raise ReaderError(str(path), "is damaged: the book has no package file") from None
        return found[0]
    return name


def _metadata(package: Element) -> tuple[str, dict[str, str]]:
    title, found = "", dict[str, str]()
    for element in package.iter():
        text = " ".join((element.text or "").split())
        if not text or "purl.org/dc" not in element.tag:
            continue
        if _local(element) == "title":
            title = title or text
        elif name := _METADATA.get(_local(element)):
            found.setdefault(name, text)
    return title, found


def _spine(package: Element) -> list[str]:
    """The files of the book in reading order, the table of contents left out."""
    items = {each.get("id", ""): each for each in package.iter() if _local(each) == "item"}
    order = [each.get("idref", "") for each in package.iter() if _local(each) == "itemref"]
    chapters = [items[each] for each in order if each in items] or [
        each for each in items.values() if "html" in each.get("media-type", "")
    ]
    return [each.get("href", "") for each in chapters if "nav" not in each.get("properties", "").split()]
