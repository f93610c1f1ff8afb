"""`ragloom tune`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .eval_output import progress_bar, tell_problems
from .output import JsonOption, console, download_progress, emit, note

if TYPE_CHECKING:
    from ..evals.tuning import Tuned
    from ..evals.tuning.answer_stage import Reader

__all__ = ("tune",)


def tune(
    sets: Annotated[
        list[Path], typer.Argument(help="Folders with corpus, queries and qrels; or with questions and passages.")
    ],
    minutes: Annotated[float, typer.Option(min=0.01, help="Time that it may take.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Settings file to write (default: ragloom.toml).")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report, Markdown, here.")] = None,
    llm: Annotated[str | None, typer.Option(help="Chat model that answers, e.g. bundled:smollm2, gguf:PATH.")] = None,
    answers: Annotated[bool, typer.Option(help="Tune answers too, where a set has right answers.")] = True,
    trials: Annotated[int, typer.Option(min=1, help="Rankings tried under each way of cutting documents.")] = 40,
    metric: Annotated[str, typer.Option(help="ndcg@10, recall@100 or rr@10.")] = "ndcg@10",
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    json: JsonOption = False,
) -> None:
    """Look for settings that answer your questions better, and check them on questions that were not used to choose.

    What is in use is kept unless another configuration is told apart from it. The same command goes on where an
    interrupted one was.
    """
    from ..evals.retrieval import METRICS
    from ..evals.tuning import load_tuning_sets, render_report
    from ..evals.tuning.answer_stage import DRAFT, PROMPTS
    from ..evals.tuning.settings_file import read_settings
    from ..evals.tuning.space import candidate_of
    from ..evals.tuning.tuner import tune as run
    from ..models import load_chat_model
    from ..settings import DRAFTING, config_file, load_settings

    if metric not in METRICS:
        raise UsageError(f"unknown metric {metric!r}", hint=f"use {', '.join(METRICS)}")
    settings = load_settings(llm=llm)
    path = out or config_file()
    in_use = read_settings(path)
    reads_with = settings.model_copy(update={"prompt": None}).reads_with  # where no prompt is chosen
    drafts = reads_with.startswith(DRAFTING)
    baseline, reader = candidate_of(in_use), _reader(in_use, DRAFT if drafts else PROMPTS[0])
    loaded = load_tuning_sets(sets)
    tell_problems(loaded)
    if report and not report.parent.is_dir():
        raise UsageError(f"there is no folder {str(report.parent)!r} for the report")

    def load(spec: str) -> Any:
        with download_progress("fetching the chat model") as fetching:
            return load_chat_model(spec, progress=fetching)

    with progress_bar() as bar:
        tuned = run(
            loaded,
            minutes=minutes,
            metric=metric,
            baseline=baseline,
            reader=reader,
            prompts=(DRAFT,) if drafts and settings.reader else (*PROMPTS, *([DRAFT] if drafts else [])),
            llm=(lambda: load(settings.llm if drafts else reads_with)) if answers else None,
            reading=(lambda: load(reads_with)) if drafts else None,
            llm_name=_short_name(settings.llm),
            embedder=settings.embedder,
            trials=trials,
            seed=seed,
            tell=_teller(bar, minutes),
        )
    text = render_report(tuned)
    if report:
        report.write_text(text, encoding="utf-8")
    if json:
        emit(tuned.to_dict())
    else:
        console().print(text, end="")
    _write(path, tuned)
    if report:
        note(f"report written to {report}")
    if tuned.interrupted:
        note("interrupted: this is the best so far; the same command goes on from here")


def _reader(in_use: dict[str, Any], unset: str) -> Reader:
    from ..evals.tuning.answer_stage import Reader

    top_k, prompt = in_use.get("top_k", Reader().top_k), in_use.get("prompt")
    if not isinstance(top_k, int) or top_k < 1:
        raise UsageError(f"bad setting 'top_k': {top_k!r}", hint="a whole number, 1 or more")
    return Reader(top_k, prompt, unset)


def _teller(bar: Any, minutes: float) -> Any:
    """A bar; where stderr is no terminal, a line whenever something else begins."""
    end = time.monotonic() + minutes * 60
    last = [""]

    def tell(text: str, done: int, total: int | None) -> None:
        left = max(0.0, end - time.monotonic()) / 60
        bar.show(f"{left:.1f} min left: {text}", done, total)
        if text != last[0] and not sys.stderr.isatty():
            note(f"{left:.1f} min left: {text}")
        last[0] = text

    return tell


def _write(path: Path, tuned: Tuned) -> None:
    """Only settings whose stage chose something else than what is in use."""
    from ..evals.tuning.settings_file import TUNED, write_settings

    scope: tuple[str, ...] = ()
    comments = []
    if tuned.retrieval and tuned.retrieval.adopted != tuned.retrieval.baseline:
        scope += TUNED[:6]
        comments.append(_gain(tuned.retrieval))
    if tuned.answers and tuned.answers.adopted != tuned.answers.baseline:
        scope += TUNED[6:]
        comments.append(_gain(tuned.answers))
    if not scope or not write_settings(path, tuned.settings(), scope=scope, comment="; ".join(comments)):
        note(f"{path}: nothing to change")
        return
    note(f"settings written to {path}")
    if tuned.retrieval and tuned.retrieval.adopted.chunking != tuned.retrieval.baseline.chunking:
        note("documents must be cut anew: run ragloom ingest on them again")


def _gain(outcome: Any) -> str:
    if outcome.test is None:
        return f"{outcome.metric}: not measured on unseen questions"
    found = outcome.test.difference
    return (
        f"{outcome.metric} {found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}] "
        f"on {found['n']} unseen questions"
    )


def _short_name(llm: str) -> str:
    """A file's name is enough in a report; where it lies is nobody's business."""
    return f"gguf:{Path(llm.removeprefix('gguf:')).name}" if llm.startswith("gguf:") else llm
