"""Scopes beyond the store: strategies, caches, conversations, memory and traces show what is the caller's to see.

RAGLOOM_LAW_RUNS says how many cases (600 by default): a part of them are strategies, another part conversations.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scope_suite import RUNS, WORDS, Planted, canaries, draw_scope, may_see, plant
from test_scopes import Embedded, nodes

from ragloom.access import AccessScope
from ragloom.agents.assistant import Assistant, with_memory
from ragloom.agents.conversation import LongTermMemory
from ragloom.errors import UsageError
from ragloom.graphs import build_strategy, naive_rag
from ragloom.guarding import Finding
from ragloom.guardrails.audit import AuditLog
from ragloom.retrieval.search import MODES
from ragloom.testing import FakeChatModel, HashEmbedding

STRATEGIES = ("naive", "fusion", "corrective")
USERS = ("ana", "bo", "ana/1", "a'na")


def echo(messages: Sequence[Any]) -> str:
    """Says what it was shown: whatever reaches a prompt is seen."""
    return f"The notes are {' '.join(sorted(canaries([str(message.text) for message in messages])))}."


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Embedded, list[Planted]]:
    base: Any
    base, documents = plant(Embedded(tmp_path_factory.mktemp("answers")), random.Random(11))
    return base, documents


def allowed(scope: AccessScope | None, documents: Sequence[Planted]) -> set[str]:
    return {each.canary for each in documents if may_see(scope, each)}


def test_answers_and_traces(planted: tuple[Embedded, list[Planted]], tmp_path: Path) -> None:
    base, documents = planted
    log = AuditLog(tmp_path / "audit.jsonl")
    shown = 0
    for case in range(RUNS // 12):
        dice = random.Random(case)
        scope, name = draw_scope(dice, documents), dice.choice(STRATEGIES)
        retriever = base.kb.retriever(scope=scope, mode=dice.choice(MODES), top_k=dice.choice([1, 5, 50]))
        options: dict[str, Any] = {}
        if name != "naive":
            options["evaluator"] = SimpleNamespace(
                upper=0.7, lower=0.1, grade=lambda _, passages, dice=dice: [dice.random() for _ in passages]
            )
        if name == "corrective":
            options["web"] = base.kb.retriever(scope=scope, mode="bm25")
        llm = FakeChatModel(replies=echo if dice.random() < 0.7 else ["notes leave\nnotes travel", "nothing"])
        graph = build_strategy(name, retriever, llm, **options)
        asked = {"question": f"notes on {dice.choice(WORDS)}"}
        if dice.random() < 0.2:
            result = asyncio.run(graph.ainvoke(asked, context=scope))
        else:
            result = graph.invoke(asked, context=scope)
        found = canaries([{**result, "messages": [each.model_dump() for each in result.get("messages", [])]}])
        found |= canaries([each.model_dump() for each in result["documents"]]) | canaries(llm.prompts())
        assert found <= allowed(scope, documents), f"case {case}: {name} leaks"
        shown += bool(found)
        for each in result["documents"]:
            finding = Finding("pass", each.page_content)
            log.record("retrieval", finding, each.page_content, {"scope": scope, **each.metadata})
    assert shown > RUNS / 48
    assert not canaries(log.path.read_text())


def test_a_cache_by_fingerprint_serves_nobody_elses_passages(planted: tuple[Embedded, list[Planted]]) -> None:
    base, documents = planted
    kept: dict[tuple[str, str], set[str]] = {}
    hits = 0
    for case in range(RUNS // 4):
        dice = random.Random(case)
        scope, query = draw_scope(dice, documents), dice.choice(WORDS[:2])
        retriever = base.kb.retriever(scope=scope, mode="bm25", top_k=50)
        key = (retriever.fingerprint, query)
        hits += key in kept
        found = kept.setdefault(key, canaries(nodes(retriever.retrieve(query))))
        assert found <= allowed(scope, documents), f"case {case}"
        assert found == canaries(nodes(retriever.retrieve(query))), f"case {case}"
    assert hits


@pytest.fixture
def assistant(planted: tuple[Embedded, list[Planted]], tmp_path: Path) -> Iterator[Assistant]:
    """One for all users; whom it answers is told by the scope alone."""
    kb, llm = planted[0].kb, FakeChatModel(replies=echo)

    def strategy(scope: AccessScope) -> Any:
        return naive_rag(kb.retriever(scope=scope, mode="bm25"), llm, reader=with_memory(llm))

    with Assistant.open(tmp_path / "chats.sqlite", strategy, llm) as assistant:
        yield assistant


def test_conversations(planted: tuple[Embedded, list[Planted]], assistant: Assistant) -> None:
    _, documents = planted
    told: dict[tuple[str, str], set[str]] = defaultdict(set)  # by tenant and user: what they said, and were shown
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for case in range(RUNS // 20):
        dice = random.Random(case)
        drawn = draw_scope(dice, documents) or AccessScope("acme", "ana")
        scope = AccessScope(drawn.tenant, dice.choice(USERS), drawn.groups)
        who = (scope.tenant, scope.user)
        chat = assistant.chat(scope, thread := dice.choice(["1", "2", "a/b"]))
        if dice.random() < 0.4:
            fact = f"zq9{case:03}k"
            chat.ask(f"Remember that my notes on {dice.choice(WORDS)} have the number {fact}.")
            told[who].add(fact)
        else:
            result = chat.ask(f"What do the notes say on {dice.choice(WORDS)}?")
            seen = allowed(scope, documents)
            assert canaries([each.model_dump() for each in result["documents"]]) <= seen, f"case {case}: passages"
            told[who] |= seen
        names[who].add(thread)
        assert canaries([repr(chat.state()), repr(assistant.list(scope))]) <= told[who], f"case {case}: thread"
        assert assistant.memory is not None
        remembered = [assistant.memory.list(scope), assistant.memory.recall(scope, "notes number", k=50)]
        assert canaries([[asdict(each) for each in items] for items in remembered]) <= told[who], f"case {case}: facts"
        assert {each.thread for each in assistant.list(scope)} == names[who]
    for tenant, user in list(names)[:5]:
        assistant.forget(AccessScope(tenant, user))
        del names[tenant, user]
        for other in names:
            assert {each.thread for each in assistant.list(AccessScope(*other))} == names[other]


def test_facts_are_each_users_own(tmp_path: Path) -> None:
    kept: dict[tuple[str, str], set[str]] = defaultdict(set)
    with LongTermMemory.open(tmp_path / "m.sqlite", embedder=HashEmbedding(size=16)) as memory:
        for case in range(RUNS // 6):
            dice = random.Random(case)
            scope = draw_scope(dice, [Planted(0, "acme", ("staff",), "", "")])
            if scope is None:
                continue
            who = (scope.tenant, scope.user)
            if dice.random() < 0.5:
                memory.remember(scope, f"My notes are zq{case % 10_000:04}k.")
                kept[who].add(f"zq{case % 10_000:04}k")
            assert canaries([each.fact for each in memory.list(scope)]) == kept[who], f"case {case}"
            assert canaries([each.fact for each in memory.recall(scope, "notes", k=99)]) <= kept[who], f"case {case}"


def test_a_run_in_anothers_name_is_refused(assistant: Assistant) -> None:
    ana, eve = AccessScope("acme", "ana", ["staff"]), AccessScope("acme", "eve", ["staff"])
    config: Any = {"configurable": {"thread_id": ana.thread_key("1")}}
    for other in (eve, AccessScope("globex", "ana"), {"groups": ["board"]}):
        with pytest.raises(UsageError, match="somebody else"):
            assistant.graph.invoke({"question": "notes?"}, config, context=other)
    assert "answer" in assistant.graph.invoke({"question": "notes?"}, config, context=ana)
