"""Insecure output: what runs, or sends data away, as soon as an answer is shown or passed on (OWASP LLM05:2025)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ...errors import UsageError
from ...guarding import Finding, Stage
from ..rail import checked_stages
from .code_regions import Region, code_regions
from .links import attribute_urls, find_links, why_unsafe
from .payloads import find_payloads

__all__ = ("ACTIONS", "Action", "InsecureOutputRail")

Action = Literal["change", "block"]
ACTIONS: tuple[Action, ...] = get_args(Action)
ROUNDS = 4
"""Taking something out may join what stood on both sides: what is left is judged again, this often."""

_IN_LINE = re.compile(r"[^\r\n]")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ELEMENT = re.compile(
    r"</?(?:script|iframe|frame|frameset|object|embed|applet|portal|base|link|meta|style|form|input|button|textarea"
    r"|select|isindex|svg|math|template|noscript|xmp|plaintext|noembed|noframes|xml|foreignobject|animate|set|marquee"
    r"|bgsound|keygen|dialog)(?=[\s/>]|$)|<!(?:doctype|entity|\[cdata)|<\?(?:xml|php)",
    re.I,
)
_HANDLER = re.compile(
    r"[\s\"'/](?:on(?:abort|after\w{1,20}|animation\w{1,12}|auxclick|before\w{1,20}|begin|blur|can\w{1,14}|cancel|change"
    r"|click|close|command|content\w{1,24}|context\w{1,10}|copy|cuechange|cut|dblclick|drag\w{0,6}|drop|duration\w{1,8}"
    r"|emptied|end|ended|error|focus\w{0,3}|formdata|fullscreen\w{1,8}|gesture\w{1,8}|got\w{1,18}|hashchange|input"
    r"|invalid|key(?:down|press|up)|languagechange|load\w{0,12}|lost\w{1,18}|message\w{0,6}|mouse\w{1,8}|offline|online"
    r"|page\w{1,8}|paste|pause|play\w{0,4}|pointer\w{1,12}|popstate|progress|ratechange|repeat|reset|resize|scroll\w{0,12}"
    r"|search|security\w{1,20}|seek\w{1,4}|select\w{0,8}|show|slotchange|stalled|storage|submit|suspend|timeupdate"
    r"|toggle|touch\w{1,8}|transition\w{1,8}|unload|unhandled\w{1,12}|volumechange|waiting|webkit\w{1,24}|wheel)|srcdoc)"
    r"\s{0,20}=",
    re.I,
)


@dataclass(frozen=True, slots=True)
class _Danger:
    start: int
    end: int
    reason: str
    edits: tuple[tuple[int, int, str], ...]


class InsecureOutputRail:
    """Takes out of Markdown what its reader's browser would run or fetch, and out of answers what a program would run.

    - HTML that runs or loads (scripts, frames, forms, SVG, event handlers): then every tag of the text is escaped.
    - Links and images whose scheme runs (`javascript:`, `data:`), that hide their host, or that carry data: an image
      with a query, a fragment or a long name; a link with more than 200 characters of them. Their text stays. With
      `allowed_hosts` those to all other hosts are taken out instead, and the listed ones are trusted.
    - At the stage `output` also payloads in prose: SQL that breaks out of a statement, shell commands that destroy or
      load, Python that runs commands, template expressions.

    Code is legitimate: what stands in a fenced or indented block or in inline code is left alone, as renderers of
    Markdown show it and do not run it. Set `check_code` where answers are put into a page without one.

    What it does not find without `allowed_hosts`: a few words in the path of an image. The list is the defence; the
    rest is for applications that cannot give one.

    Args:
        action: `change` takes out what is dangerous and keeps the text, `block` lets nothing be used.
        allowed_hosts: `docs.acme.com` is this host alone, `*.acme.com` all below it. None: judged by what they carry.
        check_code: judges code as everything else.
        stages: where it looks.

    >>> InsecureOutputRail().check("output", ["See [this](javascript:alert(1)) page."], {})[0].text
    'See this page.'
    """

    name = "insecure"

    def __init__(
        self,
        action: Action = "change",
        *,
        allowed_hosts: Collection[str] | None = None,
        check_code: bool = False,
        stages: Collection[Stage] = ("retrieval", "tool", "output"),
    ) -> None:
        if action not in ACTIONS:
            raise UsageError(f"unknown action {action!r} on insecure output", hint=f"use one of {', '.join(ACTIONS)}")
        if isinstance(allowed_hosts, str):
            raise UsageError(f"the allowed hosts {allowed_hosts!r} are no list", hint=f"give [{allowed_hosts!r}]")
        if wrong := [each for each in allowed_hosts or () if not each or "/" in each or "*" in each.removeprefix("*.")]:
            raise UsageError(f"{wrong[0]!r} is no host", hint="give names such as docs.acme.com or *.acme.com")
        self.action: Action = action
        self.allowed_hosts = None if allowed_hosts is None else frozenset(allowed_hosts)
        self.check_code = check_code
        self.stages = checked_stages(stages, "insecure output")

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        """Each text on its own; the spans are what was dangerous in it."""
        return [self._judged(text, payloads=stage == "output") for text in texts]

    def _judged(self, text: str, *, payloads: bool) -> Finding:
        found = self._dangers(text, payloads=payloads)
        if not found:
            return Finding("pass", text)
        reason = "; ".join(dict.fromkeys(each.reason for each in found))
        spans = tuple((each.start, each.end) for each in found)
        if self.action == "change":
            changed = text
            for _ in range(ROUNDS):
                changed = _edited(changed, [edit for each in found for edit in each.edits])
                if not (found := self._dangers(changed, payloads=payloads)):
                    return Finding("change", changed, reason=reason, spans=spans)
        return Finding("block", text, reason=reason, spans=spans)

    def _dangers(self, text: str, *, payloads: bool) -> list[_Danger]:
        """In the order of the text."""
        if not payloads and not any(mark in text for mark in ("<", "](", "]:", "://", "www.", "WWW.")):
            return []
        # Code is looked for only where there is something that it could excuse.
        found = list(self._each(text, payloads=payloads))
        if found and not self.check_code and (code := code_regions(text)):
            found = list(self._each(_blanked(text, code), payloads=payloads))
        return sorted(found, key=lambda each: each.start)

    def _each(self, text: str, *, payloads: bool) -> Iterator[_Danger]:
        yield from self._html(text)
        for link in find_links(text):
            if why := why_unsafe(link.url, image=link.image, allowed_hosts=self.allowed_hosts):
                yield _Danger(link.start, link.end, why, link.edits)
        if payloads:
            for kind, start, end in find_payloads(text):
                yield _Danger(start, end, f"a {kind} payload", ((start, end, "[removed]"),))

    def _html(self, text: str) -> Iterator[_Danger]:
        first = _TAG.search(text)
        if first is None:
            return
        tags = tuple((tag.start(), tag.end(), "&lt;") for tag in _TAG.finditer(text))
        for element in _ELEMENT.finditer(text):
            yield _Danger(*element.span(), "HTML that runs or loads", tags)
        for handler in _HANDLER.finditer(text, first.start()):
            yield _Danger(*handler.span(), "HTML with an event handler", tags)
        for url, image in attribute_urls(text[first.start() :]):
            if why := why_unsafe(url, image=image, allowed_hosts=self.allowed_hosts):
                yield _Danger(first.start(), first.end(), why, tags)


def _blanked(text: str, code: Sequence[Region]) -> str:
    """The text with U+FFFC, which is no letter and no space, for each character of its code but line ends."""
    parts, at = [], 0
    for start, end in code:
        parts += [text[at:start], _IN_LINE.sub("\ufffc", text[start:end])]
        at = end
    return "".join([*parts, text[at:]])


def _edited(text: str, edits: Sequence[tuple[int, int, str]]) -> str:
    """Of edits that overlap the first counts; what is left is judged again."""
    parts, at = [], 0
    for start, end, replacement in sorted(set(edits)):
        if start >= at:
            parts += [text[at:start], replacement]
            at = end
    return "".join([*parts, text[at:]])
