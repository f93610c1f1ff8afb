"""Late fusion: answers of single passages that vote, summaries, and extracts."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from strategy_kit import GOOD, QUESTION, TEXTS, Shelf, check, mermaid_of

from ragloom.errors import ArtifactError, RagloomError
from ragloom.graphs.common.ask_all import ask_all, was_asked
from ragloom.graphs.common.purse import Purse
from ragloom.graphs.hierarchical import hierarchical_rag
from ragloom.graphs.hierarchical.extracting import quoted_spans
from ragloom.graphs.summarise import summarise_rag
from ragloom.graphs.summarise.nodes import says_nothing
from ragloom.graphs.vote import vote_rag
from ragloom.graphs.vote.counting import counted, distinct_passages, plain
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

YEAR = "In which year did the tower open?"


class Pages(BaseRetriever):
    """Always the texts, in their order; their ids are `p0`, `p1`, ..."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [
            NodeWithScore(
                node=TextNode(id_=f"p{n}", text=text, metadata={"source": f"{n}.md", "page": 1, "score_kind": "test"}),
                score=1.0 - n / 10,
            )
            for n, text in enumerate(self.texts)
        ]


def towers(*years: str) -> Pages:
    """Passages that differ, each with a year."""
    rest = ["in May", "with a feast", "in the rain", "at noon", "late", "for all", "on Monday", "at last", "again"]
    return Pages(*[f"The tower did open in {year} {rest[n]}." for n, year in enumerate(years)])


def by_passage(replies: dict[str, Any], otherwise: Any = "I don't know.") -> Callable[..., Any]:
    """Replies by words of the prompt: calls that run beside each other come in any order."""

    def say(messages: Any) -> Any:
        prompt = str(messages[-1].text)
        return next((reply for words, reply in replies.items() if words in prompt), otherwise)

    return say


def run(build: Any, retriever: Any, replies: Any, question: str = YEAR, **options: Any) -> Any:
    llm = FakeChatModel(replies=replies)
    result = build(retriever, llm, **options).invoke({"question": question})
    check(result)
    assert result["abstained"] == (not result["citations"])
    assert len(llm.calls) == result["usage"]["calls"]
    return result, llm


def step_of(result: Any, node: str) -> Any:
    return next(step for step in result["steps"] if step["node"] == node)


# -- several calls at once ---------------------------------------------------------------------------------------------


