"""The part of CSS that tells whether text is seen: declarations, simple rules, colours, lengths. All of it linear."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .files import between, without

__all__ = ("Style", "color", "declarations", "length", "same_color", "simple_rules")

Style = dict[str, str]
"""Declarations by property, in lower case."""

_BRACE = re.compile(r"[{}]")
_NAME = re.compile(r"[.#]?[a-z][\w-]*")
_LENGTH = re.compile(r"(-?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}))(px|pt|em|rem|ex|ch|cm|mm|in|vw|vh|%)?")
_PIXELS = {"": 1, "px": 1, "pt": 1.33, "em": 16, "rem": 16, "ex": 8, "ch": 8, "cm": 38, "mm": 3.8, "in": 96}
_HEX = re.compile(r"#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})")
_RGB = re.compile(r"rgba?\(([^()]{1,60})\)")
_NAMED = {
    "white": (255, 255, 255),
    "snow": (255, 250, 250),
    "ivory": (255, 255, 240),
    "ghostwhite": (248, 248, 255),
    "floralwhite": (255, 250, 240),
    "whitesmoke": (245, 245, 245),
    "black": (0, 0, 0),
}
_CLOSE = 16
"""Colours (0 to 255) that differ by less in each part cannot be told apart in print."""


def declarations(source: str) -> Style:
    """The declarations of a `style` attribute or of one rule."""
    found: Style = {}
    for part in source.lower().split(";"):
        name, colon, value = part.partition(":")
        if colon:
            found[name.strip()] = value.replace("!important", "").strip()
    return found


def simple_rules(sheet: str) -> tuple[dict[str, Style], bool]:
    """Rules of a style sheet that hold for sure, by their selector: a tag, `.class` or `#id` that no other rule names.

    Also whether any of the other rules sets a colour, a background or a font.
    """
    rules: dict[str, Style] = {}
    uncertain: set[str] = set()
    others: list[str] = []
    sheet = sheet.lower()
    for selectors, body, top in _rules(without(sheet, between(sheet, "/*", "*/"))):
        for selector in map(str.strip, selectors.split(",")):
            if top and _NAME.fullmatch(selector):
                rules.setdefault(selector, {}).update(declarations(body))
            else:
                uncertain.update(_NAME.findall(selector))
                others.append(body)
    others += [" ".join(rules[name]) for name in uncertain & rules.keys()]
    colored = any(name in body for body in others for name in ("color", "background", "font"))
    return {name: style for name, style in rules.items() if name not in uncertain}, colored


def _rules(sheet: str) -> Iterator[tuple[str, str, bool]]:
    """Each innermost block: selectors, body, and whether it stands at the top, not in `@media` or the like."""
    depth, at, selectors = 0, 0, ""
    for brace in _BRACE.finditer(sheet):
        between = sheet[at : brace.start()]
        at = brace.end()
        if brace[0] == "{":
            selectors = between.rpartition(";")[2]
            depth += 1
        else:
            if selectors and not selectors.lstrip().startswith("@"):
                yield selectors, between, depth == 1
            selectors = ""
            depth = max(depth - 1, 0)


def length(value: str) -> float | None:
    """A length in pixels, taking a letter as 16 high; None for what is no length or depends on others."""
    found = _LENGTH.fullmatch(value)
    if not found:
        return None
    number, unit = float(found[1]), found[2] or ""
    return 0.0 if number == 0 else number * _PIXELS[unit] if unit in _PIXELS else None


def color(value: str) -> tuple[int, ...] | str | None:
    """Red, green, blue (0 to 255); `transparent`; other names as they are; None for what is no colour we know."""
    if value in _NAMED:
        return _NAMED[value]
    if _HEX.fullmatch(value):
        digits = value[1:] if len(value) > 5 else "".join(digit * 2 for digit in value[1:])
        parts = tuple(int(digits[at : at + 2], 16) for at in range(0, len(digits), 2))
        return "transparent" if len(parts) == 4 and parts[3] < 10 else parts[:3]
    if found := _RGB.fullmatch(value):
        numbers = [length(part.removesuffix("%")) for part in re.split(r"[\s,/]+", found[1].strip())]
        if len(numbers) not in (3, 4) or None in numbers:
            return None
        scale = 2.55 if "%" in found[1].split(",")[0] else 1
        alpha = numbers[3] if len(numbers) == 4 else None
        values = tuple(min(round((number or 0) * scale), 255) for number in numbers[:3])
        return "transparent" if alpha is not None and alpha < 0.04 else values
    return value if value.isalpha() else None


def same_color(text: tuple[int, ...] | str | None, ground: tuple[int, ...] | str | None) -> bool:
    """Whether text of one colour is not seen on the other."""
    if text == "transparent":
        return True
    if isinstance(text, tuple) and isinstance(ground, tuple):
        return all(abs(a - b) < _CLOSE for a, b in zip(text, ground, strict=True))
    return text is not None and text == ground
