"""Multi-hop RAG: the chain of thought as queries, what ends it, and that a thought is no evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from strategy_kit import GOOD, QUESTION, Shelf, check, mermaid_of

from ragloom.errors import StoreError
from ragloom.graphs.common.mixing import round_robin
from ragloom.graphs.multi_hop import multi_hop_rag
from ragloom.graphs.multi_hop.nodes import next_thought
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

BORN = "Where was the author of the novel Emma born?"
PAGES = {
    "emma": "Emma is a novel. The author of the novel Emma is Jane Austen.",
    "austen": "Jane Austen, the author, was born in Steventon.",
    "garden": "The roses in the garden are watered at dawn.",
    "hotel": "Hotels in Vienna are paid up to 165 euros a night.",
}


class Pages(BaseRetriever):
    """Finds by the words of the query; remembers what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers, self.asked = answers, []
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = query_bundle.query_str
        self.asked.append(query)
        found = next((names for words, names in self.answers.items() if words in query), ())
        if isinstance(found, Exception):
            raise found
        return [
            NodeWithScore(
                node=TextNode(id_=name, text=PAGES[name], metadata={"source": name, "page": 1, "score_kind": "test"}),
                score=1.0 - rank / 10,
            )
            for rank, name in enumerate(found)
        ]


THOUGHT = "The author of Emma is Jane Austen."
ANSWER = "The author was born in Steventon."


def pages() -> Pages:
    return Pages({"Where was": ["emma", "garden"], "Jane Austen": ["emma", "austen", "garden"]})


def ask(*replies: Any, retriever: Any = None, question: str = BORN, **options: Any) -> Any:
    llm = FakeChatModel(replies=list(replies))
    retriever = retriever or pages()
    result = multi_hop_rag(retriever, llm, **options).invoke({"question": question})
    check(result)
    assert result["abstained"] == (not result["citations"])
    assert len(llm.calls) == result["usage"]["calls"]
    return result, llm, retriever


def nodes_of(result: Any) -> list[str]:
    return [step["node"] for step in result["steps"]]


def test_the_second_search_is_the_first_thought() -> None:
    result, llm, retriever = ask(f"{THOUGHT} Born who knows.", "So the answer is: Steventon.", ANSWER)
    assert retriever.asked == [BORN, THOUGHT]
    assert nodes_of(result) == ["retrieve", "gather", "think", "search", "think", "read", "cite"]
    assert (result["answer"], {each["id"] for each in result["citations"]}) == (ANSWER, {"austen"})
    # The first of each round, then the second: each passage belongs to the round that found it first.
    assert [document.id for document in result["documents"]] == ["emma", "austen", "garden"]
    assert THOUGHT in llm.prompts()[1]
    assert "Steventon" in llm.prompts()[1]
    assert "has its answer" in result["steps"][4]["reason"]


def test_thoughts_are_neither_read_nor_cited_nor_shown() -> None:
    result, llm, _ = ask("The author of Emma is Zaphod.", "So the answer is: Betelgeuse.", "Zaphod of Betelgeuse.")
    assert "Zaphod" not in llm.prompts()[-1]
    assert (result["abstained"], result["citations"]) == (True, [])
    assert "Zaphod" not in result["answer"]


def test_only_checked_sentences_are_streamed() -> None:
    llm = FakeChatModel(replies=[THOUGHT, "So the answer is: Steventon.", f"{ANSWER} It is in Peru."])
    said = list(multi_hop_rag(pages(), llm).stream({"question": BORN}, stream_mode="custom"))
    assert [each["text"] for each in said] == [ANSWER]


@pytest.mark.parametrize(
    ("thought", "why"),
    [
        ("", "no thought"),
        ("...", "no thought"),
        ("I don't know.", "does not know"),
        (BORN, "repeats"),
        ("Last Year at Marienbad was directed by Alain Resnais.", "repeats the prompt"),
        ("So the answer is: Steventon.", "has its answer"),
        (ConnectionError("gone"), "cannot be reached"),
    ],
)
def test_what_ends_the_chain_at_once(thought: Any, why: str) -> None:
    result, llm, retriever = ask(thought, ANSWER)
    assert (retriever.asked, len(llm.calls)) == ([BORN], 2)
    assert why in result["steps"][2]["reason"]


def test_a_repeated_thought_ends_the_chain() -> None:
    result, _, retriever = ask(THOUGHT, "the author of EMMA is Jane Austen", ANSWER)
    assert retriever.asked == [BORN, THOUGHT]
    assert "repeats" in result["steps"][4]["reason"]
    assert result["answer"] == ANSWER


def test_nothing_new_ends_the_chain() -> None:
    retriever = Pages({"Where was": ["emma", "austen"], "Jane": ["austen"]})
    result, llm, _ = ask(THOUGHT, ANSWER, retriever=retriever)
    assert nodes_of(result) == ["retrieve", "gather", "think", "search", "read", "cite"]
    assert (result["steps"][3]["reason"], len(llm.calls)) == ("nothing new", 2)


def test_a_failing_search_ends_the_chain_with_what_there_is() -> None:
    retriever = Pages({"Where was": ["emma", "austen"], "Jane": ConnectionError("gone")})
    result, _, _ = ask(THOUGHT, ANSWER, retriever=retriever)
    assert result["answer"] == ANSWER
    assert "the search failed" in result["steps"][3]["reason"]
    with pytest.raises(StoreError):  # a damaged knowledge base is the user's to mend
        ask(THOUGHT, ANSWER, retriever=Pages({"Where was": ["emma"], "Jane": StoreError("damaged")}))


