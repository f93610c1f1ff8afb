"""Answer evaluation: every question of every set to every strategy, each answer scored, kept and summarised.

>>> run = evaluate_answers(  # doctest: +SKIP
...     [load_answer_set(Path("shared/data/squad")).limited(200)], [System("naive")],
...     load_chat_model("bundled:smollm2"), folder=Path("runs/first"))
>>> run[0]["f1"], run[0]["ci95"]["f1"]  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import RagloomError, UsageError
from ..graphs.common.support import OverlapCritic
from ..types import Citation
from .cached_model import CachedChatModel
from .model_calls import RecordedCalls, recorded_calls
from .output_cache import OutputCache
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
Answered = tuple[Record, Timing]
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
    fresh: bool = False,
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
        retry_failed: ask the questions again that failed in an earlier run of this folder.
        fresh: begin anew, whatever the folder holds; outputs stay cached.
        workers: questions at a time. A model that computes on this machine gains nothing from more than one.

    An error of one question is a failed record, and the run goes on. `UsageError` for two sets or strategies of one
    name (give one a `label`), for a folder that holds another run, and for what no question can be asked with, such as
    a broken prompt file.
    """
    if seed < 0:
        raise UsageError(f"seed is {seed}", hint="use 0 or more")
    _told_apart("sets", [each.name for each in answer_sets])
    _told_apart("strategies", [each.name for each in systems])
    judge = critic or OverlapCritic()
    cached = CachedChatModel.around(llm, outputs=outputs, seed=seed)
    told = {
        "sets": [{"name": each.name, "n": len(each.questions), "sha256": each.fingerprint()} for each in answer_sets],
        "strategies": [each.identity() for each in systems],
        "llm": llm_name or cached.identity,
        "model": cached.identity,
        "support": getattr(judge, "fingerprint", f"{type(judge).__name__} {judge.threshold}"),
        "seed": seed,
        "ragloom": __version__,
        **(settings or {}),
    }
    order = [(s.name, system.name, q.id) for s in answer_sets for system in systems for q in s.questions]
    with RunFolder(folder).open(told, retry_failed=retry_failed, fresh=fresh) as run:
        failed = sum(record["failed"] is not None for record, _ in run.done.values())
        for answer_set in answer_sets:
            for system in systems:
                open_ = [q for q in answer_set.questions if (answer_set.name, system.name, q.id) not in run.done]
                if not open_:
                    continue
                # A retriever of its own: an embedder remembers queries, and the second strategy would get them free.
                found = retriever(answer_set)
                ask = system.build(found, cached)
                one = partial(
                    answer_question,
                    ask=ask,
                    set_name=answer_set.name,
                    strategy=system.name,
                    critic=judge,
                    claims=getattr(found, "stressed_answer", None),
                    outputs=cached.outputs,
                )
                for record, timing in _each(open_, one, workers):
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


def _told_apart(what: str, names: list[str]) -> None:
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise UsageError(f"two {what} are called {double!r}", hint="records are kept by name: rename or label one")


def _each(questions: Iterable[Question], one: Callable[[Question], Answered], workers: int) -> Iterator[Answered]:
    """Records as they are done."""
    if workers == 1:  # in this thread, so that an interrupt stops at once
        yield from map(one, questions)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        futures = [pool.submit(one, question) for question in questions]
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
    outputs: OutputCache | None = None,
) -> Answered:
    """One question answered, timed and scored. What the strategy does wrong is a failed record; a `UsageError` is not
    the question's fault, and is raised.
    """
    blank = _blank(question, set_name, strategy)
    if claims and (false := claims(question)):
        blank["false_answer"] = false
    steps: list[dict[str, Any]] = []
    with recorded_calls() as calls, asking(question):
        began = time.perf_counter()
        seconds: float | None = None
        try:
            result = _as_result(ask({"question": question.question}))
            seconds = time.perf_counter() - began
            steps = [dict(step) for step in result.get("steps") or []]
            record = _filled(blank, result, steps, calls)
        except UsageError:
            raise
        except Exception as error:
            record = blank | {"failed": _one_line(error), **_cost({}, calls)}  # type: ignore[assignment]
        seconds = seconds if seconds is not None else time.perf_counter() - began
    record["metrics"] = score_record(record, critic=critic)
    timing = Timing(
        set=set_name,
        strategy=strategy,
        id=question.id,
        seconds=round(seconds, 4),
        first_token_s=_first_token(calls, began),
        cached=bool(calls) and all(call.cached for call in calls),
        step_ms=[float(step.get("ms", 0.0)) for step in steps],
    )
    return record, _first_timing(timing, calls, outputs)


