"""The sets that are tuned on, cut in two: one half to choose by, one half that nothing is chosen by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ..answer_sets import AnswerSet, load_answer_set, share_of
from ..datasets import RetrievalSet, load_retrieval_set
from ..jsonl import Problem, find_jsonl

__all__ = ("TuningSet", "load_tuning_set", "load_tuning_sets", "most_queries")

MOST_QUERIES = 500
"""Of one half of one set. At 500 an interval is a point or two wide, and a trial stays below a second."""
FEWEST_QUERIES = 50
QUERIES_A_MINUTE = 25
"""A query takes up to half a second to embed on a busy machine: both halves then take less than half of the time."""


@dataclass(frozen=True, slots=True)
class TuningSet:
    """A retrieval set, or an answer set with what it gives for retrieval."""

    name: str
    retrieval: RetrievalSet
    """Without queries where no question names its passage."""
    answers: AnswerSet | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was left out while reading."""
        return self.answers.problems if self.answers else self.retrieval.problems

    def queries(self, part: str, *, most: int = MOST_QUERIES) -> RetrievalSet:
        """The judged queries of the `dev` or the `test` half: by the hash of the id, as in `AnswerSet.part`.

        More than `most` are left out by the hash of their id.
        """
        keys = [key for key in self.retrieval.queries if (share_of(key, salt="split") < 0.5) == (part == "dev")]
        return self.retrieval.only(keys).limited(most)


def most_queries(minutes: float, sets: int) -> int:
    """How many queries of each half of each set there is time for.

    >>> most_queries(20, 1), most_queries(6, 1), most_queries(6, 3)
    (500, 150, 50)
    """
    return int(min(MOST_QUERIES, max(FEWEST_QUERIES, QUERIES_A_MINUTE * minutes / sets)))


def load_tuning_set(folder: Path) -> TuningSet:
    """Reads a folder with corpus, queries and qrels, or one with questions and passages.

    Raises `UsageError` where it is neither, or where its questions come without the passages that they are about.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r}", hint="a set is a folder; see docs/tune.md")
    if find_jsonl(folder, "queries"):
        found = load_retrieval_set(folder)
        return TuningSet(found.name, found)
    if not find_jsonl(folder, "questions"):
        hint = "needed: corpus, queries and qrels; or questions and passages (ragloom eval make-questions makes these)"
        raise UsageError(f"{str(folder)!r} has neither queries.jsonl nor questions.jsonl", hint=hint)
    answers = load_answer_set(folder)
    if not answers.documents:
        hint = "add passages.jsonl or documents.jsonl, as ragloom eval make-questions does"
        raise UsageError(f"{str(folder)!r} has questions, but no passages to search", hint=hint)
    return TuningSet(answers.name, answers.retrieval_set(), answers)


def load_tuning_sets(folders: Sequence[Path]) -> list[TuningSet]:
    """Reads several; `UsageError` where two have one name, or none has a question to tune retrieval by."""
    loaded = [load_tuning_set(folder) for folder in folders]
    names = [each.name for each in loaded]
    double = [name for name in names if names.count(name) > 1]
    if double:
        raise UsageError(f"two sets are called {double[0]!r}", hint="rename one folder")
    for each in loaded:
        if not each.queries("dev").queries and not each.answers:
            raise UsageError(f"{each.name!r} has no query in its dev half", hint="more queries are needed")
    if not any(each.queries("dev").queries for each in loaded):
        raise UsageError("no question names its passage", hint="passage_ids (or doc_ids) are needed to tune retrieval")
    return loaded
