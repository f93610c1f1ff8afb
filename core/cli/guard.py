"""`ragloom guard`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import StoreError, UsageError
from ..guarding import STAGES, Finding, Stage
from .options import GuardOption
from .output import JsonOption, console, emit, note

if TYPE_CHECKING:
    from ..evals.guard_report import GuardReport, LabelledText
    from ..evals.jsonl import Problem

__all__ = ("app",)

app = typer.Typer(no_args_is_help=True)

StageOption = Annotated[str, typer.Option(help=f"Where the texts come from: {', '.join(STAGES)}.")]
SHOWN = 60
"""Characters of a text in a line for people."""


@app.command("check")
def check(
    file: Annotated[
        Path | None, typer.Argument(help="A text a line, or JSON Lines with a text each; standard input without it.")
    ] = None,
    stage: StageOption = "input",
    guard: GuardOption = None,
    whole: Annotated[bool, typer.Option(help="The file is one text.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit with 1 if anything is blocked.")] = False,
    json: JsonOption = False,
) -> None:
    """Check texts: one verdict a line (pass, change or block), in their order."""
    known = _stage(stage)
    if file is not None and not file.is_file():
        raise UsageError(f"there is no file {str(file)!r}")
    checker = _guard(guard)
    blocked = 0
    for text in _texts(file, whole):
        began = time.perf_counter()
        finding = checker.check(known, [text])[0]
        ms = round(1000 * (time.perf_counter() - began), 2)
        blocked += finding.verdict == "block"
        emit(_as_json(finding, ms)) if json else _show(finding, text)
    if strict and blocked:
        raise typer.Exit(1)


@app.command("report")
def report(
    labelled: Annotated[Path, typer.Argument(help="JSON Lines of text, label, source; or a folder with items.jsonl.")],
    stage: StageOption = "input",
    guard: GuardOption = None,
    positive: Annotated[
        list[str] | None, typer.Option("--positive", help="Label of what should be stopped (all but the harmless).")
    ] = None,
    negative: Annotated[
        list[str] | None, typer.Option("--negative", help="Label of what should pass (benign, safe, clean, 0, false).")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure a guard on labelled texts: confusion matrix, thresholds, over-refusal."""
    from dataclasses import asdict

    from ..evals.guard_report import guard_report, load_labelled_texts

    known = _stage(stage)
    problems: list[Problem] = []
    items = load_labelled_texts(labelled, positive=positive or (), negative=negative or (), problems=problems)
    for problem in problems:
        note(f"left out: {problem}")
    found = guard_report(_guard(guard), items, known, progress=_progress)
    emit(asdict(found)) if json else _show_report(found)


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to copy it to.")],
    json: JsonOption = False,
) -> None:
    """Copy our NeMo Guardrails configuration, to be edited and used as --guard nemo:FOLDER."""
    from ..guardrails.nemo import copy_config

    made = copy_config(folder)
    if json:
        emit({"folder": str(folder), "files": [path.name for path in made]})
    else:
        note(f"wrote {', '.join(str(path) for path in made)}; use it with --guard nemo:{folder}")


def _stage(name: str) -> Stage:
    for known in STAGES:
        if name == known:
            return known
    raise UsageError(f"unknown stage {name!r}", hint=f"use {', '.join(STAGES)}")


def _guard(spec: str | None) -> Any:
    from ..guardrails import load_guard
    from ..settings import NO_GUARD, load_settings

    wanted = load_settings(guard=spec).guard
    return load_guard("local" if wanted == NO_GUARD else wanted)


def _texts(file: Path | None, whole: bool) -> Iterator[str]:
    """Texts of a file, or of standard input, one after the other as they come."""
    if file is None:
        yield from [sys.stdin.read()] if whole else (line.rstrip("\r\n") for line in sys.stdin)
        return
    if file.suffix in (".jsonl", ".gz"):
        from ..evals.jsonl import scan_jsonl

        problems: list[Problem] = []
        for row in scan_jsonl(file, problems):
            if text := row.text("text"):
                yield text
            else:
                problems.append(row.problem("it has no text"))
        if problems:  # a line that was not checked must not look like one that passed
            raise StoreError(f"{len(problems)} lines were not checked; the first: {problems[0]}")
        return
    with file.open(encoding="utf-8", errors="replace") as stream:
        yield from [stream.read()] if whole else (line.rstrip("\r\n") for line in stream)


def _as_json(finding: Finding, ms: float) -> dict[str, Any]:
    return {
        "verdict": finding.verdict,
        "rail": finding.rail,
        "reason": finding.reason,
        "score": finding.score,
        "ms": ms,
        "spans": finding.spans,
        **({"text": finding.text} if finding.verdict == "change" else {}),
    }


def _show(finding: Finding, text: str) -> None:
    why = f"  {finding.rail}: {finding.reason}" if finding.verdict != "pass" else ""
    shown = finding.text if finding.verdict == "change" else text
    line = " ".join(shown.split())
    cut = line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"
    colour = {"pass": "green", "change": "yellow", "block": "red"}[finding.verdict]
    out = console()
    out.print(finding.verdict.ljust(7), style=colour, end="")
    out.print(f"{cut}{why}")


def _progress(items: Sequence[LabelledText]) -> Iterable[LabelledText]:
    from rich.progress import track

    return track(items, description="checking", console=console(stderr=True), transient=True)


def _show_report(found: GuardReport) -> None:
    from rich.table import Table

    out = console()
    table = Table("label", "pass", "change", "block", box=None, pad_edge=False)
    for label, row in found.matrix.items():
        table.add_row(label, *(str(row[verdict]) for verdict in ("pass", "change", "block")))
    out.print(table)
    out.print()
    table = Table("source", "n", "stopped", "should be", box=None, pad_edge=False)
    for source, group in found.by_source.items():
        table.add_row(source, str(group["n"]), f"{group['share']:.3f}", "stopped" if group["bad"] else "passed")
    out.print(table)
    out.print()
    for name, value, interval in (
        ("recall", found.recall, found.recall_ci95),
        ("false alarms", found.false_alarms, found.false_alarms_ci95),
        ("precision", found.precision, None),
        ("AUROC", found.auroc, None),
    ):
        if value is not None:
            out.print(f"{name:14}{value:.3f}" + (f"  [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""))
    for point in found.points:
        out.print(
            f"at {point.false_alarms:.0%} false alarms: threshold {point.threshold:.4f}, recall {point.recall:.3f}"
        )
    if found.by_rail:
        out.print("decided by: " + ", ".join(f"{rail} {count}" for rail, count in found.by_rail.items()))
    out.print(f"a check takes {found.ms_p50:.1f} ms (median), {found.ms_p95:.1f} ms (95 % are faster)")
