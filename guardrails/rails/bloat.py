"""Size, entropy and repetition: texts that fill the context, so that the rules in it are pushed out or paid for twice.

After `context_bloat_detection` of NeMo Guardrails 0.24, with limits that leave tables, code and lists alone.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

from ...errors import UsageError
from ...guarding import Finding, Stage
from ..rail import checked_stages

__all__ = ("ACTIONS", "Action", "BloatRail", "compression_ratio", "entropy")

Action = Literal["block", "truncate"]
ACTIONS: tuple[Action, ...] = get_args(Action)
MOST_PADDING = 0.95
"""Share of a text that runs of white space may be, beyond the first character of each."""


class BloatRail:
    """Blocks what is too long, is made of too few characters, or says the same over and over.

    Repetition is told by how much zlib compresses the text, as Whisper tells a decoder that loops (Radford et al.,
    2022, https://arxiv.org/abs/2212.04356, section 4.5): it sees repeated words, lines and characters, in every
    language. English prose of 500 to 20,000 characters is compressed 1.7 to 3 times, a table of numbers 3 to 6 times.

    White space is not judged so, for it lays out tables; a text that is nearly all of it is blocked.

    Args:
        max_chars: a text of more is too long.
        min_chars: shorter texts are not judged by entropy and repetition: they have no room to bury anything.
        min_entropy: bits a character. English prose has about 4.2, digits 3.3, "ababab" 1.
        max_ratio: how many times smaller zlib may make the text. Texts say the same in other words below it.
        action: of what is too long; `truncate` keeps the first `max_chars` characters, if they are not repetitive.
        stages: where it looks.

    >>> BloatRail().check("input", ["poem " * 500], {})[0].reason
    'repetitive: compresses 78 times, more than 10'
    """

    name = "bloat"

    def __init__(
        self,
        *,
        max_chars: int = 20_000,
        min_chars: int = 500,
        min_entropy: float = 2.0,
        max_ratio: float = 10.0,
        action: Action = "block",
        stages: Collection[Stage] = ("input", "retrieval", "tool"),
    ) -> None:
        if max_chars < 1 or min_chars < 1:
            raise UsageError(f"max_chars is {max_chars} and min_chars {min_chars}", hint="use 1 or more")
        if not 0 <= min_entropy <= 8 or not max_ratio > 1:
            raise UsageError(
                f"min_entropy is {min_entropy} and max_ratio {max_ratio}", hint="use 0 to 8 bits, and more than 1"
            )
        if action not in ACTIONS:
            raise UsageError(f"unknown action {action!r} on long texts", hint=f"use one of {', '.join(ACTIONS)}")
        self.max_chars, self.min_chars = max_chars, min_chars
        self.min_entropy, self.max_ratio = min_entropy, max_ratio
        self.action: Action = action
        self.stages = checked_stages(stages, "bloat")

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        """Each text on its own."""
        return [self._judged(text) for text in texts]

    def _judged(self, text: str) -> Finding:
        long = f"{len(text)} characters, more than {self.max_chars}" if len(text) > self.max_chars else ""
        if long and self.action == "block":
            return Finding("block", text, reason=long)
        kept = text[: self.max_chars]
        if why := self._emptiness(kept):
            return Finding("block", text, reason=why)
        return Finding("change", kept, reason=long, spans=((len(kept), len(text)),)) if long else Finding("pass", text)

    def _emptiness(self, text: str) -> str:
        """Why a text says less than its length; empty where it may."""
        if len(text) < self.min_chars:
            return ""
        words = " ".join(text.split())  # white space is layout: of a table with wide columns it is most
        if len(words) < (1 - MOST_PADDING) * len(text):
            return f"more than {MOST_PADDING:.0%} white space"
        if len(words) < self.min_chars:
            return ""
        if (bits := entropy(words)) < self.min_entropy:
            return f"{bits:.1f} bits a character, less than {self.min_entropy:g}"
        ratio = compression_ratio(words)
        return (
            f"repetitive: compresses {ratio:.0f} times, more than {self.max_ratio:g}" if ratio > self.max_ratio else ""
        )


def entropy(text: str) -> float:
    """Shannon entropy of the characters, in bits a character; 0 for an empty text.

    >>> entropy("abab")
    1.0
    """
    counts = Counter(text).values()
    return sum(count / len(text) * math.log2(len(text) / count) for count in counts)


def compression_ratio(text: str) -> float:
    """Bytes of the text for each byte of it compressed."""
    raw = text.encode("utf-8", "surrogatepass")
    return len(raw) / len(zlib.compress(raw))
