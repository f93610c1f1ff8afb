"""Nodes of Corrective RAG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.documents import Document
from langgraph.types import interrupt
from llama_index.core.base.base_retriever import BaseRetriever

from ...models.evaluator import Action, RetrievalEvaluator
from ...models.pair_text import graded_text
from ...retrieval.retriever import KnowledgeBaseRetriever
from ...types import Step
from ..common.asking import ask
from ..common.effects import Compute, Doing, Search, Together
from ..common.lazy import Lazy
from ..common.mixing import round_robin
from ..common.nodes import CommonNodes, tell_documents
from ..common.prompting import render_prompt
from ..common.screening import check_context, findings, is_blocked
from .refining import cut_strips, keep_strips, recompose
from .state import CorrectiveState

__all__ = ("CorrectiveNodes", "Trigger", "choose_action", "search_phrases")

Trigger = Literal["paper", "any_irrelevant", "never"]
MOST_PHRASES = 3
KEYWORD_TOKENS = 48
STRIP_SHARE = 0.31
"""How far from `lower` to `upper` the paper's threshold of strips lies: -0.5 between -0.99 and 0.59 (PopQA)."""


@dataclass(frozen=True, kw_only=True)
class CorrectiveNodes(CommonNodes):
    """The nodes, with what they work with."""

    evaluator: Lazy[RetrievalEvaluator]
    web: BaseRetriever | None
    trigger: Trigger
    most_strips: int
    strip_threshold: float | None
    cut: bool
    """Whether passages are cut into strips; else they are read whole."""
    approve_web: bool

    # -- bodies -------------------------------------------------------------------------------------------------------

    def evaluate(self, state: CorrectiveState, step: Step) -> Doing[dict[str, Any]]:
        """Grades every passage alone, all in one call, and chooses the action."""
        evaluator = yield Compute(self.evaluator)
        texts = [graded_text(each.page_content, each.metadata) for each in state["documents"]]
        scores = yield from self._grades(state["asked"], texts, step)
        known = [score for score in scores if score is not None]
        action = choose_action(scores, upper=evaluator.upper, lower=evaluator.lower, trigger=self.trigger)
        ids = [str(document.id) for document in state["documents"]]
        step["decision"] = action
        best = f"the best of {len(scores)} passages has {max(known):.2f}" if known else "no passage was graded"
        failed = f"; {step['reason']}" if step["reason"] else ""
        step["reason"] = f"{best}; upper {evaluator.upper:.2f}, lower {evaluator.lower:.2f}{failed}"
        step["scores"] = {each: round(score, 4) for each, score in zip(ids, scores, strict=True) if score is not None}
        # What an earlier turn of the thread found elsewhere is forgotten.
        earlier: dict[str, Any] = {"external": [], "strips": [], "web_queries": [state["asked"]], "called_for": True}
        return {**earlier, "action": action, "doc_scores": dict(zip(ids, scores, strict=True))}

    def rewrite(self, state: CorrectiveState, step: Step) -> Doing[dict[str, Any]]:
        """Turns the question into keyword phrases for a search engine. The question itself stays what it is."""
        messages = render_prompt(__package__ or "", "keywords", question=state["asked"])
        purse = self.purse(state)
        said = yield from ask(self.parts.llm, purse, messages, max_tokens=KEYWORD_TOKENS)
        phrases = search_phrases(said.text) if not said.failed else []
        queries = [", ".join(phrases)] if phrases else [state["asked"]]
        step["decision"] = self.shown(queries[0])
        step["reason"] = "as for a search engine" if phrases else said.failed or "the model gave no phrases"
        return {"web_queries": queries, "usage": purse.usage}

    def search_web(self, state: CorrectiveState, step: Step) -> Doing[dict[str, Any]]:
        """Asks the second source, with a person's consent where that is wanted."""
        assert self.web is not None
        queries = state["web_queries"]
        if self.approve_web:
            queries = yield from self._presentable(queries, state["asked"])
            queries = approved(
                interrupt({"type": "web_search", "question": state["asked"], "queries": queries}), queries
            )
        if not queries:
            step["decision"], step["reason"] = "not asked", "a person declined"
            return {"external": []}
        trust: Any = "own" if isinstance(self.web, KnowledgeBaseRetriever) else "web"
        found = yield Together([Search(self.web, query, trust=trust) for query in queries])
        failures = [error for error in found if isinstance(error, Exception)]
        lists = [documents for documents in found if not isinstance(documents, Exception)]
        known = {document.id for document in state["documents"]} if state["action"] == "ambiguous" else set()
        external = [document for document in round_robin(lists) if document.id not in known]
        tell_documents(step, external)
        if failures:
            step["reason"] += f"; {len(failures)} of {len(queries)} searches failed: {failures[0]}"
        return {"external": external, "hops": 1}

    def refine(self, state: CorrectiveState, step: Step) -> Doing[dict[str, Any]]:
        """Cuts what the action calls for into strips, and keeps those that may answer."""
        passages = self._called_for(state)
        if not passages:
            step["decision"], step["reason"] = "nothing to read", "the second source found nothing either"
            return {"called_for": False}
        if not self.cut:
            step["decision"], step["reason"] = f"{len(passages)} passages", "read whole"
            return {"documents": passages}
        strips = cut_strips(passages)
        whole = {passage.id or "": passage for passage in passages}
        texts = [whole[strip["id"]].page_content[strip["start"] : strip["end"]] for strip in strips]
        texts = [graded_text(text, whole[strip["id"]].metadata) for text, strip in zip(texts, strips, strict=True)]
        scores = yield from self._grades(state["asked"], texts, step)
        evaluator = yield Compute(self.evaluator)
        threshold = self.strip_threshold
        if threshold is None:
            threshold = evaluator.lower + STRIP_SHARE * (evaluator.upper - evaluator.lower)
        strips = keep_strips(strips, scores, most=self.most_strips, threshold=threshold)
        documents = recompose(passages, strips)
        kept = sum(strip["kept"] for strip in strips)
        step["decision"] = f"{kept} of {len(strips)} strips of {len(passages)} passages"
        reached = any(score is None or score >= threshold for score in scores)
        told = f"the best {self.most_strips} from {threshold:.2f} on"
        step["reason"] = step["reason"] or (told if reached else f"none reaches {threshold:.2f}: the best one is read")
        step["scores"] = {
            f"{strip['id']} {strip['start']}-{strip['end']}": round(score, 4)
            for strip, score in zip(strips, scores, strict=True)
            if score is not None
        }
        return {"strips": strips, "documents": documents}

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_refining(self, state: CorrectiveState) -> Literal["read", "cite"]:
        """Where there is nothing to read, the passages that were found stay as the nearest ones."""
        return "read" if state["called_for"] else "cite"

    def after_evaluation(self, state: CorrectiveState) -> Literal["refine", "rewrite", "search_web", "cite"]:
        """Correct: refine. Else look elsewhere, where there is an elsewhere and the budget has a round left."""
        if state["action"] == "correct":
            return "refine"
        if self.web is not None and self.purse(state).hops > 0:
            # Another knowledge base is asked the question itself: keywords are for search engines.
            return "search_web" if isinstance(self.web, KnowledgeBaseRetriever) else "rewrite"
        # Nothing relevant was found and there is nowhere else to look: the paper discards what was found.
        return "refine" if state["action"] == "ambiguous" else "cite"

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def _grades(self, question: str, texts: Sequence[str], step: Step) -> Doing[list[float | None]]:
        """A probability for each text; None where the evaluator fails or talks nonsense."""
        if not texts:
            return []
        evaluator = yield Compute(self.evaluator)
        try:
            given = yield Compute(evaluator.grade, question, list(texts))
            grades = [float(grade) if grade is not None and math.isfinite(grade) else None for grade in given]
            if len(grades) != len(texts):
                raise ValueError(f"{len(grades)} grades for {len(texts)} texts")
        except Exception as error:
            step["reason"] = f"the evaluator failed: {type(error).__name__}: {error}"
            return [None] * len(texts)
        return grades

    def _presentable(self, queries: list[str], asked: str) -> Doing[list[str]]:
        """The queries as a person may be shown them: a model wrote them, from what the guard lets be asked."""
        found = yield from findings(self.parts.guard, "output", queries, check_context(asked))
        return [each.text for each in found if not is_blocked(each)] or [asked]

    @staticmethod
    def _called_for(state: CorrectiveState) -> list[Document]:
        internal = state["documents"] if state["action"] != "incorrect" else []
        return [*internal, *(state.get("external") or [])]


