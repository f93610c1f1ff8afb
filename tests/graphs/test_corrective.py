"""Corrective RAG: the paper's actions and strips, the second source and who lets it be asked, and what fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from llama_index.core.base.base_retriever import BaseRetriever
from strategy_kit import GOOD, QUESTION, TEXTS, Evaluator, Shelf, check, mermaid_of

from ragloom.errors import ArtifactError, UsageError
from ragloom.graphs import corrective_rag
from ragloom.graphs.corrective.nodes import choose_action, search_phrases
from ragloom.graphs.corrective.refining import STRIP_SENTENCES, cut_strips, keep_strips, recompose
from ragloom.testing import FakeChatModel
from ragloom.types import Budget


def ask(evaluator: Any, *, web: Any = None, replies: Any = (GOOD,), names: Any = None, **options: Any) -> Any:
    llm = FakeChatModel(replies=list(replies))
    shelf = Shelf(*(names or ("leave.md", "travel.md")))
    graph = corrective_rag(shelf, llm, evaluator=evaluator, web=web, **options)
    result = graph.invoke({"question": QUESTION})
    check(result)
    assert len(llm.calls) == result["usage"]["calls"]
    return result, llm


def nodes_of(result: Any) -> list[str]:
    return [step["node"] for step in result["steps"]]


# -- the action --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "paper", "any_irrelevant"),
    [
        ([0.71, 0.0], "correct", "ambiguous"),
        ([0.9, 0.8], "correct", "correct"),
        ([0.7, 0.2], "ambiguous", "correct"),  # the upper threshold itself is not above it
        ([0.1, 0.0], "ambiguous", "ambiguous"),  # the lower threshold itself is not below it
        ([0.09, 0.0], "incorrect", "incorrect"),
        ([], "incorrect", "incorrect"),
        ([None, 0.0], "ambiguous", "ambiguous"),
        ([None, 0.8], "correct", "correct"),
    ],
)
def test_the_action(scores: Any, paper: str, any_irrelevant: str) -> None:
    assert choose_action(scores, upper=0.7, lower=0.1) == paper
    assert choose_action(scores, upper=0.7, lower=0.1, trigger="any_irrelevant") == any_irrelevant


@given(st.lists(st.none() | st.floats(0, 1), max_size=6), st.floats(0, 1), st.floats(0, 1))
def test_the_action_as_the_paper_says_it(scores: list[float | None], a: float, b: float) -> None:
    lower, upper = sorted((a, b))
    flags = [None if score is None else 2 if score > upper else 0 if score < lower else 1 for score in scores]
    expected = "correct" if 2 in flags else "incorrect" if all(flag == 0 for flag in flags) else "ambiguous"
    if None in flags and lower == upper:
        return  # an unknown score lies between the thresholds, and nothing does
    assert choose_action(scores, upper=upper, lower=lower) == expected


# -- routes ------------------------------------------------------------------------------------------------------------


def test_correct_reads_what_was_refined_and_asks_nobody_else() -> None:
    web = Shelf("garden.md", prefix="web:")
    result, llm = ask(Evaluator(0.9), web=web)
    assert nodes_of(result) == ["retrieve", "evaluate", "refine", "read", "cite"]
    assert (result["answer"], web.asked, len(llm.calls)) == (GOOD, [], 1)


def test_incorrect_discards_and_reads_the_second_source_alone() -> None:
    web = Shelf("leave.md", prefix="web:")
    grades = {TEXTS["travel.md"]: 0.0, TEXTS["garden.md"]: 0.05}
    evaluator = Evaluator(lambda text: grades.get(text, 0.9))
    result, llm = ask(evaluator, web=web, replies=['annual leave, "employees"', GOOD], names=("travel.md", "garden.md"))
    assert nodes_of(result) == ["retrieve", "evaluate", "rewrite", "search_web", "refine", "read", "cite"]
    assert web.asked == ["annual leave, employees"]
    assert {document.id for document in result["documents"]} == {"web:leave.md"}
    assert {citation["id"] for citation in result["citations"]} == {"web:leave.md"}
    assert "Vienna" not in llm.prompts()[1]
    assert QUESTION in llm.prompts()[1]  # the reader is asked the question, not its keywords


def test_ambiguous_reads_both() -> None:
    web = Shelf("garden.md", prefix="web:")
    result, llm = ask(Evaluator(0.5), web=web, replies=["leave", GOOD])
    assert "25 days" in llm.prompts()[1]
    assert "roses" in llm.prompts()[1]
    assert [document.id for document in result["documents"]] == ["leave.md", "travel.md", "web:garden.md"]


def test_incorrect_without_a_second_source_abstains_and_asks_no_model() -> None:
    result, llm = ask(Evaluator(0.0))
    assert (result["abstained"], llm.calls) == (True, [])
    assert result["steps"][-1]["reason"] == "nothing was read"
    assert [document.id for document in result["documents"]] == ["leave.md", "travel.md"]


def test_ambiguous_without_a_second_source_reads_what_there_is() -> None:
    result, _ = ask(Evaluator(0.5))
    assert result["answer"] == GOOD


def test_any_irrelevant_is_the_notebooks_rule() -> None:
    web = Shelf("garden.md", prefix="web:")
    evaluator = Evaluator(lambda text: 0.9 if "25 days" in text else 0.0)
    assert "search_web" not in nodes_of(ask(evaluator, web=web)[0])
    assert "search_web" in nodes_of(ask(evaluator, web=web, trigger="any_irrelevant")[0])
    assert "search_web" not in nodes_of(ask(Evaluator(0.0), web=web, trigger="never")[0])


def test_no_round_of_retrieval_beyond_the_budget() -> None:
    web = Shelf("garden.md")
    result, _ = ask(Evaluator(0.0), web=web, budget=Budget(hops=1))
    assert (web.asked, result["abstained"]) == ([], True)


# -- what fails --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grade", [None, float("nan"), "much"])
def test_an_unknown_grade_is_ambiguous(grade: Any) -> None:
    result, _ = ask(Evaluator(lambda _: grade))
    assert result["steps"][1]["decision"] == "ambiguous"
    assert result["answer"] == GOOD


def test_an_evaluator_that_raises_is_told_of() -> None:
    def fall(_: str) -> float:
        raise RuntimeError("out of memory")

    result, _ = ask(Evaluator(fall))
    assert result["steps"][1]["decision"] == "ambiguous"
    assert "the evaluator failed: RuntimeError: out of memory" in result["steps"][1]["reason"]


def test_an_evaluator_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        corrective_rag(Shelf(), FakeChatModel(), evaluator="bundled:smollm2")
    graph = corrective_rag(Shelf("leave.md"), FakeChatModel(), evaluator=f"evaluator:{tmp_path}")
    with pytest.raises((ArtifactError, UsageError), match=tmp_path.name):
        graph.invoke({"question": QUESTION})


@pytest.mark.parametrize("reply", ["", " \n", ConnectionError("gone"), ValueError("nonsense")])
def test_without_phrases_the_question_itself_is_searched_for(reply: Any) -> None:
    web = Shelf("leave.md", prefix="web:")
    result, _ = ask(
        Evaluator(lambda text: 0.0 if "Hotels" in text else 0.9), web=web, replies=[reply, GOOD], names=("travel.md",)
    )
    assert web.asked == [QUESTION]
    assert result["answer"] == GOOD


def test_a_second_source_that_fails_is_told_of() -> None:
    class Down(BaseRetriever):
        def _retrieve(self, query_bundle: Any) -> Any:
            raise ConnectionError("no route to host")

    result, _ = ask(Evaluator(0.5), web=Down(), replies=["leave", GOOD])
    assert "1 of 1 searches failed: no route to host" in result["steps"][3]["reason"]
    assert result["answer"] == GOOD


# -- a person's consent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "asked"),
    [(True, ["leave"]), (False, []), ("holidays", ["holidays"]), (["a", "b", " "], ["a", "b"]), ([], [])],
)
def test_a_person_approves_the_search(reply: Any, asked: list[str]) -> None:
    web = Shelf("garden.md", prefix="web:")
    graph = corrective_rag(
        Shelf("leave.md"),
        FakeChatModel(replies=["leave", GOOD]),
        evaluator=Evaluator(0.5),
        web=web,
        approve_web=True,
        checkpointer=InMemorySaver(),
    )
    thread: Any = {"configurable": {"thread_id": "1"}}
    stopped = graph.invoke({"question": QUESTION}, thread)
    assert stopped["__interrupt__"][0].value == {"type": "web_search", "question": QUESTION, "queries": ["leave"]}
    assert web.asked == []
    result = graph.invoke(Command(resume=reply), thread)
    assert web.asked == asked
    assert result["answer"] == GOOD
    assert sum(step["node"] == "search_web" for step in result["steps"]) == 1


def test_consent_needs_a_checkpointer() -> None:
    with pytest.raises(UsageError, match="needs a checkpointer"):
        corrective_rag(Shelf(), FakeChatModel(), evaluator=Evaluator(), approve_web=True)


# -- strips ------------------------------------------------------------------------------------------------------------

sentences = st.integers(0, 14).map(lambda n: " ".join(f"Sentence number {i} says a thing." for i in range(n)))


@given(st.lists(sentences, max_size=4), st.data())
def test_strips_cut_passages_and_put_them_together_in_order(texts: list[str], data: Any) -> None:
    passages = [Document(text, id=str(index)) for index, text in enumerate(texts)]
    strips = cut_strips(passages)
    for passage in passages:
        own = [strip for strip in strips if strip["id"] == passage.id]
        said = " ".join(passage.page_content[strip["start"] : strip["end"]] for strip in own)
        assert said == passage.page_content
        count = passage.page_content.count("says a thing")
        assert len(own) == -(-count // STRIP_SENTENCES)
    scores = data.draw(st.lists(st.none() | st.floats(0, 1), min_size=len(strips), max_size=len(strips)))
    most, threshold = data.draw(st.integers(1, 6)), 0.25
    kept = keep_strips(strips, scores, most=most, threshold=threshold)
    assert sum(strip["kept"] for strip in kept) <= most
    assert any(strip["kept"] for strip in kept) == bool(strips)
    good = sorted((-(threshold if s is None else s), at) for at, s in enumerate(scores) if s is None or s >= threshold)
    if good:
        assert {at for at, strip in enumerate(kept) if strip["kept"]} == {at for _, at in good[:most]}
    documents = recompose(passages, kept)
    places = [(int(document.id or 0), document.metadata["strip_start"]) for document in documents]
    assert places == sorted(places)
    for document in documents:
        whole = passages[int(document.id or 0)].page_content
        assert document.page_content == whole[document.metadata["strip_start"] : document.metadata["strip_end"]]


def test_only_good_strips_are_read() -> None:
    evaluator = Evaluator(lambda text: 0.9 if "25 days" in text else 0.01)
    result, llm = ask(evaluator, names=("long.md", "leave.md"))
    assert "canteen" not in llm.prompts()[0]
    assert [document.id for document in result["documents"]] == ["leave.md"]
    whole, llm = ask(evaluator, names=("long.md", "leave.md"), refine=False)
    assert "canteen" in llm.prompts()[0]
    assert [document.id for document in whole["documents"]] == ["long.md", "leave.md"]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("Sydney bridge, opening year", ["Sydney bridge", "opening year"]),
        ("Keywords: a, b, c, d", ["a", "b", "c"]),
        ("\n\n'a'; a ; b.\nmore", ["a", "b"]),
        ("", []),
        (" , ;", []),
    ],
)
def test_phrases(text: str, phrases: list[str]) -> None:
    assert search_phrases(text) == phrases


def test_a_table_is_never_cut() -> None:
    rows = "\n".join(f"| Level {n} | {20 + n} days. Ask first. Wait. |" for n in range(8))
    table = f"| Grade | Leave |\n| --- | --- |\n{rows}"
    passage = Document(f"Leave depends on the grade. It is paid.\n\n{table}\n\nMore is in the handbook.", id="t")
    texts = [passage.page_content[strip["start"] : strip["end"]] for strip in cut_strips([passage])]
    assert sum("Level" in text for text in texts) == 1
    assert any(table in text for text in texts)


def test_strips_and_passages_are_graded_behind_what_stands_above_them() -> None:
    class Headed(Shelf):
        def _retrieve(self, query_bundle: Any) -> Any:
            found = super()._retrieve(query_bundle)
            found[0].node.metadata["headings"] = "Absence"
            return found

    evaluator = Evaluator(0.9)
    corrective_rag(Headed("leave.md"), FakeChatModel(replies=[GOOD]), evaluator=evaluator).invoke(
        {"question": QUESTION}
    )
    assert len(evaluator.graded) == 2
    assert all(text.startswith("Absence: Full-time") for text in evaluator.graded)


def test_the_threshold_of_strips_belongs_to_the_evaluator() -> None:
    evaluator = Evaluator(lambda text: 0.25 if "canteen" in text and len(text) < 400 else 0.9)
    result, _ = ask(evaluator, names=("leave.md", "long.md"))
    assert "from 0.29 on" in result["steps"][2]["reason"]  # 0.1 + 0.31 * (0.7 - 0.1)
    assert [document.id for document in result["documents"]] == ["leave.md"]
    result, _ = ask(Evaluator(lambda text: 0.9 if len(text) > 400 else 0.2), names=("long.md",))
    assert "none reaches 0.29: the best one is read" in result["steps"][2]["reason"]
    assert len(result["steps"][2]["scores"]) > 5


def test_an_earlier_turns_second_source_is_forgotten() -> None:
    mood = {"leave": 0.0}
    evaluator = Evaluator(lambda text: mood["leave"] if "annual leave" in text else 0.9)
    web = Shelf("garden.md", prefix="web:")
    llm = FakeChatModel(replies=["roses", "Roses are watered at dawn.", GOOD])
    graph = corrective_rag(Shelf("leave.md"), llm, evaluator=evaluator, web=web, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    first = graph.invoke({"question": "When are the roses watered?"}, thread)
    assert [document.id for document in first["documents"]] == ["web:garden.md"]
    mood["leave"] = 0.9
    second = graph.invoke({"question": QUESTION}, thread)
    check(second)
    assert [document.id for document in second["documents"]] == ["leave.md"]


def test_a_second_source_without_results_leaves_the_nearest_passages() -> None:
    result, llm = ask(Evaluator(0.0), web=Shelf(), replies=["leave"])
    assert (result["abstained"], len(llm.calls)) == (True, 1)
    assert [document.id for document in result["documents"]] == ["leave.md", "travel.md"]
    assert nodes_of(result) == ["retrieve", "evaluate", "rewrite", "search_web", "refine", "cite"]


# -- both worlds, and the shape ----------------------------------------------------------------------------------------


async def test_async_does_what_sync_does() -> None:
    def graph() -> Any:
        web = Shelf("garden.md", prefix="web:")
        return corrective_rag(
            Shelf("leave.md"), FakeChatModel(replies=["leave", GOOD]), evaluator=Evaluator(0.5), web=web
        )

    there, here = await graph().ainvoke({"question": QUESTION}), graph().invoke({"question": QUESTION})
    for key in ("answer", "abstained", "citations", "documents"):
        assert there[key] == here[key]
    assert nodes_of(there) == nodes_of(here)


def test_the_shape_of_the_graph() -> None:
    graph = corrective_rag(Shelf(), FakeChatModel(), evaluator=Evaluator(), web=Shelf())
    assert mermaid_of(graph) == Path(__file__).with_name("corrective.mermaid").read_text(encoding="utf-8").strip()
