"""What is tried: chunkings, and ways to rank on top of each. A candidate is what `ragloom.toml` can say, no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ...errors import UsageError
from ...retrieval.chunkers import ChunkSettings
from ...retrieval.search import DEFAULT_ALPHA, MODES, Fusion, Mode

__all__ = ("ALPHA_STEP", "CHUNKINGS", "DEFAULT", "KINDS", "Candidate", "Kind", "candidate_of")

CHUNKINGS: tuple[ChunkSettings, ...] = (
    ChunkSettings(),
    ChunkSettings("structure", 128),
    ChunkSettings("sentence", 0, 32),
    ChunkSettings("paragraph"),
    ChunkSettings("sentence", 128, 32),
    ChunkSettings("tokens", 0, 64),
    ChunkSettings("structure", 192),
    ChunkSettings("structure", 64),
    ChunkSettings("tokens", 128, 32),
)
"""In the order in which they are tried while there is time: the most different ones first."""

Kind = Literal["default", "relative", "rank"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ALPHA_STEP = 0.05
"""Nearer alphas are not worth telling apart: nDCG@10 is flat over 0.1 on every set in docs/retrieval.md."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration of retrieval.

    >>> Candidate(kind="relative", alpha=0.3).settings()
    {'mode': 'hybrid', 'alpha': 0.3, 'fusion': 'relative'}
    """

    chunking: ChunkSettings = field(default_factory=ChunkSettings)
    kind: Kind = "default"
    """`default` is the mode of that name (fixed alpha, feedback); the others are the fusion of mode `hybrid`."""
    alpha: float = DEFAULT_ALPHA
    """0 is mode `bm25`, 1 is `dense`; not looked at in kind `default`."""

    def __post_init__(self) -> None:
        """Equal rankings become equal candidates."""
        alpha = DEFAULT_ALPHA if self.kind == "default" else round(self.alpha, 2)
        object.__setattr__(self, "alpha", alpha)
        if self.kind == "rank" and alpha in (0.0, 1.0):  # one ranking alone: both fusions keep its order
            object.__setattr__(self, "kind", "relative")

    @property
    def mode(self) -> Mode:
        """The retrieval mode."""
        if self.kind == "default":
            return "default"
        return "bm25" if self.alpha == 0 else "dense" if self.alpha == 1 else "hybrid"

    @property
    def fusion(self) -> Fusion:
        """How the two rankings become one."""
        return "rank" if self.kind == "rank" else "relative"

    def settings(self) -> dict[str, Any]:
        """The settings of `ragloom.toml` that make it so; what is as built in is left out."""
        chunking = self.chunking
        wanted: dict[str, Any] = {}
        if chunking.strategy != "structure":
            wanted["chunk_strategy"] = chunking.strategy
        wanted |= {"chunk_size": chunking.size} if chunking.size else {}
        wanted |= {"chunk_overlap": chunking.overlap} if chunking.overlap else {}
        if self.mode != "default":
            wanted["mode"] = self.mode
        if self.mode == "hybrid":
            wanted |= {"alpha": self.alpha, "fusion": self.fusion}
        return wanted

    def name(self) -> str:
        """In a few words, for tables."""
        return f"{ranking_name(self)}, {chunking_name(self.chunking)}"

    def distance(self, other: Candidate) -> tuple[int, int, float]:
        """How far from another one, smaller is nearer: documents cut anew, other ranking, other alpha."""
        recut = int(self.chunking != other.chunking)
        return recut, int(self.kind != other.kind), round(abs(self.alpha - other.alpha), 2)


DEFAULT = Candidate()
"""What ragloom does untuned."""


def ranking_name(candidate: Candidate) -> str:
    """Mode, alpha and fusion in a few words."""
    if candidate.mode != "hybrid":
        return candidate.mode
    return f"hybrid {candidate.fusion} alpha {candidate.alpha:g}"


def chunking_name(chunking: ChunkSettings) -> str:
    """Strategy, size and overlap in a few words."""
    size = f" of {chunking.size} tokens" if chunking.size else ""
    overlap = f", {chunking.overlap} repeated" if chunking.overlap else ""
    return f"{chunking.strategy} chunks{size}{overlap}"


def candidate_of(settings: Mapping[str, Any]) -> Candidate:
    """The candidate that settings (of a `ragloom.toml`) describe. `UsageError` where they make no sense.

    >>> candidate_of({"mode": "hybrid"}).name()
    'hybrid rank alpha 0.5, structure chunks'
    """
    mode, fusion, alpha = settings.get("mode", "default"), settings.get("fusion") or "rank", settings.get("alpha")
    if mode not in MODES:
        raise UsageError(f"unknown retrieval mode {mode!r}", hint=f"use {', '.join(MODES)}")
    if fusion not in get_args(Fusion):
        raise UsageError(f"unknown fusion {fusion!r}", hint="use rank or relative")
    try:
        chunking = ChunkSettings(
            settings.get("chunk_strategy") or "structure",
            int(settings.get("chunk_size") or 0),
            int(settings.get("chunk_overlap") or 0),
        )
        weight = 0.5 if alpha is None else float(alpha)
    except (TypeError, ValueError) as error:
        raise UsageError(f"bad setting: {error}") from error
    if not 0 <= weight <= 1:
        raise UsageError(f"alpha must lie between 0 (BM25) and 1 (dense), not {alpha!r}")
    if mode == "default":
        return Candidate(chunking)
    ends = {"bm25": 0.0, "dense": 1.0}
    kind: Kind = "rank" if mode == "hybrid" and fusion == "rank" else "relative"
    return Candidate(chunking, kind, ends.get(mode, weight))
