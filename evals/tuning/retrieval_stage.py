"""The first stage: chunking, mode, alpha and fusion, scored on the dev half. No language model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...retrieval.chunkers import ChunkSettings
from ..datasets import RetrievalSet
from ..indexing import seconds_noted, set_base
from .choose import PerQuery
from .chunk_cost import SAME, ChunkSample, sample_chunks
from .clock import Clock, OutOfTime, Tell
from .rankings import QueryVectors, Rankings
from .space import CHUNKINGS, Candidate, chunking_name

if TYPE_CHECKING:
    from ...models.protocols import Embedder
    from .study import Study

__all__ = ("Bench", "Searched", "question_key", "search_retrieval")

_QUERY_SECONDS = 0.02
"""A query takes at least as long, search and embedding together."""
_MOSTLY = 0.9
"""From this share of documents on that were indexed before, what an index took says nothing about what one takes."""
_SLACK = 1.15
"""An estimate is taken for so much more: half-done indexes help nobody before the next run."""


@dataclass(slots=True)
class Searched:
    """What the stage did."""

    skipped: dict[str, str] = field(default_factory=dict)
    """Chunkings that were not tried, and why."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Chunkings that were tried in this run, and what their index and rankings took."""
    interrupted: bool = False


def question_key(set_name: str, query_id: str) -> str:
    """Names a query among those of all sets."""
    return f"{set_name}: {query_id}"


class Bench:
    """Sets that candidates are scored on. Holds the rankings of one chunking at a time."""

    def __init__(self, sets: Sequence[RetrievalSet], vectors: QueryVectors, embedder: str | Embedder | None) -> None:
        self.sets = [each for each in sets if each.queries]
        self.vectors = vectors
        self.embedder = embedder
        self.seconds = 0.0
        """The most that the queries took under one chunking."""
        self._rankings: tuple[ChunkSettings, list[Rankings]] | None = None

    @property
    def size(self) -> int:
        """How many queries."""
        return sum(len(each.queries) for each in self.sets)

    def prepare(self, chunking: ChunkSettings, tell: Tell, clock: Clock | None = None) -> list[Rankings]:
        """Indexes and rankings under a chunking. With a clock, `OutOfTime` when it is over: what was indexed stays."""
        if self._rankings is None or self._rankings[0] != chunking:
            self._rankings = None  # two chunkings at once would take twice the memory
            found = []
            for each in self.sets:

                def progress(done: int, total: int, name: str = each.name) -> None:
                    tell(f"{name}: {chunking_name(chunking)}", done, total)
                    if clock:
                        clock.check()

                kb = set_base(each, chunking=chunking, embedder=self.embedder)
                found.append(Rankings(each, kb, self.vectors, progress=progress))
            self._rankings = chunking, found
            self.seconds = max(self.seconds, sum(each.seconds for each in found))
        return self._rankings[1]

    def scores(self, candidate: Candidate, tell: Tell) -> dict[str, dict[str, float]]:
        """Question key to metric to value."""
        return {
            question_key(rankings.set.name, key): values
            for rankings in self.prepare(candidate.chunking, tell)
            for key, values in rankings.scores(candidate).items()
        }

    def indexed(self, chunking: ChunkSettings) -> float:
        """Share of the documents that are indexed under the chunking already."""
        there, wanted = 0, 0
        for each in self.sets:
            kb = set_base(each, chunking=chunking, embedder=self.embedder)
            wanted += len(each.documents)
            if kb.exists:
                stored = kb.table.snapshot().rows(columns=["doc_id"])["doc_id"].to_pylist()
                there += len(each.documents.keys() & set(stored))
        return there / max(wanted, 1)


