"""A run's folder: every record is on the disk when it is done, and a killed run goes on where it was.

While a run lasts, `partial.jsonl` grows by a line per record. At its end records and timings are written in their
order, each file at once, and the partial one goes. See `records` for the files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StoreError, UsageError
from .files import write_whole
from .jsonl import Problem, scan_jsonl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .records import Record, Summary, Timing

__all__ = ("Key", "RunFolder", "read_run")

Key = tuple[str, str, str]
"""Set, strategy, question id."""


class RunFolder:
    """The folder of one run. `settings` decide what the records are: a folder of other settings is refused.

    >>> with RunFolder(Path("runs/first")).open({"llm": "bundled:smollm2"}) as run:  # doctest: +SKIP
    ...     run.add(record, timing)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[Key, tuple[Record, Timing]] = {}
        self._stream: Any = None

    @contextmanager
    def open(self, settings: dict[str, Any], *, retry_failed: bool = False, fresh: bool = False) -> Iterator[RunFolder]:
        """Locks the folder and takes up what is there. `retry_failed` forgets the records that failed, `fresh` all."""
        from filelock import FileLock, Timeout

        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise StoreError(
                f"another process writes to {str(self.path)!r}", hint="wait, or use another --out"
            ) from error
        try:
            if fresh:
                for name in ("run.json", "records.jsonl", "timings.jsonl", "summary.json", "partial.jsonl"):
                    (self.path / name).unlink(missing_ok=True)
            self._settle(settings)
            self._load()
            if retry_failed:
                self._forget_failed()
            with (self.path / "partial.jsonl").open("a", encoding="utf-8", errors="replace") as self._stream:
                yield self
        finally:
            self._stream = None
            lock.release()

    def _settle(self, settings: dict[str, Any]) -> None:
        path = self.path / "run.json"
        told = json.loads(json.dumps(settings, default=str))
        held = (self.path / "records.jsonl", self.path / "partial.jsonl")
        if path.exists() and any(each.exists() and each.stat().st_size for each in held):
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UsageError(f"{str(path)!r} is damaged: {error}", hint="use another --out") from error
            differs = sorted(name for name in told.keys() | kept.keys() if told.get(name) != kept.get(name))
            # What was asked decides; who asked, when and with which versions does not.
            differs = [name for name in differs if name not in ("created", "versions", "command", "problems")]
            if differs:
                values = [str(each.get(differs[0])) for each in (kept, told)]
                was = differs[0] if max(map(len, values)) > 60 else f"{differs[0]} was {values[0]}, now {values[1]}"
                raise UsageError(f"{str(self.path)!r} holds another run ({was})", hint="use another --out, or --fresh")
            return
        write_whole(path, json.dumps(told, indent=1, ensure_ascii=False))

    def _load(self) -> None:
        if (self.path / "records.jsonl").exists() and not (self.path / "partial.jsonl").exists():
            records, timings = _lines(self.path / "records.jsonl"), _lines(self.path / "timings.jsonl")
            if len(records) != len(timings):
                raise UsageError(f"{str(self.path)!r} is damaged", hint="--fresh runs it again, from the outputs kept")
            pairs = [{"record": left, "timing": right} for left, right in zip(records, timings, strict=True)]
            write_whole(
                self.path / "partial.jsonl", "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in pairs)
            )
        partial = self.path / "partial.jsonl"
        if not partial.exists():
            return
        data = partial.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):  # killed in the middle of a line
            os.truncate(partial, len(whole))
        for row in scan_jsonl(partial, []):
            record, timing = row.fields["record"], row.fields["timing"]
            self.done[record["set"], record["strategy"], record["id"]] = (record, timing)

    def _forget_failed(self) -> None:
        self.done = {key: pair for key, pair in self.done.items() if pair[0]["failed"] is None}
        lines = (json.dumps({"record": a, "timing": b}, ensure_ascii=False) for a, b in self.done.values())
        write_whole(self.path / "partial.jsonl", "".join(f"{line}\n" for line in lines))

    def add(self, record: Record, timing: Timing) -> None:
        """Keeps a record; it survives the process when this returns."""
        self.done[record["set"], record["strategy"], record["id"]] = (record, timing)
        self._stream.write(json.dumps({"record": record, "timing": timing}, ensure_ascii=False) + "\n")
        self._stream.flush()

    def finish(self, order: Iterable[Key], summaries: Sequence[Summary]) -> None:
        """Writes the records of `order`, and the summaries."""
        pairs = [self.done[key] for key in order]
        write_whole(self.path / "timings.jsonl", "".join(f"{json.dumps(timing)}\n" for _, timing in pairs))
        write_whole(self.path / "summary.json", json.dumps(list(summaries), indent=1))
        text = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record, _ in pairs)
        write_whole(self.path / "records.jsonl", text)
        self._stream.close()
        (self.path / "partial.jsonl").unlink()


def read_run(path: Path) -> tuple[dict[str, Any], list[Record], list[Timing], list[Summary]]:
    """Settings, records, timings and summaries of a finished run. `UsageError` names a file that is missing or bad."""
    settings, summaries = (_json(path / name) for name in ("run.json", "summary.json"))
    return settings, _lines(path / "records.jsonl"), _lines(path / "timings.jsonl"), summaries


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"there is no {str(path)!r}", hint="is it the folder of a finished run?") from error
    except ValueError as error:
        raise UsageError(f"{str(path)!r} is damaged: {error}") from error


def _lines(path: Path) -> list[Any]:
    if not path.exists():
        raise UsageError(f"there is no {str(path)!r}", hint="is it the folder of a finished run?")
    problems: list[Problem] = []
    rows = [row.fields for row in scan_jsonl(path, problems)]
    if problems:
        raise UsageError(f"{problems[0]}", hint="the run is damaged: --fresh runs it again, from the outputs kept")
    return rows