def choose_action(scores: Sequence[float | None], *, upper: float, lower: float, trigger: Trigger = "paper") -> Action:
    """The paper's action: correct if any score is above `upper`, incorrect if all are below `lower`, else ambiguous.

    An unknown score is neither above nor below. `any_irrelevant` is the rule of LangGraph's notebook: one passage below
    `lower` is enough to look elsewhere, beside what is there.

    >>> choose_action([0.9, 0.0], upper=0.7, lower=0.1), choose_action([0.0, None], upper=0.7, lower=0.1)
    ('correct', 'ambiguous')
    >>> choose_action([0.9, 0.0], upper=0.7, lower=0.1, trigger="any_irrelevant")
    'ambiguous'
    """
    if trigger == "never":
        return "correct"
    known = [(upper + lower) / 2 if score is None else score for score in scores]
    if all(score < lower for score in known):
        return "incorrect"
    if trigger == "any_irrelevant":
        return "ambiguous" if any(score < lower for score in known) else "correct"
    return "correct" if any(score > upper for score in known) else "ambiguous"


def search_phrases(text: str) -> list[str]:
    """At most three phrases of the model's first line.

    >>> search_phrases('Keywords: "Emma", author, 1815, novel')
    ['Emma', 'author', '1815']
    """
    line = next((line for line in text.splitlines() if line.strip()), "")
    line = line.partition(":")[2] if line.lower().startswith("keywords") else line
    phrases = (phrase.strip(" \t\"'.*-") for phrase in line.replace(";", ",").split(","))
    return list(dict.fromkeys(phrase for phrase in phrases if phrase))[:MOST_PHRASES]


def approved(reply: Any, queries: list[str]) -> list[str]:
    """The queries that a person lets through: all for a yes, none for a no, or those that the person wrote instead."""
    if isinstance(reply, str):
        return [reply] if reply.strip() else []
    if isinstance(reply, (list, tuple)):
        return [str(query) for query in reply if str(query).strip()]
    return queries if reply else []
