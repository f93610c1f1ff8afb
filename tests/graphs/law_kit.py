"""Parts that misbehave by dice, for what holds of every strategy: `OPTIONS` says what each needs, by seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from reflection_kit import Mind
from speculative_kit import MoodyEmbedding, MoodyScorer
from strategy_kit import GOOD, Evaluator, Shelf, moody_number

from ragloom.graphs.common.support import OverlapCritic
from ragloom.graphs.transforms import StepBack
from ragloom.models.drafts import ABSTENTION
from ragloom.types import Budget

SAYINGS = [
    GOOD,
    "I don't know.",
    "25 days",
    "nothing",
    "Hotels in Vienna are paid up to 165 euros. Roses are watered at dawn.",
    "annual leave, employees, days",
    "Rationale: Full-time employees get 25 days of annual leave. [1]\nAnswer: 25 days",
    "1. How many days of leave?\n2. Who gets leave?\n3. Is leave carried over?",
    "1. How many days of leave?\n2. Who has #1?",
    "So the answer is: 25 days.",
    ABSTENTION,
    "Yes 4",
    "No 1",
]
"""What a model may say that a strategy can use."""

budgets = st.builds(
    Budget,
    llm_calls=st.integers(0, 6),
    tokens=st.sampled_from([0, 200, 600, 2000, 16_000]),
    seconds=st.sampled_from([0.0, 60.0]),
    hops=st.integers(1, 3),
)
shelves = st.sampled_from([(), ("leave.md",), ("long.md", "leave.md", "travel.md", "garden.md")])


class MoodyCritic:
    """Fails by dice; where it finds support, the quote is a real one."""

    threshold = 0.5

    def __init__(self, seed: int) -> None:
        self._say, self._overlap = moody_number(seed), OverlapCritic()

    def support(self, sentence: str, question: str, passages: Any) -> Any:
        self._say()
        return self._overlap.support(sentence, question, passages)


def _adaptive(seed: int) -> dict[str, Any]:
    number = moody_number(seed)
    if seed % 4 == 0:
        scorer = SimpleNamespace(score_messages=lambda *_: SimpleNamespace(mean=-abs(number())))
        return {"router": "uncertainty", "scorer": scorer}
    routers = ["random", "always-multi", lambda _: {"none": number(), "single": number(), "multi": number()}]
    return {"router": routers[seed % 3], "seed": seed}


def _corrective(seed: int) -> dict[str, Any]:
    web = Shelf("garden.md", "travel.md", prefix="web:") if seed % 3 else None
    return {"evaluator": Evaluator(moody_number(seed)), "web": web, "trigger": ["paper", "any_irrelevant"][seed % 2]}


def _fusion(seed: int) -> dict[str, Any]:
    return {
        "evaluator": Evaluator(moody_number(seed)),
        "gate": ["weak", "always"][seed % 2],
        "rewrites": 1 + seed % 5,
        "original_weight": 1.0 + seed % 3,
        "drift_weight": [0.5, 0.0, 1.0][seed % 3],
        "transform": StepBack() if seed % 7 == 0 else None,
    }


def _self_rag(seed: int) -> dict[str, Any]:
    number = moody_number(seed)
    need = SimpleNamespace(probability=lambda _: number())
    utility = SimpleNamespace(expected_of=lambda pairs: [number() for _ in pairs])
    return {
        "relevance": Evaluator(moody_number(seed)) if seed % 5 else None,
        "need": need if seed % 2 else None,
        "utility": utility if seed % 3 else None,
        "scorer": MoodyScorer(seed) if seed % 4 else None,
        "beam": 1 + seed % 3,
        "hard": bool(seed % 2),
        "retries": seed % 3,
    }


def _self_rag_tokens(seed: int) -> dict[str, Any]:
    say = moody_number(seed)
    return {
        "scorer": Mind(lambda *_: say()),
        "delta": [-1.0, 0.5][seed % 7 == 0],
        "beam": 1 + seed % 3,
        "hard": bool(seed % 2),
    }


def _speculative(seed: int) -> dict[str, Any]:
    dice = random.Random(seed)
    scorer = MoodyScorer(seed)
    return {
        "verifier": scorer if seed % 3 else None,
        "draft_scorer": dice.choice([scorer, None]),
        "embedder": MoodyEmbedding(seed=seed),
        "drafts": dice.choice([1, 3, 5]),
        "subset_size": dice.choice([1, 2, None]),
        "normalise": dice.choice(["none", "mean", "sqrt_len"]),
        "raw_yes": dice.choice([True, False]),
        "abstain_below": dice.choice([None, None, -20.0]),
        "select": dice.choice(["full", "full", "full", "vote", "random", "first"]),
        "seed": seed,
    }


def _vote(seed: int) -> dict[str, Any]:
    number = moody_number(seed)
    scorer = SimpleNamespace(score_messages=lambda *_: SimpleNamespace(mean=number()))
    return {"rank": "logprob", "scorer": scorer} if seed % 3 == 0 else {}


OPTIONS: dict[str, Callable[[int], dict[str, Any]]] = {
    "adaptive": _adaptive,
    "corrective": _corrective,
    "fusion": _fusion,
    "self-rag": _self_rag,
    "self-rag-tokens": _self_rag_tokens,
    "speculative": _speculative,
    "vote": _vote,
}
"""What a strategy is given beside retriever, model and critic. The others need nothing."""
