"""Links and images of a Markdown text, and which of them run code or can carry data away.

An image is fetched as soon as it is shown, so an answer that a passage made to hold one sends what stands in its
address to whoever wrote the passage, with no click at all (Rehberger, 2023, "Bing Chat: Data Exfiltration Exploit";
CVE-2025-32711, where the image was of the reference kind). A link takes a click.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

__all__ = ("Link", "attribute_urls", "find_links", "why_unsafe")

SCHEMES = frozenset({"", "http", "https", "mailto", "tel", "sms", "ftp"})
MOST_LINK_CHARS = 200
"""Of query, fragment and the longest part of the path of a link: what is longer carries data, or may."""
MOST_SEGMENT_CHARS = 64
"""Of a part of an image's path: a SHA-256 in hexadecimal digits, as stores of images have."""
MOST_LABEL_CHARS, MOST_HOST_CHARS = 30, 80
"""Of a part of an image's host, and of all of it."""

# Each is looked for at every place, also within another: which of them a renderer takes for one depends on the rest.
_DESTINATION = re.compile(
    r"\]\(\s*+(?:<(?P<angle>[^<>\n]*+)>?|(?P<plain>[^\s<()]*+(?:\([^\s()]*+\)[^\s()]*+){0,8}+))"
    r"(?:\s++(?:\"[^\"]*+\"|'[^']*+'|\([^()]*+\)))?\s*+\)?"
)
_DEFINITION = re.compile(
    r"(?:^|(?<=\r))[ \t>*+\d.)-]{0,100}+\[(?:\\.|[^\[\]\\]){1,999}+\]:\s*+(?:<(?P<angle>[^<>\n]*+)>?|(?P<plain>\S++))",
    re.MULTILINE,
)
_BARE = re.compile(r"<?(?P<plain>\b(?:https?://|www\.)[^\s<>\"'`]++)>?", re.IGNORECASE)
_AUTOLINK = re.compile(r"<(?P<angle>)(?P<plain>[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*+)>")
_ATTRIBUTE = re.compile(
    r"(?:[\s\"'/](?P<name>src|srcset|href|xlink:href|action|formaction|data|poster|background|cite|ping|manifest)\s*+=\s*+"
    r"|(?P<css>url)\(\s*+)"
    r"(?=\"(?P<double>[^\"]{0,2000})|'(?P<single>[^']{0,2000})|(?P<plain>[^\s>\"']{1,2000}))",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*+):", re.I)
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")


@dataclass(frozen=True, slots=True)
class Link:
    """An address in a text, and what is left where it is taken out."""

    start: int
    end: int
    url: str
    image: bool
    """Whether it may be fetched without a click."""
    edits: tuple[tuple[int, int, str], ...]
    """(start, end, replacement) that take the address out and leave what a reader sees."""


def find_links(text: str) -> Iterator[Link]:
    """Inline links and images, definitions of references, and addresses that stand there bare."""
    opening = _brackets(text) if "](" in text else {}
    for at in re.finditer(r"\]\(", text):
        found = _DESTINATION.match(text, at.start())
        if found is None or not _url(found):
            continue
        start = opening.get(found.start())
        left = found.start() if start is None else start
        image = left > 0 and text[left - 1] == "!" and start is not None
        edits = [(found.start(), found.end(), "" if start is not None else "]")]
        if start is not None:
            edits.insert(0, (start - image, start + 1, ""))
        # Without its opening bracket it may be either.
        yield Link(left - image, found.end(), _url(found), image or start is None, tuple(edits))
    for found in _DEFINITION.finditer(text):
        start = found.start() + found.group().index("[")
        yield Link(start, found.end(), _url(found), "![" in text, ((start, found.end(), ""),))
    for found in _AUTOLINK.finditer(text):
        yield Link(*found.span(), _url(found), False, ((*found.span(), "[link removed]"),))
    for found in _BARE.finditer(text):
        if text[max(0, found.start() - 2) : found.start()] == "](":
            continue  # a destination, seen above
        url = found["plain"].rstrip(").,;:!?]*_")
        end = found.start("plain") + len(url) if not found.group().endswith(">") else found.end()
        edit = (found.start(), end, "[link removed]")
        yield Link(found.start(), end, url if "://" in url else f"https://{url}", False, (edit,))


def attribute_urls(text: str) -> Iterator[tuple[str, bool]]:
    """(address, whether it may be fetched without a click) of what look like attributes of HTML, and of CSS."""
    for found in _ATTRIBUTE.finditer(text):
        value = found["double"] or found["single"] or found["plain"] or ""
        name = (found["name"] or "").lower()
        urls = [each.split()[0] for each in re.split(r",\s", value) if each.strip()] if name == "srcset" else [value]
        for url in urls:
            yield url.split(")")[0] if found["css"] else url, name not in ("href", "xlink:href", "cite")


def why_unsafe(url: str, *, image: bool, allowed_hosts: Collection[str] | None) -> str:
    """Why an address is not let through; empty where it is.

    >>> why_unsafe("https://evil.example/?q=hunter2", image=True, allowed_hosts=None)
    'an image whose address carries data'
    """
    plain = _UNSEEN.sub("", html.unescape(url))
    # A backslash is an escape in Markdown, and a slash to browsers.
    return _why(plain.replace("\\", "/"), image, allowed_hosts) or (
        _why(plain.replace("\\", ""), image, allowed_hosts) if "\\" in plain else ""
    )


def _why(url: str, image: bool, allowed_hosts: Collection[str] | None) -> str:
    what = "an image" if image else "a link"
    scheme = _SCHEME.match(url)
    if scheme and scheme[1].lower() not in SCHEMES:
        pixels = image and re.match(r"data:image/(?:png|jpeg|gif|webp)[;,]", url, re.I)
        return "" if pixels else f"{what} with a scheme that may run"
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return f"{what} without a valid address"
    if not host and not scheme:
        return ""  # of the page itself
    if host and "@" in parts.netloc:
        return f"{what} that hides its host"
    if host and allowed_hosts is not None:
        return "" if _is_allowed(host, allowed_hosts) else f"{what} to a host that is not allowed"
    return f"{what} whose address carries data" if _carries(parts, host, image) else ""


def _carries(parts: SplitResult, host: str, image: bool) -> bool:
    segment = max(map(len, unquote(parts.path).split("/")))
    if image:
        labels = max(map(len, host.split(".")))
        return bool(
            parts.query
            or parts.fragment
            or segment > MOST_SEGMENT_CHARS
            or labels > MOST_LABEL_CHARS
            or len(host) > MOST_HOST_CHARS
        )
    return len(unquote(parts.query)) + len(unquote(parts.fragment)) + segment > MOST_LINK_CHARS


def _is_allowed(host: str, allowed_hosts: Collection[str]) -> bool:
    return any(
        host.endswith(each[1:].lower()) if each.startswith("*.") else host == each.lower() for each in allowed_hosts
    )


def _url(found: re.Match[str]) -> str:
    return found["angle"] or found["plain"] or ""


def _brackets(text: str) -> dict[int, int]:
    """Where each closing bracket was opened."""
    opened: list[int] = []
    pairs = {}
    for found in re.finditer(r"\\.|[\[\]]", text, re.DOTALL):
        if found.group() == "[":
            opened.append(found.start())
        elif found.group() == "]" and opened:
            pairs[found.start()] = opened.pop()
    return pairs
