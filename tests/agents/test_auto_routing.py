"""Strategy routing: when an expensive strategy runs, which answer stays, what is streamed, what happens on failures."""

from __future__ import annotations

import random
from typing import Any

import pytest
from auto_kit import BAD, both_worlds, decision_of, naive, nodes_of, scripted, watched
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from strategy_kit import GOOD, QUESTION, TEXTS, Evaluator, Shelf, check, moody, moody_number, within

from ragloom.agents.auto import (
    Abstained,
    BudgetLeft,
    Rule,
    Unsupported,
    Weakness,
    WeakRetrieval,
    auto_rag,
    default_auto,
)
from ragloom.errors import UsageError, WeightsError
from ragloom.graphs import as_tool, naive_rag, with_nodes
from ragloom.models import open_artifact
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

CHEAP = ["run_cheap", "cheap/retrieve", "cheap/read", "cheap/cite", "decide"]
ALWAYS = Weakness([Unsupported()], [Rule("other", {"unsupported": 0.0})])


# -- the decision ------------------------------------------------------------------------------------------------------


def test_a_good_cheap_answer_stays_and_nothing_else_runs() -> None:
    expensive = FakeChatModel(replies=[GOOD])
    graph = auto_rag(naive(GOOD), {"other": naive_rag(Shelf("leave.md"), expensive)})
    result, said = both_worlds(graph)
    check(result)
    assert (result["answer"], said, expensive.calls) == (GOOD, [GOOD], [])
    assert (nodes_of(result), result["usage"]["calls"]) == ([*CHEAP, "keep"], 1)
    told = decision_of(result)
    assert (told["decision"], told["scores"]) == ("keep the cheap answer", {"abstained": 0.0})
    assert told["reason"] == "no rule holds (other: abstained 0.00 (from 1.00))"
    assert result["messages"][-1].text == GOOD and result["messages"][-1].additional_kwargs["citations"]


def test_an_abstention_leads_on_and_everything_adds_up() -> None:
    result, said = both_worlds(auto_rag(naive(BAD), {"other": naive(GOOD)}))
    check(result)
    inner = ["run_expensive", "other/retrieve", "other/read", "other/cite", "keep"]
    assert (result["answer"], said, nodes_of(result)) == (GOOD, [GOOD], [*CHEAP, *inner])
    alone = [naive(reply).invoke({"question": QUESTION})["usage"] for reply in (BAD, GOOD)]
    for key in ("calls", "tokens_in", "tokens_out"):
        assert result["usage"][key] == sum(usage[key] for usage in alone)  # type: ignore[literal-required]
    assert decision_of(result)["decision"] == "other"
    assert result["steps"][-1]["decision"] == "the answer of other"


def test_each_rule_leads_to_its_own_strategy_and_the_first_that_holds_decides() -> None:
    rules = [
        Rule("corrective", {"weak_retrieval": 0.5, "abstained": 1}),
        Rule("several", {"abstained": 1}),
        Rule("corrective", {"weak_retrieval": 0.5}),
    ]
    for grade, reply, chosen in [(0.1, BAD, "corrective"), (0.9, BAD, "several"), (0.1, GOOD, "corrective")]:
        policy = Weakness([Abstained(), WeakRetrieval(Evaluator(grade))], rules)
        graph = auto_rag(naive(reply), {"several": naive(), "corrective": naive()}, weakness=policy)
        result = graph.invoke({"question": QUESTION})
        check(result)
        assert decision_of(result)["decision"] == chosen
        assert decision_of(result)["scores"]["weak_retrieval"] == pytest.approx(1 - grade)


def test_a_signal_that_fails_is_unknown_and_loses_no_answer() -> None:
    def broken(passage: str) -> Any:
        raise MemoryError("no room for the evaluator")

    policy = Weakness(
        [WeakRetrieval(Evaluator(broken)), WeakRetrieval(Evaluator(float("nan")), name="nan"), Abstained()],
        [Rule("other", {"weak_retrieval": 0.0}), Rule("other", {"nan": 0.0})],
    )
    result, said = both_worlds(auto_rag(naive(GOOD), {"other": naive(BAD)}, weakness=policy))
    assert (result["answer"], said) == (GOOD, [GOOD])
    told = decision_of(result)
    assert told["scores"] == {"abstained": 0.0}
    assert "weak_retrieval is unknown: MemoryError: no room" in told["reason"]
    assert "nan is unknown: it cannot tell" in told["reason"]


