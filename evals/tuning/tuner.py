"""The whole tuning: retrieval on the dev half, answers on the dev half, both measured on the test half.

>>> tuned = tune(load_tuning_sets([Path("shared/data/cacm")]), minutes=20)  # doctest: +SKIP
>>> print(tuned.retrieval.verdict())  # doctest: +SKIP
No configuration is told apart from the default (...): it is kept.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...models import cache_folder
from ..answer_sets import share_of
from ..indexing import set_base
from .answer_stage import PROMPTS, Answered, Asked, Asker, Reader, search_readers
from .choose import choose
from .clock import Clock, OutOfTime, Tell
from .rankings import QueryVectors
from .result import Comparison, Outcome, Row, Tuned
from .retrieval_stage import Bench, Searched, search_retrieval
from .sets import TuningSet, most_queries
from .space import CHUNKINGS, DEFAULT, Candidate, chunking_name
from .study import Study

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from ...models.protocols import Embedder
    from ..output_cache import OutputCache

__all__ = ("TRIALS", "tune")

TRIALS = 40
"""Rankings tried under each chunking; alpha in steps of 0.05 under two fusions makes 41 of them in all."""
RETRIEVAL_SHARE = 0.6
"""Of the time, where answers are tuned too."""
DEV_SHARE = 0.7
"""Of the time for answers; the rest is for the test half."""


def tune(
    sets: Sequence[TuningSet],
    *,
    minutes: float = 20,
    metric: str = "ndcg@10",
    baseline: Candidate = DEFAULT,
    reader: Reader | None = None,
    prompts: Sequence[str] = PROMPTS,
    llm: Callable[[], BaseChatModel] | None = None,
    reading: Callable[[], BaseChatModel] | None = None,
    llm_name: str = "",
    embedder: str | Embedder | None = None,
    trials: int = TRIALS,
    seed: int = 0,
    outputs: OutputCache | None = None,
    tell: Tell = lambda text, done, total: None,
    now: Callable[[], float] = time.monotonic,
) -> Tuned:
    """Looks for settings that are better than the baseline.

    Args:
        sets: as `load_tuning_sets` reads them.
        minutes: of all; an index is not begun that would not be done in time, and a build that takes longer is cut
            off and kept.
        metric: `ndcg@10`, `recall@100` or `rr@10`, maximised.
        baseline: retrieval that is in use; kept unless another one is told apart from it on the dev half.
        reader: how answers are made now, likewise.
        prompts: that are tried.
        llm: loads the chat model; None: answers are not tuned.
        reading: loads what reads in its place by the prompt `draft`.
        llm_name: as the report names it.
        embedder: of all indexes.
        trials: rankings tried under each chunking.
        seed: of everything that is drawn.
        outputs: where outputs of the model are kept.
        tell: progress.
        now: the clock.
    """
    began = now()
    clock = Clock(minutes * 60, now=now)
    reader = reader or Reader()
    with_answers = llm is not None and any(each.answers for each in sets)
    vectors = QueryVectors(None if isinstance(embedder, str) else embedder)
    most = most_queries(minutes, len(sets))
    dev, test = ([each.queries(part, most=most) for each in sets] for part in ("dev", "test"))
    bench, unseen = Bench(dev, vectors, embedder), Bench(test, vectors, embedder)
    chunkings = list(dict.fromkeys([*CHUNKINGS, baseline.chunking]))
    tuned = Tuned(_sizes(sets, dev, test), minutes, 0.0, seed, None)
    with Study(_study_file(bench, metric, chunkings, seed), chunkings, seed=seed).open() as study:
        stage = search_retrieval(
            bench,
            study,
            baseline,
            metric=metric,
            trials=trials,
            clock=clock.part(RETRIEVAL_SHARE) if with_answers else clock,
            test_size=unseen.size,
            tell=tell,
        )
        tuned.retrieval = _retrieval_outcome(study, stage, baseline, metric, seed)
    tuned.interrupted = stage.interrupted
    _measure_retrieval(tuned, unseen, metric, tell)
    if with_answers and llm is not None and not tuned.interrupted:
        chosen = tuned.retrieval.adopted
        tuned.llm = llm_name

        def asker(candidate: Candidate) -> Asker:
            return Asker(model, _retrievers(sets, candidate, embedder), reading=other, outputs=outputs)

        if clock.left > 0:
            model, other = llm(), reading() if reading else None
            answer_clock = clock.part(DEV_SHARE)
            asked = _questions(sets, "dev", seed)
            found = search_readers(
                asker(chosen), asked, reader, prompts=prompts, clock=answer_clock, seed=seed, tell=tell
            )
            tuned.interrupted = found.interrupted
            _keep_answers(tuned, found, reader, seed)
            if tuned.answers and not tuned.interrupted:
                ways = (asker(baseline), reader), (asker(chosen), tuned.answers.chosen)
                _measure_answers(tuned, ways, _questions(sets, "test", seed), clock, tell)
        else:
            tuned.notes.append("no time was left for answers: give it more --minutes")
    tuned.seconds = now() - began
    return tuned


def _sizes(sets: Sequence[TuningSet], dev: Sequence[Any], test: Sequence[Any]) -> dict[str, dict[str, int]]:
    return {
        each.name: {"documents": len(each.retrieval.documents), "dev": len(left.queries), "test": len(right.queries)}
        for each, left, right in zip(sets, dev, test, strict=True)
    }


def _study_file(bench: Bench, metric: str, chunkings: Sequence[Any], seed: int) -> Path:
    """Named by all that a trial's value depends on."""
    told = f"{__version__} {metric} {seed} {[chunking_name(each) for each in chunkings]}"
    digest = hashlib.sha256(told.encode())
    for each in bench.sets:
        # Its folder is named by documents and embedder.
        base = set_base(each, chunking=DEFAULT.chunking, embedder=bench.embedder)
        digest.update(f"\0{base.folder.name}\0{sorted(each.queries.items())}\0{sorted(each.qrels.items())}".encode())
    return cache_folder("tuning") / f"{digest.hexdigest()[:16]}.journal"