@given(
    calls=st.integers(0, 5),
    tokens=st.integers(0, 400),
    keep=st.integers(0, 2),
    lengths=st.lists(st.integers(1, 90), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_calls_beside_each_other_keep_to_the_budget(calls: int, tokens: int, keep: int, lengths: list[int]) -> None:
    from langchain_core.messages import HumanMessage

    llm = FakeChatModel(replies=["word " * 50])
    purse = Purse(Budget(llm_calls=calls, tokens=tokens), {})
    doing = ask_all(llm, purse, [[HumanMessage("x " * n)] for n in lengths], max_tokens=10, keep_calls=keep)
    given_: Any = None
    try:
        while True:
            given_ = doing.send(given_).run()
    except StopIteration as end:
        said = end.value
    # Independently: the first ones come first, each at its full cost, and a shorter one may fit after a longer.
    room, left, expected = tokens - (int(tokens * 0.25) if keep else 0), calls - keep, []
    for n in lengths:
        cost = n + 8 + 10
        expected.append(left > 0 and cost <= room)
        if expected[-1]:
            room, left = room - cost, left - 1
    assert [was_asked(each) for each in said] == expected
    assert all(each.failed for each in said if not was_asked(each))
    assert purse.usage["calls"] == len(llm.calls) == sum(expected)
    assert purse.usage["tokens_in"] + purse.usage["tokens_out"] <= tokens


# -- the vote ----------------------------------------------------------------------------------------------------------


def test_the_majority_wins_over_the_best_passage() -> None:
    replies = by_passage({"in May": "1887", "feast": "The 1889.", "rain": "1889 [1]"})
    result, llm = run(vote_rag, towers("1887", "1889", "1889"), replies)
    assert result["answer"] == "The 1889."
    assert [each["id"] for each in result["citations"]] == ["p1", "p2"]
    assert step_of(result, "elect")["decision"] == "The 1889. (2 of 3 votes)"
    assert len(llm.calls) == 3
    assert all("fewest words" in prompt for prompt in llm.prompts())


def test_ties_go_to_the_better_passage() -> None:
    replies = by_passage({"in May": "1887", "feast": "1889", "rain": "1889", "noon": "1887"})
    result, _ = run(vote_rag, towers("1887", "1889", "1889", "1887"), replies)
    assert (result["answer"], {each["id"] for each in result["citations"]}) == ("1887", {"p0", "p3"})


def test_not_knowing_is_a_vote_for_nobody() -> None:
    result, _ = run(vote_rag, towers("1887", "1889", "1889"), by_passage({"rain": "1889"}))
    assert result["answer"] == "1889"
    result, _ = run(vote_rag, towers("1887", "1889"), by_passage({}))
    assert result["abstained"]
    assert result["steps"][-1]["reason"] == "the model found no answer in the passages"
    result, _ = run(vote_rag, towers("1887", "1889"), by_passage({}, otherwise=""))
    assert result["abstained"]


def test_near_duplicates_have_one_vote() -> None:
    texts = [
        "The tower did open in 1889 with a feast.",
        "the tower did open in 1887, with  flags",
        "The Tower did open in 1887 with flags.",
        "So it was: the tower did open in 1887 with flags, they say.",
    ]
    replies = by_passage({"1889": "1889", "1887": "1887"})
    result, llm = run(vote_rag, Pages(*texts), replies)
    assert (result["answer"], len(llm.calls)) == ("1889", 2)
    assert "2 near-duplicates have no vote" in step_of(result, "read")["reason"]


def test_a_winner_without_support_gives_way() -> None:
    replies = by_passage({"in May": "1887", "feast": "1900", "rain": "1900"})
    result, _ = run(vote_rag, towers("1887", "1889", "1889"), replies)
    assert result["answer"] == "1887"
    assert "without support: 1900" in step_of(result, "elect")["reason"]
    result, _ = run(vote_rag, towers("1887"), by_passage({}, otherwise="1900"))
    assert (result["abstained"], step_of(result, "elect")["decision"]) == (True, "nobody")


def test_calls_go_to_the_best_passages() -> None:
    replies = by_passage({"in May": "1887", "feast": "1889", "rain": "1889"})
    result, llm = run(vote_rag, towers("1887", "1889", "1889"), replies, budget=Budget(llm_calls=2))
    assert (result["answer"], len(llm.calls)) == ("1887", 2)
    assert "1 passages left out: the budget of 2 calls is spent" in step_of(result, "read")["reason"]
    assert [document.id for document in result["documents"]] == ["p0", "p1"]
    result, llm = run(vote_rag, towers("1887"), replies, budget=Budget(llm_calls=0))
    assert (result["abstained"], llm.calls, step_of(result, "read")["decision"]) == (True, [], "not asked")
    assert [document.id for document in result["documents"]] == ["p0"]


def test_failing_calls_are_no_votes() -> None:
    replies = by_passage({"in May": ConnectionError("gone"), "feast": "1889"})
    result, _ = run(vote_rag, towers("1887", "1889"), replies)
    assert (result["answer"], result["error"]) == ("1889", "")
    assert "1 calls failed" in step_of(result, "read")["reason"]
    result, _ = run(vote_rag, towers("1887", "1889"), by_passage({}, otherwise=ConnectionError("gone")))
    assert "cannot be reached" in result["error"]
    assert result["steps"][-1]["reason"] == "the language model failed"


def test_the_winner_is_streamed() -> None:
    llm = FakeChatModel(replies=by_passage({"in May": "1887"}))
    said = list(vote_rag(towers("1887", "1889"), llm).stream({"question": YEAR}, stream_mode="custom"))
    assert [each["text"] for each in said] == ["1887"]


def test_a_failing_critic_shows_nothing() -> None:
    class Broken:
        threshold = 0.5

        def support(self, *_: Any) -> Any:
            raise RuntimeError("out of memory")

    result, _ = run(vote_rag, towers("1887"), by_passage({}, otherwise="1887"), critic=Broken())
    assert result["abstained"]
    assert "the critic failed: RuntimeError" in step_of(result, "elect")["reason"]


def test_drafts_and_sentences_vote_by_their_answers() -> None:
    draft = "Rationale: The tower did open in 1889 with a feast. [1]\nAnswer: 1889"
    result, _ = run(vote_rag, towers("1889"), by_passage({}, otherwise=draft), prompt="draft")
    assert result["answer"] == "1889"
    result, _ = run(vote_rag, towers("1889"), by_passage({}, otherwise="Answer: 1889\nBecause."))
    assert result["answer"] == "1889"


class Scorer:
    """Gives each answer the mean that a test wants."""

    name = "test"

    def __init__(self, **means: Any) -> None:
        self.means, self.scored = means, []

    def score_messages(self, messages: Any, continuation: str) -> Any:
        self.scored.append((str(messages[-1].text), continuation))
        mean = self.means[f"y{continuation}"]
        if isinstance(mean, Exception):
            raise mean
        return SimpleNamespace(mean=mean)


REPLIES = {"in May": "1887", "feast": "1889", "rain": "1889", "noon": "1890"}


@pytest.mark.parametrize(
    ("means", "answer"),
    [
        ({"y1887": -2.0, "y1889": -1.0, "y1890": -0.5}, "1890"),
        ({"y1887": -1.0, "y1889": -1.0, "y1890": -1.0}, "1889"),  # a tie: the votes
        ({"y1887": -9.0, "y1889": math.nan, "y1890": RuntimeError("x")}, "1887"),  # known before unknown
        ({"y1887": None, "y1889": RuntimeError("x"), "y1890": math.inf}, "1889"),  # nothing known: the votes
    ],
)
def test_log_probabilities_rank(means: Any, answer: str) -> None:
    scorer = Scorer(**means)
    shelf = towers("1887", "1889", "1889", "1890")
    result, _ = run(vote_rag, shelf, by_passage(REPLIES), rank="logprob", scorer=scorer)
    assert result["answer"] == answer
    assert [text for _, text in scorer.scored] == ["1889", "1887", "1890"]  # each distinct answer once
    assert all(YEAR in prompt for prompt, _ in scorer.scored)
    assert "feast" in scorer.scored[0][0]
    assert "rain" not in scorer.scored[0][0]  # with its best passage alone


def test_what_the_vote_refuses() -> None:
    for options in ({"rank": "logprob"}, {"rank": "logprob", "scorer": "openai:gpt-4o"}, {"rank": "best"}):
        with pytest.raises(RagloomError):
            vote_rag(Shelf(), FakeChatModel(), **options)
    with pytest.raises(ArtifactError):
        broken = Scorer(y1887=ArtifactError("damaged"), y1889=0.0, y1890=0.0)
        run(vote_rag, towers("1887", "1889", "1889", "1890"), by_passage(REPLIES), rank="logprob", scorer=broken)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("The Eiffel Tower.", "eiffel  tower", True),
        ("1,200", "1200", True),
        ("U.S.", "us", True),
        ("1.5", "15", False),
        ("The", "the", True),
        ("Müller", "MÜLLER", True),
        ("18:30", "1830", False),
        ("25 days", "25", False),
    ],
)
def test_the_same_answer(left: str, right: str, same: bool) -> None:
    assert (plain(left) == plain(right)) == same
    assert plain(left)


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d"]), max_size=9))
def test_counting(keys: list[str]) -> None:
    ballots: Any = [{"id": str(n), "text": key, "key": key, "trouble": ""} for n, key in enumerate(keys)]
    order = sorted({key for key in keys if key}, key=lambda key: (-keys.count(key), keys.index(key)))
    found = counted(ballots)
    assert [each.text for each in found] == order
    assert all(each.passages == tuple(str(n) for n, key in enumerate(keys) if key == each.text) for each in found)


