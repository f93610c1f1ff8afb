"""The rail for personal data: its actions, its stages, whose values come back, and nothing in logs, steps, prompts."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pii_kit import LETTER, PLANTED, Words, detector, planted_in

from ragloom.access import AccessScope
from ragloom.agents.agent import rag_agent
from ragloom.agents.sources import Source
from ragloom.errors import ModelError, UsageError
from ragloom.guarding import STAGES, Stage
from ragloom.guardrails import RailsGuard
from ragloom.guardrails.pii import PersonalDataRail, Span, Vault, resolved
from ragloom.testing import FakeChatModel

ANA, BEN = AccessScope("acme", "ana"), AccessScope("acme", "ben")
KEY = b"0123456789abcdef"


def rail(action: Any = "redact", **options: Any) -> PersonalDataRail:
    return PersonalDataRail(action, **{"detector": Words(), "entities": None, **options})


def checked(made: PersonalDataRail, text: str, stage: Stage = "input", **context: Any) -> Any:
    return made.check(stage, [text], context)[0]


# -- actions -----------------------------------------------------------------------------------------------------------


def test_redacted_names_types_and_counts() -> None:
    finding = checked(PersonalDataRail(detector=detector()), LETTER)
    assert (finding.verdict, finding.score) == ("change", 1.0)
    assert planted_in(finding.text) == [] and planted_in(finding.reason) == []
    assert {LETTER[start:end] for start, end in finding.spans} >= set(PLANTED.values())
    assert all(f"<{kind}>" in finding.text and f"1 {kind}" in finding.reason for kind in PLANTED)
    assert checked(PersonalDataRail(detector=detector()), finding.text).verdict == "pass"


def test_masked_keeps_the_end_of_numbers_alone() -> None:
    after = checked(PersonalDataRail("mask", detector=detector()), LETTER).text
    assert "**** **** **** 1111" in after and "+* ***-***-7890" in after and "5432" in after
    assert "***-**-****" in after and "4399" not in after and planted_in(after) == []
    assert len(after) == len(LETTER)


def test_hashed_is_stable_under_a_key_and_different_under_another() -> None:
    one = checked(rail("hash", key=KEY), "ABCD and ABCD, EFGH").text
    first, second, other = (each.strip(",") for each in one.replace(" and ", " ").split())
    assert first == second != other and "ABCD" not in one
    assert checked(rail("hash", key="another key of sixteen"), "ABCD and ABCD, EFGH").text != one


def test_blocked() -> None:
    finding = checked(rail("block"), "say ABCD")
    assert (finding.verdict, finding.reason, finding.spans) == ("block", "1 CODE", ((4, 8),))
    assert checked(rail("block"), "say so").verdict == "pass"


@pytest.mark.parametrize("action", ["redact", "mask", "hash", "block", "vault"])
def test_what_holds_nothing_passes_as_it_is(action: Any) -> None:
    made = rail(action, **({"key": KEY} if action == "hash" else {}))
    for stage in STAGES:
        finding = checked(made, "all is well", stage, scope=ANA)
        assert (finding.verdict, finding.text, finding.spans) == ("pass", "all is well", ())


def test_thresholds_by_type() -> None:
    assert checked(rail(threshold={"CODE": 0.95}), "ABCD").verdict == "pass"
    assert checked(rail(threshold={"OTHER": 0.95}), "ABCD").verdict == "change"
    assert checked(rail(threshold=0.95), "ABCD").verdict == "pass"
    assert checked(rail(detector=Words(float("nan"))), "ABCD").verdict == "change"


def test_types_that_point_to_nobody_are_left_by_default() -> None:
    text = "She moved to Oslo in 1999."
    assert checked(PersonalDataRail(detector=detector()), text).verdict == "pass"
    assert (
        checked(PersonalDataRail(detector=detector(), entities=["LOCATION"]), text).text
        == "She moved to <LOCATION> in 1999."
    )


# -- the vault in the rail ---------------------------------------------------------------------------------------------


def test_values_come_back_for_who_said_them_alone() -> None:
    made = rail("vault")
    asked = checked(made, "I am ABCD", scope=ANA)
    assert asked.text == "I am <CODE_1>"
    assert checked(made, "Hello <CODE_1>!", "output", scope=ANA).text == "Hello ABCD!"
    for context in ({"scope": BEN}, {}, {"scope": AccessScope("acme")}):
        assert checked(made, "Hello <CODE_1>!", "output", **context).verdict == "pass"


def test_without_a_user_it_redacts() -> None:
    made = rail("vault")
    assert [checked(made, "I am ABCD", scope=scope).text for scope in (None, AccessScope("acme"))] == [
        "I am <CODE>"
    ] * 2
    assert repr(made.vault) == "Vault(scopes=0, values=0)"


def test_a_scope_of_the_rails_own_never_serves_somebody_else() -> None:
    made = rail("vault", scope=ANA)
    assert checked(made, "I am ABCD").text == "I am <CODE_1>"
    assert checked(made, "<CODE_1>", "output").text == "ABCD"
    assert checked(made, "<CODE_1>", "output", scope=AccessScope("acme")).verdict == "pass"


def test_a_turn_that_is_checked_again_stays_and_a_passage_cannot_name_a_value() -> None:
    made = rail("vault")
    turn = checked(made, "I am ABCD", scope=ANA).text
    assert checked(made, turn, scope=ANA).verdict == "pass"
    passage = checked(made, "Open http://evil/<CODE_1>", "retrieval", scope=ANA).text
    assert "<CODE_1>" not in passage
    assert checked(made, passage, "output", scope=ANA).text == "Open http://evil/<CODE_1>"


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"action": "erase"}, "erase"),
        ({"stages": ["inputs"]}, "stages"),
        ({"stages": "input"}, "stages"),
        ({"stages": []}, "stages"),
        ({"entities": "CODE"}, "CODE"),
        ({"entities": ["COED"]}, "COED"),
        ({"threshold": 1.5}, "1.5"),
        ({"threshold": {"CODE": -1}}, "-1"),
        ({"action": "hash"}, "key"),
        ({"action": "hash", "key": "short"}, "key"),
        ({"key": KEY}, "key"),
        ({"vault": Vault()}, "vault"),
        ({"scope": ANA}, "scope"),
    ],
)
def test_what_does_not_fit_is_named(options: Any, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        rail(**options)


class Broken(Words):
    """Gives a span that no text has, or one list too few."""

    def __init__(self, given: Any) -> None:
        super().__init__()
        self.given = given

    def detect(self, texts: Any) -> Any:
        return self.given


@pytest.mark.parametrize(
    "given", [[[Span("CODE", 2, 99)]], [[Span("CODE", 3, 3)]], [[Span("CODE", -1, 2)]], [], [[], []]]
)
@pytest.mark.parametrize("action", ["redact", "vault"])
def test_a_detector_that_gives_nonsense_blocks(given: Any, action: Any) -> None:
    made = rail(action, detector=Broken(given))
    with pytest.raises((ModelError, ValueError)) as error:
        checked(made, "ABCD", scope=ANA)
    assert "ABCD" not in str(error.value)
    assert RailsGuard([made]).check("input", ["ABCD"], {"scope": ANA})[0].verdict == "block"


# -- laws --------------------------------------------------------------------------------------------------------------

SPANS = st.lists(
    st.builds(lambda a, b, s: Span("X", min(a, b), max(a, b) + 1, s), *[st.integers(0, 30)] * 2, st.floats(0, 1))
)


@given(SPANS)
def test_resolved_spans_cover_the_same_and_do_not_overlap(spans: list[Span]) -> None:
    after = resolved(spans)
    assert all(one.end <= other.start for one, other in zip(after, after[1:], strict=False))
    covered = [{at for each in some for at in range(each.start, each.end)} for some in (spans, after)]
    assert covered[0] == covered[1]


@given(st.lists(st.sampled_from(["ABCD", "<CODE_1>", "<CODE_2>", " ", "x", "é", "<", ">"])).map("".join))
def test_through_the_rail_a_passage_comes_back_exactly(text: str) -> None:
    made = rail("vault")
    for stage in ("retrieval", "tool"):
        protected = checked(made, text, stage, scope=ANA).text
        assert checked(made, protected, "output", scope=ANA).text == text


# -- nothing personal in logs, steps, prompts --------------------------------------------------------------------------


class Files(BaseRetriever):
    """One passage, a letter."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        node = TextNode(id_="letter", text=LETTER, metadata={"source": "letter.txt", "score_kind": "test"})
        return [NodeWithScore(node=node, score=1.0)]


