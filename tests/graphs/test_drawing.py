"""Pictures: every strategy is drawn, and the page of them is up to date."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from ragloom.agents import STRATEGIES, build_strategy
from ragloom.graphs.drawing import mermaid, png

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_graphs_is_up_to_date() -> None:
    page = runpy.run_path(str(ROOT / "examples" / "draw_graphs.py"))["page"]()
    assert page == (ROOT / "docs" / "graphs.md").read_text(encoding="utf-8"), "run python examples/draw_graphs.py"


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_is_drawn(strategy: str) -> None:
    pytest.importorskip("matplotlib")
    assert "__start__" in mermaid(strategy, build=build_strategy)
    assert png(strategy, build=build_strategy).startswith(b"\x89PNG")


def test_langgraphs_server_is_told_of_every_strategy() -> None:
    told = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
    assert set(told["graphs"]) == set(STRATEGIES)
    from ragloom.cli import studio

    for name, place in told["graphs"].items():
        module, _, variable = place.partition(":")
        assert module == studio.__name__
        assert callable(studio.__dict__[variable]), name  # the server looks into the dictionary
