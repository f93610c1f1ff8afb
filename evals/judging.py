"""A pass of a judge over a finished run: `judged.jsonl`, a line per record, beside the records that it leaves alone.

{set, strategy, id, scores: {name: value or null}, reasons: {name: why there is no score}}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from .jsonl import scan_jsonl
from .run_folder import read_run
from .statistics import mean_interval

if TYPE_CHECKING:
    from .judges import Judge

__all__ = ("Judged", "JudgedRow", "judge_run")


class Judged(TypedDict):
    """What the judges say of one record."""

    set: str
    strategy: str
    id: str
    scores: dict[str, float | None]
    reasons: dict[str, str]


class JudgedRow(TypedDict):
    """One metric of one strategy on one set."""

    set: str
    strategy: str
    metric: str
    mean: float | None
    ci95: tuple[float, float]
    n: int
    """Records with a score."""
    without: int
    """Records without one."""


def judge_run(
    folder: Path,
    judges: Iterable[Judge],
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[JudgedRow]:
    """Judges every record of the run in `folder` that is not judged yet; a killed pass goes on where it was.

    Raises `UsageError` where the folder holds no finished run. A record that a judge cannot score has no score; it is
    not asked again.
    """
    _, records, _, _ = read_run(folder)
    path = folder / "judged.jsonl"
    done: dict[tuple[str, str, str], Judged] = {}
    if path.exists():
        for row in scan_jsonl(path, []):  # a line that was cut by a kill is judged again
            told = row.fields
            done[told["set"], told["strategy"], told["id"]] = Judged(**told)  # type: ignore[typeddict-item]
    asked = list(judges)
    for number, record in enumerate(records, start=1):
        key = (record["set"], record["strategy"], record["id"])
        kept = done.setdefault(key, Judged(set=key[0], strategy=key[1], id=key[2], scores={}, reasons={}))
        open_ = [judge for judge in asked if not set(judge.names) <= kept["scores"].keys()]
        for judge in open_:
            scores = judge.judge(record)
            kept["scores"] |= scores
            kept["reasons"] |= scores.reasons
        if open_:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(kept, ensure_ascii=False) + "\n")
        if progress:
            progress(number, len(records))
    names = [name for judge in asked for name in judge.names]
    return _rows([done[record["set"], record["strategy"], record["id"]] for record in records], names, seed)


def _rows(judged: list[Judged], names: list[str], seed: int) -> list[JudgedRow]:
    rows = []
    for set_name, strategy in dict.fromkeys((each["set"], each["strategy"]) for each in judged):
        group = [each for each in judged if (each["set"], each["strategy"]) == (set_name, strategy)]
        for name in names:
            values = [value for each in group if (value := each["scores"].get(name)) is not None]
            row = JudgedRow(
                set=set_name,
                strategy=strategy,
                metric=name,
                mean=sum(values) / len(values) if values else None,
                ci95=mean_interval(values, seed=seed),
                n=len(values),
                without=len(group) - len(values),
            )
            rows.append(row)
    return rows