def test_words_within_words_are_no_duplicates() -> None:
    passages = [Document("art", id="a"), Document("state of the arts", id="b"), Document("of state", id="c")]
    assert [each.id for each in distinct_passages(passages)] == ["a", "b", "c"]
    assert distinct_passages([Document("...", id="a")]) == []


# -- summaries ---------------------------------------------------------------------------------------------------------


def summarised(*replies: Any) -> Any:
    """Summaries by their passage, then the reading."""
    leave, travel, reading = replies

    def say(messages: Any) -> Any:
        if "Summary:" not in str(messages[-1].text):
            return reading
        return leave if "annual leave. Leave that" in str(messages[-1].text) else travel

    return say


def summary(*replies: Any, **options: Any) -> Any:
    names = options.pop("names", ("leave.md", "travel.md"))
    return run(summarise_rag, Shelf(*names), summarised(*replies), QUESTION, **options)


def test_summaries_are_read_and_passages_cited() -> None:
    result, llm = summary("Staff: twenty-five days.", "Nothing.", GOOD)
    assert (result["answer"], len(llm.calls)) == (GOOD, 3)
    assert "Staff: twenty-five days." in llm.prompts()[-1]
    assert "31 March" not in llm.prompts()[-1]
    assert "Vienna" not in llm.prompts()[-1]
    assert [(each["id"], each["quote"] in TEXTS["leave.md"]) for each in result["citations"]] == [("leave.md", True)]
    assert [document.page_content for document in result["documents"]] == [TEXTS["leave.md"]]
    assert set(result["documents"][0].metadata) == {"source", "page", "score", "score_kind"}


