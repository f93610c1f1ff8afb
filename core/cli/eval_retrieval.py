"""`ragloom eval retrieval` and `ragloom eval compare`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .eval_output import progress_bar, set_base_of, tell_problems
from .options import RerankerOption, RerankFromOption
from .output import JsonOption, console, emit, note

if TYPE_CHECKING:
    from ..evals import RetrievalResult, RetrievalSet
    from ..evals.records import Difference
    from ..evals.retrieval_runs import Comparison
    from ..models.reranker import TrainedReranker
    from ..retrieval import KnowledgeBase
    from ..retrieval.search import Mode
    from ..settings import Settings

__all__ = ("compare", "retrieval")

WIDTH = 130
"""Of the tables, at least: a terminal that is narrower wraps lines, which reads better than figures cut in two."""
Versus = tuple["RetrievalResult", "dict[str, Difference]"]
"""A result, and its differences to the baseline (empty for the baseline itself)."""


def retrieval(
    sets: Annotated[
        list[Path],
        typer.Argument(help="Folders with corpus, queries, qrels (ours or BEIR's), or with questions, passages."),
    ],
    mode: Annotated[list[str] | None, typer.Option(help="bm25, dense, hybrid, default (repeatable; all).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many queries of each set.")] = None,
    split: Annotated[str | None, typer.Option(help="Only queries of this split.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Per-query results, JSON Lines; what the file already holds is not run again.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--compare", help="Mode that the others are compared with (the first one).")
    ] = None,
    reranker: RerankerOption = None,
    rerank_from: RerankFromOption = None,
    json: JsonOption = False,
) -> None:
    """Score retrieval modes on judged sets, with 95 % intervals, and each mode's paired difference to one of them.

    With a reranker every mode is scored twice: as it is, and reranked.
    """
    from ..evals.retrieval_runs import RunFile
    from ..settings import load_settings

    used = load_settings(reranker=reranker, rerank_from=rerank_from)
    modes = _modes(mode, against)
    rankings = _rankings(modes, used)
    loaded, failed = _load(sets, split, limit)
    if not loaded:
        raise UsageError("none of the sets could be read", hint="; ".join(failed))
    names = [item.name for item in loaded]
    twice = next((name for name in names if names.count(name) > 1), None)
    if out and twice:
        raise UsageError(f"two sets are called {twice!r}", hint="a file keeps sets by name: use one --out for each")
    results: list[Versus] = []
    with RunFile.writing(out) if out else nullcontext() as kept:
        for retrieval_set in loaded:
            baseline: RetrievalResult | None = None
            for result in _run(retrieval_set, rankings, seed, kept):
                row = _versus(result, baseline)
                baseline = baseline or result
                results.append((result, row))
                if json:
                    emit(_as_json(result, baseline, row))
    if not json:
        _show(results, [each.name for each in rankings])
    _warn_small({result.set: result.n for result, _ in results})
    if failed:  # after the results: what could be measured was measured
        raise UsageError(f"{len(failed)} of {len(sets)} sets could not be read", hint="; ".join(failed))


def _modes(given: list[str] | None, against: str | None) -> list[Mode]:
    """The modes to run, each once, the baseline first."""
    from ..retrieval.search import MODES

    asked = [name.strip() for part in given or MODES for name in part.split(",")]
    wanted = list(dict.fromkeys(([against] if against else []) + asked))
    for name in wanted:
        if name not in MODES:
            raise UsageError(f"unknown retrieval mode {name!r}", hint=f"use {', '.join(MODES)}")
    return [known for name in wanted for known in MODES if known == name]


def _load(folders: Sequence[Path], split: str | None, limit: int | None) -> tuple[list[RetrievalSet], list[str]]:
    """The sets that can be read. Why another cannot is told now, before the others run, and again at the end."""
    from ..evals.answer_sets import load_judged_set

    loaded: list[RetrievalSet] = []
    failed: list[str] = []
    for folder in folders:
        try:
            found = load_judged_set(folder, split=split)
        except UsageError as error:
            if len(folders) == 1:
                raise
            failed.append(str(error))
            note(f"left out: {error}")
            continue
        loaded.append(found.limited(limit))
    tell_problems(loaded)
    return loaded, failed


@dataclass(frozen=True)
class _Ranking:
    """A row of the table: a mode, as it is or reranked."""

    mode: Mode
    name: str
    reranker: TrainedReranker | None = None
    rerank_from: int = 50

    def settings(self, retrieval_set: RetrievalSet, base: KnowledgeBase) -> str:
        """What decides its figures, hashed."""
        from ..evals.retrieval_runs import run_settings

        told = f"|{self.reranker.fingerprint} from {self.rerank_from}" if self.reranker else ""
        return run_settings(retrieval_set, base, reranker=told)


def _rankings(modes: Sequence[Mode], used: Settings) -> list[_Ranking]:
    """The rows: every mode, and where a reranker is set every mode with it, beside it."""
    plain = [_Ranking(mode, mode) for mode in modes]
    if not used.reranks:
        return plain
    from .session import load_reranker

    loaded = load_reranker(used.reranker)
    rows = [(each, _Ranking(each.mode, f"{each.mode} + {loaded.name}", loaded, used.rerank_from)) for each in plain]
    return [row for pair in rows for row in pair]


def _run(retrieval_set: RetrievalSet, rankings: Sequence[_Ranking], seed: int, kept: Any) -> Iterator[RetrievalResult]:
    """The results of one set, each as soon as it is there; those that the file holds are taken from it."""
    from ..evals.indexing import index_set
    from ..evals.retrieval import evaluate_retrieval
    from ..retrieval import KnowledgeBase
    from ..settings import load_settings

    base = set_base_of(retrieval_set, load_settings())
    settings = {each.name: each.settings(retrieval_set, base) if kept else "" for each in rankings}
    done = {name: kept.finished(retrieval_set, name, settings[name], seed=seed) for name in settings} if kept else {}
    found = [name for name in settings if done.get(name)]
    if found:
        note(f"{retrieval_set.name}: taken from {kept.path}: {', '.join(found)}")
    if len(found) == len(rankings):
        yield from (done[each.name] for each in rankings)
        return
    with progress_bar() as bar:
        label = f"indexing {retrieval_set.name}"
        bar.show(label, 0, None)
        kb, seconds = index_set(retrieval_set, kb=base, progress=partial(bar.show, label))
        for each in rankings:
            if done.get(each.name):
                yield done[each.name]
                continue
            opened = KnowledgeBase.open(
                kb.folder, embedder=base.embedder_spec
            )  # anew: no query's vector is remembered from another mode
            result = evaluate_retrieval(
                opened,
                retrieval_set,
                each.mode,
                index_seconds=seconds,
                seed=seed,
                reranker=each.reranker,
                rerank_from=each.rerank_from,
                name=each.name,
                progress=partial(bar.show, f"{retrieval_set.name} {each.name}"),
            )
            if kept:
                kept.add(result, retrieval_set, settings[each.name])
            yield result


def _versus(result: RetrievalResult, baseline: RetrievalResult | None) -> dict[str, Difference]:
    from ..evals.retrieval import differences

    return differences(result, baseline) if baseline else {}


def _as_json(result: RetrievalResult, baseline: RetrievalResult, row: dict[str, Difference]) -> dict[str, Any]:
    versus = {
        name: {"mean": round(d["mean"], 4), "low": round(d["low"], 4), "high": round(d["high"], 4), "n": d["n"]}
        for name, d in row.items()
    }
    return {**result.to_dict(), "baseline": baseline.mode if row else None, "versus_baseline": versus}


def _show(results: Sequence[Versus], modes: Sequence[str]) -> None:
    from rich.table import Table

    from ..evals.retrieval import METRICS

    heads = ("nDCG@10", "R@100", "RR@10")
    table = Table("set", "mode", "n", "seed", *heads, "ms/query", box=None, pad_edge=False)
    against = Table("set", "difference", "n", "seed", *heads, box=None, pad_edge=False)
    for result, row in results:
        fixed = (str(result.n), str(result.seed))
        cells = [f"{result.means[name]:.3f} {_interval(*result.intervals[name])}" for name in METRICS]
        table.add_row(result.set, result.mode, *fixed, *cells, f"{result.ms_per_query:.1f}")
        if row:
            cells = [f"{row[name]['mean']:+.3f} {_interval(row[name]['low'], row[name]['high'])}" for name in METRICS]
            against.add_row(result.set, f"{result.mode} - {modes[0]}", *fixed, *cells)
    out = console()
    out.width = max(out.width, WIDTH)
    out.print(table)
    if against.row_count:
        out.print()
        out.print(against)


def _interval(low: float, high: float) -> str:
    return f"[{low:.3f}, {high:.3f}]"


def _warn_small(sizes: dict[str, int]) -> None:
    from ..evals.statistics import small_sample_note

    for name, n in sizes.items():
        if text := small_sample_note(n):
            note(f"{name}: {text}")


def compare(
    a: Annotated[Path, typer.Argument(metavar="A.jsonl", help="What `eval retrieval --out` wrote: before.")],
    b: Annotated[Path, typer.Argument(metavar="B.jsonl", help="After; the same file will do, with two modes.")],
    mode_a: Annotated[str | None, typer.Option(help="Mode of A; needed where it holds several.")] = None,
    mode_b: Annotated[str | None, typer.Option(help="Mode of B; needed where it holds several.")] = None,
    metric: Annotated[str, typer.Option(help="ndcg@10, recall@100 or rr@10.")] = "ndcg@10",
    top: Annotated[int, typer.Option(min=0, help="How many of the queries that won and lost most.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    json: JsonOption = False,
) -> None:
    """Compare two runs query by query, B minus A: the paired difference, and which queries won and which lost."""
    from ..evals.retrieval_runs import compare_runs, read_queries

    left, right = (read_queries(path) for path in (a, b))
    chosen_a, chosen_b = _one_mode(left, mode_a, a, "--mode-a"), _one_mode(right, mode_b, b, "--mode-b")
    sets = [name for name, mode in left if mode == chosen_a and (name, chosen_b) in right]
    if not sets:
        raise UsageError("the two runs have no set in common", hint="compare runs of the same set")
    for name in sets:
        found = compare_runs(left[name, chosen_a], right[name, chosen_b], metric=metric, seed=seed)
        if json:
            emit({"set": name, "mode_a": chosen_a, "mode_b": chosen_b, **found.to_dict(top=top)})
        else:
            _show_comparison(f"{name}: {chosen_b} ({b}) minus {chosen_a} ({a})", found, top)
        if found.only_a or found.only_b:
            note(f"{name}: left out, in one run only: {found.only_a} queries of A, {found.only_b} of B")
        if found.judged_differently:
            note(f"{name}: {found.judged_differently} queries have other gold documents in B than in A")
        _warn_small({name: len(found.changes)})


def _one_mode(runs: dict[tuple[str, str], Any], wanted: str | None, path: Path, option: str) -> str:
    modes = list(dict.fromkeys(mode for _, mode in runs))
    if wanted is None and len(modes) > 1:
        raise UsageError(f"{str(path)!r} holds several modes: {', '.join(modes)}", hint=f"choose with {option}")
    if wanted is not None and wanted not in modes:
        raise UsageError(f"{str(path)!r} holds no mode {wanted!r}", hint=f"it holds {', '.join(modes)}")
    return wanted or modes[0]


def _show_comparison(title: str, found: Comparison, top: int) -> None:
    out = console()
    ties = len(found.changes) - len(found.wins) - len(found.losses)
    out.print(title, style="bold")
    out.print(
        f"{found.metric} {found.mean_a:.3f} -> {found.mean_b:.3f}: {found.mean:+.3f} "
        f"{_interval(found.low, found.high)}, n {len(found.changes)}, seed {found.seed}; "
        f"{len(found.wins)} won, {len(found.losses)} lost, {ties} tied"
    )
    for label, changes in (("won most", found.wins[:top]), ("lost most", found.losses[:top])):
        if changes:
            out.print(f"\n{label}")
        for change in changes:
            out.print(f"  {change.difference:+.3f}  {change.query_id}  {' '.join(change.query.split())}")
            ranks = [f"{item['id']} {item['rank_a'] or '-'} -> {item['rank_b'] or '-'}" for item in change.gold]
            out.print(f"          gold ranks: {'; '.join(ranks[:6])}{f'; {len(ranks) - 6} more' * (len(ranks) > 6)}")
    out.print()