def test_the_question_is_never_changed_and_messages_are_asked_too() -> None:
    shelves = Shelf("leave.md"), Shelf("leave.md")
    graph = auto_rag(naive(BAD, shelf=shelves[0]), {"other": naive(GOOD, shelf=shelves[1])})
    result = graph.invoke({"messages": [("user", QUESTION)]})
    assert [each.asked for each in shelves] == [[QUESTION], [QUESTION]]
    assert [message.text for message in result["messages"]] == [QUESTION, GOOD]
    with pytest.raises(UsageError, match="there is no question"):
        graph.invoke({"question": " "})


# -- which answer stays ------------------------------------------------------------------------------------------------

FAILS = RuntimeError("the index is gone")


@pytest.mark.parametrize(
    ("cheap", "other", "answer", "said", "reason"),
    [
        # the expensive one stands
        ([("Cheap.", 0.8)], [("Dear.", 0.9)], "Dear.", ["Dear."], "support 0.90, of the cheap answer 0.80"),
        ([("Cheap.", 0.8)], [("Dear.", 0.8)], "Dear.", ["Dear."], "support 0.80"),
        ([], [("Dear.", 0.1)], "Dear.", ["Dear."], "the cheap path abstained"),
        # it does not
        ([("Cheap.", 0.8)], [], "Cheap.", ["Cheap."], "other abstained"),
        ([("Cheap.", 0.8)], [("Dear.", 0.7)], "Cheap.", ["Cheap."], "other is less supported: support 0.70"),
        ([("A.", 0.7), ("B.", 0.9)], [("Dear.", 0.75)], "A. B.", ["A.", "B."], "less supported"),
        ([], [], "I found nothing.", [], "other abstained"),
    ],
)
def test_the_better_answer_stays(cheap: Any, other: Any, answer: str, said: list[str], reason: str) -> None:
    graph = auto_rag(scripted(*cheap), {"other": scripted(*other)}, weakness=ALWAYS)
    result, streamed = both_worlds(graph)
    assert (result["answer"], streamed) == (answer, said)
    assert reason in result["steps"][-1]["reason"]
    assert (result["usage"]["calls"], result["usage"]["tokens_in"]) == (4, 60)
    assert result["abstained"] is (not said)


def test_a_margin_lets_a_little_less_support_pass() -> None:
    def answer(margin: float) -> str:
        paths = scripted(("Cheap.", 0.8)), {"other": scripted(("Dear.", 0.75))}
        return str(auto_rag(*paths, weakness=ALWAYS, support_margin=margin).invoke({"question": QUESTION})["answer"])

    assert (answer(0.1), answer(0.0)) == ("Dear.", "Cheap.")


def test_a_failing_expensive_path_leaves_the_cheap_answer_and_its_cost_counts() -> None:
    for then in (scripted(("Half.", 0.9), then=FAILS), scripted(then=FAILS)):
        result, said = both_worlds(auto_rag(scripted(("Cheap.", 0.8)), {"other": then}, weakness=ALWAYS))
        assert (result["answer"], said, result["error"]) == ("Cheap.", ["Cheap."], "")
        assert nodes_of(result)[4:] == ["run_expensive", "other/retrieve", "keep"]
        assert "RuntimeError: the index is gone" in result["steps"][4]["reason"]
        assert result["usage"]["calls"] == 3  # the call of the node that raised is not known


def test_what_was_said_before_a_failure_counts_where_there_is_nothing_better() -> None:
    result, said = both_worlds(auto_rag(scripted(), {"other": scripted(("Half.", 0.9), then=FAILS)}))
    assert (result["answer"], result["abstained"], said) == ("Half.", False, ["Half."])
    assert "the index is gone" in result["error"] and [each["sentence"] for each in result["citations"]] == ["Half."]
    assert [document.id for document in result["documents"]] == ["leave.md"]


