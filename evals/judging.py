"""A pass of a judge over a finished run: `judged.jsonl`, a line per record, beside the records that it leaves alone.

{set, strategy, id, judge, record, scores: {name: value or null}, reasons: {name: why there is no score}}

`judge` names who judged and `record` is a hash of what was judged: a score holds for that judge and that answer only.
Of several lines with the same five the last one counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from ..errors import StoreError
from .jsonl import Row, scan_jsonl
from .run_folder import read_run
from .statistics import mean_interval

if TYPE_CHECKING:
    from .judges import Judge
    from .records import Record

__all__ = ("Judged", "JudgedRow", "judge_run")


class Judged(TypedDict):
    """What the judges say of one record."""

    set: str
    strategy: str
    id: str
    judge: str
    """Who judged, as the caller of `judge_run` names it."""
    record: str
    """SHA-256 of what was judged."""
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


_Key = tuple[str, str, str, str, str]

_READ = ("question", "answers", "answer", "abstained", "failed", "citations", "documents")
"""What a judge may look at."""

# Reasons that say nothing of the record or the judge: the server was away, too slow, or refused. As `models.failures`
# and `judges.library_judge` word them; an exception that neither knows is told by its class name.
_ASK_AGAIN = re.compile(
    r"the model server\b|the connection to the model server |the model client refused|no score within "
    r"|[\w.]*(Error|Exception|Timeout|Interrupt)\b"
)


def judge_run(
    folder: Path,
    judges: Iterable[Judge],
    *,
    judge_name: str = "",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[JudgedRow]:
    """Judges every record of the run in `folder` that is not judged yet; a killed pass goes on where it was.

    `judge_name` says who judges, for example the identity of the model: what another judge said, or what was said of
    another answer, does not count. A record that a judge cannot score has no score and is not asked about again, unless
    asking was what failed (no connection, no reply in time): then the next pass tries once more.

    Raises `UsageError` where the folder holds no finished run, `StoreError` where another pass is at work in it.
    """
    _, records, _, _ = read_run(folder)
    path = folder / "judged.jsonl"
    asked = list(judges)
    judged: list[Judged] = []
    with _alone(folder):
        done = _load(path)
        for number, record in enumerate(records, start=1):
            key = (record["set"], record["strategy"], record["id"], judge_name, _digest(record))
            kept = done.setdefault(key, _nothing(key))
            missing = [name for judge in asked for name in judge.names if not _settled(kept, name)]
            for judge in asked:
                if not set(missing).isdisjoint(judge.names):
                    _take(kept, judge, record, missing)
            if missing:
                with path.open("a", encoding="utf-8", errors="replace") as stream:
                    stream.write(json.dumps(kept, ensure_ascii=False) + "\n")
            judged.append(kept)
            if progress:
                progress(number, len(records))
    return _rows(judged, [name for judge in asked for name in judge.names], seed)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".judging.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(f"another process judges {str(folder)!r}", hint="wait until it is done") from error
    try:
        yield
    finally:
        lock.release()


def _load(path: Path) -> dict[_Key, Judged]:
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):  # killed in the middle of a line
        os.truncate(path, whole)
    done: dict[_Key, Judged] = {}
    for row in scan_jsonl(path, []):
        if (told := _judged(row)) is not None:
            done[told["set"], told["strategy"], told["id"], told["judge"], told["record"]] = told
    return done


def _judged(row: Row) -> Judged | None:
    """The line, unless it is none of ours: then its record is judged again."""
    fields = row.fields
    texts = [fields.get(name) for name in ("set", "strategy", "id", "judge", "record")]
    scores, reasons = fields.get("scores"), fields.get("reasons")
    if not (all(isinstance(text, str) for text in texts) and isinstance(scores, dict) and isinstance(reasons, dict)):
        return None
    if not all(value is None or type(value) in (int, float) for value in scores.values()):
        return None
    kept = _nothing((row.text("set"), row.text("strategy"), row.text("id"), row.text("judge"), row.text("record")))
    kept["scores"] |= scores
    kept["reasons"] |= {name: str(reason) for name, reason in reasons.items()}
    return kept


def _nothing(key: _Key) -> Judged:
    return Judged(set=key[0], strategy=key[1], id=key[2], judge=key[3], record=key[4], scores={}, reasons={})


def _digest(record: Record) -> str:
    told = json.dumps({name: record.get(name) for name in _READ}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _settled(kept: Judged, name: str) -> bool:
    if name not in kept["scores"]:
        return False
    return kept["scores"][name] is not None or not _ASK_AGAIN.match(kept["reasons"].get(name, ""))


def _take(kept: Judged, judge: Judge, record: Record, missing: list[str]) -> None:
    """Asks the judge, and takes what is missing of what it says."""
    scores = judge.judge(record)
    for name in judge.names:
        if name in missing:
            kept["scores"][name] = scores.get(name)
            kept["reasons"].pop(name, None)
            if name in scores.reasons:
                kept["reasons"][name] = scores.reasons[name]


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
