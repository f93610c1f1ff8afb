"""The injection rail: what is a message and what a passage, what is blocked, and what is refused at construction."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from artifact_kit import make_artifact, make_base

from ragloom.errors import ArtifactError, UsageError
from ragloom.guardrails.rails.injection import InjectionRail
from ragloom.models.injection import Suspicion


class FakeScorer:
    """Finds "attack", surely in passages and less so in messages."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def suspicions(self, texts: Sequence[str], kind: str) -> list[Suspicion]:
        self.kinds.append(kind)
        sure = 0.9 if kind == "passage" else 0.6
        found = [(text.find("attack"), text) for text in texts]
        return [Suspicion(sure, (at, at + 6)) if at >= 0 else Suspicion(0.0) for at, text in found]

    def threshold(self, kind: str) -> float:
        return {"message": 0.7, "passage": 0.8}[kind]


def test_a_user_is_heard_otherwise_than_a_passage() -> None:
    scorer = FakeScorer()
    rail = InjectionRail(scorer)
    verdicts = {stage: rail.check(stage, ["an attack"], {})[0].verdict for stage in ("input", "retrieval", "tool")}  # type: ignore[arg-type]
    assert verdicts == {"input": "pass", "retrieval": "block", "tool": "block"}
    assert scorer.kinds == ["message", "passage", "passage"]
    assert rail.name == "injection" and rail.stages == {"input", "retrieval", "tool"}


def test_findings_are_one_a_text_in_their_order() -> None:
    texts = ["fine", "the secret attack 4711", ""]
    found = InjectionRail(FakeScorer()).check("retrieval", texts, {})
    assert [each.verdict for each in found] == ["pass", "block", "pass"]
    assert [each.text for each in found] == texts
    assert found[1].spans == ((11, 17),) and found[1].score == 0.9
    assert found[0].spans == () and found[0].score == 0.0
    assert "4711" not in found[1].reason, "a reason goes into logs"
    assert InjectionRail(FakeScorer()).check("input", [], {}) == []


def test_a_threshold_of_ones_own_counts_for_both_kinds() -> None:
    rail = InjectionRail(FakeScorer(), threshold=0.6)
    assert rail.check("input", ["attack"], {})[0].verdict == "block"
    strict = InjectionRail(FakeScorer(), threshold=0.95)
    assert strict.check("retrieval", ["attack"], {})[0].verdict == "pass"


def test_what_is_no_number_is_blocked() -> None:
    class Broken(FakeScorer):
        def suspicions(self, texts: Sequence[str], kind: str) -> list[Suspicion]:
            return [Suspicion(float("nan"))] * len(texts)

    assert InjectionRail(Broken()).check("input", ["anything"], {})[0].verdict == "block"


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.5, float("nan")])
def test_a_threshold_that_is_none_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold"):
        InjectionRail(FakeScorer(), threshold=threshold)


def test_an_artifact_by_its_folder(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    limits: dict[str, Any] = {"thresholds": {"message_fpr_0.01": 0.0, "passage_fpr_0.01": 1.1}}
    made = make_artifact(tmp_path / "made", base, "injection", labels=("injection",), **limits)
    for named in (made, str(made), f"injection:{made}"):
        rail = InjectionRail(named)
        assert rail.check("input", ["w1 w2"], {})[0].verdict == "block"
        found = rail.check("retrieval", ["w1 w2"], {})[0]
        assert found.verdict == "pass" and found.score is not None and 0 < found.score < 1
    with pytest.raises(ArtifactError, match="no folder"):
        InjectionRail(tmp_path / "gone")