def _retrieval_outcome(study: Study, stage: Searched, baseline: Candidate, metric: str, seed: int) -> Outcome:
    found = choose(baseline, study.trials, distance=Candidate.distance, seed=seed)
    rest = {each: values for each, values in study.trials.items() if each != baseline}
    rows = {
        each: Row(each.name(), values, seed) for each, values in ({baseline: study.trials[baseline]} | rest).items()
    }
    return Outcome(
        metric=metric,
        chosen=found.chosen,
        best=found.best,
        p=found.p,
        passed=found.passed,
        dev=rows,
        test=None,
        skipped=stage.skipped,
        importance=study.importance(),
    )


def _measure_retrieval(tuned: Tuned, unseen: Bench, metric: str, tell: Tell) -> None:
    """The test half: the baseline, what was chosen and, for the reader, the best on the dev half."""
    outcome = tuned.retrieval
    if outcome is None or not unseen.size:
        tuned.notes.append("there is no query in the test half, so nothing is known about unseen queries")
        return
    rows: dict[Candidate, Row] = {}
    wanted = list(dict.fromkeys([outcome.baseline, outcome.chosen, outcome.best]))
    for candidate in sorted(wanted, key=lambda each: chunking_name(each.chunking)):
        values = {key: found[metric] for key, found in unseen.scores(candidate, tell).items()}
        rows[candidate] = Row(candidate.name(), values, tuned.seed)
    outcome.test = Comparison(rows[outcome.baseline], rows[outcome.chosen], tuned.seed)
    if outcome.best not in (outcome.chosen, outcome.baseline):
        outcome.best_on_test = Comparison(rows[outcome.baseline], rows[outcome.best], tuned.seed)


def _questions(sets: Sequence[TuningSet], part: str, seed: int) -> list[Asked]:
    """Questions of all sets, mixed by hash: every few of them are of every set, in their proportions."""
    asked = [(each.name, item) for each in sets if each.answers for item in each.answers.part(part).questions]
    return sorted(asked, key=lambda pair: share_of(f"{pair[0]}: {pair[1].id}", seed=seed, salt="order"))


def _retrievers(
    sets: Sequence[TuningSet], candidate: Candidate, embedder: str | Embedder | None
) -> Callable[[str, int], Any]:
    bases = {each.name: each for each in sets}

    def build(name: str, top_k: int) -> Any:
        from ..indexing import index_set

        found = bases[name].retrieval
        kb, _ = index_set(found, kb=set_base(found, chunking=candidate.chunking, embedder=embedder))
        fused: dict[str, Any] = (
            {"alpha": candidate.alpha, "fusion": candidate.fusion} if candidate.mode == "hybrid" else {}
        )
        return kb.retriever(mode=candidate.mode, top_k=top_k, **fused)

    return build


def _keep_answers(tuned: Tuned, found: Answered, reader: Reader, seed: int) -> None:
    if found.failure:
        tuned.notes.append(f"answers were not tuned: the model failed: {found.failure}")
    elif found.choice is None:
        tuned.notes.append("answers were not tuned: the time was over in the first round")
    else:
        rows = {each: Row(each.name(), values, seed) for each, values in found.scores.items()}
        picked = found.choice
        tuned.answers = Outcome("right", picked.chosen, picked.best, picked.p, picked.passed, rows, None)


def _measure_answers(
    tuned: Tuned,
    ways: tuple[tuple[Asker, Reader], tuple[Asker, Reader]],
    questions: Sequence[Asked],
    clock: Clock,
    tell: Tell,
) -> None:
    """As many questions of the test half as there is time for, each answered both ways."""
    assert tuned.answers is not None and tuned.retrieval is not None
    if tuned.answers.chosen == ways[0][1] and tuned.retrieval.adopted == tuned.retrieval.baseline:
        return  # the same twice
    values: tuple[dict[str, float], dict[str, float]] = {}, {}
    try:
        for done, asked in enumerate(questions, start=1):
            clock.check()
            pair = [asker.score(reader, asked) for asker, reader in ways]
            for column, value in zip(values, pair, strict=True):
                column[f"{asked[0]}: {asked[1].id}"] = value
            tell("answers on the test half", done, len(questions))
    except OutOfTime:
        tuned.notes.append(f"answers were measured on {len(values[0])} of {len(questions)} test questions")
    except KeyboardInterrupt:
        tuned.interrupted = True
    if values[0]:
        before, after = tuned.retrieval.baseline, tuned.retrieval.adopted
        names = [f"{before.name()}; {ways[0][1].name()}", f"{after.name()}; {ways[1][1].name()}"]
        rows = [Row(name, column, tuned.seed) for name, column in zip(names, values, strict=True)]
        tuned.answers.test = Comparison(rows[0], rows[1], tuned.seed)
