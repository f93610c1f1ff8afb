"""An answer with sentences that nothing supports is asked for again, with that said; then they are dropped."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import ModelError, UsageError
from ...types import Step, add_usage
from .groundedness import SupportCritic, unsupported, without

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable, RunnableConfig

__all__ = ("CRITIQUE", "regenerating", "with_critique")

CRITIQUE = (
    "An earlier answer said the following, which nothing in the documents supports:\n{sentences}\n"
    "Answer again, and say only what the documents say."
)
Put = Callable[[Any, str], Any]


def regenerating(
    runnable: Runnable[Any, Any], critic: SupportCritic, *, attempts: int = 1, put: Put | None = None
) -> Runnable[Any, dict[str, Any]]:
    """Any chain or graph that gives `answer` and `documents`, with answers that its documents support.

    Where a sentence of the answer has no support, the runnable is asked once more, with the critique put to it, up to
    `attempts` times; of all answers the one with the least share of such sentences counts, and those that it still has
    are dropped, with their citations. `steps` and `usage`, where the runnable gives them, tell of all runs. A run that
    abstained is left as it is.

    A strategy searches for what it is asked, so the critique is in its queries too; `put` says otherwise. Wrap a graph
    without a checkpointer: each attempt is a question of its own.

    Args:
        runnable: takes a text, or a mapping with `question` or `messages`.
        critic: see `GroundednessRail`.
        attempts: how often it is asked again at most; each costs a whole run.
        put: makes the next input of the first one and the critique; `with_critique` by default.

    Raises `ModelError` where the runnable gives no answer with documents, and whatever the runnable raises.

    Example:
        >>> strict = regenerating(naive_rag(retriever, llm), OverlapCritic())  # doctest: +SKIP
        >>> strict.invoke({"question": "How much leave do I get?"})["answer"]  # doctest: +SKIP
        'Full-time staff get 25 days of leave.'
    """
    from langchain_core.runnables import RunnableLambda

    if attempts < 0:
        raise UsageError(f"attempts is {attempts}", hint="use 0 or more")

    def run(given: Any, config: RunnableConfig) -> dict[str, Any]:
        asking = _asking(given, critic, attempts, put or with_critique)
        try:
            wanted = next(asking)
            while True:
                wanted = asking.send(runnable.invoke(wanted, config))
        except StopIteration as end:
            result: dict[str, Any] = end.value
            return result

    async def arun(given: Any, config: RunnableConfig) -> dict[str, Any]:
        from langchain_core.runnables import run_in_executor

        asking = _asking(given, critic, attempts, put or with_critique)
        wanted, result = next(asking), None
        while result is None:
            # The critic may be a model: it is asked in a thread.
            wanted, result = await run_in_executor(None, _sent, asking, await runnable.ainvoke(wanted, config))
        return result

    return RunnableLambda(run, afunc=arun, name="regenerating")


def with_critique(given: Any, critique: str) -> Any:
    """A text or a `question` with the critique after it, or `messages` with one more of the user."""
    if isinstance(given, str):
        return f"{given}\n\n{critique}"
    if isinstance(given, Mapping) and isinstance(given.get("question"), str):
        return {**given, "question": with_critique(given["question"], critique)}
    if isinstance(given, Mapping) and isinstance(given.get("messages"), list | tuple):
        from langchain_core.messages import HumanMessage

        return {**given, "messages": [*given["messages"], HumanMessage(critique)]}
    raise UsageError("nothing to put a critique to", hint="ask with a text, `question` or `messages`, or give put=")


@dataclass(frozen=True, slots=True)
class _Attempt:
    result: dict[str, Any]
    spans: list[tuple[int, int]]
    share: float


def _asking(given: Any, critic: SupportCritic, attempts: int, put: Put) -> Generator[Any, Any, dict[str, Any]]:
    """Yields what to ask, is sent what came of it, and returns the answer that counts."""
    began = time.perf_counter()
    made: list[_Attempt] = []
    wanted = given
    while True:
        made.append(_judged((yield wanted), critic, _question(given)))
        if not made[-1].spans or len(made) > attempts:
            break
        answer = made[-1].result["answer"]
        sentences = "\n".join(f"- {answer[start:end].strip()}" for start, end in made[-1].spans)
        wanted = put(given, CRITIQUE.format(sentences=sentences))
    best = min(made, key=lambda attempt: attempt.share)
    return _settled(best, made, 1000 * (time.perf_counter() - began))


def _judged(result: Any, critic: SupportCritic, question: str) -> _Attempt:
    if not isinstance(result, Mapping) or not isinstance(result.get("answer"), str) or "documents" not in result:
        raise ModelError("the runnable gave no answer with documents", hint="it must give `answer` and `documents`")
    if result.get("abstained"):
        return _Attempt(dict(result), [], 0.0)
    spans, count = unsupported(result["answer"], critic, question, list(result["documents"] or ()))
    return _Attempt(dict(result), spans, len(spans) / count if count else 0.0)


def _settled(best: _Attempt, made: list[_Attempt], ms: float) -> dict[str, Any]:
    result, dropped = best.result, len(best.spans)
    answer = without(result["answer"], best.spans)
    update: dict[str, Any] = {"answer": answer}
    if "citations" in result:
        update["citations"] = [each for each in result["citations"] if each["sentence"] in answer]
    if "steps" in result:
        reason = f"asked {len(made)} times; {dropped} sentences without support dropped"
        decision = "dropped" if dropped else "regenerated" if len(made) > 1 else "supported"
        step = Step(node="regenerating", decision=decision, reason=reason, ms=round(ms, 1))
        update["steps"] = [*(step for each in made for step in each.result["steps"]), step]
    if "usage" in result:
        usage = None
        for each in made:
            usage = add_usage(usage, each.result["usage"])
        update["usage"] = usage
    if "abstained" in result and not answer.strip():
        update["abstained"] = True
    return {**result, **update}


def _sent(asking: Generator[Any, Any, dict[str, Any]], came: Any) -> tuple[Any, dict[str, Any] | None]:
    try:
        return asking.send(came), None
    except StopIteration as end:
        return None, end.value


def _question(given: Any) -> str:
    if isinstance(given, Mapping):
        if isinstance(given.get("question"), str):
            return str(given["question"])
        messages = given.get("messages")
        given = getattr(messages[-1], "content", "") if isinstance(messages, list | tuple) and messages else ""
    return given if isinstance(given, str) else ""
