"""Decomposition: any plan's order, answers that are supported before they are used, and what is skipped."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from strategy_kit import GOOD, QUESTION, Shelf, check, mermaid_of

from ragloom.errors import StoreError
from ragloom.graphs.decompose import decompose_rag
from ragloom.graphs.decompose.planning import parse_plan, ready, skip_unreachable, substituted
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

BORN = "In which town was the author of the novel Emma born?"
PAGES = {
    "emma": "The novel Emma was written by Jane Austen.",
    "austen": "Jane Austen, the author, was born in the town of Steventon.",
    "rhine": "The Rhine is 1233 km long.",
    "elbe": "The Elbe is 1094 km long.",
    "garden": "The roses in the garden are watered at dawn.",
}
PLAN = "1. Who wrote the novel Emma?\n2. In which town was #1 born?"
ANSWER = "The author of the novel Emma was born in the town of Steventon."


class Pages(BaseRetriever):
    """Finds by the words of the query; remembers what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, []
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = query_bundle.query_str
        self.asked.append(query)
        found = next((names for word, names in self.answers.items() if word in query), [])
        if isinstance(found, Exception):
            raise found
        return [
            NodeWithScore(
                node=TextNode(id_=name, text=PAGES[name], metadata={"source": name, "page": 1, "score_kind": "test"}),
                score=1.0 - rank / 10,
            )
            for rank, name in enumerate(found)
        ]


def pages(**answers: Any) -> Pages:
    return Pages(**{"author": ["garden"], "wrote": ["emma"], "Austen": ["austen", "emma"], **answers})


def ask(
    plan: Any, *short: Any, final: Any = ANSWER, retriever: Any = None, question: str = BORN, **options: Any
) -> Any:
    """Replies by what is asked: the plan, the short answers in their order, the reading."""
    answers = iter(short)

    def say(messages: Any) -> Any:
        system = str(messages[0].text)
        return plan if "split a question" in system else next(answers) if "fewest words" in system else final

    llm = FakeChatModel(replies=say)
    retriever = retriever or pages()
    result = decompose_rag(retriever, llm, **options).invoke({"question": question})
    check(result)
    assert result["abstained"] == (not result["citations"])
    assert len(llm.calls) == result["usage"]["calls"]
    return result, llm, retriever


def nodes_of(result: Any) -> list[str]:
    return [step["node"] for step in result["steps"]]


def outcomes(result: Any) -> list[str]:
    last = [step for step in result["steps"] if step["node"] == "hop"][-1]
    return [each["outcome"] for each in last["details"]["plan"]]


# -- routes ------------------------------------------------------------------------------------------------------------


def test_a_dependent_plan() -> None:
    result, llm, retriever = ask(PLAN, "Jane Austen")
    assert retriever.asked == [BORN, "Who wrote the novel Emma?", "In which town was Jane Austen born?"]
    assert nodes_of(result) == ["retrieve", "plan", "hop", "hop", "read", "cite"]
    assert (result["answer"], result["citations"][0]["id"]) == (ANSWER, "austen")
    assert outcomes(result) == ["answered", "searched"]
    assert [document.id for document in result["documents"]] == ["garden", "emma", "austen"]
    assert BORN in llm.prompts()[-1]  # the question itself is answered
    assert len(llm.calls) == 3


def test_a_flat_plan_is_one_round_and_answers_nothing_on_the_way() -> None:
    retriever = Pages(longer=[], Rhine=["rhine"], Elbe=["elbe"])
    result, llm, _ = ask(
        "1. How long is the Rhine?\n2. How long is the Elbe?",
        final="The Rhine is 1233 km long.",
        retriever=retriever,
        question="Which is longer, the Rhine or the Elbe?",
        budget=Budget(hops=2),
    )
    assert (retriever.asked[0], set(retriever.asked[1:])) == (
        "Which is longer, the Rhine or the Elbe?",
        {"How long is the Rhine?", "How long is the Elbe?"},
    )
    assert nodes_of(result) == ["retrieve", "plan", "hop", "read", "cite"]
    assert (len(llm.calls), [each.id for each in result["documents"]]) == (2, ["rhine", "elbe"])


@pytest.mark.parametrize(
    "plan", ["", "I cannot do that.", "1. \n2. ", "#1 #2 #9", "1. What of #1?", f"1. {BORN}", ConnectionError("gone")]
)
def test_nonsense_leaves_the_question_itself(plan: Any) -> None:
    result, llm, retriever = ask(plan, final="Roses are watered at dawn.")
    assert retriever.asked == [BORN]
    assert nodes_of(result) == ["retrieve", "plan", "read", "cite"]
    assert result["steps"][1]["decision"] == "the question itself"
    assert len(llm.calls) == 2


