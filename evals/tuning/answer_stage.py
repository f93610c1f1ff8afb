"""The second stage: how many passages are read, and with which prompt, scored on answers. A language model is asked.

Successive halving (Jamieson and Talwalkar 2016): all candidates answer a few dev questions, the better half answers
twice as many, and so on. The baseline is never dropped, since the last comparison is with it. Outputs of the model are
kept (`output_cache`), so that a tuning that was cut off asks nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..answers import answer_question
from ..cached_model import CachedChatModel
from ..systems import System
from ..text_metrics import contains, f1, normalize
from .choose import LEVEL, Choice, choose
from .clock import Clock, OutOfTime, Tell

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from llama_index.core.base.base_retriever import BaseRetriever

    from ..answer_sets import Question
    from ..output_cache import OutputCache
    from ..records import Record

__all__ = ("DRAFT", "PROMPTS", "TOP_KS", "Answered", "Asker", "Reader", "right", "search_readers")

DEFAULT_TOP_K = 5
TOP_KS = (3, 5, 8, 10)
PROMPTS = ("read", "short")
DRAFT = "draft"
"""Of what reads in the chat model's place."""
FIRST_RUNG = 8
"""Dev questions of the first round."""
WORDS = 10
"""Right answers longer than this are never repeated word by word: F1 judges them."""
ANSWERS_EACH = 16
"""A reader is only tried where there is time for so many answers of it: fewer tell nothing."""
_TIMED = 2
"""Answers that are timed; the first one loads the model's prompt."""
_FAILURES = 3
"""The first questions all failing means that the model is not there."""

Asked = tuple[str, "Question"]
"""Name of the set, and the question."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What is tried: passages to read, and the reader's prompt (None: the one that is used where none is set)."""

    top_k: int = DEFAULT_TOP_K
    prompt: str | None = None
    unset: str = "read"
    """What no prompt means: `read`, or `draft` where a reader ships for the chat model."""

    @property
    def asks_by(self) -> str:
        """Its prompt by name."""
        return self.prompt or self.unset

    def settings(self) -> dict[str, Any]:
        """As `ragloom.toml` says it; what is as built in is left out."""
        wanted: dict[str, Any] = {"top_k": self.top_k} if self.top_k != DEFAULT_TOP_K else {}
        return wanted | ({"prompt": self.prompt} if self.asks_by != self.unset else {})

    def name(self) -> str:
        """In a few words."""
        return f"top_k {self.top_k}, prompt {self.asks_by}"

    def distance(self, other: Reader) -> tuple[int, int]:
        """How far from another one: another prompt, other passages."""
        return int(self.asks_by != other.asks_by), abs(self.top_k - other.top_k)


def right(record: Record) -> float:
    """The objective, 0 to 1: whether the question was answered as it should be.

    An answerable question counts 1 if a right answer stands in the answer (where all right answers are longer than ten
    words: the token F1 of the best); an unanswerable one counts 1 if the answer abstains. A failure counts 0.
    """
    if record["failed"]:
        return 0.0
    if not record["answerable"]:
        return float(record["abstained"])
    if record["abstained"]:
        return 0.0
    short = [each for each in record["answers"] if len(normalize(each).split()) <= WORDS]
    return contains(record["answer"], short) if short else f1(record["answer"], record["answers"])


