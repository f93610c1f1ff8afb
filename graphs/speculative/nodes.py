"""Nodes of Speculative RAG: cluster, sample, draft, verify, select."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langgraph.types import Overwrite, Send

from ... import models
from ...models.drafts import DRAFTER_PROMPT, parse_draft, render_draft
from ...types import Budget, Step
from ..common.ask_all import was_asked
from ..common.asking import ask
from ..common.citing import draft_of
from ..common.effects import Compute, Doing
from ..common.lazy import Lazy
from ..common.nodes import CommonNodes
from ..common.packing import prompt_passages
from ..common.prompting import render_prompt
from ..common.purse import READING_SHARE, Purse
from ..common.reading import Reading, check_text
from ..common.saying import declines
from .choosing import Select, by_chance, by_value, by_votes
from .planning import plan_drafts
from .state import DraftState, DraftTask, Plan, SpeculativeState, is_usable
from .subsets import cluster_texts, dealt, distinct, sample_subsets
from .verifying import Scoring, Verified, as_draft, by_word

__all__ = ("SpeculativeNodes",)

MODEL_FAILED = "the drafter failed: "


@dataclass(frozen=True, kw_only=True)
class SpeculativeNodes(CommonNodes):
    """The nodes, with what they work with."""

    drafter: Lazy[BaseChatModel]
    trained: bool
    """The drafter was trained as one: it has a prompt of its own."""
    embedder: Lazy[Any]
    scoring: Scoring | None
    """None: nothing gives log-probabilities, the language model is asked."""
    drafts: int
    subset_size: int | None
    abstain_below: float | None
    select_by: Select
    seed: int

    # -- bodies -------------------------------------------------------------------------------------------------------

    def cluster(self, state: SpeculativeState, step: Step) -> Doing[dict[str, Any]]:
        """Groups the passages by what they say to the question. Forgets the drafts of an earlier turn."""
        documents = state["documents"]
        ranks = distinct(documents)
        k = min(self.subset_size or len(ranks), len(ranks))
        reason = "nothing was retrieved" if not ranks else "there is nothing to part"
        groups = dealt(len(ranks), k) if k else []
        if 1 < k < len(ranks):
            embedder = yield Compute(self.embedder)
            texts = [documents[rank].page_content for rank in ranks]
            try:
                groups = yield Compute(cluster_texts, embedder, state["asked"], texts, k, self.seed)
                reason = f"k-means of {len(ranks)} passages behind the question"
            except Exception as error:
                reason = f"dealt out by rank, the embedder failed: {type(error).__name__}: {error}"
        clusters = [[ranks[at] for at in group] for group in groups]
        copies = len(documents) - len(ranks)
        step["decision"] = f"{len(clusters)} clusters"
        step["reason"] = reason + (f"; {copies} passages say word by word what another one says" if copies else "")
        step["details"] = {"clusters": [[documents[rank].id for rank in cluster] for cluster in clusters]}
        return {"clusters": clusters, "plans": [], "drafts": Overwrite([]), "scored_by": ""}

    def sample_subsets(self, state: SpeculativeState, step: Step) -> Doing[dict[str, Any]]:
        """Draws subsets of one passage of each cluster, as many as are wanted, exist and can be paid."""
        purse = self.purse(state)
        wanted = min(self.drafts, max(0, self._calls_to_draft(purse.calls)))
        refused = purse.refusal()
        drawn = [] if refused else sample_subsets(state["clusters"], wanted, self.seed)
        plans: list[Plan] = []
        if drawn:
            llm = yield Compute(self.drafter)
            kept = int(self.parts.budget.tokens * READING_SHARE) if self._asks_to_verify else 0
            plans = yield Compute(self._plan, llm, state, drawn, purse.tokens - kept)
        step["decision"] = f"{len(plans)} subsets"
        paid = f", the budget pays {wanted}" if wanted < self.drafts else ""
        fit = f", {len(plans)} fit" if len(plans) < len(drawn) else ""
        step["reason"] = refused or f"{self.drafts} wanted{paid}, {len(drawn)} drawn{fit}"
        ids = [[state["documents"][rank].id for rank in plan["passages"]] for plan in plans]
        step["details"] = {"seed": self.seed, "subsets": ids}
        return {"plans": plans}

    def draft(self, state: DraftTask, step: Step) -> Doing[dict[str, Any]]:
        """One draft of one subset, within the share that was set aside for it."""
        llm = yield Compute(self.drafter)
        documents, plan = state["documents"], state["plan"]
        purse = Purse(Budget(llm_calls=1, tokens=plan["tokens"], seconds=state["seconds"]), {})
        messages = self._prompt(state["asked"], documents)
        said = yield from ask(llm, purse, messages, max_tokens=self.parts.max_answer_tokens, keep_calls=0)
        draft = parse_draft(said.text)
        abstained = draft.abstained or declines(draft.answer)
        failed = said.failed or ("" if draft.answer or abstained else "there is no answer in what the drafter said")
        if said.failed and was_asked(said):
            failed = f"{MODEL_FAILED}{said.failed}"
        made = DraftState(
            index=plan["index"],
            ids=[str(document.id) for document in documents],
            rationale=draft.rationale,
            answer="" if failed or abstained else draft.answer,
            cited=list(draft.cited),
            abstained=abstained and not failed,
            failed=failed,
            log_draft=None,
            log_consistency=None,
            log_reflection=None,
            log_rho=None,
            approx=None,
            chosen=False,
        )
        step["decision"] = "failed" if failed else "abstained" if abstained else self.shown(draft.answer)
        step["reason"] = failed or f"draft {plan['index']} of {len(documents)} passages"
        step["details"] = {
            "index": plan["index"],
            "passages": made["ids"],
            **self.unscreened(rationale=draft.rationale),
        }
        return {"drafts": [made], "usage": purse.usage}

    def verify(self, state: SpeculativeState, step: Step) -> Doing[dict[str, Any]]:
        """Scores all drafts at once; where nothing can score, asks the language model, and says so."""
        began = time.perf_counter()
        # The drafts were made beside each other: together they took as long as the longest one.
        longest = max((each["ms"] for each in state["steps"] if each["node"] == "draft"), default=0.0) / 1000
        purse = self.purse({**state, "elapsed": state["elapsed"] + longest})
        usable = [draft for draft in state["drafts"] if is_usable(draft)]
        made = yield from self._verified(state, usable, purse)
        step["decision"], step["reason"] = made.how, made.why
        values = {draft["index"]: _value(draft, made.how) for draft in made.drafts}
        step["scores"] = {str(index): round(value, 4) for index, value in values.items() if value is not None}
        taken = longest + time.perf_counter() - began
        return {"drafts": made.drafts, "scored_by": made.how, "usage": purse.usage, "elapsed": taken}

    def select(self, state: SpeculativeState, step: Step) -> Doing[dict[str, Any]]:
        """Tells the best draft that the passages of its subset support; the next best where they do not."""
        ordered, notes = self._ordered(state)
        unsupported: list[dict[str, Any]] = []
        for each in ordered:
            plan = next(plan for plan in state["plans"] if plan["index"] == each["index"])
            passages = [state["documents"][rank] for rank in plan["passages"]]
            reading = Reading(draft=True)
            asked = (state["asked"], passages, self.parts.critic, reading)
            yield Compute(check_text, render_draft(as_draft(each)), *asked)
            if reading.supported:
                step["decision"], step["reason"] = f"draft {each['index']}", "; ".join(notes)
                spoken = yield from self.spoken(state, draft_of(reading), passages, step)
                others = [document for document in state["documents"] if document not in passages]
                chosen: DraftState = {**each, "chosen": True}
                return {**spoken, "drafts": [chosen], "documents": [*passages, *others]}
            unsupported = unsupported or draft_of(reading)
            unjudged = f", the critic failed: {reading.unjudged}" if reading.unjudged else ""
            notes.append(f"draft {each['index']} has no support{unjudged}")
        step["decision"], step["reason"] = "abstain", "; ".join(notes)
        drafts = state["drafts"]
        failures = [draft["failed"] for draft in drafts if draft["failed"].startswith(MODEL_FAILED)]
        said = [draft for draft in drafts if not draft["failed"]]
        return {
            "draft": unsupported,
            "declined": bool(said) and all(draft["abstained"] for draft in said),
            "error": failures[0].removeprefix(MODEL_FAILED) if failures and not said else "",
        }

    def cite(self, state: Any, step: Step) -> Doing[dict[str, Any]]:
        """As in every strategy."""
        update = yield from super().cite(state, step)
        if step["reason"] == "nothing was read":
            step["reason"] = "no draft was chosen" if state["plans"] else "nothing was drafted"
        return update

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_sampling(self, state: SpeculativeState) -> list[Send] | Literal["cite"]:
        """A draft for every subset, beside each other; each is sent its share of what is left."""
        seconds = self.purse(state).seconds
        sent = [
            DraftTask(
                asked=state["asked"],
                plan=plan,
                documents=[state["documents"][rank] for rank in plan["passages"]],
                seconds=seconds,
            )
            for plan in state["plans"]
        ]
        return [Send("draft", task) for task in sent] or "cite"

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    @property
    def _asks_to_verify(self) -> bool:
        return self.select_by == "full" and self.scoring is None

    def _calls_to_draft(self, calls: int) -> int:
        """Half of the calls where every draft is verified by another one."""
        return (calls + 1) // 2 if self._asks_to_verify else calls

    def _plan(self, llm: BaseChatModel, state: SpeculativeState, subsets: list[list[int]], tokens: int) -> list[Plan]:
        def render(shown: list[Document]) -> list[BaseMessage]:
            return self._prompt(state["asked"], shown)

        most = self.parts.max_answer_tokens
        return plan_drafts(llm, render, state["documents"], subsets, tokens=tokens, max_tokens=most)

    def _prompt(self, asked: str, documents: Sequence[Document]) -> list[BaseMessage]:
        """A trained drafter's own prompt; the user's where there is one; else one that tells any model the form."""
        package, name = __package__ or "", self.parts.prompt if isinstance(self.parts.prompt, Path) else "draft"
        if self.trained:
            package, name = models.__name__, DRAFTER_PROMPT
        return render_prompt(package, name, passages=prompt_passages(documents), question=asked)

    def _verified(self, state: SpeculativeState, usable: list[DraftState], purse: Purse) -> Doing[Verified]:
        if not usable:
            return Verified([], "not scored", "no draft has an answer")
        if self.select_by != "full":
            return Verified(usable, self.select_by, "as asked for, without a score")
        if purse.seconds <= 0:
            return Verified(usable, "vote", purse.refusal())
        if self.scoring is None:
            return (yield from by_word(self.parts.llm, purse, state["asked"], usable))
        prompts = {
            plan["index"]: self._prompt(state["asked"], [state["documents"][rank] for rank in plan["passages"]])
            for plan in state["plans"]
        }
        return (yield from self.scoring.scored(state["asked"], usable, prompts))

    def _ordered(self, state: SpeculativeState) -> tuple[list[DraftState], list[str]]:
        """The drafts that may be told, the best first, and why so. Only a whole log rho is held against a threshold."""
        how = state["scored_by"]
        usable = [draft for draft in state["drafts"] if is_usable(draft)]
        notes = [f"by {how}, {len(usable)} of {len(state['drafts'])} drafts have an answer"]
        if how == "vote":
            return by_votes(usable, state["plans"]), notes
        if how == "random":
            return by_chance(usable, self.seed), notes
        ordered = by_value(usable, [_value(draft, how) for draft in usable], state["plans"])
        least = self.abstain_below
        if least is not None and how == "rho":
            ordered = [draft for draft in ordered if draft["log_rho"] is not None and draft["log_rho"] >= least]
            notes.append(f"{len(ordered)} have a log rho of {least:g} or more")
        return ordered, notes


def _value(draft: DraftState, how: str) -> float | None:
    """What the order of the drafts stands on."""
    return draft["approx"] if how == "approx" else draft["log_rho"]
