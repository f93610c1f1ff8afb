"""Per-query results of a retrieval evaluation in a file, kept from run to run, and two of them compared.

One line per set, mode and query:

    {set, mode, query_id, query, "ndcg@10", "recall@100", "rr@10", ms, gold: {doc_id: relevance},
     ranking: [[doc_id, score], ...], index_seconds, settings}

`settings` is a hash over everything that decides a line's numbers. While a run goes on, finished modes stand in
FILE.part, so that a run that was interrupted goes on where it stopped; at its end FILE is replaced in one step.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import UsageError
from ..retrieval.knowledge_base import KnowledgeBase
from .datasets import RetrievalSet
from .files import write_whole
from .jsonl import Problem, Row, scan_jsonl
from .retrieval import CHUNKS_PER_DOCUMENT, DEPTH, METRICS, RetrievalResult
from .statistics import paired_difference

__all__ = ("Comparison", "QueryChange", "RunFile", "compare_runs", "read_queries", "run_settings")

Pair = tuple[str, str]
"""Set and mode."""
_NEEDED = {"set", "mode", "query_id", "settings", "ms", "gold", "ranking", *METRICS}


def run_settings(retrieval_set: RetrievalSet, kb: KnowledgeBase | None = None, *, reranker: str = "") -> str:
    """A hash of what decides the figures: corpus, queries, judgements, embedder, chunking, depth and ragloom's version.

    Embedder and chunking are those of `kb`, or the default ones; `reranker` says which one, and how many it reads.

    >>> run_settings(found) == run_settings(found.limited(10))  # doctest: +SKIP
    False
    """
    base = (kb or KnowledgeBase("")).fingerprint
    digest = hashlib.sha256(f"{__version__}|{DEPTH}|{CHUNKS_PER_DOCUMENT}|{base}{reranker}".encode())
    for part in (retrieval_set.documents, retrieval_set.queries, retrieval_set.qrels):
        for item in part.items():
            digest.update(f"\0{item!r}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


class RunFile:
    """The file of `--out`: what is in it already, and what is added to it.

    A set and mode stand in the file once: a run with other settings takes the place of the older one; sets and modes
    that this run does not ask for stay.

    Raises `UsageError` where a line of the file is no line of ours: such a file is never overwritten.

    Example:
        >>> with RunFile.writing(Path("runs.jsonl")) as kept:  # doctest: +SKIP
        ...     kept.add(result, found)
    """

    def __init__(self, path: Path) -> None:
        self.path, self.part = path, path.with_name(f"{path.name}.part")
        self._asked: dict[Pair, str] = {}
        self._lines: dict[Pair, dict[str, dict[str, str]]] = {}
        """Set and mode to settings to query id to line, in the order in which they came."""
        for file in (self.path, self.part):
            if file.exists():
                self._load(file)

    @classmethod
    @contextmanager
    def writing(cls, path: Path) -> Iterator[RunFile]:
        """The file, replaced at the end of the block; where the block fails, what was added waits in FILE.part."""
        if not path.resolve().parent.is_dir() or path.is_dir():
            raise UsageError(f"cannot write {str(path)!r}", hint="--out is a file in a folder that exists")
        file = cls(path)
        yield file
        file.close()

    def finished(self, retrieval_set: RetrievalSet, mode: str, settings: str, *, seed: int) -> RetrievalResult | None:
        """The result of an earlier run with these settings, or None where one of its queries is missing."""
        self._asked[retrieval_set.name, mode] = settings
        lines = self._lines.get((retrieval_set.name, mode), {}).get(settings, {})
        if lines.keys() != retrieval_set.queries.keys():
            return None
        rows = {key: json.loads(lines[key]) for key in retrieval_set.queries}
        return RetrievalResult(
            set=retrieval_set.name,
            mode=mode,
            index_seconds=float(next(iter(rows.values())).get("index_seconds", 0.0)),
            seed=seed,
            per_query={key: {name: float(row[name]) for name in METRICS} for key, row in rows.items()},
            ms={key: float(row["ms"]) for key, row in rows.items()},
        )

    def add(self, result: RetrievalResult, retrieval_set: RetrievalSet, settings: str) -> None:
        """Writes the lines of a set and mode to FILE.part at once, and to the disk."""
        lines = {
            key: json.dumps(
                {
                    "set": result.set,
                    "mode": result.mode,
                    "query_id": key,
                    "query": retrieval_set.queries[key],
                    **values,
                    "ms": result.ms[key],
                    "gold": retrieval_set.qrels[key],
                    "ranking": list(result.runs[key].items()),
                    "index_seconds": round(result.index_seconds, 3),
                    "settings": settings,
                }
            )
            for key, values in result.per_query.items()
        }
        self._asked[result.set, result.mode] = settings
        self._lines.setdefault((result.set, result.mode), {})[settings] = lines
        # A part that a crash cut in the middle of a line: the new lines must not go on in it.
        torn = self.part.exists() and self.part.read_bytes()[-1:] != b"\n"
        with self.part.open("a", encoding="utf-8") as stream:
            stream.write("\n" * torn + "".join(f"{line}\n" for line in lines.values()))
            stream.flush()
            os.fsync(stream.fileno())

    def close(self) -> None:
        """Replaces the file by what it is to hold."""
        lines: list[str] = []
        for pair, versions in self._lines.items():
            asked = versions.get(self._asked.get(pair, ""))
            # Of a pair that was not asked for now, an interrupted run may have left less than an older one.
            lines += (asked or max(reversed(versions.values()), key=len)).values()
        write_whole(self.path, (f"{line}\n" for line in lines))
        self.part.unlink(missing_ok=True)

    def _load(self, file: Path) -> None:
        problems: list[Problem] = []
        for row in scan_jsonl(file, problems):
            fields = _checked(row)
            versions = self._lines.setdefault((fields["set"], fields["mode"]), {})
            versions.setdefault(fields["settings"], {})[fields["query_id"]] = json.dumps(fields)
        if problems and file == self.path:  # the part may end in half a line
            raise _foreign(problems[0])


def read_queries(path: Path) -> dict[Pair, dict[str, dict[str, Any]]]:
    """The lines of a file, by set and mode and then by query id.

    Raises:
        UsageError: the file is missing, empty, or a line of it is no line of ours.

    Example:
        >>> read_queries(Path("runs.jsonl"))["squad", "bm25"]["q1"]["ndcg@10"]  # doctest: +SKIP
        0.63
    """
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}", hint="`ragloom eval retrieval SET --out FILE` writes one")
    problems: list[Problem] = []
    found: dict[Pair, dict[str, dict[str, Any]]] = {}
    for row in scan_jsonl(path, problems):
        fields = _checked(row)
        found.setdefault((fields["set"], fields["mode"]), {})[fields["query_id"]] = fields
    if problems:
        raise _foreign(problems[0])
    if not found:
        raise UsageError(f"{str(path)!r} is empty", hint="`ragloom eval retrieval SET --out FILE` writes such a file")
    return found


def _checked(row: Row) -> dict[str, Any]:
    fields = row.fields
    missing = sorted(_NEEDED - fields.keys())
    texts = all(isinstance(fields.get(name), str) for name in ("set", "mode", "query_id", "settings"))
    numbers = all(isinstance(fields.get(name), (int, float)) for name in ("ms", *METRICS))
    gold, ranking = fields.get("gold"), fields.get("ranking")
    judged = isinstance(gold, dict) and all(isinstance(value, int) for value in gold.values())
    ranked = isinstance(ranking, list) and all(isinstance(item, list) and len(item) == 2 for item in ranking)
    if missing or not (texts and numbers and judged and ranked):
        raise _foreign(row.problem(f"no {missing[0]!r}" if missing else "a field is of another kind"))
    return fields


def _foreign(problem: Problem) -> UsageError:
    return UsageError(f"no per-query results: {problem}", hint="give a file that `eval retrieval --out` wrote")


@dataclass(frozen=True, slots=True)
class QueryChange:
    """One query in both runs."""

    query_id: str
    query: str
    a: float
    b: float
    gold: list[dict[str, Any]]
    """Its gold documents, best first, as {id, relevance, rank_a, rank_b}; a rank beyond what the run holds is None."""

    @property
    def difference(self) -> float:
        """B minus A."""
        return self.b - self.a

    def to_dict(self) -> dict[str, Any]:
        """As `ragloom eval compare --json` prints it."""
        values = {"a": round(self.a, 4), "b": round(self.b, 4), "difference": round(self.difference, 4)}
        return {"query_id": self.query_id, "query": self.query, **values, "gold": self.gold}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Run B minus run A on the queries of one set that both have."""

    metric: str
    mean_a: float
    mean_b: float
    mean: float
    low: float
    high: float
    seed: int
    changes: list[QueryChange] = field(repr=False)
    """Every common query, what gained most first; ties of that by query id."""
    only_a: int
    """Queries that B lacks."""
    only_b: int
    judged_differently: int
    """Common queries whose gold documents are not the same in both: their values cannot well be compared."""

    @property
    def wins(self) -> list[QueryChange]:
        """Queries where B is better, the greatest gain first."""
        return [change for change in self.changes if change.difference > 1e-9]

    @property
    def losses(self) -> list[QueryChange]:
        """Queries where B is worse, the greatest loss first."""
        return [change for change in reversed(self.changes) if change.difference < -1e-9]

    def to_dict(self, *, top: int) -> dict[str, Any]:
        """As `ragloom eval compare --json` prints it, with the `top` queries that won and lost most."""
        return {
            "metric": self.metric,
            "n": len(self.changes),
            "seed": self.seed,
            **{name: round(getattr(self, name), 4) for name in ("mean_a", "mean_b", "mean", "low", "high")},
            "wins": len(self.wins),
            "losses": len(self.losses),
            "ties": len(self.changes) - len(self.wins) - len(self.losses),
            **{name: getattr(self, name) for name in ("only_a", "only_b", "judged_differently")},
            "won": [change.to_dict() for change in self.wins[:top]],
            "lost": [change.to_dict() for change in self.losses[:top]],
        }


