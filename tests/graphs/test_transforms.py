"""Query transforms: what is read out of a model's reply, what is searched for, HyDE's vector, and what fails."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import QueryBundle
from strategy_kit import GOOD, QUESTION, TEXTS, Evaluator, Shelf, check

from ragloom.errors import UsageError
from ragloom.graphs import corrective_rag, naive_rag
from ragloom.graphs.transforms import DiverseRewrites, HyDE, StepBack, SubQuestions, load_transform
from ragloom.graphs.transforms.parsing import queries_of
from ragloom.retrieval import KnowledgeBase
from ragloom.retrieval.retriever import KnowledgeBaseRetriever
from ragloom.testing import FakeChatModel, HashEmbedding
from ragloom.types import Budget

PASSAGE = "Employees are granted 25 days of annual leave a year."


def ask(transform: Any, *replies: Any, retriever: Any = None, **options: Any) -> tuple[Any, FakeChatModel]:
    llm = FakeChatModel(replies=list(replies))
    graph = naive_rag(retriever or Shelf("leave.md", "travel.md"), llm, transform=transform, **options)
    result = graph.invoke({"question": QUESTION})
    check(result)
    assert len(llm.calls) == result["usage"]["calls"]
    return result, llm


# -- reading the reply -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "queries"),
    [
        ("a b\nc d", ["a b", "c d"]),
        ("1. a\n2. b\n3. c", ["a", "b", "c"]),
        ("1) a\n2) b", ["a", "b"]),
        ("(1) a\n(2) b", ["a", "b"]),
        ("[1] a\n[2] b", ["a", "b"]),
        ("1. a\n1. b\n1. c", ["a", "b", "c"]),  # Markdown counts by itself
        ("- a\n* b\n• c\n– d", ["a", "b", "c", "d"]),
        ("- 1. a\n- 2. b", ["a", "b"]),
        ("1.What is a?\n2.What is b?", ["What is a?", "What is b?"]),
        ("Query 1: a\nQuery 2: b", ["a", "b"]),
        ("Sub-question 1: a?\nsub-question 2: b?", ["a?", "b?"]),
        ("**a b**\n**c**", ["a b", "c"]),
        ("1. **Synonym:** a\n2. b", ["Synonym: a", "b"]),
        ("\n\n  a  b \n\n\n c\n", ["a b", "c"]),
        ("\"a b\"\n'c d'\n“e f”", ["a b", "c d", "e f"]),
        ('"a b" policy\nthe "c"', ['"a b" policy', 'the "c"']),
        ('[\n "a b",\n "c d"\n]', ["a b", "c d"]),
        ("Here are four queries:\na\nb", ["a", "b"]),
        ("Sure! Here they are.\n\na\nb\n\nI hope this helps!", ["a", "b"]),
        ("Rewrites in the spirit of it\n1. a\n2. b\nThese cover most of it.", ["a", "b"]),
        ("Python 3.11 features\n3.11 features of Python\nwhat is new in 3.11", None),
        ("1. Python 3.11 features\n2. 3.11 features of Python", ["Python 3.11 features", "3.11 features of Python"]),
        ("2024 budget of the canteen\n25 days of leave", None),
        ("3. Liga tables\nfootball", None),  # a number that continues no count is no mark
        ("x __init__ y\n-5 degrees\n1:30 train", None),
        ("a\nA\n a !\nb", ["a", "b"]),
        ("the question itself?\nanother", ["another"]),
        ("1. \n2. ", []),
        ("", []),
        (" \n\t\n", []),
        ("...\n[1]\n42\n{}", []),
        ("x " * 300, []),
    ],
)
def test_reading_queries(reply: str, queries: list[str] | None) -> None:
    assert queries_of(reply, "The question itself", most=9) == (reply.split("\n") if queries is None else queries)


def test_a_line_of_the_prompt_is_no_query() -> None:
    prompt = "Question: Why did it fall?\nQueries:\nbridge disaster cause\n\nGeneral question: What is a bridge?"
    said = "Bridge disaster cause.\nWhat is a bridge?\nannual leave"
    assert queries_of(said, "?", most=9, prompt=prompt) == ["annual leave"]


def test_examples_that_a_model_repeats_are_not_searched_for() -> None:
    result, _ = ask(load_transform("diverse"), "inquiry into the collapse of the Tay Bridge\ndays off", GOOD)
    assert result["steps"][0]["details"]["queries"] == ["days off"]


words = st.text(st.sampled_from("abcdefgh"), min_size=1, max_size=8)
versions = st.builds("{} {}.{}".format, words, st.integers(0, 30), st.integers(0, 30))
lines = st.lists(words | versions, min_size=1, max_size=5).map(" ".join)
MARKS: dict[str, Any] = {
    "plain": lambda at: "",
    "numbers": lambda at: f"{at}. ",
    "brackets": lambda at: f"{at}) ",
    "bullets": lambda at: "- ",
    "labels": lambda at: f"Query {at}: ",
}


@given(
    queries=st.lists(lines, min_size=2, max_size=6, unique=True),
    mark=st.sampled_from(sorted(MARKS)),
    blanks=st.integers(0, 2),
    preamble=st.sampled_from(["", "Here are some queries:\n", "Sure, these:\n\n", "Certainly!\n"]),
    most=st.integers(1, 6),
)
def test_marks_and_talk_change_nothing(queries: list[str], mark: str, blanks: int, preamble: str, most: int) -> None:
    listed = ("\n" * (blanks + 1)).join(MARKS[mark](at) + query for at, query in enumerate(queries, start=1))
    assert queries_of(preamble + listed, "?", most) == queries[:most]


@given(st.text(max_size=200), st.text(max_size=20), st.integers(0, 5))
def test_any_reply_gives_distinct_lines_and_never_too_many(reply: str, question: str, most: int) -> None:
    queries = queries_of(reply, question, most)
    assert len(queries) <= most
    keys = [" ".join(re.findall(r"\w+", query.casefold())) for query in [question, *queries]]
    assert len(set(keys)) == len(keys)
    assert all(query.strip() == query and "\n" not in query for query in queries)


# -- what is searched for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transform", "reply", "more"),
    [
        (DiverseRewrites(n=2), "1. days off\n2. vacation\n3. holiday", ["days off", "vacation"]),
        (StepBack(), "General question: What are the rules of leave?\nMore", ["What are the rules of leave?"]),
        (SubQuestions(most=2), "Who gets leave?\nHow long is it?\nWhy?", ["Who gets leave?", "How long is it?"]),
        (HyDE(), f"Passage: {PASSAGE}", [PASSAGE]),  # a shelf takes no vector
    ],
)
def test_the_question_and_more_are_searched_for(transform: Any, reply: str, more: list[str]) -> None:
    shelf = Shelf("leave.md", "travel.md")
    result, llm = ask(transform, reply, GOOD, retriever=shelf)
    assert sorted(shelf.asked) == sorted([QUESTION, *more])
    assert [step["node"] for step in result["steps"]] == ["transform", "retrieve", "read", "cite"]
    assert result["answer"] == GOOD
    assert QUESTION in llm.prompts()[0]
    assert QUESTION in llm.prompts()[1]
    assert not any(query in llm.prompts()[1] for query in more)  # the reader is asked the question alone
    assert [document.metadata["score_kind"] for document in result["documents"]] == ["reciprocal_rank"] * 2


def test_the_prompts_say_how_many() -> None:
    assert "Write 2 search queries" in ask(DiverseRewrites(n=2), "a", GOOD)[1].prompts()[0]
    assert "at most 5 simple questions" in ask(SubQuestions(most=5), "a", GOOD)[1].prompts()[0]


@pytest.mark.parametrize("transform", [DiverseRewrites(), StepBack(), SubQuestions(), HyDE(), HyDE(n=3)])
@pytest.mark.parametrize("reply", ["", " \n", "...", ConnectionError("gone"), ValueError("nonsense")])
def test_what_fails_leaves_the_question(transform: Any, reply: Any) -> None:
    shelf = Shelf("leave.md")
    result, _ = ask(transform, reply, GOOD, retriever=shelf)
    assert (shelf.asked, result["answer"]) == ([QUESTION], GOOD)
    assert result["steps"][0]["decision"] == "0 queries, 0 hypotheses"
    assert result["steps"][0]["reason"] != f"by {transform.name}"
    assert result["documents"][0].metadata["score_kind"] == "test"  # as without a transform


@pytest.mark.parametrize("transform", [DiverseRewrites(), StepBack(), SubQuestions(), HyDE(n=4)])
@pytest.mark.parametrize(("calls", "made"), [(0, 0), (1, 1), (2, 2)])
def test_the_reading_keeps_its_call(transform: Any, calls: int, made: int) -> None:
    replies = ["a query", GOOD][-made:] if made else []
    result, llm = ask(transform, *replies, budget=Budget(llm_calls=calls))
    assert len(llm.calls) == made
    assert result["abstained"] == (not calls)
    if calls == 1:
        assert "1 kept for the reading" in result["steps"][0]["reason"]


async def test_async_does_what_sync_does() -> None:
    def graph() -> Any:
        llm = FakeChatModel(replies=["one passage", "another passage", GOOD])
        return naive_rag(Shelf("leave.md", "travel.md"), llm, transform=HyDE(n=2))

    there, here = await graph().ainvoke({"question": QUESTION}), graph().invoke({"question": QUESTION})
    assert there["documents"] == here["documents"]
    assert [step["reason"] for step in there["steps"]] == [step["reason"] for step in here["steps"]]


def test_in_front_of_corrective() -> None:
    shelf = Shelf("leave.md", "travel.md")
    llm = FakeChatModel(replies=["holiday rules", GOOD])
    graph = corrective_rag(shelf, llm, evaluator=Evaluator(0.9), transform=StepBack())
    result = graph.invoke({"question": QUESTION})
    check(result)
    assert [step["node"] for step in result["steps"]] == ["transform", "retrieve", "evaluate", "refine", "read", "cite"]
    assert sorted(shelf.asked) == sorted([QUESTION, "holiday rules"])
    assert result["answer"] == GOOD


# -- HyDE --------------------------------------------------------------------------------------------------------------


class Watched(KnowledgeBaseRetriever):
    """Remembers what it was asked, in which mode, and by which vector."""

    seen: list[tuple[str, str, Any]]

    def _retrieve(self, query_bundle: QueryBundle) -> Any:
        self.seen.append((self.mode, query_bundle.query_str, query_bundle.embedding))
        return super()._retrieve(query_bundle)


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    folder: Path = tmp_path_factory.mktemp("kb")
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    kb = KnowledgeBase(folder / "kb", embedder=HashEmbedding(size=64))
    kb.ingest([folder / name for name in TEXTS])
    return kb


def watched(kb: KnowledgeBase, **options: Any) -> Watched:
    retriever = Watched(kb, **options)
    retriever.seen = []
    return retriever


@pytest.mark.parametrize("passages", [[PASSAGE], [PASSAGE, "Leave is 30 days.", "Nobody knows the days."]])
def test_the_vector_is_the_mean_of_the_passages_and_the_question(kb: KnowledgeBase, passages: list[str]) -> None:
    retriever = watched(kb, top_k=3)
    result, _ = ask(HyDE(n=len(passages)), *passages, GOOD, retriever=retriever)
    seen = {mode: (query, vector) for mode, query, vector in retriever.seen}
    assert len(retriever.seen) == 2
    assert seen["bm25"] == (QUESTION, None)  # words are searched for as they were asked
    query, vector = seen["dense"]
    terms = [*(kb.embedder.embed([text])[0] for text in passages), kb.embedder.embed_query(QUESTION)]
    expected = np.sum(terms, axis=0) / (len(passages) + 1)
    expected /= np.sqrt((expected**2).sum())
    assert query == QUESTION
    np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-7)
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert f"its own and {len(passages)} hypotheses'" in result["steps"][1]["reason"]
    assert len(result["documents"]) == 3


def test_a_retriever_of_words_alone_loads_no_embedder(kb: KnowledgeBase) -> None:
    retriever, embedder = watched(kb, mode="bm25"), kb.embedder
    before = (embedder.queries, embedder.embedded)  # type: ignore[attr-defined]
    result, _ = ask(HyDE(), PASSAGE, GOOD, retriever=retriever)
    assert (embedder.queries, embedder.embedded) == before  # type: ignore[attr-defined]
    assert sorted(query for _, query, _ in retriever.seen) == sorted([QUESTION, PASSAGE])
    assert "1 hypotheses searched for as text" in result["steps"][1]["reason"]


@pytest.mark.parametrize("spoilt", [RuntimeError("out of memory"), np.nan, "opposite"])
def test_without_a_vector_the_questions_own_is_used(
    kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch, spoilt: Any
) -> None:
    def embed(_: Any, texts: Any) -> Any:
        if isinstance(spoilt, Exception):
            raise spoilt
        return -own[None] if spoilt == "opposite" else np.full((len(texts), 64), spoilt)

    own = kb.query_vector(QUESTION)
    monkeypatch.setattr(HashEmbedding, "embed", embed)
    retriever = watched(kb)
    result, _ = ask(HyDE(), PASSAGE, GOOD, retriever=retriever)
    assert "no vector of the hypotheses: " in result["steps"][1]["reason"]
    assert [vector for _, _, vector in retriever.seen] == [None, None]
    assert result["answer"] == GOOD


def test_a_model_that_repeats_itself_is_asked_no_further() -> None:
    result, llm = ask(HyDE(n=8), PASSAGE, PASSAGE, GOOD)
    assert len(llm.calls) == 3
    assert result["steps"][0]["decision"] == "0 queries, 1 hypotheses"
    assert result["steps"][0]["reason"] == "the model repeats itself"


def test_a_model_that_does_not_know_makes_no_hypothesis() -> None:
    result, _ = ask(HyDE(), "I don't know the answer.", GOOD)
    assert result["steps"][0]["reason"] == "the model knows no passage"


@pytest.mark.parametrize("transform", [HyDE(temperature=1.2), HyDE(n=2, temperature=1.2)])
def test_the_temperature_is_set_for_several_passages_only(transform: HyDE) -> None:
    class Warm(FakeChatModel):
        temperature: float = 0.0

    llm = Warm(replies=["one passage", "another passage", GOOD])
    naive_rag(Shelf("leave.md"), llm, transform=transform).invoke({"question": QUESTION})
    given_ = [options.get("temperature") for options in llm.options]
    assert given_[: transform.n] == ([1.2, 1.2] if transform.n == 2 else [None])
    assert given_[-1] is None


# -- every query in a knowledge base -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "modes"),
    [
        ({}, {"bm25", "dense"}),
        ({"mode": "hybrid"}, {"bm25", "dense"}),
        ({"mode": "hybrid", "alpha": 1.0}, {"dense"}),
        ({"mode": "hybrid", "alpha": 0.0}, {"bm25"}),
        ({"mode": "dense"}, {"dense"}),
        ({"mode": "bm25"}, {"bm25"}),
    ],
)
def test_every_query_is_searched_for_in_every_way(kb: KnowledgeBase, options: Any, modes: set[str]) -> None:
    retriever = watched(kb, **options)
    ask(DiverseRewrites(n=2), "days off\nhotels of Vienna", GOOD, retriever=retriever)
    asked = [QUESTION, "days off", "hotels of Vienna"]
    assert sorted(retriever.seen) == sorted((mode, query, None) for mode in modes for query in asked)


def test_the_scope_of_the_retriever_holds_for_every_query(kb: KnowledgeBase) -> None:
    result, _ = ask(DiverseRewrites(), "days off\nannual leave", retriever=kb.retriever(tenant="nobody"))
    assert result["documents"] == []
    assert result["abstained"]


def test_a_search_that_fails() -> None:
    class Flaky(BaseRetriever):
        def __init__(self, fails: str) -> None:
            self.fails = fails
            super().__init__()

        def _retrieve(self, query_bundle: QueryBundle) -> Any:
            if query_bundle.query_str == self.fails:
                raise ConnectionError("no route to host")
            return Shelf("leave.md").retrieve(query_bundle)

    result, _ = ask(StepBack(), "leave rules", GOOD, retriever=Flaky("leave rules"))
    assert "1 of 2 searches failed: no route to host" in result["steps"][1]["reason"]
    assert result["answer"] == GOOD
    with pytest.raises(ConnectionError):
        ask(StepBack(), "leave rules", GOOD, retriever=Flaky(QUESTION))


# -- by name -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["diverse", "hyde", "step-back", "sub-questions"])
def test_by_name(name: str) -> None:
    assert load_transform(name).name == name


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'step-back'.*diverse, hyde, step-back, sub-questions"):
        load_transform("stepback")
    with pytest.raises(UsageError, match="known: diverse, hyde, step-back, sub-questions"):
        load_transform("x")


@pytest.mark.parametrize(
    "make", [lambda: DiverseRewrites(0), lambda: SubQuestions(0), lambda: HyDE(n=0), lambda: HyDE(temperature=3)]
)
def test_bad_options(make: Any) -> None:
    with pytest.raises(UsageError):
        make()