class Asker:
    """Answers questions with a reader, each once."""

    def __init__(
        self,
        llm: BaseChatModel,
        retriever: Callable[[str, int], BaseRetriever],
        *,
        reading: BaseChatModel | None = None,
        outputs: OutputCache | None = None,
        strategy: str = "naive",
    ) -> None:
        """`retriever(set name, top_k)` searches the set's passages; `reading` reads by the prompt `draft`."""
        self.llm = CachedChatModel.around(llm, outputs=outputs)
        self.reading = CachedChatModel.around(reading, outputs=outputs) if reading is not None else None
        self.retriever = retriever
        self.strategy = strategy
        self.failures: list[str] = []
        self.asked = 0
        self._systems: dict[tuple[str, Reader], Callable[[dict[str, Any]], Any]] = {}

    def score(self, reader: Reader, asked: Asked) -> float:
        """`right` for one question."""
        name, question = asked
        if (name, reader) not in self._systems:
            options: dict[str, Any] = {"prompt": reader.asks_by}
            if self.reading is not None and reader.asks_by == DRAFT:
                options["reader"] = self.reading
            system = System(self.strategy, options)
            self._systems[name, reader] = system.build(self.retriever(name, reader.top_k), self.llm)
        record, _ = answer_question(question, self._systems[name, reader], set_name=name, strategy=self.strategy)
        self.asked += 1
        if record["failed"]:
            self.failures.append(record["failed"])
            if len(self.failures) == self.asked >= _FAILURES:
                raise OutOfTime
        return right(record)


@dataclass(slots=True)
class Answered:
    """What the stage did."""

    choice: Choice[Reader] | None = None
    """None where no round was finished."""
    scores: dict[Reader, dict[str, float]] = field(default_factory=dict)
    """Reader to question to score; readers that were dropped have fewer questions."""
    failure: str = ""
    """Why the model could not be asked."""
    interrupted: bool = False


def search_readers(
    asker: Asker,
    questions: Sequence[Asked],
    baseline: Reader,
    *,
    prompts: Sequence[str] = PROMPTS,
    clock: Clock,
    seed: int,
    tell: Tell,
) -> Answered:
    """Tries readers on more and more of the questions until they or the time are used up."""
    stage = Answered()
    tried = [Reader(top_k, prompt, baseline.unset) for prompt in prompts for top_k in TOP_KS]
    readers = list(dict.fromkeys([baseline, *tried]))
    readers = [each for at, each in enumerate(readers) if all(each.distance(other) != (0, 0) for other in readers[:at])]
    # The prompt matters most, then what is near: where there is no time for all, these are tried.
    readers.sort(key=lambda each: (each != baseline, each.top_k != baseline.top_k, each.distance(baseline)))
    count = min(FIRST_RUNG, len(questions))
    try:
        readers = readers[: _affordable(asker, questions, baseline, clock, stage)]
        while True:
            for done, asked in enumerate(questions[:count], start=1):
                key = f"{asked[0]}: {asked[1].id}"
                for reader in readers:
                    if key not in stage.scores.setdefault(reader, {}):
                        clock.check()
                        stage.scores[reader][key] = asker.score(reader, asked)
                tell(f"answers of {len(readers)} readers", done, count)
            if count == len(questions):
                break
            better = sorted(readers, key=lambda each: (-_mean(stage.scores[each]), each.distance(baseline)))
            kept = better[: max(2, (len(readers) + 1) // 2)]
            readers = list(dict.fromkeys([baseline, *kept]))
            count = min(2 * count, len(questions))
    except OutOfTime:
        if asker.failures and len(asker.failures) == asker.asked:
            stage.failure = asker.failures[0]
    except KeyboardInterrupt:
        stage.interrupted = True
    # The last round may have been cut off: what all that are left answered is what they are compared on.
    common = set.intersection(*(set(stage.scores.get(each, {})) for each in readers)) if readers else set()
    if common and not stage.failure:
        told = {each: {key: stage.scores[each][key] for key in common} for each in readers}
        stage.choice = choose(baseline, told, distance=Reader.distance, level=LEVEL, seed=seed)
    return stage


def _affordable(asker: Asker, questions: Sequence[Asked], baseline: Reader, clock: Clock, stage: Answered) -> int:
    """How many readers there is time for, told from what the first answers take."""
    began = clock.now()
    first = questions[:_TIMED]
    for asked in first:
        clock.check()
        stage.scores.setdefault(baseline, {})[f"{asked[0]}: {asked[1].id}"] = asker.score(baseline, asked)
    seconds = max((clock.now() - began) / max(len(first), 1), 1e-3)
    return max(2, int(clock.left / seconds / ANSWERS_EACH))


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / max(len(values), 1)
