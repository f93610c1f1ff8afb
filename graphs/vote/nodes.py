"""Nodes of the vote."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.documents import Document

from ...models import Scorer
from ...models.drafts import parse_draft
from ...types import Step
from ..common.ask_all import ask_all, was_asked
from ..common.asking import Said
from ..common.citing import draft_of
from ..common.effects import Compute, Doing
from ..common.lazy import Lazy
from ..common.lazy_scorer import mean_logprob
from ..common.nodes import CommonNodes
from ..common.reading import Reading, check_text
from ..common.saying import declines, unmarked
from .counting import Candidate, counted, distinct_passages, plain
from .state import Ballot, VoteState

__all__ = ("Rank", "VoteNodes")

Rank = Literal["vote", "logprob"]
SHORT_TOKENS = 64
"""Room for one passage's answer, which is a phrase."""


@dataclass(frozen=True, kw_only=True)
class VoteNodes(CommonNodes):
    """The nodes, with what they work with."""

    scorer: Lazy[Scorer] | None
    """Set where log-probabilities rank the candidates."""

    # -- bodies -------------------------------------------------------------------------------------------------------

    def read(self, state: VoteState, step: Step) -> Doing[dict[str, Any]]:
        """Reads every passage alone, best first, as many as the budget allows."""
        purse = self.purse(state)
        passages = distinct_passages(state["documents"])
        packs = [(each, self.packed(state["asked"], [each], purse.tokens)) for each in passages]
        fitting = [(each, packed.messages) for each, packed in packs if packed.taken]
        most = self.parts.max_answer_tokens if self.parts.draft else min(SHORT_TOKENS, self.parts.max_answer_tokens)
        prompts = [messages for _, messages in fitting]
        said = yield from ask_all(self.parts.reader, purse, prompts, max_tokens=most, keep_calls=0)
        asked = [(each, reply) for (each, _), reply in zip(fitting, said, strict=True) if was_asked(reply)]
        ballots = [self._ballot(each, reply) for each, reply in asked]
        refused = next((reply.failed for reply in said if not was_asked(reply)), "no passage fits the prompt")
        failures = [each["trouble"] for each in ballots if each["trouble"]]
        step["decision"] = f"{len(ballots)} passages read alone" if ballots else "not asked"
        doubles = len(state["documents"]) - len(passages)
        reasons = [f"{doubles} near-duplicates have no vote"] if doubles else []
        if left_out := len(passages) - len(ballots):
            reasons.append(f"{left_out} passages left out: {refused}")
        if failures:
            reasons.append(f"{len(failures)} calls failed: {failures[0]}")
        step["reason"] = "; ".join(reasons) or ("every passage has a vote" if ballots else "nothing was retrieved")
        step["details"] = self.unscreened(answers={each["id"]: each["text"] for each in ballots})
        return {
            "ballots": ballots,
            "documents": [each for each, _ in asked] or state["documents"],
            "error": failures[0] if ballots and len(failures) == len(ballots) else "",
            "declined": bool(ballots) and not any(each["key"] or each["trouble"] for each in ballots),
            "usage": purse.usage,
        }

    def elect(self, state: VoteState, step: Step) -> Doing[dict[str, Any]]:
        """Ranks the candidates; the first one that its own passages support wins."""
        candidates = counted(state["ballots"])
        step["reason"] = "by votes, then by the passages' rank"
        if self.scorer is not None and len(candidates) > 1:
            candidates = yield from self._scored(state, candidates, self.scorer, step)
        lost: list[str] = []
        for candidate in candidates:
            reading = yield from self._checked(state, candidate)
            if reading.supported:
                step["decision"] = (
                    f"{self.shown(candidate.text)} ({len(candidate.passages)} of {len(state['ballots'])} votes)"
                )
                if lost:
                    step["reason"] += f"; without support: {'; '.join(lost)}"
                return (yield from self.spoken(state, draft_of(reading), self._voters(state, candidate), step))
            failed = f" (the critic failed: {reading.unjudged})" if reading.unjudged else ""
            lost.append(f"{self.shown(candidate.text)}{failed}")
        step["decision"] = "nobody"
        step["reason"] = f"without support: {'; '.join(lost)}" if lost else "no passage gave an answer"
        return {"draft": [{"text": candidate.text, "citations": []} for candidate in candidates]}

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def _ballot(self, passage: Document, said: Said) -> Ballot:
        ballot = Ballot(id=passage.id or "", text="", key="", trouble=said.failed)
        if said.failed:
            return ballot  # half an answer is none
        text = unmarked(parse_draft(said.text).answer)  # of a text without labels its first line
        key = plain(text)
        return ballot if not key or declines(text) else {**ballot, "text": text, "key": key}

    def _scored(
        self, state: VoteState, candidates: list[Candidate], scorer: Lazy[Scorer], step: Step
    ) -> Doing[list[Candidate]]:
        """The candidates by the mean log-probability of their tokens after the question and their best passage. What
        has no score comes after what has one.
        """
        passages = {document.id: document for document in state["documents"]}
        scores: list[float] = []
        failed = ""
        for candidate in candidates:
            packed = self.packed(state["asked"], [passages[candidate.passages[0]]], self.parts.budget.tokens)
            mean, trouble = yield from mean_logprob(scorer, packed.messages, candidate.text)
            scores.append(-math.inf if mean is None else mean)
            failed = failed or trouble
        scored = zip(candidates, scores, strict=True)
        known = {each.text: round(score, 4) for each, score in scored if score > -math.inf}
        step["scores"] = {} if self.parts.guard else known
        step["reason"] = "by mean log-probability" if known else "by votes, as there are no scores"
        if len(known) < len(candidates):
            step["reason"] += f"; {len(candidates) - len(known)} without a score: {failed}"
        order = sorted(range(len(candidates)), key=lambda at: (-scores[at], at))
        return [candidates[at] for at in order]

    def _checked(self, state: VoteState, candidate: Candidate) -> Doing[Reading]:
        """What supports a candidate in the passages that are for it; where the critic fails, nothing does."""
        reading = Reading(draft=True)  # a phrase is checked as a whole, whatever full stops are in it
        passages = self._voters(state, candidate)
        yield Compute(check_text, candidate.text, state["asked"], passages, self.parts.critic, reading)
        return reading

    @staticmethod
    def _voters(state: VoteState, candidate: Candidate) -> list[Document]:
        """The passages that are for it."""
        by_id = {document.id: document for document in state["documents"]}
        return [by_id[each] for each in candidate.passages]