@pytest.mark.parametrize(
    ("short", "why"),
    [
        ("I don't know.", "found no answer"),
        ("", "found no answer"),
        ("Mary Shelley", "no passage supports 'Mary Shelley'"),
        ("It was " + "very " * 12 + "long ago", "more than 12 words"),
        (ConnectionError("gone"), "cannot be reached"),
    ],
)
def test_what_waits_for_an_answer_that_is_not_found_is_skipped(short: Any, why: str) -> None:
    result, _, retriever = ask(f"{PLAN}\n3. Who picks roses in #2?", short)
    assert retriever.asked == [BORN, "Who wrote the novel Emma?"]
    assert outcomes(result) == ["not found", "skipped", "skipped"]
    assert why in result["steps"][2]["reason"]
    assert "#2, #3" in result["steps"][2]["reason"]
    assert result["steps"][3]["node"] == "read"  # what was found is read all the same


def test_a_failing_critic_supports_no_answer() -> None:
    class Broken:
        threshold = 0.5

        def support(self, *_: Any) -> Any:
            raise RuntimeError("out of memory")

    result, _, retriever = ask(PLAN, "Jane Austen", critic=Broken())
    assert (outcomes(result), len(retriever.asked)) == (["not found", "skipped"], 2)
    assert "the critic failed: RuntimeError" in result["steps"][2]["reason"]


def test_a_failing_search_is_told_and_the_others_count() -> None:
    retriever = pages(wrote=ConnectionError("gone"), roses=["garden"])
    result, _, _ = ask(f"{PLAN}\n3. When are the roses of Emma watered?", retriever=retriever)
    assert outcomes(result) == ["not found", "skipped", "searched"]
    assert "the search failed" in result["steps"][2]["reason"]
    with pytest.raises(StoreError):
        ask(PLAN, retriever=pages(wrote=StoreError("damaged")))


def test_rounds_and_calls_are_bounded() -> None:
    result, llm, retriever = ask(PLAN, "Jane Austen", budget=Budget(hops=2))
    assert (len(retriever.asked), len(llm.calls), outcomes(result)) == (2, 2, ["searched", "open"])
    assert "2 rounds of retrieval is spent" in result["steps"][2]["reason"]
    result, llm, retriever = ask(PLAN, budget=Budget(hops=1))
    assert (retriever.asked, len(llm.calls)) == ([BORN], 1)
    result, llm, retriever = ask(PLAN, budget=Budget(llm_calls=2))
    assert (outcomes(result), len(llm.calls)) == (["not found", "skipped"], 2)
    result, llm, _ = ask(PLAN, budget=Budget(llm_calls=1))
    assert (nodes_of(result)[2], len(llm.calls)) == ("read", 1)


def test_every_hops_best_passage_fits_first() -> None:
    result, _, _ = ask(PLAN, "Jane Austen", retriever=pages(author=["garden", "rhine", "elbe"]), most_passages=3)
    assert [document.id for document in result["documents"]] == ["garden", "emma", "austen"]


def test_a_reranker_orders_each_hop_by_its_own_query() -> None:
    asked = []

    class Moody(BaseNodePostprocessor):
        def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: Any = None) -> list[NodeWithScore]:
            asked.append(query_bundle.query_str)
            if "Austen" in query_bundle.query_str:
                raise RuntimeError("out of memory")
            return nodes[::-1]

    result, _, retriever = ask(PLAN, "Jane Austen", reranker=Moody())
    assert asked == retriever.asked
    assert "the reranker failed" in [step for step in result["steps"] if step["node"] == "hop"][1]["reason"]
    assert result["answer"] == ANSWER


async def test_async_does_what_sync_does() -> None:
    def replies(messages: Any) -> str:
        system = str(messages[0].text)
        return PLAN if "split a question" in system else "Jane Austen" if "fewest words" in system else ANSWER

    there = await decompose_rag(pages(), FakeChatModel(replies=replies)).ainvoke({"question": BORN})
    here, _, _ = ask(PLAN, "Jane Austen")
    for key in ("answer", "abstained", "citations", "documents"):
        assert there[key] == here[key]