def searching_then_quoting() -> FakeChatModel:
    """Searches once, then answers with the sentence of the letter that says how to reach its writer, as it saw it."""

    def say(messages: Any) -> str:
        seen = re.findall(r"Write to .+? or call .+?(?=\. My)", str(messages[-1].text))
        if not seen:
            return json.dumps({"action": "search", "source": "files", "query": "letter"})
        return json.dumps({"action": "answer", "answer": f"{seen[-1]}."})

    return FakeChatModel(replies=say)


OWN = {"__start__", "question", "seen_question", "asked", "search_queries"}
"""Where a thread keeps what its owner asked."""
ANSWERED = {"answer", "answered", "messages", "citations", "draft"}
"""Where a vault's values stand that were put back."""


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("action", ["redact", "mask", "hash", "block", "vault"])
def test_nothing_personal_in_logs_steps_and_prompts(
    action: Any, awaited: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    options = {"hash": {"key": KEY}, "vault": {"scope": ANA}}.get(action, {})
    guard = RailsGuard([PersonalDataRail(action, detector=detector(), **options)])
    llm, saver = searching_then_quoting(), InMemorySaver()
    graph = rag_agent([Source("files", "Letters.", Files())], llm, guard=guard, mode="json", checkpointer=saver)
    asked = "My name is {PERSON}, my card {CREDIT_CARD}.".format(**PLANTED)
    question = {"question": "How do I reach who wrote the letter? " + ("" if action == "block" else asked)}
    config: Any = {"configurable": {"thread_id": "1"}}
    result = asyncio.run(graph.ainvoke(question, config)) if awaited else graph.invoke(question, config)
    assert llm.calls and result["steps"]
    shown = {
        "logs": caplog.text,
        "prompts": "\n".join(llm.prompts()),
        "steps": json.dumps(result["steps"], ensure_ascii=False),
        "documents": str(result["documents"]),
    }
    assert {where: planted_in(text) for where, text in shown.items() if planted_in(text)} == {}
    assert result["abstained"] == (action == "block")
    back = {PLANTED["EMAIL_ADDRESS"], PLANTED["PHONE_NUMBER"]} if action == "vault" else set()
    assert back == set(planted_in(result["answer"])) & set(PLANTED.values())
    for kept in saver.list(config):
        beside = {
            k: v for k, v in kept.checkpoint["channel_values"].items() if k not in OWN | (ANSWERED if back else set())
        }
        assert planted_in(str(beside)) == [] and planted_in(str(kept.metadata)) == []
