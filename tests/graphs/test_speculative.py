"""Speculative RAG through its graph: drafts beside each other, what is told, degraded modes, ablations, the budget."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from speculative_kit import ByText, MoodyScorer, Stands, Unlike
from strategy_kit import GOOD, QUESTION, TEXTS, Shelf, check, mermaid_of

from ragloom.errors import ArtifactError, RagloomError, UnknownModelError, UsageError
from ragloom.graphs.speculative import speculative_rag
from ragloom.models.drafts import ABSTENTION
from ragloom.testing import FakeChatModel, HashEmbedding
from ragloom.types import Budget

FOUR = ("leave.md", "travel.md", "garden.md", "security.md")
QUOTES = {
    "leave.md": ("Full-time employees get 25 days of annual leave.", "25 days"),
    "travel.md": ("Hotels in Vienna are paid up to 165 euros a night.", "165 euros"),
    "garden.md": ("The roses in the garden are watered at dawn.", "at dawn"),
    "security.md": ("Passwords have at least fourteen characters.", "fourteen characters"),
}


def text_of(name: str) -> str:
    quote, answer = QUOTES[name]
    return f"Rationale: {quote} [1]\nAnswer: {answer}"


def by_passage(*preferred: str, other: Any = ABSTENTION) -> Any:
    """A drafter that answers from the first of these passages that it is shown."""

    def say(messages: Any) -> Any:
        prompt = str(messages[-1].text)
        return next((text_of(name) for name in preferred if TEXTS[name] in prompt), other)

    return say


def ask(replies: Any, *, names: Any = FOUR, **given: Any) -> Any:
    llm = FakeChatModel(replies=replies)
    scorer = given.pop("scorer", None)
    given = {"embedder": HashEmbedding(), "critic": Stands(), "verifier": scorer, "draft_scorer": scorer, **given}
    graph = speculative_rag(Shelf(*names), llm, checkpointer=InMemorySaver(), **given)
    thread: Any = {"configurable": {"thread_id": "1"}}
    result = graph.invoke({"question": QUESTION}, thread)
    check(result)
    assert len(llm.calls) == result["usage"]["calls"]
    return result, graph.get_state(thread).values, llm


def nodes_of(result: Any) -> list[str]:
    return [step["node"] for step in result["steps"]]


def step_of(result: Any, node: str) -> Any:
    return next(step for step in result["steps"] if step["node"] == node)


# -- the whole way -----------------------------------------------------------------------------------------------------


def test_the_best_draft_is_told_with_the_citation_of_its_subset() -> None:
    scorer = ByText({"165 euros": -1.0})
    result, state, llm = ask(by_passage(*FOUR[::-1]), scorer=scorer, drafts=4, subset_size=1)
    assert nodes_of(result) == ["retrieve", "cluster", "sample_subsets", *["draft"] * 4, "verify", "select", "cite"]
    assert (result["answer"], result["abstained"]) == ("165 euros", False)
    assert [(each["id"], each["source"]) for each in result["citations"]] == [("travel.md", "travel.md")]
    assert [document.id for document in result["documents"]] == ["travel.md", "leave.md", "garden.md", "security.md"]
    assert [draft["index"] for draft in state["drafts"]] == [0, 1, 2, 3]
    (chosen,) = [draft for draft in state["drafts"] if draft["chosen"]]
    assert (chosen["answer"], chosen["ids"], chosen["rationale"]) == (
        "165 euros",
        ["travel.md"],
        QUOTES["travel.md"][0],
    )
    assert chosen["log_rho"] == max(draft["log_rho"] for draft in state["drafts"])
    assert state["scored_by"] == step_of(result, "verify")["decision"] == "rho"
    assert len(llm.calls) == 4  # the verifier writes nothing
    assert state["question"] == QUESTION


@pytest.mark.parametrize("best", FOUR)
def test_it_is_the_argmax_and_not_the_first(best: str) -> None:
    """A popular port always returns its first draft."""
    result, _, _ = ask(by_passage(*FOUR), scorer=ByText({QUOTES[best][1]: -0.5}), drafts=4, subset_size=1)
    assert result["answer"] == QUOTES[best][1]


def test_equal_scores_go_to_the_lower_index() -> None:
    _, state, _ = ask(by_passage(*FOUR), scorer=ByText({}, flat=True), drafts=4, subset_size=1)
    assert len({draft["log_rho"] for draft in state["drafts"]}) == 1
    assert [draft["chosen"] for draft in state["drafts"]] == [True, False, False, False]


def test_every_subset_has_one_passage_of_each_cluster() -> None:
    _, state, llm = ask(by_passage(*FOUR), scorer=ByText({}), drafts=5, subset_size=2)
    assert sorted(rank for cluster in state["clusters"] for rank in cluster) == [0, 1, 2, 3]
    for plan in state["plans"]:
        assert all(sum(rank in plan["passages"] for rank in cluster) == 1 for cluster in state["clusters"])
    assert len({tuple(plan["passages"]) for plan in state["plans"]}) == len(state["plans"])
    for plan, prompt in zip(state["plans"], sorted_prompts(state, llm), strict=True):
        assert [TEXTS[FOUR[rank]] in prompt for rank in range(4)] == [rank in plan["passages"] for rank in range(4)]


def sorted_prompts(state: Any, llm: FakeChatModel) -> list[str]:
    """Of the drafts, in the order of the plans: they are made in any order."""
    found = []
    for plan in state["plans"]:
        own = [TEXTS[FOUR[rank]] for rank in plan["passages"]]
        found += [prompt for prompt in llm.prompts() if sum(text in prompt for text in own) == len(own)]
    return found


def test_the_drafter_alone_is_one_draft_of_all_passages() -> None:
    result, state, llm = ask(by_passage("leave.md"), drafts=5, subset_size=None)
    assert [plan["passages"] for plan in state["plans"]] == [[0, 1, 2, 3]]
    assert (result["answer"], len(llm.calls)) == ("25 days", 1)


def test_the_same_seed_gives_the_same_subsets() -> None:
    def subsets(seed: int) -> Any:
        return ask(by_passage(*FOUR), scorer=ByText({}), drafts=2, seed=seed)[1]["plans"]

    assert subsets(3) == subsets(3)
    assert len({str(subsets(seed)) for seed in range(8)}) > 1


def test_the_order_does_not_depend_on_who_is_ready_first() -> None:
    def slow(*late: str) -> Any:
        def say(messages: Any) -> Any:
            prompt = str(messages[-1].text)
            time.sleep(0.05 * sum(TEXTS[name] in prompt for name in late))
            return by_passage(*FOUR)(messages)

        return say

    def drafts(*late: str) -> Any:
        result, state, _ = ask(slow(*late), scorer=ByText({}), drafts=4, subset_size=1)
        return state["drafts"], result["answer"], [step["decision"] for step in result["steps"]]

    assert drafts("leave.md", "travel.md") == drafts("security.md") == drafts()


def test_drafts_beside_each_other_cost_the_time_of_the_longest() -> None:
    def say(messages: Any) -> Any:
        time.sleep(0.2)
        return by_passage(*FOUR)(messages)

    result, state, _ = ask(say, scorer=ByText({}), drafts=4, subset_size=1)
    drafting = [step["ms"] / 1000 for step in result["steps"] if step["node"] == "draft"]
    rest = sum(step["ms"] / 1000 for step in result["steps"] if step["node"] != "draft")
    assert state["elapsed"] == pytest.approx(max(drafting) + rest, abs=0.05)


def test_what_is_streamed_is_the_answer() -> None:
    graph = speculative_rag(
        Shelf(*FOUR),
        FakeChatModel(replies=by_passage(*FOUR)),
        verifier=ByText({}),
        embedder=HashEmbedding(),
        critic=Stands(),
    )
    sentences, result = [], {}
    for kind, part in graph.stream({"question": QUESTION}, stream_mode=["custom", "values"]):
        if kind == "custom":
            sentences.append(part)
        else:
            result = part
    assert " ".join(item["text"] for item in sentences) == result["answer"]
    assert [citation for item in sentences for citation in item["citations"]] == result["citations"]


# -- what is not told --------------------------------------------------------------------------------------------------


def test_a_draft_without_support_gives_way_to_the_next_best() -> None:
    def say(messages: Any) -> Any:
        prompt = str(messages[-1].text)
        return (
            "Rationale: Of course.\nAnswer: 99 unicorns"
            if TEXTS["garden.md"] in prompt
            else by_passage(*FOUR)(messages)
        )

    scorer = ByText({"99 unicorns": -0.1, "25 days": -1.0})
    result, state, _ = ask(say, scorer=scorer, drafts=4, subset_size=1)
    assert result["answer"] == "25 days"
    assert "has no support" in step_of(result, "select")["reason"]
    assert [draft["answer"] for draft in state["drafts"] if draft["chosen"]] == ["25 days"]


def test_no_draft_with_support_abstains() -> None:
    result, state, _ = ask(["Rationale: So it is.\nAnswer: 99 unicorns"], scorer=ByText({}), drafts=2)
    assert result["abstained"]
    assert result["steps"][-1]["details"]["dropped"] == ["99 unicorns"]
    assert not any(draft["chosen"] for draft in state["drafts"])
    assert [document.id for document in result["documents"]] == list(FOUR)


def test_drafts_that_abstain_are_kept_and_not_scored() -> None:
    scorer = ByText({})
    result, state, _ = ask(by_passage("leave.md"), scorer=scorer, drafts=4, subset_size=1)
    assert sorted(draft["abstained"] for draft in state["drafts"]) == [False, True, True, True]
    assert result["answer"] == "25 days"
    assert len(scorer.messages) == 1


@pytest.mark.parametrize("reply", [ABSTENTION, "I don't know.", "The passages do not mention it."])
def test_all_abstain(reply: str) -> None:
    result, _, _ = ask([reply], scorer=ByText({}), drafts=3)
    assert result["abstained"]
    assert result["steps"][-1]["reason"] == "the model found no answer in the passages"
    assert step_of(result, "verify")["decision"] == "not scored"


def test_nothing_retrieved_asks_no_model() -> None:
    result, _, llm = ask([GOOD], names=(), scorer=ByText({}))
    assert (result["abstained"], llm.calls) == (True, [])
    assert result["steps"][-1]["reason"] == "nothing was drafted"


def test_abstain_below_is_held_against_log_rho() -> None:
    _, state, _ = ask(by_passage(*FOUR), scorer=ByText({}), drafts=4, subset_size=1)
    best = max(draft["log_rho"] for draft in state["drafts"])
    for least, abstained in ((best, False), (math.nextafter(best, math.inf), True)):
        result, _, _ = ask(by_passage(*FOUR), scorer=ByText({}), drafts=4, subset_size=1, abstain_below=least)
        assert result["abstained"] == abstained
    assert result["steps"][-1]["reason"] == "no draft was chosen"
    unscored, _, _ = ask(by_passage(*FOUR), drafts=4, subset_size=1, abstain_below=0.0)
    assert not unscored["abstained"]


# -- what fails --------------------------------------------------------------------------------------------------------


def test_a_failing_drafter_is_told_of() -> None:
    result, state, _ = ask([ConnectionError("gone")], scorer=ByText({}), drafts=3)
    assert "the model server cannot be reached" in result["error"]
    assert result["error"] in result["answer"]
    assert all(draft["failed"] for draft in state["drafts"])


def test_one_failing_draft_does_not_matter() -> None:
    replies = by_passage("leave.md", "travel.md", other=ConnectionError("gone"))
    result, state, _ = ask(replies, scorer=ByText({"25 days": -0.5}), drafts=4, subset_size=1)
    assert (result["answer"], result["error"]) == ("25 days", "")
    assert sum("the drafter failed" in draft["failed"] for draft in state["drafts"]) == 2


def test_a_failing_embedder_deals_the_passages_out() -> None:
    class Broken(HashEmbedding):
        def embed(self, texts: Any) -> Any:
            raise RuntimeError("out of memory")

    result, state, _ = ask(by_passage(*FOUR), scorer=ByText({}), embedder=Broken())
    assert state["clusters"] == [[0, 2], [1, 3]]
    assert "the embedder failed: RuntimeError: out of memory" in step_of(result, "cluster")["reason"]
    assert not result["abstained"]


def test_failing_scorers_leave_a_vote() -> None:
    def fall(*_: Any) -> float:
        raise RuntimeError("out of memory")

    result, state, _ = ask(by_passage("garden.md", "leave.md"), scorer=ByText({}, each=fall), drafts=4)
    assert state["scored_by"] == "vote"
    assert "its scorer failed: RuntimeError: out of memory" in step_of(result, "verify")["reason"]
    assert result["answer"] in ("at dawn", "25 days")


def test_a_failing_critic_tells_nothing() -> None:
    class Broken:
        threshold = 0.5

        def support(self, sentence: str, question: str, passages: Any) -> Any:
            raise RuntimeError("out of memory")

    result, _, _ = ask(by_passage(*FOUR), scorer=ByText({}), critic=Broken())
    assert result["abstained"]
    assert "the critic failed: RuntimeError: out of memory" in step_of(result, "select")["reason"]


def test_parts_that_cannot_be_loaded_are_errors(tmp_path: Path) -> None:
    for options_ in ({"verifier": "openai:gpt-4o"}, {"draft_scorer": "st:x/y"}, {"verifier": FakeChatModel()}):
        with pytest.raises(UsageError):
            speculative_rag(Shelf(), FakeChatModel(), **options_)
    for options_ in ({"drafter": "st:x"}, {"embedder": "openai:x"}, {"verifier": "nope:x"}):
        with pytest.raises(UnknownModelError):
            speculative_rag(Shelf(), FakeChatModel(), **options_)
    for options_ in ({"drafts": 0}, {"subset_size": 0}, {"normalise": "sum"}, {"select": "best"}):
        with pytest.raises(UsageError):
            speculative_rag(Shelf(), FakeChatModel(), **options_)
    missing = f"drafter:{tmp_path}"
    for options_ in ({"drafter": missing}, {"verifier": missing}, {"embedder": f"embedder:{tmp_path}"}):
        with pytest.raises((ArtifactError, RagloomError), match=tmp_path.name):
            ask(by_passage(*FOUR), **{"draft_scorer": None, **options_})


@pytest.mark.parametrize("tokens", [150, 300, 450, 600, 16_000])
def test_the_tokens_are_divided_before_the_drafts_are_made(tokens: int) -> None:
    budget = Budget(tokens=tokens)
    _, state, llm = ask(by_passage(*FOUR), scorer=ByText({}), subset_size=1, budget=budget, max_answer_tokens=30)
    shares = [plan["tokens"] for plan in state["plans"]]
    assert sum(shares) <= tokens
    assert len(shares) == len(llm.calls) == min(4, tokens // max(shares, default=tokens + 1))
    for call, options_ in zip(llm.calls, llm.options, strict=True):
        assert llm.get_num_tokens_from_messages(call) + options_["max_tokens"] <= max(shares)


# -- degraded modes ----------------------------------------------------------------------------------------------------


def drafting_and_checking(messages: Any) -> Any:
    prompt = str(messages[-1].text)
    if "Explanation:" in prompt:
        return "Yes 5" if "25 days" in prompt else "Yes 2"
    return by_passage(*FOUR[::-1])(messages)


def test_without_log_probabilities_the_model_is_asked_and_that_is_named() -> None:
    result, state, llm = ask(drafting_and_checking, drafts=4, subset_size=1)
    assert state["scored_by"] == step_of(result, "verify")["decision"] == "approx"
    assert "rho" not in step_of(result, "verify")["reason"]
    assert [draft["log_rho"] for draft in state["drafts"]] == [None] * 4
    assert sorted(draft["approx"] for draft in state["drafts"]) == [0.625, 0.625, 0.625, 1.0]
    assert (result["answer"], len(llm.calls)) == ("25 days", 8)


def test_an_unknown_verdict_is_the_middle() -> None:
    def say(messages: Any) -> Any:
        prompt = str(messages[-1].text)
        if "Explanation:" in prompt:
            return "hm" if "165 euros" in prompt else "No 2"
        return by_passage(*FOUR)(messages)

    result, state, _ = ask(say, drafts=4, subset_size=1)
    assert sorted(draft["approx"] for draft in state["drafts"]) == [0.125, 0.125, 0.125, 0.5]
    assert result["answer"] == "165 euros"


def test_half_of_the_calls_are_kept_to_verify() -> None:
    for calls, drafts in ((1, 1), (2, 1), (3, 2), (8, 4)):
        _, state, llm = ask(drafting_and_checking, drafts=4, subset_size=1, budget=Budget(llm_calls=calls))
        assert len(state["drafts"]) == drafts
        assert len(llm.calls) <= calls
    scored = ask(by_passage(*FOUR), scorer=ByText({}), drafts=4, subset_size=1, budget=Budget(llm_calls=3))
    assert len(scored[1]["drafts"]) == 3


def test_no_verdict_leaves_a_vote() -> None:
    def say(messages: Any) -> Any:
        return "hm" if "Explanation:" in str(messages[-1].text) else by_passage(*FOUR[::-1])(messages)

    result, state, _ = ask(say, drafts=4, subset_size=1)
    assert state["scored_by"] == "vote"
    assert result["answer"] == "25 days"  # all differ: the passage that was retrieved first


def test_without_the_drafters_log_probabilities_the_term_is_left_out_by_name() -> None:
    result, state, _ = ask(by_passage(*FOUR), verifier=ByText({"at dawn": -0.5}), drafts=4, subset_size=1)
    assert state["scored_by"] == "partial rho"
    assert "without rho_draft" in step_of(result, "verify")["reason"]
    for draft in state["drafts"]:
        assert draft["log_rho"] == pytest.approx(draft["log_consistency"] + draft["log_reflection"])
    assert result["answer"] == "at dawn"


# -- ablations ---------------------------------------------------------------------------------------------------------


def test_ablations_score_nothing() -> None:
    scorer = ByText({"at dawn": -0.5})

    def run(select: Any, seed: int = 0) -> Any:
        return ask(by_passage(*FOUR), scorer=scorer, drafts=4, subset_size=1, select=select, seed=seed)

    for select in ("vote", "random", "first"):
        _, state, llm = run(select)
        assert state["scored_by"] == select
        assert len(llm.calls) == 4
    assert scorer.pairs == scorer.messages == []
    assert run("first")[1]["drafts"][0]["chosen"]
    assert run("vote")[0]["answer"] == "25 days"
    assert len({next(d["index"] for d in run("random", seed)[1]["drafts"] if d["chosen"]) for seed in range(12)}) > 1
    assert run("full")[0]["answer"] == "at dawn"


def test_the_most_frequent_answer_wins_a_vote() -> None:
    names = ("leave.md", "garden.md", "travel.md", "security.md")
    replies = by_passage("leave.md", other="Rationale: x\nAnswer: at dawn.")
    result, state, _ = ask(replies, names=names, drafts=4, subset_size=1, select="vote")
    assert [draft["answer"] for draft in state["drafts"] if draft["chosen"]] == ["at dawn."]
    assert result["citations"][0]["id"] == "garden.md"


# -- prompts -----------------------------------------------------------------------------------------------------------


def test_prompts_of_drafters() -> None:
    def prompt(**given: Any) -> str:
        return str(ask(by_passage(*FOUR), drafts=1, **given)[2].prompts()[0])

    assert '"Rationale:"' in prompt()
    assert prompt(prompt="draft").startswith("Quote the sentence")
    Path("mine.jinja").write_text(
        "--- user\n{% for passage in passages %}{{ passage.text }}{% endfor %} F: {{ question }}"
    )
    assert prompt(prompt="mine.jinja").endswith(f"F: {QUESTION}")


def test_another_model_may_draft() -> None:
    drafter = FakeChatModel(replies=by_passage(*FOUR))
    graph = speculative_rag(
        Shelf(*FOUR), FakeChatModel(replies=["Yes 3"]), drafter=drafter, drafts=3, embedder=HashEmbedding()
    )
    result = graph.invoke({"question": QUESTION})
    assert (len(drafter.calls), result["usage"]["calls"]) == (3, 6)


# -- clusters ----------------------------------------------------------------------------------------------------------


def test_the_embedder_of_the_knowledge_base_is_used() -> None:
    class Base:
        embedder = HashEmbedding()

    shelf = Shelf(*FOUR)
    object.__setattr__(shelf, "kb", Base())
    speculative_rag(shelf, FakeChatModel(), verifier=ByText({}), drafts=1).invoke({"question": QUESTION})
    assert Base.embedder.embedded == 4


def test_passages_are_embedded_behind_the_question() -> None:
    embedder = Unlike()
    ask(by_passage(*FOUR), scorer=ByText({}), embedder=embedder)
    assert embedder.texts == [f"{QUESTION}\n{TEXTS[name]}" for name in FOUR]


# -- turns, both worlds, the shape -------------------------------------------------------------------------------------


def test_drafts_of_an_earlier_turn_are_forgotten() -> None:
    llm = FakeChatModel(replies=by_passage(*FOUR))
    shelf = Shelf(*FOUR)
    graph = speculative_rag(shelf, llm, verifier=ByText({}), drafts=4, subset_size=1, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"question": QUESTION}, thread)
    shelf.names = ("leave.md",)
    result = graph.invoke({"question": "And how many days of leave in Leeds?"}, thread)
    check(result)
    assert len(graph.get_state(thread).values["drafts"]) == 1
    assert result["usage"]["calls"] == 1


async def test_async_does_what_sync_does() -> None:
    def graph() -> Any:
        scorer = ByText({"at dawn": -1.0})
        llm = FakeChatModel(replies=by_passage(*FOUR))
        return speculative_rag(
            Shelf(*FOUR), llm, verifier=scorer, draft_scorer=scorer, drafts=4, embedder=HashEmbedding()
        )

    there, here = await graph().ainvoke({"question": QUESTION}), graph().invoke({"question": QUESTION})
    for key in ("answer", "abstained", "citations", "documents"):
        assert there[key] == here[key]
    assert [(s["node"], s["decision"], s["reason"]) for s in there["steps"]] == [
        (s["node"], s["decision"], s["reason"]) for s in here["steps"]
    ]


def test_the_shape_of_the_graph() -> None:
    graph = speculative_rag(Shelf(), FakeChatModel())
    assert mermaid_of(graph) == Path(__file__).with_name("speculative.mermaid").read_text(encoding="utf-8").strip()


def test_moody_scorers_do_raise_and_talk_nonsense() -> None:
    """The law in `test_laws` would be worth nothing with a scorer that behaves."""
    scorer, moods = MoodyScorer(1), set()
    for _ in range(60):
        try:
            moods.add(math.isfinite(scorer.score("a", " b").total))
        except Exception:
            moods.add(None)
    assert moods == {True, False, None}
