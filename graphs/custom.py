"""Nodes of the user's own in place of ours."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableLambda

from ..errors import UsageError

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

__all__ = ("with_nodes",)


def with_nodes(
    graph: CompiledStateGraph[Any, Any, Any, Any], **nodes: Callable[[Any], Any]
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The same strategy with other nodes: each a function of the state, sync or async, that returns an update of it.

    Edges, checkpointer and name stay; the graph that is given stays as it is. What a node must return, the node that it
    replaces shows. `UsageError` for a name that the graph does not have. Of a guard: what a node of your own finds is
    not screened, what it says is checked before it becomes the answer.

        >>> def refine(state):  # doctest: +SKIP
        ...     return {"documents": state["documents"][:2]}
        >>> graph = with_nodes(corrective_rag(retriever, llm), refine=refine)  # doctest: +SKIP
    """
    builder = copy.copy(graph.builder)
    builder.nodes = dict(builder.nodes)
    for name, function in nodes.items():
        if name not in builder.nodes:
            raise UsageError(f"the strategy has no node {name!r}", hint=f"it has {', '.join(builder.nodes)}")
        builder.nodes[name] = dataclasses.replace(builder.nodes[name], runnable=RunnableLambda(function, name=name))
    made = builder.compile(checkpointer=graph.checkpointer, name=graph.get_name())
    made.stream_channels = graph.stream_channels  # under a guard they are fewer
    return made
