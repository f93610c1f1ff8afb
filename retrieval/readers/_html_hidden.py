"""Text of a web page that its reader does not see: taken out before the page becomes Markdown.

Judged is what the page itself says, in `style` attributes and in simple rules of `<style>`. What a style sheet
elsewhere or a script does is not known, so whatever they may well show is kept.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ._css import Style, color, declarations, length, same_color, simple_rules

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

__all__ = ("take_out_hidden",)

_TINY = 1.4
"""Pixels: letters of one pixel or one point are dots."""
_FAR = -500
"""Pixels beyond the page's edge."""
_CLIPPED = re.compile(r"rect\((?:[01](?:px)?[\s,]*){4}\)|inset\((?:50|100)%\)")
_UNKNOWN = None
_INHERITED = frozenset({"inherit", "initial", "unset", "revert", "currentcolor", ""})
_OWN_INK = frozenset({"a", "mark"})
_OWN_FONT = frozenset({"button", "select", "textarea", "input", "option"})
_MOVING = ("transform", "transition", "animation", "will-change")
_NOT_TEXT = frozenset({"script", "style", "template", "noscript", "head"})


@dataclass(frozen=True, slots=True)
class _Look:
    """What an element hands on to what stands in it."""

    unseen: bool = False
    tiny: bool = False
    ink: Any = _UNKNOWN
    ground: Any = (255, 255, 255)


def take_out_hidden(tree: LexborHTMLParser) -> Counter[str]:
    """Removes hidden text from the tree, and counts it by how it is hidden. Collapsed sections are counted and stay."""
    counts: Counter[str] = Counter()
    rules, styled = simple_rules("\n".join(node.text() for node in tree.css("style")))
    styles = _styles(tree, rules)
    if not styles:
        return counts
    controlled = _controlled(tree)
    styled = styled or tree.css_first("link[rel~=stylesheet]") is not None
    removed: list[LexborNode] = []
    html = tree.css_first("html")
    outer = _look(_Look(), styles.get(html.mem_id, {})) if html is not None else _Look()
    root = tree.body or tree.root
    stack: list[tuple[LexborNode, _Look]] = [] if root is None else [(root, replace(outer, unseen=False))]
    while stack:
        node, look = stack.pop()
        tag = node.tag or ""
        if tag == "-text":
            if (kind := _kind(look)) and (node.text_content or "").strip():
                counts[kind] += 1
                removed.append(node)
            continue
        if tag in _NOT_TEXT or tag[:1] in "-!":
            continue
        if styled or tag in _OWN_FONT:  # a rule that is not known may set its own
            look = replace(look, tiny=False, ink=_UNKNOWN, ground=_UNKNOWN)
        elif tag in _OWN_INK:
            look = replace(look, ink=_UNKNOWN)
        if style := styles.get(node.mem_id):
            gone = _gone(style)
            if tag == "body":  # it is hidden until a script has run, and shown then
                style = {**style, "visibility": "visible"}
            elif gone and (_opens(node, controlled) or any(name in style for name in _MOVING)):
                counts["collapsed"] += 1
            elif gone:
                counts[gone] += bool(node.text().strip())
                removed.append(node)
                continue
            look = _look(look, style)
        stack.extend((child, look) for child in node.iter(include_text=True))
    for node in removed:
        node.decompose()
    return +counts


def _styles(tree: LexborHTMLParser, rules: dict[str, Style]) -> dict[int, Style]:
    """The declarations of each element that has any, by its `mem_id`."""
    found: dict[int, Style] = {}
    for selector in sorted(rules, key=lambda each: (each[0] == "#", each[0] == ".")):
        for node in tree.css(selector):
            found.setdefault(node.mem_id, {}).update(rules[selector])
    for node in tree.css("[style], [hidden], [bgcolor], [background], font[color]"):
        style = found.setdefault(node.mem_id, {})
        attributes = node.attributes
        if "hidden" in attributes and (attributes["hidden"] or "").lower() != "until-found":
            style.setdefault("display", "none")
        for attribute, name in (("bgcolor", "background-color"), ("background", "background"), ("color", "color")):
            if value := (attributes.get(attribute) or "").strip().lower():
                style[name] = f"url({value})" if attribute == "background" else value
        style.update(declarations(attributes.get("style") or ""))
    return found


def _controlled(tree: LexborHTMLParser) -> set[str]:
    """The ids of elements that something on the page opens."""
    found: set[str] = set()
    for node in tree.css('[aria-controls], [data-target], [data-bs-target], a[href^="#"], label[for]'):
        for name in ("aria-controls", "data-target", "data-bs-target", "href", "for"):
            found.update((node.attributes.get(name) or "").replace("#", " ").split())
    return found


def _opens(node: LexborNode, controlled: set[str]) -> bool:
    """Whether a click may show the element: something names it, or a button stands before it."""
    if node.attributes.get("id") in controlled or node.attributes.get("role") == "tabpanel":
        return True
    before = node.prev
    while before is not None and before.tag in ("-text", "-comment"):
        if before.tag == "-text" and (before.text_content or "").strip():
            return False
        before = before.prev
    if before is None:
        return False
    return before.tag == "button" or any(name in before.attributes for name in ("onclick", "aria-expanded"))


def _gone(style: Style) -> str:
    """How an element is hidden with all that stands in it; empty where it is not."""
    if style.get("display") == "none":
        return "invisible"
    opacity = length(style.get("opacity", "1").removesuffix("%"))
    if opacity is not None and opacity < 0.03:
        return "invisible"
    if _CLIPPED.search(style.get("clip", "") + style.get("clip-path", "")):
        return "invisible"
    if style.get("overflow") in ("hidden", "clip"):
        sizes = [length(style.get(name, "")) for name in ("width", "height", "max-width", "max-height")]
        if any(size is not None and size <= 1 for size in sizes):
            return "invisible"
    edges = ("left", "top", "right", "bottom") if style.get("position") in ("absolute", "fixed") else ()
    far = [length(style.get(name, "")) for name in (*edges, "text-indent")]
    return "off-page" if any(each is not None and each <= _FAR for each in far) else ""


def _look(outer: _Look, style: Style) -> _Look:
    """What holds within an element."""
    look = outer
    if (visibility := style.get("visibility", "")) not in _INHERITED:
        look = replace(look, unseen=visibility in ("hidden", "collapse"))
    if (given := style.get("font-size", "")) not in _INHERITED and not (outer.tiny and given.endswith(("em", "%"))):
        size = length(given)
        look = replace(look, tiny=size is not None and size < _TINY)
    if (ink := style.get("color", "")) not in _INHERITED:
        masked = any(name.endswith("background-clip") for name in style)  # letters as windows on the background
        look = replace(look, ink=_UNKNOWN if masked else color(ink))
    if style.get("background-image", "none") != "none":
        return replace(look, ground=_UNKNOWN)
    ground = style.get("background-color") or style.get("background", "")
    if ground not in _INHERITED and ground not in ("none", "transparent"):
        look = replace(look, ground=color(ground))  # unknown as well where it is a picture or several values
    return look


def _kind(look: _Look) -> str:
    """How text of this look is hidden; empty where it is seen."""
    if look.unseen:
        return "invisible"
    if look.tiny:
        return "tiny"
    return "color" if look.ink is not _UNKNOWN and same_color(look.ink, look.ground) else ""
