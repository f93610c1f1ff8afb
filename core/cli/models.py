"""`ragloom models`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .output import JsonOption, console, download_progress, emit, note

__all__ = ("app",)

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_models(json: JsonOption = False) -> None:
    """List bundled models and known providers; with --json, one object a line."""
    from ..models import list_models as known

    found = known()
    if json:
        for info in found:
            emit(_plain(info))
        return
    from rich.table import Table

    table = Table("spec", "role", "size", "licence", "fetched", box=None, pad_edge=False)
    for info in found:
        table.add_row(info.spec, info.role, f"{info.size / 1e6:.0f} MB", info.licence, "yes" if info.cached else "no")
    console().print(table)
    note(
        "any other model: gguf:PATH, st:PATH_OR_ID, openai:NAME and the other providers of LangChain's init_chat_model"
    )


@app.command("pull")
def pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Bundled models, e.g. bundled:smollm2 (default: all).")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fetch bundled models now, with their SHA-256 checked."""
    from ..models import list_models as known
    from ..models import pull as fetch

    for name in names or [info.spec for info in known()]:
        with download_progress(f"fetching {name}") as progress:
            path = fetch(name, progress=progress)
        emit({"model": name, "path": str(path)}) if json else console().print(f"{name}: {path}")


@app.command("show")
def show(
    spec: Annotated[str, typer.Argument(help="A model, e.g. bundled:minilm.")],
    json: JsonOption = False,
) -> None:
    """Show what is known of one model."""
    from ..models import show as describe

    info = _plain(describe(spec))
    if json:
        emit(info)
        return
    out = console()
    for key, value in info.items():
        out.print(f"{key}: {value}")


def _plain(info: Any) -> dict[str, Any]:
    from dataclasses import asdict, is_dataclass

    values = asdict(info) if is_dataclass(info) and not isinstance(info, type) else dict(info)
    return {key: str(value) if hasattr(value, "as_posix") else value for key, value in values.items()}