# -- plans -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plan", "dropped"),
    [
        ("1. A?\n2. B #1?", [(1, []), (2, [1])], 0),
        ("2) B #1?\n1) A?", [(2, [1]), (1, [])], 0),  # the order of writing does not matter
        ("- A?\n- B #1?", [(1, []), (2, [1])], 0),
        ("#1: A?\nQ2: B #1?", [(1, []), (2, [1])], 0),
        ("1. A #2?\n2. B #1?\n3. C?", [(3, [])], 2),
        ("1. A #1?\n2. B #1?", [], 2),
        ("1. A #9?\n2. B?", [(2, [])], 1),
        ("1. A?\n1. B?", [(1, [])], 0),
        ("1. A?\n2. B?\n3. C?\n4. D?\n5. E?", [(1, []), (2, []), (3, []), (4, [])], 0),
        ("1. A?\n2. B #1 and #1?", [(1, []), (2, [1])], 0),
        ("The plan is simple.", [], 0),
    ],
)
def test_plans(text: str, plan: Any, dropped: int) -> None:
    found, lost = parse_plan(text, 4)
    assert [(each["number"], each["needs"]) for each in found] == plan
    assert len(lost) == dropped


def test_placeholders_take_their_own_answers() -> None:
    assert substituted("#1 and #12 and #1", {1: "x", 12: "#1"}) == "x and #1 and x"


_lines = st.one_of(
    st.text(max_size=20),
    st.builds("{}. Who is {} of #{} and #{}?".format, *[st.integers(0, 6)] * 4),
    st.builds("{}. What is {}?".format, st.integers(0, 6), st.integers(0, 9)),
)


@given(st.lists(_lines, max_size=8).map("\n".join), st.integers(0, 2**30))
@settings(max_examples=200, deadline=None)
def test_any_plan_ends_in_topological_order(text: str, seed: int) -> None:
    plan, _ = parse_plan(text, 4)
    assert len(plan) <= 4
    dice, order, rounds = random.Random(seed), [], 0
    while now := ready(plan):
        rounds += 1
        assert rounds <= 4
        for each in now:
            # Everything that it needs was answered in an earlier round.
            before = {done["number"] for done in order if done["outcome"] == "answered"}
            assert set(each["needs"]) <= before - {other["number"] for other in now}
        said = {each["number"]: dice.choice(["answered", "answered", "not found"]) for each in now}
        plan = [{**each, "outcome": said.get(each["number"], each["outcome"])} for each in plan]  # type: ignore[typeddict-item]
        order += [each for each in plan if each["number"] in said]
        plan = skip_unreachable(plan)
    lost = {each["number"] for each in plan if each["outcome"] in ("not found", "skipped")}
    for each in plan:
        assert each["outcome"] != "open"
        assert (each["outcome"] == "skipped") == bool(lost & set(each["needs"]))
    # Independently: what can be asked is what a depth-first walk finds without a cycle or a hole.
    needs: dict[int, set[int]] = {}
    for line in text.splitlines():
        if len(needs) < 4 and (item := re.match(r"\s*(\d)\. (Wh.*)", line)):
            needs.setdefault(int(item[1]), {int(number) for number in re.findall(r"#(\d)", item[2])})
        elif re.match(r"\s*(\W|\d|[QqSs])", line):
            return  # another kind of list item, as the table above has them

    def sound(number: int, path: tuple[int, ...] = ()) -> bool:
        return number in needs and number not in path and all(sound(each, (*path, number)) for each in needs[number])

    assert {each["number"] for each in plan} == {number for number in needs if sound(number)}


def test_a_long_passage_is_left_out_of_an_intermediate_prompt() -> None:
    llm = FakeChatModel(replies=["1. How many days of leave?\n2. Who has #1?", GOOD], context_window=300)
    result = decompose_rag(Shelf("long.md"), llm).invoke({"question": QUESTION})
    check(result)
    assert "there is no passage to read" in result["steps"][2]["reason"]


def test_the_shape_of_the_graph() -> None:
    snapshot = Path(__file__).with_name("decompose.mermaid").read_text(encoding="utf-8").strip()
    assert mermaid_of(decompose_rag(Shelf(), FakeChatModel())) == snapshot


def test_examples_of_the_prompt_are_no_sub_questions() -> None:
    plan, dropped = parse_plan(
        "1. How long is the Rhine?\n2. Who wrote Emma?\n3. Where was #2 born?",
        4,
        question="Where was Emma's author born?",
    )
    assert [each["text"] for each in plan] == ["Who wrote Emma?", "Where was #2 born?"]
    assert dropped == ["How long is the Rhine?"]
