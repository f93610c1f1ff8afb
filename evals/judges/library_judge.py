"""What the judges of all libraries have in common: what a record must hold, time limits, and what counts as a score."""

from __future__ import annotations

import contextvars
import importlib
import importlib.util
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ...errors import MissingExtraError, RagloomError, UsageError
from ...models.failures import describe
from ..records import Record
from .protocol import Scores
from .replies import Ask

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

__all__ = ("Case", "LibraryJudge", "Need", "import_library")

Need = Literal["answer", "reference", "passages"]

_SLACK = 1e-6  # what sums of floats may be beside 0 and 1


@dataclass(frozen=True)
class Case:
    """A record in the words of the libraries."""

    question: str
    answer: str
    reference: str
    """The first of the right answers: the libraries compare with one only."""
    passages: list[str]


class LibraryJudge(ABC):
    """Scores a record by several metrics of one library, one after the other."""

    library: ClassVar[str]
    needs: ClassVar[Mapping[str, frozenset[Need]]]
    """What each metric reads of a record, beside the question."""

    def __init__(self, metrics: Sequence[str], llm: Runnable[Any, Any], *, timeout: float) -> None:
        self.metrics = tuple(metrics)
        self.timeout = timeout
        self._llm = llm

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics, as `library:metric`."""
        return tuple(f"{self.library}:{metric}" for metric in self.metrics)

    def judge(self, record: Record) -> Scores:
        """A score, or None with its reason, for each of `names`."""
        scores: dict[str, float | None] = {}
        reasons: dict[str, str] = {}
        for name, metric in zip(self.names, self.metrics, strict=True):
            scores[name] = None
            try:
                case = _case(record)
                _check_record(record, case, self.needs[metric])
                scores[name] = _checked(self._in_time(metric, case))
            except Exception as error:  # the library's, the client's and pydantic's: "no score", whatever it was
                reasons[name] = _one_line(error)
        return Scores(scores, reasons)

    @abstractmethod
    def _score(self, metric: str, case: Case, ask: Ask) -> float:
        """One metric of the library, asking through `ask`; runs in a thread of its own."""

    def _in_time(self, metric: str, case: Case) -> float:
        ask = Ask(self._llm, self.timeout)
        # In a thread: it bounds what cannot be interrupted, and a notebook's event loop is not in the way.
        future: Future[float] = Future()
        context = contextvars.copy_context()  # call recording and tracing follow the calls by it

        def run() -> None:
            try:
                future.set_result(context.run(self._score, metric, case, ask))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True, name=f"judge {metric}").start()
        try:
            return future.result(self.timeout)
        except TimeoutError:
            if future.done():  # the client's own
                raise
            raise RagloomError(f"no score within {self.timeout:g} s") from None


def _case(record: Record) -> Case:
    texts = [(item["title"].strip(), item["text"].strip()) for item in record["documents"]]
    return Case(
        question=record["question"],
        answer=record["answer"],
        reference=next((answer for answer in record["answers"] if answer.strip()), ""),
        # With the title, as the answering model saw it: a passage may not say what it is about.
        passages=[f"{title}\n{text}".strip() for title, text in texts if text],
    )


def _check_record(record: Record, case: Case, needs: frozenset[Need]) -> None:
    if record["failed"]:
        raise RagloomError(f"there is no answer: {record['failed']}")
    if not case.question.strip():
        raise RagloomError("there is no question")
    if "answer" in needs and (record["abstained"] or not case.answer.strip()):
        raise RagloomError("the question was not answered")
    if "passages" in needs and not case.passages:
        raise RagloomError("no passages were read")
    if "reference" in needs and not case.reference:
        raise RagloomError("the set has no right answer")


def _checked(value: Any) -> float:
    score = float(value)
    if not math.isfinite(score) or not -_SLACK <= score <= 1 + _SLACK:
        raise RagloomError(f"the metric came out as {value!r}")
    return min(max(score, 0.0), 1.0)


def _one_line(error: Exception) -> str:
    told = error if isinstance(error, RagloomError) else describe(error)
    text = " ".join(str(told or error).split())[:300]
    return text if told else f"{type(error).__name__}: {text}".rstrip(": ")


def import_library(package: str, load: Callable[[], None]) -> None:
    """Import `package`, then whatever `load` does with it; says in ragloom's words what is missing or broken."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"{package} metrics", package)
    try:
        importlib.import_module(package)
        load()
    except Exception as error:  # a half compatible dependency fails in any way: ImportError, AttributeError, TypeError
        text = " ".join(str(error).split())[:300]
        raise UsageError(
            f"{package} is installed, but does not work: {type(error).__name__}: {text}",
            hint=f"pip install 'ragloom[{package}]' in an environment of its own",
        ) from error