def test_a_summary_is_no_evidence() -> None:
    result, _ = summary("Employees get 30 days of annual leave.", "nothing", "Employees get 30 days of annual leave.")
    assert (result["abstained"], result["citations"]) == (True, [])


def test_no_summary_of_use_asks_no_reader() -> None:
    result, llm = summary("Nothing.", "I don't know.", GOOD)
    assert (result["abstained"], len(llm.calls)) == (True, 2)
    assert result["steps"][-1]["reason"] == "the model found no answer in the passages"
    assert [document.id for document in result["documents"]] == ["leave.md", "travel.md"]


@pytest.mark.parametrize("said", ["", "...", ConnectionError("gone")])
def test_a_passage_without_a_summary_is_read_itself(said: Any) -> None:
    result, llm = summary(said, "Nothing.", GOOD)
    assert result["answer"] == GOOD
    assert "31 March" in llm.prompts()[-1]
    assert "1 passages without a summary are read themselves" in step_of(result, "summarise")["reason"]


def test_summaries_keep_a_call_for_the_reading() -> None:
    result, llm = summary("25 days.", "Hotels.", GOOD, budget=Budget(llm_calls=2))
    assert (result["answer"], len(llm.calls)) == (GOOD, 2)
    assert "1 passages left out: the budget of 2 calls" in step_of(result, "summarise")["reason"]
    result, llm = summary("25 days.", "Hotels.", GOOD, budget=Budget(llm_calls=1))
    assert (result["answer"], len(llm.calls)) == (GOOD, 1)
    assert step_of(result, "summarise")["decision"] == "2 passages read as they are"
    assert run(summarise_rag, Shelf(), ["x"], QUESTION)[1].calls == []


@pytest.mark.parametrize(
    ("said", "nothing"),
    [
        ("nothing", True),
        ("Summary: None.", True),
        ("No relevant information in the passage.", True),
        ("The passage does not mention it.", True),
        ("Nothing is paid for taxis. Buses are paid.", False),
        ("No.", False),
        ("", False),
    ],
)
def test_a_summary_that_says_nothing(said: str, nothing: bool) -> None:
    assert says_nothing(said) == nothing


# -- extracts ----------------------------------------------------------------------------------------------------------


def extracted(leave: Any, travel: Any, reading: Any) -> Any:
    def say(messages: Any) -> Any:
        if "Sentences:" not in str(messages[-1].text):
            return reading
        return leave if "annual leave. Leave that" in str(messages[-1].text) else travel

    return say


def extract(*replies: Any, **options: Any) -> Any:
    return run(hierarchical_rag, Shelf("leave.md", "travel.md"), extracted(*replies), QUESTION, **options)