def _blank(question: Question, set_name: str, strategy: str) -> Record:
    return Record(
        set=set_name,
        strategy=strategy,
        id=question.id,
        question=question.question,
        answers=list(question.answers),
        gold=list(question.gold),
        answerable=question.answerable,
        answer="",
        abstained=False,
        citations=[],
        documents=[],
        steps=[],
        calls=0,
        tokens_in=0,
        tokens_out=0,
        metrics={},
        failed=None,
    )


def _as_result(said: Any) -> dict[str, Any]:
    """What a strategy returned, as a dictionary; an answer may also be a text, a message, or nothing."""
    if inspect.isawaitable(said):
        said = asyncio.run(_wait(said))
    if said is None:
        return {"answer": ""}
    if isinstance(said, dict):
        return said
    text = getattr(said, "text", said)
    if not isinstance(text, str):
        raise TypeError(f"a strategy returns a dictionary or a text, not {type(said).__name__}")
    return {"answer": str(text)}


async def _wait(said: Any) -> Any:
    return await said


def _filled(blank: Record, result: dict[str, Any], steps: list[dict[str, Any]], calls: RecordedCalls) -> Record:
    if result.get("abstained") and result.get("error"):  # the model failed: that is no abstention
        failed = {"failed": str(result["error"])[:500], "steps": [_timeless(step) for step in steps]}
        return blank | failed | _cost(result.get("usage") or {}, calls)  # type: ignore[return-value]
    answer = result.get("answer")
    answer = "" if answer is None else str(answer)
    citations = []
    for each in result.get("citations") or []:
        words = {name: str(each.get(name, "")) for name in ("sentence", "id", "source", "quote")}
        score = float(each.get("score", 0.0))
        citations.append(Citation(**words, page=_page(each.get("page")), score=score))  # type: ignore[typeddict-item]
    filled: Record = {
        **blank,
        "answer": answer,
        "abstained": bool(result.get("abstained", not answer.strip())),
        "citations": citations,
        "documents": [_document(document) for document in result.get("documents") or []],
        "steps": [_timeless(step) for step in steps],
        **_cost(result.get("usage") or {}, calls),  # type: ignore[typeddict-item]
    }
    json.dumps(filled)  # what cannot be kept is this question's failure, not the run's
    return filled


def _cost(usage: dict[str, Any], calls: RecordedCalls) -> dict[str, int]:
    """What the model itself says, where it does: a strategy may have stopped listening before the model stopped."""
    if calls and all(call.tokens_in for call in calls):
        tokens = {
            "tokens_in": sum(call.tokens_in for call in calls),
            "tokens_out": sum(call.tokens_out for call in calls),
        }
        return {"calls": len(calls), **tokens}
    counted = {name: int(usage.get(name) or 0) for name in ("calls", "tokens_in", "tokens_out")}
    return counted | {"calls": max(counted["calls"], len(calls))}


def _first_timing(timing: Timing, calls: RecordedCalls, outputs: OutputCache | None) -> Timing:
    """Where all outputs came from the cache: the timing of the run in which the model made them."""
    if not calls or outputs is None:
        return timing
    asked = "\0".join([timing["strategy"], timing["id"], *sorted(call.key for call in calls)])
    key = f"timing {hashlib.sha256(asked.encode('utf-8', 'replace')).hexdigest()}"
    if not timing["cached"]:
        if not any(call.cached for call in calls):
            outputs.put(key, {name: timing[name] for name in ("seconds", "first_token_s", "step_ms")})
        return timing
    kept = outputs.get(key)
    if kept is not None:
        return {**timing, **kept}  # type: ignore[typeddict-item]
    # Other strategies made these outputs: this one's own work, and what the model took for each.
    saved = sum(call.seconds - call.here for call in calls)
    return {**timing, "seconds": round(timing["seconds"] + saved, 4)}


def _first_token(calls: RecordedCalls, began: float) -> float | None:
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
        page=_page(told.get("page")),
        title=str(told.get("title") or ""),
        score=None if score is None else round(float(score), 6),
        text=document.page_content,
    )


def _page(value: Any) -> int:
    """A page number; 1 where there is none, or none that counts."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 1


def _timeless(step: dict[str, Any]) -> dict[str, Any]:
    """A step without what differs from run to run."""
    kept = {name: value for name, value in step.items() if name != "ms"}
    if isinstance(step.get("details"), dict):
        kept["details"] = {name: value for name, value in step["details"].items() if not name.endswith("_ms")}
    return kept


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:500] if isinstance(error, RagloomError) else f"{type(error).__name__}: {text[:500]}"
