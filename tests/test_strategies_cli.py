"""Strategies through the command line: what the settings give to each, and whose passages may be seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragloom.agents import STRATEGIES
from ragloom.cli.session import own_parts
from ragloom.evals.systems import System
from ragloom.models.artifacts import open_artifact
from ragloom.settings import load_settings
from ragloom.testing import FakeChatModel

Cli = Callable[..., Any]
GOOD = "Employees get 25 days of annual leave."
QUESTION = "How many days of annual leave do employees get?"


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Two knowledge bases: `.ragloom` of everybody and of the tenant a, and `other`."""
    Path("docs").mkdir()
    Path("secret").mkdir()
    Path("docs/leave.md").write_text("# Leave\n\nFull-time employees get 25 days of annual leave.\n")
    Path("secret/leave.md").write_text("# Leave\n\nDirectors get 60 days of annual leave.\n")
    assert cli("ingest", "docs").code == 0
    assert cli("ingest", "secret", "--tenant", "a").code == 0
    assert cli("ingest", "docs", "--kb", "other").code == 0
    cli.llm = FakeChatModel(replies=[GOOD])  # type: ignore[attr-defined]
    return cli


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - {"self-rag-tokens", "speculative"}))
def test_every_strategy_answers(filled: Cli, strategy: str) -> None:
    told = filled("ask", QUESTION, "--strategy", strategy, "--json").json
    assert told["strategy"] == strategy
    assert told["answer"]
    assert told["steps"][-1]["decision"]


def test_speculative_scores_with_the_weights_of_the_model() -> None:
    parts = own_parts("speculative", load_settings(strategy="speculative", prompt="read"))
    assert parts == {"draft_scorer": "bundled:smollm2", "verifier": "bundled:smollm2"}
    hosted = load_settings(strategy="speculative", llm="openai:x")
    assert own_parts("speculative", hosted) == {}
    assert own_parts("self-rag-tokens", load_settings(llm="openai:x")) == {}


def test_the_second_source_shows_nobody_elses_passages(filled: Cli) -> None:
    settings = load_settings(strategy="corrective", tenant="a", mode="bm25", web="kb:.ragloom")
    found = own_parts("corrective", settings)["web"].retrieve("annual leave")
    assert [item.node.metadata["source"] for item in found] == ["secret/leave.md"]
    assert {item.node.metadata["score_kind"] for item in found} == {"bm25"}


def test_records_of_another_second_source_are_not_reused(filled: Cli) -> None:
    def identity(web: str) -> Any:
        return System("corrective", own_parts("corrective", load_settings(web=web))).identity()

    told = [identity(web) for web in ("searxng:http://a", "searxng:http://b", "kb:other", "kb:.ragloom", "none")]
    assert all(one != other for at, one in enumerate(told) for other in told[:at])
    assert identity("kb:other") == identity("kb:other")
    assert "pw" not in str(identity("searxng:http://user:pw@a"))


def test_wrong_options_come_up_before_the_first_question(filled: Cli) -> None:
    Path("set").mkdir()
    Path("set/passages.jsonl").write_text('{"id": "p", "title": "", "text": "Leave is 25 days."}\n')
    Path("set/questions.jsonl").write_text(
        '{"id": "q", "question": "How many days?", "answers": ["25"], "passage_ids": ["p"]}\n'
    )
    result = filled("eval", "answers", "set", "--strategy", "self-rag", "--prompt", "draft")
    assert result.code == 2
    assert filled.llm.calls == []  # type: ignore[attr-defined]


def test_a_search_nobody_knows(filled: Cli) -> None:
    result = filled("ask", QUESTION, "--strategy", "corrective", "--web", "altavista")
    assert (result.code, "unknown second source 'altavista'" in result.err) == (2, True)
    result = filled("ask", QUESTION, "--transform", "hydra")
    assert (result.code, "hyde" in result.err) == (2, True)


def test_the_server_builds_what_the_settings_say(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragloom.cli import studio

    monkeypatch.setenv("RAGLOOM_EVALUATOR", "evaluator:bundled")
    graph = studio.strategy("corrective")()
    assert graph.get_name() == "corrective"
    assert open_artifact("evaluator:bundled", "evaluator").manifest.role == "evaluator"
