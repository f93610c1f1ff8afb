"""Lines that a person types: with editing and the thread's own questions as history, where stdin is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from .output import note

__all__ = ("agrees", "offer_history", "read_line")


def read_line(prompt: str = "> ") -> str | None:
    """The next line; None at the end. Ctrl-C gives up the line, not the program."""
    while True:
        try:
            return input(prompt)
        except EOFError:
            return None
        except KeyboardInterrupt:
            note("\n/quit or Ctrl-D leaves")
        except UnicodeDecodeError:
            note("error: that is no UTF-8 text")


def agrees(question: str) -> bool:
    """Whether a person says yes. Whatever else is typed, also nothing, is a no."""
    return (read_line(f"{question} [y/N] ") or "").strip().lower() in ("y", "yes")


def offer_history(lines: Iterable[str]) -> None:
    """What the arrow keys offer. No file keeps it: what is forgotten would still stand there."""
    if not sys.stdin.isatty():
        return
    try:
        import readline  # importing it is what gives `input` its line editing
    except ImportError:  # Windows: the console edits lines itself
        return
    readline.clear_history()
    for line in lines:
        readline.add_history(" ".join(line.split()))
