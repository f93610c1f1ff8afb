"""Writes docs/graphs.md, a picture of every strategy: python examples/draw_graphs.py"""

from __future__ import annotations

from pathlib import Path

from ragloom.agents import STRATEGIES, build_strategy
from ragloom.graphs.drawing import mermaid

PAGE = Path(__file__).resolve().parents[1] / "docs" / "graphs.md"
HEAD = """# The graphs

Every [strategy](strategies.md) with all of its ways, by `ragloom graph NAME`. Dotted arrows are decisions.
Written by `python examples/draw_graphs.py`.
"""


def page() -> str:
    """The text of the page."""
    drawn = {name: mermaid(name, build=build_strategy).strip() for name in sorted(STRATEGIES)}
    parts = [f"## {name}\n\n```mermaid\n{shape}\n```\n" for name, shape in drawn.items()]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
