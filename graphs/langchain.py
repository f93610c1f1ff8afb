"""A strategy as a LangChain tool and as a LangChain retriever. A Runnable it is already: each compiled graph is one."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, ConfigDict, Field

from ..errors import UsageError

__all__ = ("StrategyRetriever", "as_tool")


class Asked(BaseModel):
    """What the tool is given."""

    question: str = Field(description="One whole question that can be understood without what was said before.")


def as_tool(graph: Any, *, description: str, name: str | None = None) -> StructuredTool:
    """A tool that answers questions by a strategy.

    The model gets the answer with its sources, or that nothing was found; the whole result is the tool message's
    `artifact`. `description` should say what the documents are about: by it the model chooses the tool.

        >>> tool = as_tool(naive_rag(kb.retriever(), llm), description="Answers about the handbook.")  # doctest: +SKIP
        >>> tool.invoke({"question": "Who is the ombudsperson?"})  # doctest: +SKIP
        'The ombudsperson is Leonor Pinto.\\n\\nSources: handbook/people.md p. 3'
    """

    def answer(question: str) -> tuple[str, dict[str, Any]]:
        result = graph.invoke({"question": question})
        return _told(result), result

    async def aanswer(question: str) -> tuple[str, dict[str, Any]]:
        result = await graph.ainvoke({"question": question})
        return _told(result), result

    called = name or str(graph.get_name()).replace("-", "_")
    _refuse_threads(graph)
    if not description.strip():
        raise UsageError(f"the tool {called!r} needs a description", hint="say what the documents are about")
    return StructuredTool.from_function(
        answer,
        coroutine=aanswer,
        name=called,
        description=description,
        args_schema=Asked,
        response_format="content_and_artifact",
    )


def _refuse_threads(graph: Any) -> None:
    if getattr(graph, "checkpointer", None):
        raise UsageError(
            "a strategy with a checkpointer has threads", hint="build it without one: each question is alone"
        )


def _told(result: dict[str, Any]) -> str:
    sources = list(dict.fromkeys(f"{each['source']} p. {each['page']}" for each in result["citations"]))
    return f"{result['answer']}\n\nSources: {'; '.join(sources)}" if sources else str(result["answer"])


class StrategyRetriever(BaseRetriever):
    """The passages that a strategy would read, as a LangChain retriever: graded, refined, fused as it does.

    The answer is made as well, and thrown away; to find passages alone, `LangChainRetriever` is the cheaper one. `k`
    cuts what the strategy would read, and may be given to `invoke(query, k=...)` as well.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    graph: Any
    """A strategy."""
    k: int | None = Field(default=None, ge=1)
    """How many passages at most; None: all that the strategy would read."""

    def model_post_init(self, context: Any) -> None:
        """Refuses a graph that it could not ask."""
        _refuse_threads(self.graph)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        found: list[Document] = self.graph.invoke({"question": query})["documents"]
        return found[: k or self.k]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        found: list[Document] = (await self.graph.ainvoke({"question": query}))["documents"]
        return found[: k or self.k]
