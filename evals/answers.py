"""Answer evaluation: every question of every set to every strategy, each answer scored, kept and summarised.

>>> run = evaluate_answers(  # doctest: +SKIP
...     [load_answer_set(Path("shared/data/squad")).limited(200)], [System("naive")],
...     load_chat_model("bundled:smollm2"), folder=Path("runs/first"))
>>> run[0]["f1"], run[0]["ci95"]["f1"]  # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RagloomError
from .output_cache import CachedChatModel, ModelCall, OutputCache, model_identity, recorded_calls
from .records import CitedDocument, Record, Summary, Timing
from .run_folder import Key, RunFolder
from .scoring import score_record, summarise
from .stress import asking

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from llama_index.core.base.base_retriever import BaseRetriever

    from ..graphs.common.support import SupportCritic
    from .answer_sets import AnswerSet, Question
    from .systems import System

__all__ = ("Progress", "answer_question", "evaluate_answers")

Ask = Callable[[dict[str, Any]], Any]
Claims = Callable[["Question"], "str | None"]
"""What false passages claim about a question (see `stress`)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is done, told after every record."""

    set: str
    strategy: str
    done: int
    """Records of the whole run."""
    total: int
    failed: int


def evaluate_answers(
    answer_sets: Sequence[AnswerSet],
    systems: Sequence[System],
    llm: BaseChatModel,
    *,
    retriever: Callable[[AnswerSet], BaseRetriever],
    folder: Path,
    llm_name: str = "",
    settings: dict[str, Any] | None = None,
    baseline: str | None = "naive",
    critic: SupportCritic | None = None,
    outputs: OutputCache | None = None,
    seed: int = 0,
    workers: int = 1,
    retry_failed: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> list[Summary]:
    """Runs what is not done yet, and gives a summary for each set and strategy.

    Args:
        retriever: the retriever of a set's corpus.
        folder: where records are kept (see `records`); a run that was cut off there goes on.
        llm_name: as it stands in the table; default: the model's own name.
        settings: whatever else decides the records (retrieval mode, ...): the folder of other settings is refused.
        baseline: the strategy that the others are compared with.
        critic: judges `support`; default: the one that `scoring` takes.
        outputs: where outputs of the model are kept; default: the user's cache folder.
        seed: of the bootstrap, and of models that draw at random.
        workers: questions at a time. A model that computes on this machine gains nothing from more than one.

    An error of one question is a failed record, and the run goes on.
    """
    told = {
        "sets": [{"name": each.name, "n": len(each.questions), "sha256": each.fingerprint()} for each in answer_sets],
        "strategies": [{"name": each.name, "options": each.options} for each in systems],
        "llm": llm_name or model_identity(llm),
        "model": model_identity(llm),
        "seed": seed,
        **(settings or {}),
    }
    random = getattr(llm, "temperature", None) not in (0, 0.0)
    cached = CachedChatModel.around(llm, outputs=outputs, salt=f"seed {seed}" if random else "")
    order = [(s.name, system.name, q.id) for s in answer_sets for system in systems for q in s.questions]
    with RunFolder(folder).open(told, retry_failed=retry_failed) as run:
        failed = sum(record["failed"] is not None for record, _ in run.done.values())
        for answer_set in answer_sets:
            found = None
            for system in systems:
                open_ = [q for q in answer_set.questions if (answer_set.name, system.name, q.id) not in run.done]
                if not open_:
                    continue
                found = found or retriever(answer_set)
                ask = system.build(found, cached)
                claims = getattr(found, "stressed_answer", None)
                for record, timing in _each(answer_set.name, system.name, open_, ask, critic, workers, claims):
                    run.add(record, timing)
                    failed += record["failed"] is not None
                    if progress:
                        progress(Progress(answer_set.name, system.name, len(run.done), len(order), failed))
        summaries = _summaries(run, order, llm_name or told["llm"], seed, baseline)
        run.finish(order, summaries)
    return summaries


def _summaries(run: RunFolder, order: list[Key], llm: str, seed: int, baseline: str | None) -> list[Summary]:
    pairs = [run.done[key] for key in order]
    records, timings = [record for record, _ in pairs], [timing for _, timing in pairs]
    return summarise(records, timings, llm=llm, seed=seed, baseline=baseline)


def _each(
    name: str,
    strategy: str,
    questions: Iterable[Question],
    ask: Ask,
    critic: SupportCritic | None,
    workers: int,
    claims: Claims | None,
) -> Iterator[tuple[Record, Timing]]:
    """Records as they are done."""
    answer = partial(answer_question, ask=ask, set_name=name, strategy=strategy, critic=critic, claims=claims)
    if workers == 1:  # in this thread, so that an interrupt stops at once
        yield from map(answer, questions)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        futures = [pool.submit(answer, question) for question in questions]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def answer_question(
    question: Question,
    ask: Ask,
    *,
    set_name: str = "",
    strategy: str = "",
    critic: SupportCritic | None = None,
    claims: Claims | None = None,
) -> tuple[Record, Timing]:
    """One question answered, timed and scored. Never raises for what the strategy does."""
    failed: str | None = None
    result: Any = {}
    with recorded_calls() as calls, asking(question):
        began = time.perf_counter()
        try:
            result = ask({"question": question.question})
        except Exception as error:
            failed = _one_line(error)
        seconds = time.perf_counter() - began
    if not isinstance(result, dict):
        result = {"answer": str(getattr(result, "content", result))}
    steps = [dict(step) for step in result.get("steps") or []]
    usage = result.get("usage") or {}
    answer = str(result.get("answer") or "")
    record = Record(
        set=set_name,
        strategy=strategy,
        id=question.id,
        question=question.question,
        answers=list(question.answers),
        gold=list(question.gold),
        answerable=question.answerable,
        answer=answer,
        abstained=bool(result.get("abstained", not answer.strip())),
        citations=list(result.get("citations") or []),
        documents=[_document(document) for document in result.get("documents") or []],
        steps=[_timeless(step) for step in steps],
        calls=int(usage.get("calls", len(calls))),
        tokens_in=int(usage.get("tokens_in", 0)),
        tokens_out=int(usage.get("tokens_out", 0)),
        metrics={},
        failed=failed,
    )
    if claims and (false := claims(question)):
        record["false_answer"] = false
    record["metrics"] = score_record(record, critic=critic)
    saved = sum(call.seconds - call.here for call in calls)
    timing = Timing(
        set=set_name,
        strategy=strategy,
        id=question.id,
        seconds=round(seconds + saved, 4),
        first_token_s=_first_token(calls, began),
        cached=bool(calls) and all(call.cached for call in calls),
        step_ms=[float(step.get("ms", 0.0)) for step in steps],
    )
    return record, timing


def _first_token(calls: list[ModelCall], began: float) -> float | None:
    if not calls:
        return None
    before = sum(call.seconds - call.here for call in calls[:-1])
    return round(calls[-1].began - began + before + calls[-1].first_token, 4)


def _document(document: Any) -> CitedDocument:
    told = document.metadata
    score = told.get("score")
    return CitedDocument(
        id=str(document.id or ""),
        source=str(told.get("source", "")),
        page=int(told.get("page") or 1),
        title=str(told.get("title") or ""),
        score=None if score is None else round(float(score), 6),
        text=document.page_content,
    )


def _timeless(step: dict[str, Any]) -> dict[str, Any]:
    """A step without what differs from run to run."""
    kept = {name: value for name, value in step.items() if name != "ms"}
    if isinstance(step.get("details"), dict):
        kept["details"] = {name: value for name, value in step["details"].items() if not name.endswith("_ms")}
    return kept


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:500] if isinstance(error, RagloomError) else f"{type(error).__name__}: {text[:500]}"
