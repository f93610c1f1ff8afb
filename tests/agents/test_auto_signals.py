"""Signals of weakness, and the rules over them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from auto_kit import QUESTION, cited, naive, run_of
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from strategy_kit import GOOD, Evaluator, Shelf

from ragloom.agents.auto import (
    Abstained,
    BudgetLeft,
    Disagreement,
    QuestionClass,
    Rule,
    Uncited,
    Unsupported,
    Weakness,
    WeakRetrieval,
    average_overlap,
)
from ragloom.errors import UnknownModelError, UsageError
from ragloom.graphs import corrective_rag
from ragloom.models import Route
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import FakeChatModel, HashEmbedding
from ragloom.types import Budget

CITE = {"node": "cite", "decision": "", "reason": "", "ms": 0.0}


def answered(answer: str, *citations: Any, dropped: Any = ()) -> Any:
    return run_of(
        {"answer": answer, "citations": list(citations), "steps": [{**CITE, "details": {"dropped": list(dropped)}}]}
    )


def test_what_the_citations_say() -> None:
    for run, uncited, unsupported in [
        (answered("One. Two.", cited("One.", 0.8), cited("One.", 0.9), cited("Two.", 0.7)), 0.0, 0.2),
        (answered("One.", cited("One.", 0.8), dropped=["Two.", "Three.", "Four."]), 0.75, 0.2),
        (answered("One. Two. Three.", cited("Two.", 0.8)), 2 / 3, 1 - 0.8 / 3),
        (answered("Yes. Yes.", cited("Yes.", 1.0)), 0.5, 0.5),
        (answered("Nobody checked this."), 1.0, 1.0),
    ]:
        assert Uncited()(run) == pytest.approx(uncited)
        assert Unsupported()(run) == pytest.approx(unsupported)
        assert Abstained()(run) == 0.0
    silent = run_of({"answer": "I found nothing.", "abstained": True})
    assert (Uncited()(silent), Unsupported()(silent), Abstained()(silent)) == (0.0, 1.0, 1.0)


def test_what_a_real_strategy_drops_counts_as_uncited() -> None:
    result = naive(f"{GOOD} The moon is made of cheese.").invoke({"question": QUESTION})
    assert Uncited()(run_of(result)) == 0.5


def test_the_share_of_the_budget_that_is_left() -> None:
    whole = Budget()
    left = Budget(llm_calls=whole.llm_calls, tokens=whole.tokens // 4, seconds=whole.seconds, hops=whole.hops)
    assert BudgetLeft()(run_of({"answer": GOOD}, left=left)) == 0.25
    assert BudgetLeft()(run_of({"answer": GOOD}, left=Budget(llm_calls=-1))) == 0.0


def test_the_best_grade_of_the_passages() -> None:
    documents = [Document("roses"), Document("leave")]
    grades = Evaluator(lambda text: 0.9 if "leave" in text else 0.2)
    assert WeakRetrieval(grades)(run_of({"answer": GOOD, "documents": documents})) == pytest.approx(0.1)
    assert WeakRetrieval(grades)(run_of({"answer": GOOD})) == 1.0
    for nonsense in (None, float("nan"), 7.0):
        assert WeakRetrieval(Evaluator(lambda _, n=nonsense: n))(run_of({"answer": "", "documents": documents})) is None
    with pytest.raises(UnknownModelError):
        WeakRetrieval("nonsense:bundled")


def test_grades_that_the_cheap_path_gave_itself() -> None:
    graph = corrective_rag(Shelf("leave.md"), FakeChatModel(replies=[GOOD]), evaluator=Evaluator(0.8))
    assert WeakRetrieval(None)(run_of(graph.invoke({"question": QUESTION}))) == pytest.approx(0.2)
    assert WeakRetrieval(None)(run_of(naive().invoke({"question": QUESTION}))) is None


def test_lists_of_a_knowledge_base_that_disagree(tmp_path: Any) -> None:
    for name in ("leave", "travel", "roses"):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n\nAll about {name}.\n")
    kb = KnowledgeBase(tmp_path / "kb", embedder=HashEmbedding())
    kb.ingest([tmp_path / f"{name}.md" for name in ("leave", "travel", "roses")])
    signal = Disagreement(kb.retriever(), depth=1)
    assert signal(run_of({"answer": ""}, "roses")) == 0.0
    assert signal(run_of({"answer": ""}, "zzz")) == 1.0  # no word of it stands anywhere
    assert Disagreement(kb.retriever(tenant="acme"))(run_of({"answer": ""}, "roses")) == 1.0  # nothing may be seen
    with pytest.raises(UsageError, match="one ranking only"):
        Disagreement(Shelf())


rankings = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(rankings, rankings, st.integers(1, 12))
def test_average_overlap(left: list[str], right: list[str], depth: int) -> None:
    overlap = average_overlap(left, right, depth=depth)
    assert 0 <= overlap <= 1
    assert overlap == average_overlap(right, left, depth=depth)
    assert (overlap == 0) == (not set(left[:depth]) & set(right[:depth]))
    assert average_overlap(left, left, depth=depth) == (1.0 if left else 0.0)
    if overlap == 1:
        assert left[:depth] == right[:depth]


def test_the_class_of_the_question() -> None:
    run = run_of({"answer": ""})
    assert QuestionClass(lambda question: {"single_hop": 0.3, "multi_hop": 0.7})(run) == 0.7
    assert QuestionClass(lambda question: {"hard": 0.6}, labels={"hard": "multi"}, way="multi", name="hard")(run) == 0.6
    assert QuestionClass("always-none", way="none")(run) == 1.0
    abstaining = Route("multi_hop", {"multi_hop": 0.4, "single_hop": 0.3}, abstained=True)
    assert QuestionClass(lambda question: abstaining)(run) is None
    assert QuestionClass(lambda question: {"multi": math.nan})(run) is None
    with pytest.raises(UsageError, match="is no router"):
        QuestionClass("clever")


def test_what_cannot_be_a_policy_is_refused() -> None:
    for make, why in [
        (lambda: Rule("other", {}), "has no signal"),
        (lambda: Rule("other", {"abstained": math.inf}), "threshold of 'abstained' is inf"),
        (lambda: Weakness([Abstained()], [Rule("other", {"uncited": 1})]), "asks for 'uncited'"),
        (lambda: Weakness([Abstained(), Abstained()], []), "two signals are called 'abstained'"),
        (lambda: Weakness([lambda run: 1.0], []), "is no signal"),  # type: ignore[list-item]
        (lambda: Weakness([Abstained], []), "is no signal"),  # type: ignore[list-item]
    ]:
        with pytest.raises(UsageError, match=why):
            make()


names = st.sampled_from(["a", "b", "c"])
rules = st.builds(Rule, st.sampled_from(["x", "y"]), st.dictionaries(names, st.floats(-1, 2), min_size=1))


@given(st.lists(rules, max_size=4), st.dictionaries(names, st.floats(-1, 2)))
def test_the_first_rule_whose_signals_all_reach_decides(policy: list[Rule], scores: dict[str, float]) -> None:
    signals = [Abstained(name) for name in "abc"]
    chosen = Weakness(signals, policy).decide(scores)
    held = [rule for rule in policy if all(scores.get(name, -math.inf) >= at for name, at in rule.when.items())]
    assert chosen is (held[0] if held else None)
