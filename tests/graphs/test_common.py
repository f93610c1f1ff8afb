"""What strategies stand on: nothing blocks the event loop, interrupts come through, every model is stopped in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from strategy_kit import GOOD, QUESTION, Evaluator, Shelf, check

from ragloom.graphs import corrective_rag, multi_hop_rag, naive_rag, summarise_rag
from ragloom.graphs.common.effects import Compute, Doing, Rerank, Search, node
from ragloom.graphs.common.support import OverlapCritic
from ragloom.graphs.transforms import StepBack
from ragloom.testing import FakeChatModel
from ragloom.types import Budget, Step


def on_the_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def test_nothing_computes_on_the_event_loop() -> None:
    seen: set[str] = set()

    class Watched(Shelf):
        def _retrieve(self, query_bundle: Any) -> Any:
            if on_the_loop():
                seen.add("retriever")
            return super()._retrieve(query_bundle)

    class Model(FakeChatModel):
        def get_num_tokens(self, text: str) -> int:
            if on_the_loop():
                seen.add("tokens")
            return super().get_num_tokens(text)

        def get_num_tokens_from_messages(self, messages: Any, tools: Any = None, **kwargs: Any) -> int:
            return 1  # the fake's own figure, as a server gives one

    class Critic(OverlapCritic):
        def support(self, sentence: str, question: str, passages: Any) -> Any:
            if on_the_loop():
                seen.add("critic")
            return super().support(sentence, question, passages)

    class Grader(Evaluator):
        def grade(self, question: str, passages: Any) -> Any:
            if on_the_loop():
                seen.add("evaluator")
            return super().grade(question, passages)

    web = Watched("garden.md", prefix="web:")
    graph = corrective_rag(
        Watched("leave.md"), Model(replies=["leave", GOOD]), critic=Critic(), evaluator=Grader(0.5), web=web
    )
    check(await graph.ainvoke({"question": QUESTION}))
    assert seen == set()


@pytest.mark.parametrize("world", ["sync", "async"])
def test_an_interrupt_is_no_failure(world: str) -> None:
    class Asking(Shelf):
        def _retrieve(self, query_bundle: Any) -> Any:
            if query_bundle.query_str != QUESTION:
                interrupt("may I search for that?")
            return super()._retrieve(query_bundle)

    llm = FakeChatModel(replies=["What is leave?", GOOD])
    graph = naive_rag(Asking("leave.md"), llm, transform=StepBack(), checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}

    def run(given: Any) -> Any:
        return asyncio.run(graph.ainvoke(given, thread)) if world == "async" else graph.invoke(given, thread)

    assert run({"question": QUESTION})["__interrupt__"][0].value == "may I search for that?"
    result = run(Command(resume=True))
    check(result)
    assert result["answer"] == GOOD


class Unlimited(BaseChatModel):
    """A hosted model that takes no `max_tokens`, sends sixty words at a time, and at first what it was sent."""

    with_usage: bool = False

    @property
    def _llm_type(self) -> str:
        return "unlimited"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        usage: Any = {"input_tokens": 90, "output_tokens": 1, "total_tokens": 91} if self.with_usage else None
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=usage))
        for _ in range(1000):
            yield ChatGenerationChunk(message=AIMessageChunk("word " * 60))


@pytest.mark.parametrize("with_usage", [False, True])
def test_a_model_that_cannot_be_limited_is_stopped_and_counted(with_usage: bool) -> None:
    budget = Budget(tokens=4000)
    result = summarise_rag(Shelf("leave.md", "travel.md"), Unlimited(with_usage=with_usage), budget=budget).invoke(
        {"question": QUESTION}
    )
    check(result)
    usage = result["usage"]
    assert usage["tokens_out"] > 100  # what it had said is counted, whatever its first message claims
    chunk = 60 * 5 // 3 + 1  # a piece of sixty words comes whole
    assert usage["tokens_in"] + usage["tokens_out"] <= budget.tokens + usage["calls"] * chunk


class Breaking(Shelf):
    """Remembers what it was asked, and fails while it is broken."""

    broken = False

    def _retrieve(self, query_bundle: Any) -> Any:
        found = super()._retrieve(query_bundle)
        if self.broken:
            raise ConnectionError("the store is away")
        return found


def test_a_question_after_a_turn_that_broke_is_the_new_one() -> None:
    shelf = Breaking("leave.md")
    shelf.broken = True
    graph = naive_rag(shelf, FakeChatModel(replies=[GOOD]), checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    with pytest.raises(ConnectionError):
        graph.invoke({"messages": [HumanMessage("What about the roses?")]}, thread)
    shelf.broken = False
    graph.invoke({"question": QUESTION}, thread)
    assert shelf.asked == ["What about the roses?", QUESTION]


def test_a_message_that_is_sent_again_is_asked_again() -> None:
    """A turn by `question` stays in the thread; the message that failed after it is newer, also the second time."""
    shelf = Breaking("leave.md")
    graph = naive_rag(shelf, FakeChatModel(replies=[GOOD]), checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"question": QUESTION}, thread)
    message = HumanMessage("What about the roses?", id="m")
    shelf.broken = True
    with pytest.raises(ConnectionError):
        graph.invoke({"messages": [message]}, thread)
    shelf.broken = False
    graph.invoke({"messages": [message]}, thread)
    assert shelf.asked == [QUESTION, "What about the roses?", "What about the roses?"]


@pytest.mark.parametrize(("page", "told"), [("iv", 1), (None, 1), ("7", 7), (3, 3)])
def test_any_retrievers_page(page: Any, told: int) -> None:
    class Paged(BaseRetriever):
        def _retrieve(self, query_bundle: Any) -> Any:
            found = Shelf("leave.md")._retrieve(query_bundle)
            found[0].node.metadata["page"] = page
            return found

    result = naive_rag(Paged(), FakeChatModel(replies=[GOOD])).invoke({"question": QUESTION})
    check(result)
    assert result["citations"][0]["page"] == told


class Exhausted(BaseRetriever):
    def _retrieve(self, query_bundle: Any) -> Any:
        return next(iter([]))


class ExhaustedReranker(BaseNodePostprocessor):
    def _postprocess_nodes(self, nodes: Any, query_bundle: Any = None) -> Any:
        return next(iter([]))


@pytest.mark.parametrize("world", ["sync", "async"])
@pytest.mark.parametrize(
    "effect", [Compute(lambda: next(iter([]))), Search(Exhausted(), "?"), Rerank(ExhaustedReranker(), [], "?")]
)
def test_a_stop_iteration_is_an_error_and_no_end(world: str, effect: Any) -> None:
    def body(state: Any, step: Step) -> Doing[dict[str, Any]]:
        yield effect
        return {}

    one = node("one", body)
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        asyncio.run(asyncio.wait_for(one.ainvoke({}), 10)) if world == "async" else one.invoke({})


async def test_async_loops_end_too() -> None:
    thoughts = [f"Thought number {number}." for number in range(20)]
    graph = multi_hop_rag(Shelf("leave.md"), FakeChatModel(replies=[*thoughts, GOOD]), budget=Budget(hops=3))
    result = await graph.ainvoke({"question": QUESTION})
    check(result)
