"""`ragloom ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .output import JsonOption, KbOption, console, download_progress, emit, note

if TYPE_CHECKING:
    from ..retrieval import IngestProgress, IngestReport, KnowledgeBase
    from ..settings import Settings

__all__ = ("ingest", "open_for_ingestion", "run_ingestion")


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    kb: KbOption = None,
    source: Annotated[str | None, typer.Option(help="Name of the knowledge source they belong to.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant whom they belong to.")] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", help="Only members of this group see them (repeatable).")
    ] = None,
    no_groups: Annotated[
        bool, typer.Option("--no-groups", help="Take their groups away: all of the tenant see them.")
    ] = False,
    require_scope: Annotated[
        bool, typer.Option("--require-scope", help="From now on nobody reads without a tenant, a user or a group.")
    ] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents that vanished under these paths.")] = False,
    embedder: Annotated[str | None, typer.Option(help="Embedder, e.g. bundled:minilm or st:PATH.")] = None,
    chunk_strategy: Annotated[str | None, typer.Option(help="structure, paragraph, sentence or tokens.")] = None,
    chunk_size: Annotated[int | None, typer.Option(help="Tokens per chunk; 0: all that the embedder reads.")] = None,
    chunk_overlap: Annotated[int | None, typer.Option(help="Tokens repeated between chunks.")] = None,
    max_file_mb: Annotated[float | None, typer.Option(help="Larger files are refused.")] = None,
    wait: Annotated[float | None, typer.Option(help="Seconds to wait for another writer (default: no limit).")] = None,
    json: JsonOption = False,
) -> None:
    """Bring the knowledge base up to date with files and folders.

    Unchanged files cost a hash. Without --group a document keeps the groups that it has.

    Exits with 1 only if no file could be read, or the store could not be written.
    """
    from ..settings import load_settings

    settings = load_settings(
        kb=kb,
        source=source,
        tenant=tenant,
        embedder=embedder,
        chunk_strategy=chunk_strategy,
        chunk_size=chunk_size,
        chunk_overlap=chunk_overlap,
        max_file_mb=max_file_mb,
    )
    if group and no_groups:
        raise UsageError("--group and --no-groups exclude each other")
    missing = [str(path) for path in paths if not path.expanduser().exists() and not path.is_symlink()]
    if len(missing) == len(paths) and not prune:
        raise UsageError(f"no such file or folder: {missing[0]!r}")
    opened = open_for_ingestion(settings, require_scope=require_scope)
    groups = [] if no_groups else group or None
    report = run_ingestion(opened, paths, settings, groups=groups, prune=prune, wait=wait)
    if json:
        emit(report.to_dict())
    else:
        _show(report, settings)
    if report.failed and not (report.added or report.updated or report.unchanged or report.deleted):
        raise typer.Exit(1)


def open_for_ingestion(settings: Settings, *, require_scope: bool = False) -> KnowledgeBase:
    """The knowledge base with the chunk settings that were asked for, or those it has."""
    from dataclasses import replace

    from ..retrieval import KnowledgeBase

    kb = KnowledgeBase(settings.kb, embedder=settings.embedder, requires_scope=require_scope)
    asked: dict[str, Any] = {
        "strategy": settings.chunk_strategy,
        "size": settings.chunk_size,
        "overlap": settings.chunk_overlap,
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    if not asked:
        return kb
    chunking = replace(kb.chunking, **asked)
    return KnowledgeBase(settings.kb, embedder=settings.embedder, chunking=chunking, requires_scope=require_scope)


def run_ingestion(
    kb: KnowledgeBase,
    paths: list[Path],
    settings: Settings,
    *,
    groups: list[str] | None = None,
    prune: bool = False,
    wait: float | None = None,
) -> IngestReport:
    """Ingests with a progress bar on stderr: files, megabytes, rate, remaining time."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    with (
        download_progress("fetching the embedder") as fetching,
        Progress(
            TextColumn("ingesting"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("{task.fields[files]} files, {task.fields[chunks]} chunks"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console(stderr=True),
            transient=True,
        ) as bar,
    ):
        kb.fetch_progress = fetching
        task = bar.add_task("", total=None, files="0", chunks=0)

        def tell(progress: IngestProgress) -> None:
            bar.update(
                task,
                completed=progress.bytes,
                total=max(progress.total_bytes, 1),
                files=f"{progress.files}/{progress.total_files}",
                chunks=progress.chunks,
            )

        return kb.ingest(
            paths,
            collection=settings.source,
            tenant=settings.tenant,
            groups=groups,
            prune=prune,
            max_file_bytes=int(settings.max_file_mb * 2**20),
            wait=wait,
            progress=tell,
            on_wait=lambda: note(f"another process is writing to {str(settings.kb)!r}; waiting for it"),
        )


def _show(report: IngestReport, settings: Settings) -> None:
    out = console()
    parts = [f"{report.added} added", f"{report.updated} updated", f"{report.unchanged} unchanged"]
    parts += [f"{report.deleted} deleted"] if report.deleted else []
    out.print(f"{', '.join(parts)}; {report.chunks} chunks in {report.seconds:.1f} s -> {settings.kb}")
    for warning in report.warnings:
        note(f"warning: {warning['path']}: {warning['reason']}")
    for failure in report.failed:
        note(f"failed: {failure['path']}: {failure['reason']}")