def compare_runs(
    a: dict[str, dict[str, Any]], b: dict[str, dict[str, Any]], *, metric: str = "ndcg@10", seed: int = 0
) -> Comparison:
    """Run B minus run A, query by query: lines by query id, as `read_queries` gives them for a set and mode.

    Raises:
        UsageError: the metric is not one of `METRICS`, or no query is in both.

    Example:
        >>> runs = read_queries(Path("runs.jsonl"))  # doctest: +SKIP
        >>> compare_runs(runs["squad", "bm25"], runs["squad", "default"]).mean  # doctest: +SKIP
        0.041
    """
    if metric not in METRICS:
        raise UsageError(f"unknown metric {metric!r}", hint=f"use one of {', '.join(METRICS)}")
    common = [key for key in a if key in b]
    if not common:
        raise UsageError("the two runs have no query in common", hint="compare runs of the same set")
    changes = []
    for key in common:
        ranks = [{item[0]: rank for rank, item in enumerate(side[key]["ranking"], start=1)} for side in (a, b)]
        gold = [
            {"id": name, "relevance": relevance, "rank_a": ranks[0].get(name), "rank_b": ranks[1].get(name)}
            for name, relevance in a[key]["gold"].items()
        ]
        gold.sort(key=lambda item: (-item["relevance"], min(item["rank_a"] or DEPTH + 1, item["rank_b"] or DEPTH + 1)))
        changes.append(QueryChange(key, str(a[key].get("query", "")), a[key][metric], b[key][metric], gold))
    left, right = ({key: float(side[key][metric]) for key in common} for side in (a, b))
    found = paired_difference(right, left, seed=seed)
    return Comparison(
        metric=metric,
        mean_a=sum(left.values()) / len(common),
        mean_b=sum(right.values()) / len(common),
        mean=found["mean"],
        low=found["low"],
        high=found["high"],
        seed=seed,
        changes=sorted(changes, key=lambda change: (-change.difference, change.query_id)),
        only_a=len(a.keys() - b.keys()),
        only_b=len(b.keys() - a.keys()),
        judged_differently=sum(a[key]["gold"] != b[key]["gold"] for key in common),
    )
