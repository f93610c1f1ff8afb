"""The command line, `ragloom`. One command a file; whatever is slow to import is imported inside the command."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from . import ask, chat, docs, evals, finetune, graph, guard, ingest, models, retrieve, tune
from .output import run

__all__ = ("app", "main")

app = typer.Typer(
    name="ragloom",
    help="RAG strategies over your own documents, offline by default. Start with: ragloom ask --docs FOLDER 'QUESTION'",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        print(f"ragloom {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """RAG strategies over your own documents, offline by default."""


app.command("ingest")(ingest.ingest)
app.add_typer(docs.app, name="docs", help="List and delete ingested documents.")
app.command("retrieve")(retrieve.retrieve)
app.command("ask")(ask.ask)
app.command("chat")(chat.chat)
app.command("graph")(graph.graph)
app.add_typer(guard.app, name="guard", help="Screen texts, and measure what screens them.")
app.add_typer(models.app, name="models", help="List, fetch and inspect models.")
app.add_typer(evals.app, name="eval", help="Measure retrieval and answers.")
app.command("tune")(tune.tune)
app.add_typer(finetune.app, name="finetune", help="Train small models for the graphs on your own data.")


def main() -> None:
    """Entry point: runs a command, and turns every error of ours into one line and an exit code."""
    run(app)
