"""How drafts are verified: by the paper's three terms where something can score, else by a language model's word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from ...models import Scorer
from ...models.drafts import Draft
from ..common.ask_all import ask_all
from ..common.effects import Compute, Doing
from ..common.lazy import Lazy
from ..common.prompting import render_prompt
from ..common.purse import Purse
from .choosing import verdict
from .scoring import Normalise, Terms, draft_term, rho, verifier_terms
from .state import DraftState

__all__ = ("Scoring", "Verified", "as_draft", "by_word")

VERDICT_TOKENS = 8
MIDDLE = 0.5
"""What an unknown verdict counts."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The drafts with what is known of them, what their order stands on, and why."""

    drafts: list[DraftState]
    how: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The paper's score: two scorers, and how they are used. A scorer that fails is told of, never raised."""

    draft_scorer: Lazy[Scorer] | None
    verifier: Lazy[Scorer]
    normalise: Normalise
    raw_yes: bool

    def scored(
        self, question: str, drafts: Sequence[DraftState], prompts: Mapping[int, Sequence[BaseMessage]]
    ) -> Doing[Verified]:
        """rho of each draft; `prompts` are what the drafter wrote behind, by index."""
        made = [as_draft(draft) for draft in drafts]
        notes: list[str] = []
        log_drafts: list[float | None] = [None] * len(made)
        if self.draft_scorer is not None:
            scorer = yield Compute(self.draft_scorer)
            shown = [prompts[draft["index"]] for draft in drafts]
            log_drafts, failed = yield Compute(_draft_terms, scorer, shown, made, self.normalise)
            notes += [f"the drafter {scorer.name}"] + ([f"its scorer failed: {failed}"] if failed else [])
        verifier = yield Compute(self.verifier)
        notes.append(f"the verifier {verifier.name}")
        others: list[tuple[float | None, float | None]] = [(None, None)] * len(made)
        try:
            others = yield Compute(self._others, verifier, question, made)
        except Exception as error:
            notes.append(f"its scorer failed: {type(error).__name__}: {error}")
        terms = [Terms(log_draft, *other) for log_draft, other in zip(log_drafts, others, strict=True)]
        bare = sum(not draft.rationale for draft in made)
        if 0 < bare < len(made):  # terms of a shorter text would always win
            terms = [each if draft.rationale else Terms() for draft, each in zip(made, terms, strict=True)]
            notes.append(f"{bare} drafts without a rationale come last")
        totals, missing = rho(terms)
        scored: list[DraftState] = [
            {
                **draft,
                "log_draft": each.draft,
                "log_consistency": each.consistency,
                "log_reflection": each.reflection,
                "log_rho": total,
            }
            for draft, each, total in zip(drafts, terms, totals, strict=True)
        ]
        notes += [f"without {', '.join(missing)}"] if missing else []
        how = "vote" if len(missing) == 3 else "partial rho" if missing else "rho"
        yes = "P(Yes) alone" if self.raw_yes else "yes / (yes + no)"
        return Verified(scored, how, f"by {', '.join(notes)}; normalise={self.normalise}, rho_SR is {yes}")

    def _others(self, scorer: Scorer, question: str, made: Sequence[Draft]) -> list[tuple[float | None, float | None]]:
        return verifier_terms(scorer, question, made, self.normalise, raw_yes=self.raw_yes)


def by_word(llm: BaseChatModel, purse: Purse, question: str, drafts: Sequence[DraftState]) -> Doing[Verified]:
    """What the language model says of each draft, as far as the budget goes. Not the paper's score."""
    if len(drafts) < 2:
        return Verified(list(drafts), "vote", "there is one answer, and no verifier that gives log-probabilities")
    prompts = [
        render_prompt(__package__ or "", "check", question=question, answer=each["answer"], rationale=each["rationale"])
        for each in drafts
    ]
    said = yield from ask_all(llm, purse, prompts, max_tokens=VERDICT_TOKENS, keep_calls=0)
    verdicts = [None if each.failed else verdict(each.text) for each in said]
    known = [value for value in verdicts if value is not None]
    failed = next((f", {each.failed}" for each in said if each.failed), "")
    why = f"no verifier that gives log-probabilities: {len(known)} of {len(drafts)} verdicts of the model{failed}"
    if not known:
        return Verified(list(drafts), "vote", why)
    values = [MIDDLE if value is None else value for value in verdicts]
    judged: list[DraftState] = [{**draft, "approx": value} for draft, value in zip(drafts, values, strict=True)]
    return Verified(judged, "approx", why)


def as_draft(draft: DraftState) -> Draft:
    """The draft as the drafter's own form has it."""
    return Draft(draft["rationale"], draft["answer"], tuple(draft["cited"]))


def _draft_terms(
    scorer: Scorer, prompts: Sequence[Sequence[Any]], drafts: Sequence[Draft], normalise: Normalise
) -> tuple[list[float | None], str]:
    """Each in a pass of its own: only so does the drafter's chat template make the prompt. And why one failed."""
    terms: list[float | None] = []
    failed = ""
    for messages, draft in zip(prompts, drafts, strict=True):
        try:
            terms.append(draft_term(scorer, messages, draft, normalise))
        except Exception as error:
            terms.append(None)
            failed = failed or f"{type(error).__name__}: {error}"
    return terms, failed