def test_where_all_fails_it_abstains_and_says_why() -> None:
    result, said = both_worlds(auto_rag(scripted(then=FAILS), {"other": scripted(then=ValueError("broken"))}))
    assert (result["abstained"], said) == (True, [])
    assert result["answer"] == "The question could not be answered: RuntimeError: the index is gone"
    assert "the index is gone" in result["error"]
    # An abstention of the expensive one says more than a failure.
    result, _ = both_worlds(auto_rag(scripted(then=FAILS), {"other": scripted()}))
    assert (result["answer"], result["error"]) == ("I found nothing.", "")


def test_what_the_user_must_mend_is_raised() -> None:
    """A function that builds no strategy, a knowledge base of another embedder: no other answer hides that."""
    with pytest.raises(UsageError, match="'other' gave a str, no strategy"):
        auto_rag(naive(GOOD), {"other": lambda budget: "no graph"}, weakness=ALWAYS).invoke({"question": QUESTION})


# -- streaming ---------------------------------------------------------------------------------------------------------


def test_what_is_replaced_was_never_streamed() -> None:
    """Beside a cheap answer nothing goes out before the end; where there is none, the other streams at once."""
    carried = "Leave that is carried over is taken by 31 March."
    for cheap, order in [
        (GOOD, ["begin", "run_cheap", "decide", "run_expensive", GOOD, carried, "keep"]),
        (BAD, ["begin", "run_cheap", "decide", GOOD, carried, "run_expensive", "keep"]),
    ]:
        graph = auto_rag(naive(cheap), {"other": naive(f"{GOOD} {carried}")}, weakness=ALWAYS)
        seen = [
            chunk["text"] if mode == "custom" else next(iter(chunk))
            for mode, chunk in graph.stream({"question": QUESTION}, stream_mode=["custom", "updates"])
        ]
        assert seen == order


# -- the budget --------------------------------------------------------------------------------------------------------


def test_a_function_gets_what_is_left() -> None:
    given: list[Budget] = []

    def other(budget: Budget) -> Any:
        given.append(budget)
        return naive(GOOD, budget=budget)

    whole = Budget(llm_calls=3, tokens=2000, seconds=60, hops=3)
    graph = auto_rag(lambda budget: naive(BAD, budget=budget), {"other": other}, budget=whole)
    result = graph.invoke({"question": QUESTION})
    check(result)
    within(result, whole)
    cheap = naive(BAD).invoke({"question": QUESTION})["usage"]
    assert (given[0].llm_calls, given[0].hops) == (2, 2)
    assert given[0].tokens == 2000 - cheap["tokens_in"] - cheap["tokens_out"]
    assert 0 < given[0].seconds < 60


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        (Budget(llm_calls=1), "the budget of 1 calls is spent"),
        (Budget(hops=1), "the budget of 1 rounds of retrieval is spent"),
        (Budget(seconds=0.0), "the budget of 0 seconds is spent"),
        (Budget(tokens=0), "the budget of 0 tokens has no room for 1 more"),
    ],
)
def test_nothing_is_begun_that_cannot_be_paid(budget: Budget, why: str) -> None:
    expensive = FakeChatModel(replies=[GOOD])
    other = {"other": naive_rag(Shelf("leave.md"), expensive)}
    result = auto_rag(lambda left: naive(BAD, budget=left), other, budget=budget).invoke({"question": QUESTION})
    check(result)
    within(result, budget)
    assert (result["abstained"], expensive.calls) == (True, [])
    assert f"other is called for, but {why}" in decision_of(result)["reason"]


def test_a_rule_may_ask_for_budget() -> None:
    policy = Weakness([Abstained(), BudgetLeft()], [Rule("other", {"abstained": 1, "budget_left": 0.6})])
    for calls, runs in ((2, False), (8, True)):
        graph = auto_rag(naive(BAD), {"other": naive()}, weakness=policy, budget=Budget(llm_calls=calls))
        assert ("run_expensive" in nodes_of(graph.invoke({"question": QUESTION}))) is runs


# -- as a strategy among others ----------------------------------------------------------------------------------------


