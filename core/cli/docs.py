"""`ragloom docs`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from .options import GroupOption
from .output import JsonOption, KbOption, console, emit, note

__all__ = ("app",)

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_documents(
    kb: KbOption = None,
    source: Annotated[str | None, typer.Option(help="Only this knowledge source.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose documents.")] = None,
    group: GroupOption = None,
    json: JsonOption = False,
) -> None:
    """List ingested documents; with --json, one object a line."""
    from dataclasses import asdict

    from ..retrieval import KnowledgeBase
    from ..settings import load_settings

    settings = load_settings(kb=kb, tenant=tenant, groups=group or None)
    records = KnowledgeBase.open(settings.kb).documents(scope=settings.scope, collection=source)
    if json:
        for record in records:
            emit(asdict(record))
        return
    from rich.table import Table

    table = Table("document", "format", "chunks", "version", "ingested", box=None, pad_edge=False)
    for record in records:
        when = datetime.fromtimestamp(record.ingested_at).strftime("%Y-%m-%d %H:%M")
        state = str(record.version) if record.content_hash else f"{record.version} (interrupted)"
        table.add_row(record.source, record.format, str(record.chunks), state, when)
    console().print(table)
    note(f"{len(records)} documents")


@app.command("delete")
def delete_documents(
    documents: Annotated[list[str], typer.Argument(help="Sources as `docs list` shows them, paths, or ids.")],
    kb: KbOption = None,
    source: Annotated[str | None, typer.Option(help="Only in this knowledge source.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose documents.")] = None,
    group: GroupOption = None,
    json: JsonOption = False,
) -> None:
    """Delete documents from the knowledge base (never the files). Exits with 1 if none is found."""
    from ..retrieval import KnowledgeBase
    from ..settings import load_settings

    settings = load_settings(kb=kb, tenant=tenant, groups=group or None)
    deleted = KnowledgeBase.open(settings.kb).delete(documents, scope=settings.scope, collection=source)
    if json:
        emit({"deleted": deleted})
    else:
        console().print(f"{deleted} documents deleted")
    if not deleted:
        note("error: no such document; `ragloom docs list` shows what there is")
        raise typer.Exit(1)
