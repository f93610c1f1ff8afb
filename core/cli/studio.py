"""What `langgraph.json` names: every strategy as the settings have it, for LangGraph's Studio and server.

    pip install "langgraph-cli[inmem]"
    RAGLOOM_KB=.ragloom langgraph dev

Knowledge base, model and critics are those of `ragloom.toml` and the `RAGLOOM_*` variables. The server keeps threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..agents import STRATEGIES

__all__ = ("strategy",)


def strategy(name: str) -> Callable[[], Any]:
    """A function that builds the strategy `name` over the knowledge base of the settings."""

    def build() -> Any:
        from ..settings import load_settings
        from .session import build_graph, knowledge_base

        settings = load_settings(strategy=name)
        return build_graph(settings, knowledge_base(settings, None))

    build.__name__ = build.__qualname__ = name.replace("-", "_")
    return build


# The server looks names up in the module itself: langgraph.json says ragloom.cli.studio:self_rag.
globals().update({name.replace("-", "_"): strategy(name) for name in STRATEGIES})