def test_a_thread_forgets_the_other_path_of_an_earlier_turn() -> None:
    cheap = FakeChatModel(replies=[BAD, GOOD])
    graph = auto_rag(naive_rag(Shelf("leave.md"), cheap), {"other": naive(GOOD)}, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"messages": [("user", QUESTION)]}, thread)
    result = graph.invoke({"messages": [("user", f"Again: {QUESTION}")]}, thread)
    assert (nodes_of(result), result["usage"]["calls"]) == ([*CHEAP, "keep"], 1)
    assert len(result["messages"]) == 4


def test_a_killed_run_goes_on_and_asks_nothing_again() -> None:
    class Killed(BaseException):
        pass

    shelf, alive = Shelf("leave.md"), [False]

    def reply(messages: Any) -> str:
        if not alive[0]:
            raise Killed
        return GOOD

    other = naive_rag(shelf, FakeChatModel(replies=reply))
    cheap = FakeChatModel(replies=[BAD])
    graph = auto_rag(naive_rag(shelf, cheap), {"other": other}, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    with pytest.raises(Killed):
        graph.invoke({"question": QUESTION}, thread)
    alive[0] = True
    result = graph.invoke(None, thread)
    check(result)
    assert (result["answer"], len(cheap.calls), len(shelf.asked)) == (GOOD, 1, 2)


def test_an_interrupt_within_a_path_reaches_the_person() -> None:
    def approve(state: Any) -> dict[str, Any]:
        return {"answer": GOOD if interrupt("may I?") else "No.", "abstained": False, "citations": []}

    other = with_nodes(naive(GOOD), cite=approve)
    graph = auto_rag(naive(BAD), {"other": other}, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    asked = graph.invoke({"question": QUESTION}, thread)
    assert asked["__interrupt__"][0].value == "may I?"
    result = graph.invoke(Command(resume=True), thread)
    check(result)
    assert (result["answer"], nodes_of(result)[-2:]) == (GOOD, ["other/read", "keep"])


def test_it_is_a_tool_and_a_path_itself() -> None:
    graph = auto_rag(naive(BAD), {"other": naive(GOOD)})
    assert as_tool(graph, description="The handbook.").invoke({"question": QUESTION}).startswith(GOOD)
    outer, said = watched(auto_rag(graph, {"last": naive(BAD)}))
    check(outer)
    assert (outer["answer"], said) == (GOOD, [GOOD])
    assert "cheap/other/read" in nodes_of(outer)


def test_what_cannot_be_is_refused() -> None:
    plain = naive()
    for options, why in [
        ({"expensive": {}}, "there is no expensive strategy"),
        ({"expensive": {"cheap": plain}}, "cannot be called 'cheap'"),
        ({"expensive": {"other": "corrective"}}, "'other' is a str, no strategy"),
        ({"expensive": {"other": naive(checkpointer=InMemorySaver())}}, "has a checkpointer"),
        ({"cheap": None}, "'cheap' is a NoneType, no strategy"),
        ({"cheap": lambda budget: None}, "'cheap' gave a NoneType"),
        ({"weakness": Weakness([Abstained()], [Rule("fusion", {"abstained": 1})])}, "leads to 'fusion'"),
        ({"support_margin": 2}, "support_margin is 2"),
    ]:
        given: dict[str, Any] = {"cheap": plain, "expensive": {"other": plain}, **options}
        with pytest.raises(UsageError, match=why):
            auto_rag(given.pop("cheap"), given.pop("expensive"), **given)


# -- the default -------------------------------------------------------------------------------------------------------


def default(*replies: Any, **options: Any) -> Any:
    options = {"evaluator": Evaluator(0.9), **options}
    return default_auto(Shelf("leave.md", "travel.md"), FakeChatModel(replies=list(replies)), **options)


def test_the_default_goes_on_where_it_is_weak() -> None:
    ok, said = both_worlds(default(GOOD))
    check(ok)
    assert (ok["answer"], said, ok["usage"]["calls"]) == (GOOD, [GOOD], 1)
    assert set(decision_of(ok)["scores"]) == {"abstained", "uncited", "unsupported", "budget_left", "weak_retrieval"}

    abstained = default(BAD, "The answer is 25 days.", GOOD).invoke({"question": QUESTION})
    check(abstained)
    assert (abstained["answer"], decision_of(abstained)["decision"]) == (GOOD, "multi-hop")
    assert "multi-hop/think" in nodes_of(abstained) and abstained["usage"]["calls"] == 3

    weak = default(GOOD, evaluator=Evaluator(0.5)).invoke({"question": QUESTION})
    check(weak)
    assert decision_of(weak)["decision"] == "corrective" and "corrective/evaluate" in nodes_of(weak)

    several = default(GOOD, "The answer is 25 days.", GOOD, router=lambda question: {"multi": 0.9, "single": 0.1})
    assert decision_of(several.invoke({"question": QUESTION}))["decision"] == "multi-hop"


def test_the_second_source_comes_before_another_search() -> None:
    web = Shelf("leave.md", prefix="web/")
    graph = default_auto(
        Shelf("garden.md"),
        FakeChatModel(replies=[BAD, "leave, days", GOOD]),
        evaluator=Evaluator(lambda passage: 0.9 if "leave" in passage else 0.01),
        web=web,
    )
    result = graph.invoke({"question": QUESTION})
    check(result)
    assert (result["answer"], decision_of(result)["decision"], web.asked) == (GOOD, "corrective", ["leave, days"])


def test_the_default_takes_parts_rules_and_other_cheap_strategies() -> None:
    budget = Budget(llm_calls=2)
    result = default(BAD, GOOD, budget=budget, prompt="short").invoke({"question": QUESTION})
    within(result, budget)
    check(result)
    corrective = default(GOOD, cheap="corrective").invoke({"question": QUESTION})
    assert "cheap/evaluate" in nodes_of(corrective)
    ruled = default(GOOD, GOOD, rules=[Rule("corrective", {"budget_left": 0.0})]).invoke({"question": QUESTION})
    assert decision_of(ruled)["decision"] == "corrective"
    light = default(BAD, BAD, evaluator=None).invoke({"question": QUESTION})
    assert decision_of(light)["decision"] == "multi-hop" and "weak_retrieval" not in decision_of(light)["scores"]
    with pytest.raises(UsageError, match="asks for 'class_multi'"):
        default(rules=[Rule("multi-hop", {"class_multi": 0.5})])
    with pytest.raises(UsageError, match="there is no prompt"):
        default(prompt="nonsense")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_its_parts_do_it_ends_within_its_budget_and_takes_nothing_back(seed: int) -> None:
    dice = random.Random(seed)
    budget = Budget(llm_calls=dice.randrange(6), tokens=dice.choice([300, 1000, 8000]), hops=dice.randrange(4))
    graph = default_auto(
        Shelf(*dice.sample(sorted(TEXTS), dice.randrange(4))),
        FakeChatModel(replies=moody(seed, GOOD, BAD, "The answer is 25 days.", "Who grants annual leave?")),
        evaluator=Evaluator(moody_number(seed)),
        router=lambda question: {"multi": dice.random(), "single": 0.5},
        budget=budget,
    )
    result, said = watched(graph)
    check(result)
    within(result, budget)
    assert said == [] if result["abstained"] else " ".join(said) == result["answer"]
    assert result["question"] == result["asked"] == QUESTION
    assert [nodes_of(result)[0], nodes_of(result)[-1]] == ["run_cheap", "keep"]


def test_an_evaluator_that_cannot_be_loaded_loses_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(spec: str) -> Any:
        raise WeightsError(f"cannot fetch the base of {spec}")

    monkeypatch.setattr("ragloom.agents.auto.retrieval_signals.load_evaluator", offline)
    result, said = both_worlds(default(GOOD, evaluator="evaluator:bundled"))
    assert said == [GOOD]
    told = decision_of(result)["reason"]
    assert "weak_retrieval is unknown: WeightsError: cannot fetch the base of evaluator:bundled" in told
    upper = open_artifact("evaluator:bundled", "evaluator").manifest.thresholds["upper"]
    assert f"weak_retrieval unknown (from {1 - upper:.2f})" in told
    with pytest.raises(UsageError, match="nonsense"):
        default(evaluator="nonsense:bundled")
