"""`ragloom graph`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .output import JsonOption, emit, note

__all__ = ("graph",)


def graph(
    strategy: Annotated[str, typer.Argument(help="naive, corrective, ...; an unknown one lists them all.")],
    format: Annotated[str, typer.Option(help="mermaid or png.")] = "mermaid",
    out: Annotated[Path | None, typer.Option(help="File to write (png: NAME.png by default).")] = None,
    json: JsonOption = False,
) -> None:
    """Draw a strategy as a graph."""
    if format not in ("mermaid", "png"):
        raise UsageError(f"unknown format {format!r}", hint="use mermaid or png")
    from ..agents import build_strategy
    from ..graphs.drawing import mermaid, png

    if format == "png":
        path = out or Path(f"{strategy}.png")
        path.write_bytes(png(strategy, build=build_strategy))
        emit({"strategy": strategy, "file": str(path)}) if json else note(f"wrote {path}")
        return
    text = mermaid(strategy, build=build_strategy)
    if out:
        out.write_text(text, encoding="utf-8")
    if json:
        emit({"strategy": strategy, "mermaid": text})
    elif not out:
        print(text)
