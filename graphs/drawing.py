"""Strategies as pictures: Mermaid text, and PNG drawn on this machine (no server, no browser)."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from ..errors import MissingExtraError
from .registry import build_strategy

__all__ = ("mermaid", "png")


def _shape(strategy: str, build: Callable[..., Any]) -> Any:
    from langchain_core.language_models import FakeListChatModel
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.schema import NodeWithScore, QueryBundle

    class Nothing(BaseRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            return []

    # Only the shape is wanted, with every way that can be gone: no part is ever called.
    options: dict[str, dict[str, Any]] = {
        "corrective": {"web": Nothing()},
        "self-rag-tokens": {"scorer": "bundled:smollm2"},
    }
    return build(strategy, Nothing(), FakeListChatModel(responses=[""]), **options.get(strategy, {})).get_graph()


def mermaid(strategy: str, *, build: Callable[..., Any] = build_strategy) -> str:
    """The strategy that `build` makes of this name, as a Mermaid flow chart."""
    return str(_shape(strategy, build).draw_mermaid())


def png(strategy: str, *, build: Callable[..., Any] = build_strategy) -> bytes:
    """The strategy as a PNG, top to bottom in layers. `MissingExtraError` without matplotlib (extra `draw`)."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing a PNG", "draw") from error
    shape = _shape(strategy, build)
    layers = _layers([(edge.source, edge.target) for edge in shape.edges], list(shape.nodes))
    places: dict[str, tuple[float, float]] = {}
    for depth, names in enumerate(layers):
        for index, name in enumerate(names):
            places[name] = ((index + 0.5) / len(names) * 4, -depth)
    figure = Figure(figsize=(4, 0.9 * len(layers)), dpi=150)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, 4)
    axes.set_ylim(-len(layers) + 0.4, 0.6)
    for edge in shape.edges:
        style = {"arrowstyle": "-|>", "color": "#555", "shrinkA": 14, "shrinkB": 14}
        style["linestyle"] = "--" if edge.conditional else "-"
        axes.annotate("", places[edge.target], places[edge.source], arrowprops=style)
    for name, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.4", "facecolor": "#eef3fb", "edgecolor": "#3b5b92"}
        axes.text(x, y, name.strip("_"), ha="center", va="center", fontsize=10, bbox=box)
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()


def _layers(edges: list[tuple[str, str]], names: list[str]) -> list[list[str]]:
    """Nodes by their distance from the first one; loops do not count."""
    depth = {names[0]: 0}
    queue = [names[0]]
    for name in queue:
        for source, target in edges:
            if source == name and target not in depth:
                depth[target] = depth[name] + 1
                queue.append(target)
    return [[name for name in names if depth.get(name, 0) == level] for level in range(max(depth.values()) + 1)]
