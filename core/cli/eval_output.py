"""What the `ragloom eval` commands share: a progress bar over records, where sets are indexed, their problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .output import console, note

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..evals import RetrievalSet
    from ..evals.jsonl import Problem
    from ..retrieval import KnowledgeBase
    from ..settings import Settings

__all__ = ("ProgressBar", "progress_bar", "set_base_of", "tell_left_out", "tell_problems")

MOST_PROBLEMS = 10


class ProgressBar:
    """One bar whose text and length change as the work goes on."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.task = bar.add_task("", total=None)

    def show(self, text: str, done: int, total: int | None) -> None:
        """What is being done, and how far it is."""
        self.bar.update(self.task, description=text, completed=done, total=total)


@contextmanager
def progress_bar() -> Iterator[ProgressBar]:
    """A bar on stderr with the count and the remaining time."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # No markup: a set may be called "[a/b]".
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        yield ProgressBar(bar)


def set_base_of(retrieval_set: RetrievalSet, settings: Settings) -> KnowledgeBase:
    """Where a set is indexed: with the embedder and the chunking that the settings name."""
    from dataclasses import replace

    from ..evals.indexing import set_base
    from ..retrieval.chunkers import ChunkSettings

    names = {"strategy": settings.chunk_strategy, "size": settings.chunk_size, "overlap": settings.chunk_overlap}
    asked: dict[str, Any] = {name: value for name, value in names.items() if value is not None}
    return set_base(retrieval_set, embedder=settings.embedder, chunking=replace(ChunkSettings(), **asked))


def tell_problems(sets: Iterable[Any]) -> None:
    """What was left out of the sets, with file and line, on stderr."""
    for each in sets:
        tell_left_out(each.problems, each.name)


def tell_left_out(problems: Sequence[Problem], name: str = "the data") -> None:
    """The first records that were left out, with file and line, and how many more there are, on stderr."""
    for problem in problems[:MOST_PROBLEMS]:
        note(str(problem))
    if len(problems) > MOST_PROBLEMS:
        note(f"{name}: {len(problems) - MOST_PROBLEMS} more problems")
