"""`ragloom models`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .output import JsonOption, console, download_progress, emit, note

__all__ = ("app",)

app = typer.Typer(no_args_is_help=True)
WIDTH = 130
"""Of the table, at least."""


@app.command("list")
def list_models(json: JsonOption = False) -> None:
    """List bundled models, the trained ones that ship, and known providers; with --json, one object a line."""
    from ..models import list_models as known

    found = known()
    if json:
        for info in found:
            emit(_plain(info))
        return
    from rich.table import Table

    table = Table("spec", "role", "size", "licence", "fetched", "what", box=None, pad_edge=False)
    for info in found:
        size = f"{info.size / 1e6:.0f} MB" if info.size > 20e6 else f"{info.size / 1e6:.1f} MB"
        table.add_row(info.spec, info.role, size, info.licence, "yes" if info.cached else "no", info.summary)
    out = console()
    out.width = max(out.width, WIDTH)
    out.print(table)
    note(
        "any other model: gguf:PATH, st:PATH_OR_ID, ROLE:PATH (trained), openai:NAME and the other providers of "
        "LangChain's init_chat_model"
    )


@app.command("pull")
def pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Bundled models, e.g. bundled:smollm2 (default: all).")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fetch bundled models now, with their SHA-256 checked."""
    from ..models import BUNDLED
    from ..models import pull as fetch

    for name in names or [model.spec for model in BUNDLED.values()]:
        with download_progress(f"fetching {name}") as progress:
            path = fetch(name, progress=progress)
        emit({"model": name, "path": str(path)}) if json else console().print(f"{name}: {path}")


@app.command("show")
def show(
    spec: Annotated[str, typer.Argument(help="A model, e.g. bundled:minilm or support:PATH.")],
    json: JsonOption = False,
) -> None:
    """Show what is known of one model; of a trained one its manifest."""
    from ..models import show as describe

    info = _plain(describe(spec))
    if json:
        emit(info)
        return
    for key, value in info.items():
        _show(key, value)


def _show(key: str, value: Any, indent: int = 0) -> None:
    """A value on a line, what it holds on lines below it."""
    space = "  " * indent
    nested = isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))
    if not nested or not value:
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        console().print(f"{space}{key}: {shown}")
        return
    console().print(f"{space}{key}:")
    for name, item in value.items() if isinstance(value, dict) else enumerate(value, start=1):
        _show(str(name), item, indent + 1)


def _plain(info: Any) -> dict[str, Any]:
    from dataclasses import asdict, is_dataclass

    values = asdict(info) if is_dataclass(info) and not isinstance(info, type) else dict(info)
    return {key: str(value) if hasattr(value, "as_posix") else value for key, value in values.items()}
