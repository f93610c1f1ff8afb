"""`ragloom eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .output import JsonOption, console, emit, note

if TYPE_CHECKING:
    from ..evals import RetrievalResult

__all__ = ("app",)

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Measure retrieval (answers follow)."""


@app.command("retrieval")
def retrieval(
    sets: Annotated[list[Path], typer.Argument(help="Folders with corpus, queries and qrels (ours or BEIR's layout).")],
    mode: Annotated[list[str] | None, typer.Option(help="bm25, dense, hybrid, default (repeatable; all).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many queries of each set.")] = None,
    split: Annotated[str | None, typer.Option(help="Only queries of this split.")] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    json: JsonOption = False,
) -> None:
    """Score retrieval modes on judged sets, with 95 % bootstrap intervals; --json prints a line per set and mode."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..evals.datasets import load_retrieval_set
    from ..evals.indexing import index_set
    from ..evals.retrieval import evaluate_retrieval
    from ..retrieval import KnowledgeBase
    from ..retrieval.search import MODES

    wanted = [name for part in mode or MODES for name in part.split(",")]
    unknown = [name for name in wanted if name not in MODES]
    if unknown:
        raise UsageError(f"unknown retrieval mode {unknown[0]!r}", hint=f"use {', '.join(MODES)}")
    loaded = [load_retrieval_set(folder, split=split).limited(limit) for folder in sets]
    results: list[RetrievalResult] = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        for retrieval_set in loaded:
            bar.update(task, description=f"indexing {retrieval_set.name}", completed=0, total=None)
            kb, seconds = index_set(retrieval_set, progress=tell)
            for name in MODES:
                if name not in wanted:
                    continue
                bar.update(task, description=f"{retrieval_set.name} {name}", completed=0, total=None)
                opened = KnowledgeBase.open(kb.folder)  # anew: no query's vector is remembered from another mode
                result = evaluate_retrieval(
                    opened, retrieval_set, name, index_seconds=seconds, seed=seed, progress=tell
                )
                results.append(result)
                if json:
                    emit(result.to_dict())
    if not json:
        _show(results)


def _show(results: list[RetrievalResult]) -> None:
    from rich.table import Table

    table = Table("set", "mode", "n", "nDCG@10", "R@100", "RR@10", "ms/query", box=None, pad_edge=False)
    for result in results:
        cells = []
        for name in ("ndcg@10", "recall@100", "rr@10"):
            low, high = result.intervals[name]
            cells.append(f"{result.means[name]:.3f} [{low:.3f}, {high:.3f}]")
        table.add_row(result.set, result.mode, str(result.n), *cells, f"{result.ms_per_query:.1f}")
    console().print(table)
    small = sorted({result.set for result in results if result.n < 200})
    if small:
        note(f"fewer than 200 queries, so intervals are wide: {', '.join(small)}")
