"""What all commands share: JSON on stdout, people's output and progress, errors as one line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import RagloomError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ("JsonOption", "KbOption", "console", "download_progress", "emit", "note", "run")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; everything else goes to stderr.")]
KbOption = Annotated[str | None, typer.Option("--kb", help="Folder of the knowledge base (default .ragloom).")]


def console(*, stderr: bool = False) -> Console:
    """A rich console that does not guess markup in texts of documents."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, soft_wrap=True, emoji=False)


def emit(value: Any) -> None:
    """Prints one JSON object on one line, at once: what reads the pipe need not wait."""
    print(json.dumps(value, ensure_ascii=False, default=str), flush=True)


def note(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def download_progress(label: str) -> Iterator[Any]:
    """A progress bar on stderr for the weights that a model may have to fetch first; shows only if bytes arrive."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console(stderr=True),
        transient=True,
    )
    tasks: list[Any] = []

    def tell(done: int, total: int | None) -> None:
        if not tasks:
            bar.start()
            tasks.append(bar.add_task(label, total=total))
        bar.update(tasks[0], completed=done, total=total)

    try:
        yield tell
    finally:
        if tasks:
            bar.stop()


def run(app: typer.Typer) -> None:
    """Runs the app. Exit codes: 0 success, 1 failure, 2 misuse, 130 interrupted."""
    _quiet_libraries()
    as_json = "--json" in sys.argv
    try:
        app(standalone_mode=True)
    except RagloomError as error:
        _fail(error.code, str(error), getattr(error, "report", None), as_json)
        raise SystemExit(2 if isinstance(error, UsageError) else 1) from None
    except KeyboardInterrupt:
        note("interrupted")
        raise SystemExit(130) from None
    except OSError as error:
        where = f": {error.filename!r}" if error.filename else ""
        _fail("os", f"{error.strerror or error}{where}", None, as_json)
        raise SystemExit(1) from None
    except Exception as error:
        if os.environ.get("RAGLOOM_DEBUG"):
            raise
        _fail(
            "internal", f"unexpected {type(error).__name__}: {error} (set RAGLOOM_DEBUG=1 for details)", None, as_json
        )
        raise SystemExit(1) from None


def _fail(code: str, message: str, report: Any, as_json: bool) -> None:
    if as_json:
        emit({"error": {"code": code, "message": message}, **(report or {})})
    note(f"error: {message}")


def _quiet_libraries() -> None:
    """Libraries tell developers things that users of a command line need not read."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not os.environ.get("RAGLOOM_DEBUG"):
        import logging
        import warnings

        warnings.filterwarnings("ignore")
        logging.getLogger().setLevel(logging.ERROR)