def search_retrieval(
    bench: Bench,
    study: Study,
    baseline: Candidate,
    *,
    metric: str,
    trials: int,
    clock: Clock,
    test_size: int,
    tell: Tell,
) -> Searched:
    """Fills the study: the baseline's chunking first, then the others while there is time.

    Raises `UsageError` where the time does not even suffice for the baseline. An interrupt ends the stage early.
    """
    stage = Searched()
    meter = _Meter(bench, test_size)
    order = list(dict.fromkeys([baseline.chunking, *CHUNKINGS]))
    try:
        for chunking in order:
            name = chunking_name(chunking)
            first = chunking == baseline.chunking
            if study.finished(chunking, trials) and not (first and baseline not in study.trials):
                meter.sample(chunking)
                continue
            reason = None if first else meter.reason_to_skip(chunking, clock)
            if reason:
                stage.skipped[name] = reason
                continue
            began = clock.now()
            share = bench.indexed(chunking)
            bench.prepare(chunking, tell, clock)
            meter.learn(chunking, share, clock.now() - began)
            stage.seconds[name] = round(clock.now() - began, 1)

            def score(candidate: Candidate) -> PerQuery:
                found = bench.scores(candidate, tell)
                return {key: round(values[metric], 6) for key, values in found.items()}

            def after_each(done: int, name: str = name) -> None:
                tell(f"trying rankings of {name}", done, trials)
                if clock.left < meter.reserve:
                    raise OutOfTime

            study.run(chunking, [baseline] if first else [], score, trials=trials, after_each=after_each)
    except OutOfTime:
        if baseline not in study.trials:
            share = bench.indexed(baseline.chunking)
            hint = f"{share:.0%} of the documents are indexed and kept: give it more --minutes and it goes on there"
            raise UsageError("the time was over before the first configuration was measured", hint=hint) from None
        stage.skipped[name] = "the time was over while it was tried"
        rest = order[order.index(chunking) + 1 :]
        stage.skipped |= {chunking_name(each): "the time was over" for each in rest}
    except KeyboardInterrupt:
        if baseline not in study.trials:
            raise
        stage.interrupted = True
    return stage


class _Meter:
    """Estimates what a chunking costs from what another one did."""

    def __init__(self, bench: Bench, test_size: int) -> None:
        self.bench = bench
        self.test_size = test_size
        self.samples: dict[ChunkSettings, ChunkSample] = {}
        self.per_token: float | None = None

    @property
    def reserve(self) -> float:
        """Seconds that measuring on the test half will take: two chunkings, over its queries."""
        return 2 * self.test_size * max(self.bench.seconds / max(self.bench.size, 1), _QUERY_SECONDS)

    def learn(self, chunking: ChunkSettings, indexed_before: float, seconds: float) -> None:
        """What making index and rankings took, of which this share of the index was there already."""
        fresh = (1 - indexed_before) * self.sample(chunking).tokens
        if indexed_before < _MOSTLY:
            self.per_token = max(seconds - self.bench.seconds, 0.0) / max(fresh, 1)

    def reason_to_skip(self, chunking: ChunkSettings, clock: Clock) -> str | None:
        """Why this chunking is not tried, or None."""
        sample = self.sample(chunking)
        for other, known in self.samples.items():
            if other != chunking and sample.alike(known) >= SAME:
                return f"cuts these documents like {chunking_name(other)}"
        seconds = _SLACK * (self._index_seconds(chunking) + self.bench.seconds)
        left = clock.left - self.reserve
        if seconds > left:
            del self.samples[chunking]
            return f"would take about {seconds / 60:.1f} minutes; {max(0.0, left) / 60:.1f} were left"
        return None

    def _index_seconds(self, chunking: ChunkSettings) -> float:
        if self.per_token is None:  # every index so far was there already: what building the first one took once
            known = next(iter(self.samples))
            built = sum(
                seconds_noted(set_base(each, chunking=known, embedder=self.bench.embedder).folder)
                for each in self.bench.sets
            )
            self.per_token = built / max(self.samples[known].tokens, 1)
        return (1 - self.bench.indexed(chunking)) * self.samples[chunking].tokens * self.per_token

    def sample(self, chunking: ChunkSettings) -> ChunkSample:
        """The sample under a chunking, cut once."""
        if chunking not in self.samples:
            embedder = self.bench.vectors.embedder
            if embedder is None:
                embedder = set_base(self.bench.sets[0], chunking=chunking, embedder=self.bench.embedder).embedder
                self.bench.vectors.embedder = embedder
            self.samples[chunking] = sample_chunks(self.bench.sets, chunking, embedder)
        return self.samples[chunking]
