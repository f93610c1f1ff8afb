"""Metrics of a record and summaries of many: every definition of docs/metrics.md, and failures that count."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from ragloom.evals.embedding_critic import EmbeddingCritic
from ragloom.evals.records import METRICS
from ragloom.evals.scoring import missing_metrics, score_record, summarise
from ragloom.evals.statistics import mean_interval, paired_difference
from ragloom.testing import HashEmbedding

LEAVE = "Full-time staff get 25 days of annual leave. Unused days expire in March."
TRAVEL = "The limit for hotels in Vienna is EUR 165."


def document(key: str, text: str, source: str = "") -> dict[str, Any]:
    return {"id": key, "source": source or f"{key}.md", "page": 1, "title": "", "score": 0.5, "text": text}


def citation(sentence: str, key: str, source: str = "", quote: str = "") -> dict[str, Any]:
    return {"sentence": sentence, "id": key, "source": source or f"{key}.md", "page": 1, "quote": quote, "score": 1.0}


def record(**changes: Any) -> Any:
    """A right answer with its citation."""
    answer = "Staff get 25 days of annual leave."
    base = {
        "set": "handbook",
        "strategy": "naive",
        "id": "q1",
        "question": "How many days of annual leave do staff get?",
        "answers": ["25 days", "25"],
        "gold": ["leave"],
        "answerable": True,
        "answer": answer,
        "abstained": False,
        "citations": [citation(answer, "leave")],
        "documents": [document("leave", LEAVE), document("travel", TRAVEL)],
        "steps": [{"node": "retrieve", "decision": "2 passages", "reason": "by bm25"}],
        "calls": 1,
        "tokens_in": 100,
        "tokens_out": 10,
        "metrics": {},
        "failed": None,
    }
    return {**base, **changes}


def abstention(**changes: Any) -> Any:
    """It read the passages and said that they hold no answer."""
    return record(**{"answer": "I found nothing.", "abstained": True, "citations": [], **changes})


def failure(**changes: Any) -> Any:
    """As the harness writes it: nothing but the error."""
    empty = {"answer": "", "citations": [], "documents": [], "steps": [], "failed": "ModelError: no reply"}
    return record(**{**empty, "calls": 0, "tokens_in": 0, "tokens_out": 0, **changes})


# -- one record -------------------------------------------------------------------------------------------------------


def test_a_right_answer_with_its_citation() -> None:
    scores = score_record(record())
    assert tuple(scores) == METRICS
    assert scores["em"] == 0.0
    assert scores["f1"] == pytest.approx(4 / 9)  # 2 of 7 tokens, 2 of 2
    assert 0 < scores["rouge_l"] < 1 and 0 < scores["bleu"] < 1
    for name in ("contains", "gold_retrieved", "citation_precision", "citation_recall", "support", "abstain_accuracy"):
        assert scores[name] == 1.0, name


@pytest.mark.parametrize("make", [abstention, failure])
def test_no_answer_to_an_answerable_question_scores_0_where_defined(make: Any) -> None:
    scores = score_record(make())
    for name in ("em", "f1", "contains", "rouge_l", "bleu", "citation_recall", "abstain_accuracy"):
        assert scores[name] == 0.0, name
    assert scores["gold_retrieved"] == float(make is abstention)
    assert scores["citation_precision"] is scores["support"] is None


def test_an_abstention_is_no_match_even_where_its_words_are_the_right_answer() -> None:
    assert score_record(abstention(answers=["I found nothing."]))["em"] == 0.0


def test_what_a_failed_record_holds_of_an_answer_does_not_count() -> None:
    scores = score_record(record(failed="ModelError: the stream broke off"))
    assert scores == {**dict.fromkeys(METRICS, 0.0), "citation_precision": None, "support": None}


@pytest.mark.parametrize(("made", "accuracy"), [(abstention(), 1.0), (record(), 0.0), (failure(), 0.0)])
def test_an_unanswerable_question_only_asks_for_abstention(made: Any, accuracy: float) -> None:
    scores = score_record({**made, "answerable": False, "answers": []})
    support = scores.pop("support")
    assert support == (1.0 if made["citations"] else None)  # support is about the answer, not about the question
    assert scores == {**dict.fromkeys(name for name in METRICS if name != "support"), "abstain_accuracy": accuracy}


def test_without_known_answers_the_rest_is_still_measured() -> None:
    scores = score_record(record(answers=[]))
    assert scores["em"] is scores["bleu"] is None
    assert scores["citation_recall"] == 1.0


def test_without_gold_only_citations_and_retrieval_are_undefined() -> None:
    scores = score_record(record(gold=[]))
    assert scores["gold_retrieved"] is scores["citation_precision"] is scores["citation_recall"] is None
    assert scores["contains"] == scores["support"] == 1.0


def test_gold_names_passages_or_whole_documents() -> None:
    made = record(
        gold=["leave.pdf"],
        documents=[document("c1", LEAVE, "leave.pdf"), document("c2", TRAVEL, "travel.pdf")],
        citations=[citation("Staff get 25 days of annual leave.", "c1", "leave.pdf")],
    )
    scores = score_record(made)
    assert scores["gold_retrieved"] == scores["citation_precision"] == scores["citation_recall"] == 1.0


@pytest.mark.parametrize(
    ("cited", "gold", "precision", "recall"),
    [
        (["leave", "travel"], ["leave"], 0.5, 1.0),
        (["leave", "leave"], ["leave", "travel"], 1.0, 0.5),
        (["leave", "travel", "other"], ["leave", "travel"], 2 / 3, 1.0),
        (["travel"], ["leave"], 0.0, 0.0),
        ([], ["leave"], None, 0.0),
    ],
)
def test_citation_precision_and_recall(cited: list[str], gold: list[str], precision: Any, recall: float) -> None:
    scores = score_record(record(gold=gold, citations=[citation("Staff get 25 days.", key) for key in cited]))
    assert scores["citation_precision"] == precision
    assert scores["citation_recall"] == recall


def test_gold_retrieved_asks_for_one_of_several() -> None:
    assert score_record(record(gold=["travel", "elsewhere"]))["gold_retrieved"] == 1.0
    assert score_record(record(gold=["elsewhere"]))["gold_retrieved"] == 0.0


def test_a_strategy_that_does_not_retrieve_is_not_judged_by_its_passages() -> None:
    closed = {"strategy": "closed-book", "documents": [], "citations": [], "steps": [{"node": "read"}]}
    for made in (record(**closed), failure(strategy="closed-book")):
        scores = score_record(made)
        for name in ("gold_retrieved", "citation_precision", "citation_recall", "support"):
            assert scores[name] is None, name
    assert score_record(record(**closed))["contains"] == 1.0


def test_retrieval_that_found_nothing_is_judged() -> None:
    scores = score_record(record(documents=[], citations=[]))
    assert scores["gold_retrieved"] == scores["citation_recall"] == scores["support"] == 0.0


# -- support ----------------------------------------------------------------------------------------------------------


def test_support_is_a_share_of_sentences_by_the_passages_that_each_cites() -> None:
    first, second = "Staff get 25 days of annual leave.", "Unused days of leave expire in March."
    both = f"{first} {second}"
    leave = [citation(first, "leave"), citation(second, "leave")]
    assert score_record(record(answer=both, citations=leave))["support"] == 1.0
    assert score_record(record(answer=both, citations=leave[:1]))["support"] == 0.5  # the second cites nothing
    wrong = [citation(first, "leave"), citation(second, "travel")]
    assert score_record(record(answer=both, citations=wrong))["support"] == 0.5  # true, but not of what it cites


def test_a_wrong_number_is_not_supported() -> None:
    answer = "Staff get 30 days of annual leave."
    assert score_record(record(answer=answer, citations=[citation(answer, "leave")]))["support"] == 0.0


def test_a_cited_passage_that_the_record_does_not_hold_is_judged_by_its_quote() -> None:
    answer = "Staff get 25 days of annual leave."
    for quote, support in ((LEAVE, 1.0), (TRAVEL, 0.0)):
        assert score_record(record(citations=[citation(answer, "gone", quote=quote)]))["support"] == support


def test_sentences_may_be_cut_in_other_places_than_the_strategy_did() -> None:
    whole = "Staff get 25 days of annual leave. Unused days of leave expire in March."
    assert score_record(record(answer=whole, citations=[citation(whole, "leave")]))["support"] == 1.0


def test_an_answer_without_words_has_no_support_to_judge() -> None:
    assert score_record(record(answer="...", citations=[]))["support"] is None


def test_any_critic_of_the_protocol_judges() -> None:
    class Never:
        threshold = 0.5

        def support(self, sentence: str, question: str, passages: Any) -> list[Any]:
            assert [passage.page_content for passage in passages] == [LEAVE]
            return []

    assert score_record(record(), critic=Never())["support"] == 0.0


def test_the_embedding_critic_sees_nearness_and_not_numbers() -> None:
    critic = EmbeddingCritic(HashEmbedding(), threshold=0.6)
    answer = "Full-time staff get 30 days of annual leave."
    made = record(answer=answer, citations=[citation(answer, "leave")])
    assert score_record(made, critic=critic)["support"] == 1.0
    assert score_record({**made, "citations": [citation(answer, "travel")]}, critic=critic)["support"] == 0.0


def test_the_embedding_critic_quotes_the_nearest_window_best_first_and_embeds_a_passage_once() -> None:
    embedder = HashEmbedding()
    critic = EmbeddingCritic(embedder, threshold=0.3)
    passages = [Document(TRAVEL), Document(LEAVE), Document("")]
    found = critic.support("Unused days expire in March.", "", passages)
    assert [LEAVE[item.start : item.end] for item in found] == ["Unused days expire in March."]
    assert (found[0].passage, found[0].score) == (1, 1.0)
    before = embedder.embedded
    critic.support("Unused days never expire.", "", passages)
    assert embedder.embedded == before + 1
    # A short answer is near to nothing by itself: its question says what it is about.
    assert not EmbeddingCritic(embedder, threshold=0.6).support("165.", "", passages)
    found = EmbeddingCritic(embedder, threshold=0.6).support(
        "165.", "What is the limit for hotels in Vienna?", passages
    )
    assert [item.passage for item in found] == [0]
    assert critic.support(" ", "", passages) == critic.support("Days.", "", []) == []


# -- the extra --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["rouge_score.rouge_scorer", "sacrebleu.metrics"])
def test_without_the_extra_rouge_and_bleu_are_undefined_for_every_record(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing_metrics() == []
    monkeypatch.setitem(sys.modules, module, None)
    assert missing_metrics() == ["rouge_l", "bleu"]
    for made in (record(), abstention(), failure()):
        scores = score_record(made)
        assert scores["rouge_l"] is scores["bleu"] is None
        assert scores["contains"] is not None


# -- summaries --------------------------------------------------------------------------------------------------------


def scored(made: Any, **metrics: float | None) -> Any:
    return {**made, "metrics": {**score_record(made), **metrics}}


def timing(made: Any, seconds: float, first: float | None = 0.1) -> Any:
    return {
        **{key: made[key] for key in ("set", "strategy", "id")},
        "seconds": seconds,
        "first_token_s": first,
        "cached": False,
        "step_ms": [],
    }


def four(**changes: Any) -> list[Any]:
    """Right, abstained, failed; and an unanswerable question that was answered."""
    return [
        scored(record(id="q1", **changes)),
        scored(abstention(id="q2", **changes)),
        scored(failure(id="q3", **changes)),
        scored(record(id="q4", **changes, answerable=False, answers=[])),
    ]


def test_failures_count_as_0_and_are_counted() -> None:
    (row,) = summarise(four(), [], llm="fake", seed=7)
    assert (row["set"], row["strategy"], row["llm"], row["n"], row["seed"]) == ("handbook", "naive", "fake", 4, 7)
    assert row["failed"] == 1
    assert row["contains"] == pytest.approx(1 / 3)
    assert row["counts"]["contains"] == 3 and row["counts"]["support"] == 2 and row["counts"]["abstain_accuracy"] == 4
    assert row["abstained"] == 0.25
    assert row["abstain_accuracy"] == 0.25
    assert row["answered_unanswerable"] == 1.0
    assert row["abstained_answerable"] == pytest.approx(1 / 3)
    assert (row["calls"], row["tokens_in"], row["tokens_out"]) == (0.75, 75.0, 7.5)


def test_every_mean_has_an_interval_around_it() -> None:
    (row,) = summarise(four(), [], llm="fake", seed=0)
    assert set(row["ci95"]) == {*METRICS, "abstained", "answered_unanswerable", "abstained_answerable"}
    for name, (low, high) in row["ci95"].items():
        assert low <= row[name] <= high  # type: ignore[literal-required]
    assert row["ci95"]["contains"] == mean_interval([1.0, 0.0, 0.0], seed=0)


def test_what_is_defined_nowhere_is_none_and_has_no_interval() -> None:
    (row,) = summarise([scored(record(gold=[], answers=[]))], [], llm="fake", seed=0)
    assert row["em"] is row["citation_recall"] is row["answered_unanswerable"] is None
    assert row["counts"]["em"] == 0
    assert not {"em", "citation_recall", "answered_unanswerable"} & set(row["ci95"])


def test_all_failed_is_a_row_of_zeros() -> None:
    (row,) = summarise([scored(failure(id=key)) for key in "abc"], [timing(failure(id="a"), 9.0)], llm="fake", seed=0)
    assert row["failed"] == row["n"] == 3
    assert row["em"] == row["gold_retrieved"] == row["citation_recall"] == row["abstain_accuracy"] == 0.0
    assert row["p50_s"] == row["p95_s"] == 0.0 and row["first_token_p50_s"] is None


def test_latencies_are_of_answers_only() -> None:
    made = four()
    timings = [timing(item, seconds) for item, seconds in zip(made, [1.0, 3.0, 99.0, 2.0], strict=True)]
    timings[1]["first_token_s"] = None
    (row,) = summarise(made, timings, llm="fake", seed=0)
    assert row["p50_s"] == 2.0
    assert row["p95_s"] == pytest.approx(float(np.percentile([1.0, 3.0, 2.0], 95)))
    assert row["first_token_p50_s"] == pytest.approx(0.1)


def test_rows_stand_in_order_of_appearance_and_are_compared_within_their_set() -> None:
    records = [
        *four(strategy="fusion"),
        *four(strategy="naive"),
        *[scored(item, contains=1.0, em=None) for item in four(strategy="self-rag")],
        *four(set="other", strategy="fusion"),
    ]
    rows = summarise(records, [], llm="fake", seed=3, baseline="naive")
    assert [(row["set"], row["strategy"], row["baseline"]) for row in rows] == [
        ("handbook", "fusion", "naive"),
        ("handbook", "naive", "naive"),
        ("handbook", "self-rag", "naive"),
        ("other", "fusion", None),
    ]
    fusion, naive, self_rag, other = (row["versus_baseline"] for row in rows)
    assert naive == other == {}
    assert all(value["mean"] == value["low"] == value["high"] == 0.0 for value in fusion.values())
    assert fusion["abstained"]["n"] == 4 and fusion["contains"]["n"] == 3
    left, right = dict.fromkeys(["q1", "q2", "q3"], 1.0), {"q1": 1.0, "q2": 0.0, "q3": 0.0}
    assert self_rag["contains"] == paired_difference(left, right, seed=3)
    assert "em" not in self_rag  # defined for no question of both


def test_without_a_baseline_there_are_no_differences() -> None:
    (row,) = summarise(four(), [], llm="fake", seed=0)
    assert row["baseline"] is None and row["versus_baseline"] == {}
    assert summarise([], [], llm="fake", seed=0) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([record, abstention, failure]), st.booleans()), min_size=1, max_size=8))
def test_every_question_is_right_wrongly_silent_wrongly_answered_or_failed(kinds: list[Any]) -> None:
    made = [
        scored(make(id=str(number), answerable=answerable, answers=["25"] if answerable else []))
        for number, (make, answerable) in enumerate(kinds)
    ]
    (row,) = summarise(made, [], llm="fake", seed=0)
    answerable = sum(item["answerable"] for item in made)
    silent = (row["abstained_answerable"] or 0.0) * answerable
    answered = (row["answered_unanswerable"] or 0.0) * (len(made) - answerable)
    assert row["abstain_accuracy"] * len(made) + silent + answered + row["failed"] == pytest.approx(len(made))
    numbers = [row[name] for name in (*METRICS, "abstained") if row[name] is not None]  # type: ignore[literal-required]
    assert all(math.isfinite(value) and 0 <= value <= 1 for value in numbers)
