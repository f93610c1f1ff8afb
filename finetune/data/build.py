"""Writing the rows of a role in three parts, by document.

    OUT/rows/train.jsonl  dev.jsonl  test.jsonl
    OUT/rows/rows.json    what they were made of: equal inputs and options are not built again

Here rows pass through one by one: they are told apart into parts on disk first, and then each part is read again with
what the parts before it have already, so that memory holds hashes of them and no texts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...evals.answer_sets import share_of
from ...evals.files import write_whole
from ...evals.jsonl import Problem
from ...models.artifacts import DataSource
from ...models.specs import TrainedRole
from ..options import Tell, TrainOptions
from ..recipe import Built
from .dedup import Counts, PartFilter
from .parts import PARTS, Part, part_of
from .rows import COLUMNS, TrainingRow, validate, write_rows
from .sources import Sources, load_sources

__all__ = ("build_parts", "reusable", "write_parts")

STATE = "rows.json"
CLASSED: frozenset[TrainedRole] = frozenset(
    {"evaluator", "reranker", "support", "utility", "retrieve", "router", "injection"}
)
"""Roles that learn to tell classes apart: one class alone teaches nothing."""
TOLD_EVERY = 500
LOSS = 0.1
"""Share of the rows that may be lost to keep the parts apart before it is told."""


def build_parts(
    role: TrainedRole,
    data: Sequence[Path],
    out: Path,
    options: TrainOptions,
    tell: Tell,
    make: Callable[[Sources], Iterable[TrainingRow]],
    *settings: object,
) -> Built:
    """Reads the data, makes rows of it with `make`, and writes them as `write_parts` does.

    `settings` are those that `make` depends on beside `limit`, `per_set` and `seed`. Where equal data and settings were
    built before, what `make` gives is not read: it should be a generator, which does nothing until then.
    """
    sources = load_sources(data, tell=tell)
    return write_parts(
        role,
        make(sources),
        out,
        sources=sources.data_sources(),
        options=options,
        tell=tell,
        problems=sources.problems,
        key=sources.key(role, options.limit, options.per_set, options.seed, *settings),
    )


def reusable(role: TrainedRole, out: Path, *, key: str) -> Built | None:
    """What an earlier run with this key wrote to OUT/rows; None where there is none, or a file was changed since."""
    folder = out / "rows"
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if not key or state["key"] != key or state["role"] != role:
            return None
        files = _files(folder)
        if any(_sha256(path) != state["sha256"][part] for part, path in files.items()):
            return None
        return Built(
            files,
            {part: int(state["counts"][part]) for part in PARTS},
            tuple(DataSource(**source) for source in state["sources"]),
            tuple(Problem(**problem) for problem in state["problems"]),
            tuple(state["notes"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_parts(
    role: TrainedRole,
    rows: Iterable[TrainingRow],
    out: Path,
    *,
    sources: Sequence[DataSource],
    options: TrainOptions,
    tell: Tell,
    problems: Sequence[Problem] = (),
    key: str = "",
) -> Built:
    """Writes OUT/rows/{train,dev,test}.jsonl and says what is in them.

    Each row goes to the part of its document; equal rows are kept once, and what a part shares with dev or test is
    dropped from it and counted in `notes`. `options.limit` keeps so many rows of the train part, drawn by hash of seed.
    `key` names inputs and options, `limit` and `seed` among them (`Sources.key`): where it is that of the rows that are
    there, they are used again and `rows` is not read. `problems` is read after the rows were, so that what turns up on
    the way is in it.

    Raises `UsageError` where no rows are left to train or to measure on, or all are of one class.
    """
    if found := reusable(role, out, key=key):
        tell("rows of an earlier run are used again", found.counts["train"], found.counts["train"])
        return found
    folder = out / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATE).unlink(missing_ok=True)
    bad: list[Problem] = []
    _sort_into_parts(role, rows, folder, bad, tell)
    kept = PartFilter()
    counts: dict[Part, int] = {}
    tally: Counter[str] = Counter()
    classes: dict[Part, Counter[str]] = {part: Counter() for part in PARTS}
    files = _files(folder)
    for part in ("test", "dev", "train"):
        found_rows: Iterator[TrainingRow] = _read(_draft(folder, part))
        if part == "train":
            found_rows = _limited(_draft(folder, part), options)
        stay = kept.part(found_rows, remember=part != "train")
        counts[part] = write_rows(files[part], _counted(stay, tally, classes[part]))
        _draft(folder, part).unlink()
        tell(f"checking the {part} part", counts[part], counts[part])
    named = [*problems, *bad, *_losses(kept.counts, counts)]
    _refuse(role, counts, classes["train"], named)
    notes = (*kept.counts.notes(), *_missing(role, counts, classes))
    used = tuple(source.model_copy(update={"rows": tally[source.name]}) for source in sources)
    known = {source.name for source in sources}
    if others := sorted(name for name in tally if name not in known):
        notes = (*notes, f"rows name other sets as their origin: {', '.join(others[:10])}")
    built = Built(files, {part: counts[part] for part in PARTS}, used, tuple(named), notes)
    write_whole(folder / STATE, json.dumps(_state(role, key, built), ensure_ascii=False, indent=1))
    return built


def _sort_into_parts(
    role: TrainedRole, rows: Iterable[TrainingRow], folder: Path, bad: list[Problem], tell: Tell
) -> None:
    streams = {part: _draft(folder, part).open("w", encoding="utf-8", errors="replace") for part in PARTS}
    try:
        for number, row in enumerate(rows, start=1):
            complaint = validate(role, row) or _without_origin(row)
            if complaint:
                origin = row.get("origin") or {}
                place = f"record {origin['id']}: " if origin.get("id") else ""
                bad.append(Problem(str(origin.get("set", role)), number, f"{place}{complaint}: left out"))
                continue
            streams[part_of(row["origin"]["document"])].write(json.dumps(row, ensure_ascii=False) + "\n")
            if number % TOLD_EVERY == 0:
                tell("building rows", number, None)
    finally:
        for stream in streams.values():
            stream.close()


def _without_origin(row: Mapping[str, Any]) -> str:
    origin = row.get("origin")
    return "" if isinstance(origin, dict) and origin.get("document") else "no origin with a document"


def _limited(path: Path, options: TrainOptions) -> Iterator[TrainingRow]:
    """At most `limit` rows, the same ones for the same seed, in the order of the file."""
    if options.limit is None:
        yield from _read(path)
        return
    shares = sorted(_share(row, options.seed) for row in _read(path))
    last = shares[: options.limit][-1] if shares else 0.0
    left = options.limit
    for row in _read(path):
        if left and _share(row, options.seed) <= last:
            left -= 1
            yield row


def _share(row: TrainingRow, seed: int) -> float:
    # All rows of one question stay or go together: a reranker learns from them side by side.
    origin = row["origin"]
    return share_of(f"{origin['set']}\0{row.get('query') or origin['id']}", seed=seed, salt="limit")


def _counted(rows: Iterable[TrainingRow], tally: Counter[str], classes: Counter[str]) -> Iterator[TrainingRow]:
    for row in rows:
        tally[row["origin"]["set"]] += 1
        label = row.get("label")
        # 1 and 1.0 are one class.
        classes[f"{label:g}" if isinstance(label, int | float) else str(label)] += 1
        yield row


def _refuse(
    role: TrainedRole, counts: Mapping[Part, int], classes: Mapping[str, int], problems: Sequence[Problem]
) -> None:
    first = f"first problem: {problems[0]}" if problems else ""
    if not sum(counts.values()):
        needed = ", ".join(COLUMNS[role])
        raise UsageError(f"the data has no rows for {role!r}", hint=first or f"a row has the columns {needed}")
    if not counts["train"]:
        raise UsageError(
            f"no rows are left to train {role!r} on: all are of documents that are kept for measuring, or share texts "
            "with them",
            hint=first or "give data of more documents",
        )
    if role in CLASSED and len(classes) < 2:
        only = next(iter(classes))
        raise UsageError(
            f"all {counts['train']:,} rows to train {role!r} on have the label {only!r}",
            hint=first or "give data with rows of the other classes",
        )


def _losses(dropped: Counts, counts: Mapping[Part, int]) -> list[Problem]:
    """Told before the training where more than a few rows went because another part has their texts."""
    lost = dropped.shared_texts + dropped.shared_runs
    if lost <= LOSS * (lost + sum(counts.values())):
        return []
    told = f"{lost:,} rows share a text with another part, so that they are left out: tell their `document`"
    return [Problem("rows", 0, told)]


def _missing(role: TrainedRole, counts: Mapping[Part, int], classes: Mapping[Part, Counter[str]]) -> list[str]:
    said = [f"the {part} part is empty: too few documents" for part in PARTS if not counts[part]]
    for part in PARTS if role in CLASSED else ():
        absent = sorted(classes["train"].keys() - classes[part].keys())
        if counts[part] and absent and len(absent) < 10:
            said.append(f"the {part} part has no row with the label {', '.join(absent)}")
    return said


def _state(role: TrainedRole, key: str, built: Built) -> dict[str, Any]:
    return {
        "role": role,
        "key": key,
        "counts": built.counts,
        "sha256": {part: _sha256(path) for part, path in built.files.items()},
        "sources": [source.model_dump() for source in built.sources],
        "problems": [asdict(problem) for problem in built.problems],
        "notes": list(built.notes),
    }


def _files(folder: Path) -> dict[Part, Path]:
    return {part: folder / f"{part}.jsonl" for part in PARTS}


def _draft(folder: Path, part: Part) -> Path:
    return folder / f".{part}.draft"


def _read(path: Path) -> Iterator[TrainingRow]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