QUOTE = "Full-time employees get 25 days of annual leave."


def test_the_reader_sees_verbatim_extracts_alone() -> None:
    result, llm = extract(f'1. "{QUOTE.upper()}"\n2. Employees get 99 days.', "Trips are free.", GOOD)
    assert (result["answer"], len(llm.calls)) == (GOOD, 3)
    assert [(each.id, each.page_content) for each in result["documents"]] == [("leave.md", QUOTE)]
    assert QUOTE in llm.prompts()[-1]
    assert not any(words in llm.prompts()[-1] for words in ("99", "free", "31 March"))
    assert result["citations"][0]["id"] == "leave.md"


def test_no_quote_asks_no_reader() -> None:
    result, llm = extract("nothing", "Trips are free.", GOOD)
    assert (result["abstained"], len(llm.calls)) == (True, 2)
    assert [document.id for document in result["documents"]] == ["leave.md", "travel.md"]
    assert step_of(result, "read")["reason"] == "no passage holds a quote"


def test_a_failed_extraction_reads_the_passage_whole() -> None:
    result, llm = extract(ConnectionError("gone"), "nothing", GOOD)
    assert (result["answer"], "31 March" in llm.prompts()[-1]) == (GOOD, True)
    assert "1 passages are read whole" in step_of(result, "extract")["reason"]


def test_extracts_keep_a_call_for_the_reading() -> None:
    result, llm = extract(QUOTE, "nothing", GOOD, budget=Budget(llm_calls=2))
    assert (result["answer"], len(llm.calls)) == (GOOD, 2)
    assert "1 passages left out" in step_of(result, "extract")["reason"]
    result, llm = extract(QUOTE, "nothing", GOOD, budget=Budget(llm_calls=1))
    assert (result["answer"], len(llm.calls), step_of(result, "extract")["decision"]) == (
        GOOD,
        1,
        "2 passages read whole",
    )


@pytest.mark.parametrize(
    ("said", "quotes"),
    [
        ("It opened\nin 1889", []),
        ("- It opened in 1889. [2]", ["It opened in 1889."]),
        ("It opened in 1889. It was red before.", ["It opened in 1889.", "It was red before."]),
        ("It was red before.\nIt opened in 1889.", ["It opened in 1889.", "It was red before."]),
        ("The tower is tall. It opened in 1889.\nIt opened  in 1889.", ["The tower is tall. It opened in 1889."]),
        ("1889", []),  # too short: it would be found anywhere
        ("", []),
    ],
)
def test_quotes(said: str, quotes: list[str]) -> None:
    passage = "The tower is tall. It opened in 1889. Many came. It was red before."
    assert [passage[start:end] for start, end in quoted_spans(said, passage)] == quotes


@given(st.text("ab .\n1-", max_size=60), st.text("ab .\n1-", max_size=60))
def test_quotes_are_sorted_and_do_not_overlap(said: str, passage: str) -> None:
    spans = quoted_spans(said, passage)
    assert all(0 <= start < end <= len(passage) for start, end in spans)
    assert all(before[1] < after[0] for before, after in zip(spans, spans[1:], strict=False))


# -- both worlds, and the shape ----------------------------------------------------------------------------------------

ALL = {"vote": vote_rag, "summarise": summarise_rag, "hierarchical": hierarchical_rag}


@pytest.mark.parametrize("name", ALL)
async def test_async_does_what_sync_does(name: str) -> None:
    def graph() -> Any:
        return ALL[name](Shelf("leave.md", "travel.md"), FakeChatModel(replies=lambda _: GOOD))

    there, here = await graph().ainvoke({"question": QUESTION}), graph().invoke({"question": QUESTION})
    check(there)
    for key in ("answer", "abstained", "citations", "documents"):
        assert there[key] == here[key]


@pytest.mark.parametrize("name", ALL)
def test_the_shape_of_the_graph(name: str) -> None:
    snapshot = Path(__file__).with_name(f"{name}.mermaid").read_text(encoding="utf-8").strip()
    assert mermaid_of(ALL[name](Shelf(), FakeChatModel())) == snapshot
