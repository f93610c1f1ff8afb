"""Damaged retrieval: what each kind of damage does, for whom, and that it is the same every time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from ragloom.errors import UsageError
from ragloom.evals.answer_sets import AnswerSet, Question
from ragloom.evals.counterfactual import FalseAnswers, answer_kind, replace_answers
from ragloom.evals.stress import Stress, StressedRetriever, asking
from ragloom.graphs import naive_rag
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import FakeChatModel, HashEmbedding

CITIES = ("Vienna", "Lisbon", "Oslo", "Madrid", "Quito", "Lima", "Cairo", "Accra", "Hanoi", "Perth", "Turin", "Minsk")


def answer_set() -> AnswerSet:
    """Twelve questions, each answered by one passage, and twelve passages that answer none."""
    documents = {f"p{n}": (f"Fair {n}", f"Fair number {n} took place in {city}.") for n, city in enumerate(CITIES)}
    documents |= {f"x{n}": ("", f"Nothing at all happened at fair number {n}.") for n in range(12)}
    questions = [Question(f"q{n}", f"Where was fair {n}?", (city,), (f"p{n}",)) for n, city in enumerate(CITIES)]
    return AnswerSet("fairs", documents, tuple(questions))


class Fixed(BaseRetriever):
    """The passage that is asked for by its number, then all others in their order."""

    def __init__(self, found: AnswerSet, top_k: int = 4) -> None:
        self.found, self.top_k = found, top_k
        super().__init__()

    def search(self, query: str, top_k: int) -> list[NodeWithScore]:
        first = "p" + query.rstrip("?").split()[-1]
        keys = sorted(self.found.documents, key=lambda key: key != first)[:top_k]
        return [self._item(key, 1.0 - place / 100) for place, key in enumerate(keys)]

    def _item(self, key: str, score: float) -> NodeWithScore:
        title, text = self.found.documents[key]
        metadata = {"source": key, "title": title, "page": 1, "score_kind": "fixed"}
        return NodeWithScore(node=TextNode(id_=f"chunk-{key}", text=text, metadata=metadata), score=score)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self.search(query_bundle.query_str, self.top_k)


class Shallow(Fixed):
    """A retriever that cannot be read deeper."""

    search = None  # type: ignore[assignment]

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return Fixed.search(self, query_bundle.query_str, self.top_k)


def ask(retriever: BaseRetriever, question: Question) -> list[NodeWithScore]:
    with asking(question):
        return retriever.retrieve(question.question)


def sources(found: Sequence[NodeWithScore]) -> list[str]:
    return [item.node.metadata["source"] for item in found]


def test_nothing_is_damaged_unless_asked_for() -> None:
    found = answer_set()
    plain, stressed = Fixed(found), StressedRetriever(Fixed(found), Stress(), found)
    for question in found.questions:
        assert stressed.retrieve(question.question) == plain.retrieve(question.question)


def test_all_gold_is_dropped_and_the_next_best_fill_the_places() -> None:
    found = answer_set()
    retriever = StressedRetriever(Fixed(found), Stress(drop_gold=1.0), found)
    for question in found.questions:
        given = ask(retriever, question)
        assert len(given) == 4
        assert sources(given) == [key for key in found.documents if key not in question.gold][:4]


def test_gold_of_many_chunks_is_looked_past() -> None:
    found = answer_set()
    most = Question("q", "Where was fair 0?", ("Vienna",), tuple(list(found.documents)[:22]))
    given = ask(StressedRetriever(Fixed(found), Stress(drop_gold=1.0), found), most)
    assert sources(given) == ["x10", "x11"]  # there are no more


def test_gold_is_known_by_node_id_too() -> None:
    found = answer_set()
    question = Question("q", "Where was fair 0?", ("Vienna",), ("chunk-p0",))
    assert "p0" not in sources(ask(StressedRetriever(Fixed(found), Stress(drop_gold=1.0), found), question))


def test_a_retriever_that_cannot_be_read_deeper_gives_fewer() -> None:
    found = answer_set()
    given = ask(StressedRetriever(Shallow(found), Stress(drop_gold=1.0), found), found.questions[0])
    assert sources(given) == ["p1", "p2", "p3"]


@pytest.mark.parametrize("mode", ["bm25", "dense", "default"])
def test_a_knowledge_base_is_read_deeper(mode: Any) -> None:
    found = answer_set()
    Path("fairs").mkdir()
    for key, (_, text) in found.documents.items():
        Path("fairs", f"{key}.txt").write_text(text)
    kb = KnowledgeBase("kb", embedder=HashEmbedding())
    kb.ingest(["fairs"])
    question = Question("q", "Where was fair number 3?", ("Madrid",), ("fairs/p3.txt", "fairs/p4.txt"))
    retriever = StressedRetriever(kb.retriever(mode=mode, top_k=6), Stress(drop_gold=1.0), found)
    given = sources(ask(retriever, question))
    assert len(given) == len(set(given)) == 6
    assert not set(given) & set(question.gold)


def test_a_share_of_the_questions_and_more_of_them_at_a_greater_share() -> None:
    questions = [Question(f"q{n}", "?", ("a",), ("p0",)) for n in range(2000)]
    few, many = ({q.id for q in questions if Stress(drop_gold=r).hits("drop_gold", q)} for r in (0.2, 0.4))
    assert few < many
    assert 340 < len(few) < 460
    assert few != {q.id for q in questions if Stress(drop_gold=0.2, seed=1).hits("drop_gold", q)}
    assert few != {q.id for q in questions if Stress(counterfactual=0.2).hits("counterfactual", q)}


@pytest.mark.parametrize(("share", "noise"), [(0.25, 1), (0.5, 2), (1.0, 4)])
def test_irrelevant_passages_take_places_of_the_worst(share: float, noise: int) -> None:
    found = answer_set()
    retriever = StressedRetriever(Fixed(found), Stress(irrelevant=share), found)
    places = set()
    for question in found.questions:
        given, undamaged = ask(retriever, question), Fixed(found).retrieve(question.question)
        drawn = [item for item in given if item.node.metadata.get("stress") == "irrelevant"]
        real = [item for item in given if item not in drawn]
        assert (len(given), len(drawn)) == (4, noise)
        assert sources(real) == sources(undamaged)[: len(real)]
        assert not set(sources(drawn)) & {*question.gold, *sources(real)}
        assert all(question.answers[0] not in item.node.get_content() for item in drawn)
        scores = [float(item.score or 0) for item in given]
        assert scores == sorted(scores, reverse=True)
        places.add(tuple(given.index(item) for item in drawn))
    assert len(places) > 1 or share == 1.0
    assert all("irrelevant" not in item.node.get_content(MetadataMode.LLM) for item in drawn)


def test_noise_is_no_longer_than_what_was_retrieved() -> None:
    found = answer_set()
    long = {**found.documents, **{f"p{n}": ("", "word " * 5000) for n in range(1, 12)}}
    retriever = StressedRetriever(Fixed(found), Stress(irrelevant=0.5), AnswerSet("long", long, found.questions))
    for item in ask(retriever, found.questions[0]):
        assert len(item.node.get_content()) < 50


def test_shuffled_passages_are_the_same_ones() -> None:
    found = answer_set()
    retriever = StressedRetriever(Fixed(found), Stress(shuffle=True), found)
    firsts = []
    for question in found.questions:
        given = sources(ask(retriever, question))
        plain = sources(Fixed(found).retrieve(question.question))
        assert sorted(given) == sorted(plain)
        firsts.append(given[0] == plain[0])
    assert 0 < sum(firsts) < len(firsts)


def test_counterfactual_passages_state_the_false_answer() -> None:
    found = answer_set()
    retriever = StressedRetriever(Fixed(found), Stress(counterfactual=1.0), found)
    for question in found.questions:
        false = retriever.stressed_answer(question)
        assert false in set(CITIES) - set(question.answers)
        gold, *others = ask(retriever, question)
        assert gold.node.get_content() == f"Fair number {question.id[1:]} took place in {false}."
        assert gold.node.metadata["stress"] == "counterfactual"
        assert all("stress" not in item.node.metadata for item in others)


def test_only_some_questions_get_a_false_answer_and_none_without_their_gold() -> None:
    found = answer_set()
    half = StressedRetriever(Fixed(found), Stress(counterfactual=0.5), found)
    hit = [question for question in found.questions if half.stressed_answer(question)]
    assert 0 < len(hit) < len(found.questions)
    for question in found.questions:
        assert ("stress" in ask(half, question)[0].node.metadata) == (question in hit)
    dropped = StressedRetriever(Fixed(found), Stress(counterfactual=1.0, drop_gold=1.0), found)
    assert not any(dropped.stressed_answer(question) for question in found.questions)
    assert StressedRetriever(Fixed(found), Stress(), found).stressed_answer(found.questions[0]) is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("1850", "year"),
        ("May 5, 1850", "date"),
        ("5th of May 1850", "date"),
        ("September 2007", "date"),
        ("2007-09-08", "date"),
        ("25", "number"),
        ("$1,496.5 million", "number"),
        ("24%", "number"),
        ("Marie Curie", "name"),
        ("the University of Vienna", "name"),
        ("Mayor Smith", "name"),
        ("by boat", None),
        ("yes", None),
        ("No", None),
        ("", None),
    ],
)
def test_kinds_of_answers(answer: str, kind: str | None) -> None:
    assert answer_kind(answer) == kind


def test_answers_are_replaced_as_whole_words_and_numbers() -> None:
    question = Question("q", "How many?", ("25", "25 days of leave"), ("d",))
    text = "25 days of leave, not 125 or 2.25 or 25,000; so: 25."
    assert replace_answers(text, question, "31") == "31 days of leave, not 125 or 2.25 or 25,000; so: 31."
    odd = Question("q", "?", ("C++ (1985)",), ("d",))
    assert replace_answers("It was C++\n(1985), then.", odd, r"\1") == r"It was \1, then."


def test_false_answers_are_of_the_same_kind_and_nowhere_near() -> None:
    documents = {
        "d1": ("", "Ada was born in 1815, and Bob in 1830."),
        "d2": ("", "Bob was born in 1830."),
        "d3": ("", "Cyd was born in 1840."),
        "d4": ("", "They came by boat."),
    }
    questions = (
        Question("1", "When was Ada born?", ("1815",), ("d1",)),
        Question("2", "When was Bob born?", ("1830",), ("d2",)),
        Question("3", "When was Cyd born?", ("1840",), ("d3",)),
        Question("4", "How did they come?", ("by boat",), ("d4",)),
        Question("5", "Who came?", ("Dora",), ("d4",)),
        Question("6", "Who came?", (), ("d4",), False),
    )
    false = FalseAnswers(AnswerSet("births", documents, questions))
    assert false.of(questions[0]) == "1840"  # 1830 stands in the passage already
    assert false.of(questions[1]) in ("1815", "1840")
    assert [false.of(question) for question in questions[3:]] == [None, None, None]


@pytest.mark.parametrize("settings", [{"drop_gold": 1.1}, {"irrelevant": -0.1}, {"counterfactual": float("nan")}])
def test_shares_outside_0_and_1_are_misuse(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(settings))} must lie between 0 and 1"):
        Stress(**settings)  # type: ignore[arg-type]


def test_without_a_question_there_is_no_guessing() -> None:
    found = answer_set()
    with pytest.raises(UsageError, match="must know the question"):
        StressedRetriever(Fixed(found), Stress(shuffle=True), found).retrieve("Where was fair 1?")


def test_the_same_again_in_threads_and_tasks() -> None:
    found = answer_set()
    everything = Stress(drop_gold=0.3, irrelevant=0.5, shuffle=True, counterfactual=0.5, seed=3)
    retriever = StressedRetriever(Fixed(found), everything, found)

    def texts(question: Question) -> list[str]:
        return [item.node.get_content() for item in ask(retriever, question)]

    async def texts_async(question: Question) -> list[str]:
        with asking(question):
            return [item.node.get_content() for item in await retriever.aretrieve(question.question)]

    async def all_async() -> list[list[str]]:
        return list(await asyncio.gather(*map(texts_async, found.questions)))

    first = [texts(question) for question in found.questions]
    again = StressedRetriever(Fixed(found), everything, found)
    assert [[item.node.get_content() for item in ask(again, question)] for question in found.questions] == first
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(texts, found.questions)) == first
    assert asyncio.run(all_async()) == first


def test_what_is_retrieved_undamaged_stays_so() -> None:
    """The copies are changed, never what the retriever (or its cache) holds."""
    found = answer_set()
    plain = Fixed(found)
    held = plain.search("Where was fair 0?", 4)
    plain.search = lambda query, top_k: held[:top_k]  # type: ignore[method-assign]
    before = [item.model_dump_json() for item in held]
    everything = Stress(irrelevant=0.5, shuffle=True, counterfactual=1.0)
    ask(StressedRetriever(plain, everything, found), found.questions[0])
    assert [item.model_dump_json() for item in held] == before


def test_a_strategy_is_damaged_in_whatever_thread_it_runs() -> None:
    """A real graph runs its nodes in threads and tasks of its own: the question reaches them all."""
    found = answer_set()
    retriever = StressedRetriever(Fixed(found), Stress(counterfactual=1.0, irrelevant=0.25), found)
    graph = naive_rag(retriever, FakeChatModel(replies=["It was there."]))

    def read(question: Question) -> str:
        with asking(question):
            answer = graph.invoke({"question": question.question})
        return "\n".join(document.page_content for document in answer["documents"])

    async def read_async(question: Question) -> str:
        with asking(question):
            answer = await graph.ainvoke({"question": question.question})
        return "\n".join(document.page_content for document in answer["documents"])

    async def all_async() -> list[str]:
        return list(await asyncio.gather(*map(read_async, found.questions)))

    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(read, found.questions))
    for question, text in zip(found.questions, given, strict=True):
        assert f"took place in {retriever.stressed_answer(question)}." in text
        assert question.answers[0] not in text
    assert asyncio.run(all_async()) == given
