"""Answers that grow sentence by sentence: paths of segments, and the beam that keeps the best ones.

Method: the segment-level beam search of Self-RAG (Asai et al., 2023, https://arxiv.org/abs/2310.11511). A path is worth
the mean of its segments' scores, so that paths of unlike length can stand beside each other: a sum would reward length,
and the product of the released code turns the order round where a score is negative.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from typing_extensions import TypedDict

from ...types import Citation, Step

__all__ = (
    "Path",
    "Segment",
    "best_path",
    "draft_of_best",
    "extended",
    "kept",
    "path_score",
    "path_text",
    "repeats",
    "whole",
)


class Segment(TypedDict):
    """One sentence of an answer, and what was said of it."""

    text: str
    written: str
    """What the model wrote for it, with its reflection tokens where it has any."""
    passage: str
    """Id of the passage that it was written from; empty where it was written without one."""
    citations: list[Citation]
    score: float
    """The paper's f, of the terms that are known."""
    terms: dict[str, float]
    """Those terms."""


class Path(TypedDict):
    """The beginning of an answer, or a whole one."""

    segments: list[Segment]
    ended: bool
    """Whether nothing is to be added."""


def extended(path: Path | None, segment: Segment, *, ended: bool) -> Path:
    """A path with one segment more; None is the empty path."""
    return Path(segments=[*(path["segments"] if path else []), segment], ended=ended)


def whole(path: Path) -> Path:
    """The same path, to which nothing is added any more."""
    return Path(segments=path["segments"], ended=True)


def path_text(path: Path | None) -> str:
    """Its sentences."""
    return " ".join(segment["text"] for segment in path["segments"]) if path else ""


def path_score(path: Path) -> float:
    """The mean of its segments' scores; 0 where there is none."""
    scores = [segment["score"] for segment in path["segments"]]
    return sum(scores) / len(scores) if scores else 0.0


def repeats(path: Path | None, text: str) -> bool:
    """Whether a sentence says nothing, or stands in the path already (letters' case and signs do not count)."""
    key = _key(text)
    return not key or any(_key(segment["text"]) == key for segment in (path["segments"] if path else []))


def kept(paths: Iterable[Path], beam: int) -> list[Path]:
    """The best `beam` paths, best first; of paths with the same words the best one. Ties keep their order."""
    apart: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: -path_score(path)):
        apart.setdefault(_key(path_text(path)), path)
    return list(apart.values())[:beam]


def best_path(paths: Sequence[Path]) -> Path | None:
    """The one to be shown: the best among those that hold a supported sentence, where there are any."""
    return max(paths, key=lambda path: (_supported(path), path_score(path)), default=None)


def draft_of_best(paths: Sequence[Path], step: Step) -> list[dict[str, Any]]:
    """The sentences of the best path, as `cite` reads them. Fills the step."""
    path = best_path(paths)
    segments = path["segments"] if path else []
    step["decision"] = f"{len(segments)} segments of the best of {len(paths)} paths"
    step["reason"] = f"score {path_score(path):.3f}" if path and segments else "no segment was written"
    step["details"] = {"paths": [{"text": path_text(each), "score": round(path_score(each), 4)} for each in paths]}
    return [{"text": segment["text"], "citations": segment["citations"]} for segment in segments]


def _supported(path: Path) -> bool:
    return any(segment["citations"] for segment in path["segments"])


def _key(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
