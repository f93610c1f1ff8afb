"""Text of a Word document that is not printed: hidden by Word's own switch, white on white, or too small to see."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element, tostring

from ._css import color, same_color
from .containers import parse_xml

__all__ = ("without_hidden",)

_PARTS = ("document", "footnotes", "endnotes", "comments")
_TINY = 3
"""Half points: letters up to one and a half points are dots."""
_OFF = frozenset({"0", "false", "off"})
_MAX_BASES = 20


@dataclass(frozen=True, slots=True)
class _Look:
    """What is said of a run, by its styles, itself, and what it stands in."""

    vanish: bool = False
    ink: str = ""
    size: float = 12.0
    shaded: bool = False
    """Whether the paper behind it may be of another colour than white."""

    @property
    def kind(self) -> str:
        if self.vanish:
            return "invisible"
        if self.size <= _TINY:
            return "tiny"
        return "color" if not self.shaded and same_color(color(f"#{self.ink}"), (255, 255, 255)) else ""


def without_hidden(archive: zipfile.ZipFile, data: bytes) -> tuple[bytes, dict[str, int]]:
    """The file with nothing in its hidden runs, and how many of them there were by the way they are hidden."""
    names = set(archive.namelist())
    styles = _styles(archive) if "word/styles.xml" in names else {}
    counts: Counter[str] = Counter()
    changed: dict[str, bytes] = {}
    for name in (f"word/{part}.xml" for part in _PARTS):
        if name not in names:
            continue
        root = parse_xml(archive.read(name))
        found = list(_hidden_runs(root, styles))
        for kind, run in found:
            counts[kind] += 1
            for text in _texts(run):
                text.text = ""
        if found:
            changed[name] = tostring(root, encoding="utf-8", xml_declaration=True)
    if not changed:
        return data, {}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as copy:
        for member in archive.infolist():
            copy.writestr(member.filename, changed.get(member.filename) or archive.read(member))
    return out.getvalue(), dict(counts)


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _child(element: Element | None, name: str) -> Element | None:
    return None if element is None else next((each for each in element if _local(each) == name), None)


def _value(element: Element | None) -> str:
    """The attribute `val`."""
    if element is None:
        return ""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == "val"), "")


def _texts(run: Element) -> list[Element]:
    return [each for each in run if _local(each) == "t" and (each.text or "").strip()]


def _look(outer: _Look, properties: Element | None) -> _Look:
    """`outer`, as run properties (`rPr`) change it."""
    if properties is None:
        return outer
    look = outer
    for each in properties:
        name, value = _local(each), _value(each)
        if name in ("vanish", "specVanish"):
            look = replace(look, vanish=value.lower() not in _OFF)
        elif name == "color":
            look = replace(look, ink=value.lower())
        elif name == "sz" and value.isdecimal():
            look = replace(look, size=int(value[:6]))
        elif name in ("shd", "highlight"):
            look = replace(look, shaded=True)
    return look


def _styles(archive: zipfile.ZipFile) -> dict[str, tuple[Element | None, ...]]:
    """The run properties of each style, those that it is based on first."""
    found = {}
    for style in parse_xml(archive.read("word/styles.xml")):
        name = next((value for key, value in style.attrib.items() if key.rpartition("}")[2] == "styleId"), "")
        found[name] = style
    chains: dict[str, tuple[Element | None, ...]] = {}
    for name in found:
        chain: list[Element | None] = []
        base = name
        while base in found and len(chain) < 2 * _MAX_BASES:
            # Paragraph properties come along for their shading.
            chain += [_child(found[base], "rPr"), _shading(_child(found[base], "pPr"))]
            base = _value(_child(found[base], "basedOn"))
        chains[name] = tuple(reversed(chain))
    return chains


def _shading(properties: Element | None) -> Element | None:
    """Properties of a paragraph or a cell, where they have a shading."""
    return properties if _child(properties, "shd") is not None else None


def _hidden_runs(root: Element, styles: dict[str, tuple[Element | None, ...]]) -> Iterator[tuple[str, Element]]:
    """(kind, run) of the runs with text that nobody sees."""
    stack = [(root, _Look(shaded=_child(root, "background") is not None))]
    while stack:
        element, look = stack.pop()
        name = _local(element)
        if name in ("tbl", "txbxContent"):  # table styles and shapes have colours of their own
            look = replace(look, shaded=True)
        elif name == "p":
            properties = _child(element, "pPr")
            for each in (*styles.get(_value(_child(properties, "pStyle")), ()), _shading(properties)):
                look = _look(look, each)
        elif name == "r":
            properties = _child(element, "rPr")
            for each in (*styles.get(_value(_child(properties, "rStyle")), ()), properties):
                look = _look(look, each)
            if look.kind and _texts(element):
                yield look.kind, element
        stack.extend((child, look) for child in element)