@pytest.mark.parametrize(("hops", "thoughts"), [(1, 0), (2, 1), (3, 2)])
def test_rounds_are_bounded(hops: int, thoughts: int) -> None:
    retriever = Pages({"Where": ["emma"], "One": ["austen"], "Two": ["garden"], "Three": ["hotel"]})
    replies = ["One thing.", "Two things.", "Three things."][:thoughts]
    result, llm, _ = ask(*replies, ANSWER, retriever=retriever, budget=Budget(hops=hops))
    assert (len(retriever.asked), len(llm.calls)) == (hops, thoughts + 1)
    assert result["abstained"] == (hops == 1)


def test_a_call_is_kept_for_the_reading() -> None:
    _, llm, retriever = ask(THOUGHT, ANSWER, budget=Budget(llm_calls=2))
    assert (len(llm.calls), retriever.asked) == (2, [BORN, THOUGHT])
    result, llm, retriever = ask(GOOD, budget=Budget(llm_calls=1))
    assert (len(llm.calls), retriever.asked) == (1, [BORN])
    assert "kept for the reading" in result["steps"][2]["reason"]


def test_passages_are_bounded_and_come_once() -> None:
    result, llm, _ = ask(THOUGHT, ANSWER, most_passages=2, per_round=1)
    assert [document.id for document in result["documents"]] == ["emma", "austen"]
    assert len(llm.calls) == 2  # where there is no room, no thought is asked for
    result, _, _ = ask(ANSWER, most_passages=1)
    assert nodes_of(result) == ["retrieve", "gather", "read", "cite"]


def test_a_long_prompt_leaves_passages_out_whole() -> None:
    llm = FakeChatModel(replies=[THOUGHT, GOOD], context_window=400)
    result = multi_hop_rag(Shelf("long.md", "leave.md"), llm).invoke({"question": QUESTION})
    check(result)
    assert "canteen" not in llm.prompts()[0]
    assert "left out whole" in result["steps"][2]["reason"]


def test_a_reranker_orders_each_round_by_its_own_query() -> None:
    asked = []

    class Reverse(BaseNodePostprocessor):
        def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: Any = None) -> list[NodeWithScore]:
            asked.append(query_bundle.query_str)
            return nodes[::-1]

    ask(THOUGHT, "So the answer is: x", ANSWER, reranker=Reverse())
    assert asked == [BORN, THOUGHT]


def test_turns_of_a_thread_do_not_share_thoughts() -> None:
    llm = FakeChatModel(replies=[THOUGHT, "So the answer is: x", ANSWER, "So the answer is: y", ANSWER])
    graph = multi_hop_rag(pages(), llm, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"question": BORN}, thread)
    graph.invoke({"question": BORN + " Now?"}, thread)
    assert "Thoughts: none yet" in llm.prompts()[3]
    assert graph.get_state(thread).values["question"] == BORN + " Now?"


async def test_async_does_what_sync_does() -> None:
    replies = [THOUGHT, "So the answer is: x", ANSWER]
    there = await multi_hop_rag(pages(), FakeChatModel(replies=replies)).ainvoke({"question": BORN})
    here, _, _ = ask(*replies)
    for key in ("answer", "abstained", "citations", "documents"):
        assert there[key] == here[key]


@pytest.mark.parametrize(
    ("said", "thought"),
    [
        ("Thoughtful people read.", "Thoughtful people read."),
        ("\n Thought: It is blue [1]. And more.", "It is blue."),
        ("2) It is blue.", "It is blue."),
        ("", ""),
        (" - \n", ""),
    ],
)
def test_the_next_thought(said: str, thought: str) -> None:
    assert next_thought(said) == thought


@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True)))
def test_round_robin(lists: list[list[str]]) -> None:
    mixed = [each.id for each in round_robin([[Document(name, id=name) for name in own] for own in lists])]
    expected: list[str] = []
    for rank in range(6):
        for own in lists:
            if rank < len(own) and own[rank] not in expected:
                expected.append(own[rank])
    assert mixed == expected


def test_the_shape_of_the_graph() -> None:
    snapshot = Path(__file__).with_name("multi-hop.mermaid").read_text(encoding="utf-8").strip()
    assert mermaid_of(multi_hop_rag(Shelf(), FakeChatModel())) == snapshot


def test_the_second_hops_passage_need_not_name_the_first() -> None:
    """What a natural passage says: it names Jane Austen, and neither "the author" nor Emma."""
    passages = {
        "emma": "Emma is a novel by Jane Austen, published in 1815.",
        "austen": "Jane Austen was born in Steventon, Hampshire, in 1775.",
    }

    class Books(BaseRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            key = "austen" if "wrote" in query_bundle.query_str else "emma"
            node = TextNode(id_=key, text=passages[key], metadata={"source": key, "page": 1, "score_kind": "test"})
            return [NodeWithScore(node=node, score=1.0)]

    llm = FakeChatModel(
        replies=["Jane Austen wrote Emma.", "So the answer is: Steventon.", "Jane Austen was born in Steventon."]
    )
    result = multi_hop_rag(Books(), llm).invoke({"question": "Where was the author of Emma born?"})
    check(result)
    assert result["answer"] == "Jane Austen was born in Steventon."
    assert result["citations"][0]["id"] == "austen"
