"""What several rails say of one text, as one finding; and whether what a rail says is a finding at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ...guarding import Finding

__all__ = ("Verdict", "wrong_with")


@dataclass(slots=True)
class Verdict:
    """A text on its way through the rails."""

    given: str
    """As the caller gave it."""
    now: str = ""
    """As the rails so far left it."""
    blocked: Finding | None = None
    remarks: list[tuple[str, str, float | None]] = field(default_factory=list)
    """Rail, reason and score of each that changed the text or had something to say."""
    scores: list[float] = field(default_factory=list)
    """Of all rails that gave one and did not block."""
    spans: tuple[tuple[int, int], ...] = ()
    """In the text as given: of the rails that saw it so."""

    def __post_init__(self) -> None:
        self.now = self.given

    def add(self, rail: str, found: Finding) -> None:
        """What a rail says of the text as it is now."""
        changed = found.verdict == "change" and found.text != self.now
        spans = tuple(found.spans) if self.now == self.given else ()
        if found.verdict == "block":
            self.blocked = Finding("block", self.given, rail, found.reason, found.score, spans)
            return
        if found.score is not None:
            self.scores.append(found.score)
        if changed or found.reason:
            self.remarks.append((rail, found.reason, found.score))
            self.spans += spans
        if changed:
            self.now = found.text

    def failed(self, rail: str, why: str, *, block: bool) -> None:
        """A rail has not checked it."""
        reason = f"the rail {rail} failed: {why}"
        if self.blocked is not None:  # stays so, by the rail that did it
            old = self.blocked
            self.blocked = Finding("block", old.text, old.rail, f"{old.reason}; {reason}", old.score, old.spans)
        elif block:
            self.blocked = Finding("block", self.given, rail, reason)
        else:
            self.remarks.append((rail, reason, None))

    def finding(self) -> Finding:
        """What all rails so far say of it together."""
        if self.blocked is not None:
            return self.blocked
        names = ", ".join(dict.fromkeys(name for name, _, _ in self.remarks))
        reasons = "; ".join(reason for _, reason, _ in self.remarks if reason)
        scores = [score for _, _, score in self.remarks] or self.scores
        score = scores[0] if len(scores) == 1 else None
        verdict: Literal["pass", "change"] = "change" if self.now != self.given else "pass"
        return Finding(verdict, self.now, names, reasons, score, self.spans)


def wrong_with(found: Any, count: int) -> str:
    """What is wrong with the findings of a rail; empty where nothing is."""
    if not isinstance(found, list | tuple):
        return f"it gave {type(found).__name__}, no list of findings"
    if len(found) != count:
        return f"it gave {len(found)} findings for {count} texts"
    for each in found:
        if not isinstance(each, Finding) or not isinstance(each.text, str) or not isinstance(each.reason, str):
            return "it gave a finding that is none"
        if each.verdict not in ("pass", "change", "block"):
            return "it gave an unknown verdict"
    return ""
