"""Nodes of routed RAG."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_stream_writer
from langgraph.types import Overwrite, Send

from ...graphs.closed.nodes import ClosedBookNodes
from ...graphs.common.effects import Doing, Search
from ...graphs.common.nodes import CommonNodes, tell_documents
from ...graphs.common.purse import READING_SHARE
from ...types import Budget, Step
from .answer import SourceAnswer, answer_of, answer_of_strategy, failure, with_provenance
from .asking import AskGraph, AskTool, GraphReply
from .merged_retriever import MergedRetriever
from .merging import Merge, merged
from .passing import own_update, passed_through
from .route import NONE, valid_route
from .router import BudgetedRouter, SourceRouter, routed
from .screening import screened_answer
from .source import Source
from .state import Asking, RoutedState, Share, Way

__all__ = ("Reader", "RoutedNodes")

Reader = Callable[[MergedRetriever, Budget], Any]
"""Builds the strategy that reads what retrievers hold, for a budget."""


@dataclass(frozen=True, kw_only=True)
class RoutedNodes(CommonNodes):
    """The nodes, with what they work with."""

    sources: Mapping[str, Source]
    router: SourceRouter | BudgetedRouter
    reader: Reader | None
    """None: passages are retrieved and read here."""
    most_sources: int
    merging: Merge
    fallback: str | None
    closed: ClosedBookNodes

    def asking(self) -> Any:
        """The node `ask`: what a strategy did inside it stands behind it in `steps`."""

        def with_inner_steps(update: dict[str, Any]) -> dict[str, Any]:
            return {**update, "steps": [*update["steps"], *update["told"][0]["steps"]]}

        return self.node("ask", clocked=False) | RunnableLambda(with_inner_steps)

    # -- bodies -------------------------------------------------------------------------------------------------------

    def route(self, state: RoutedState, step: Step) -> Doing[dict[str, Any]]:
        """Chooses the sources. What is not known goes to the fallback, where there is one."""
        purse = self.purse(state)
        route = valid_route((yield from routed(self.router, state["asked"], purse)), self.sources)
        named = [name for name in route.names if name != NONE]
        chosen = named[: self.most_sources]
        reasons = [f"by {route.by or type(self.router).__name__}"]
        reasons += [self.shown(why)] if (why := route.failed or route.reason) else []
        way: Way = "alone" if NONE in route.names else "ask"
        if route.unknown and self.fallback is not None:
            chosen = [self.fallback]
            reasons.append("unknown, so the fallback is asked")
        if len(named) > len(chosen):
            reasons.append(f"{len(named) - len(chosen)} more are left out, at most {self.most_sources} are asked")
        if way == "ask" and not (chosen and purse.hops > 0):
            way = "abstain"
        step["decision"] = ", ".join(chosen) or route.label
        step["reason"] = "; ".join(filter(None, reasons))
        step["scores"] = {name: round(score, 4) for name, score in route.scores.items()}
        return {"way": way, "chosen": chosen, "told": Overwrite([]), "usage": purse.usage}

    def alone(self, state: RoutedState, step: Step) -> Doing[dict[str, Any]]:
        """The model's own answer, unchecked and uncited; where it has none, the fallback is asked."""
        update = yield from self.closed.answer(state, step)
        if not update["abstained"] or self.fallback is None or self.purse(state).hops <= 0:
            return update
        step["reason"] += f"; {self.fallback} is asked"
        return {"way": "ask", "chosen": [self.fallback], "usage": update["usage"]}

    def ask(self, state: Asking, step: Step) -> Doing[dict[str, Any]]:
        """Asks one source. Its failure is told, and the others go on."""
        began = time.monotonic()
        names = state["names"]
        try:
            refused = self._refusal(state)
            answer = failure(names, refused) if refused else (yield from self._asked(state, step))
        except Exception as error:
            answer = failure(names, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
        answer["seconds"] = time.monotonic() - began
        shown = "+".join(names)
        if answer["failed"]:
            step["decision"], step["reason"] = f"{shown} failed", answer["failed"]
        elif answer["own"] is not None:
            step["decision"] = f"{shown}: {'abstains' if answer['own']['abstained'] else 'answers'}"
            step["reason"] = f"with {len(answer['documents'])} passages and {len(answer['own']['citations'])} citations"
            for name, why in step.get("details", {}).get("failed", {}).items():
                step["reason"] += f"; {name} failed: {why}"
        else:
            step["decision"] = f"{shown}: {len(answer['documents'])} passages"
        return {"told": [answer], "usage": answer["usage"]}

    def merge(self, state: RoutedState, step: Step) -> Doing[dict[str, Any]]:
        """One answer that a source gave itself is passed through; else all passages go into one list."""
        yield from ()
        told = sorted(state["told"], key=lambda each: state["chosen"].index(each["names"][0]))
        failed = ["+".join(each["names"]) for each in told if each["failed"]]
        note = f"; failed: {', '.join(failed)}" if failed else ""
        # Those that ran beside each other took as long as the longest.
        update: dict[str, Any] = {"hops": 1, "elapsed": max(each["seconds"] for each in told)}
        if len(failed) == len(told):
            step["decision"], step["reason"] = "nothing", f"no source could be asked{note}"
            return {**update, "outcome": "failed"}
        if passing := passed_through(told, may_read=not self.purse(state).refusal()):
            answer, own = passing
            unchecked = not (own["citations"] or own["abstained"])
            step["decision"] = f"the answer of {'+'.join(answer['names'])}"
            step["reason"] = f"it answers by itself{', uncited: nothing was checked' * unchecked}{note}"
            return {**update, "outcome": "answered", **own_update(own, answer["documents"], get_stream_writer())}
        lists = [each["documents"] for each in told if each["documents"]]
        documents = merged(lists, self.merging)
        tell_documents(step, documents, by=f"{self.merging} of {len(lists)} sources" if len(lists) > 1 else "")
        step["reason"] += note
        return {**update, "outcome": "read", "documents": documents}

    def abstain(self, state: RoutedState, step: Step) -> Doing[dict[str, Any]]:
        """Says which sources there are, or which could not be asked."""
        yield from ()
        step["decision"] = "abstain"
        if state["told"]:
            step["reason"] = "no source could be asked"
            answer = f"These sources could not be asked: {', '.join(state['chosen'])}."
        elif state["chosen"]:
            step["reason"] = f"the budget of {self.parts.budget.hops} rounds of retrieval is spent"
            answer = f"Nothing was asked: {step['reason']}."
        else:
            step["reason"] = "no source is known to answer, and there is no fallback"
            answer = f"I do not know which source could answer this. There are: {', '.join(self.sources)}."
        message = AIMessage(answer, additional_kwargs={"citations": [], "abstained": True})
        return {"answer": answer, "abstained": True, "messages": [message]}

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_route(self, state: RoutedState) -> Literal["alone", "abstain", "transform"] | list[Send]:
        """The model alone, an abstention, or the sources."""
        return self._to_sources(state) if state["way"] == "ask" else state["way"]

    def after_alone(self, state: RoutedState) -> Literal["end", "transform"] | list[Send]:
        """The end, where the model had an answer."""
        return self._to_sources(state) if state["way"] == "ask" else "end"

    def after_merge(self, state: RoutedState) -> Literal["read", "answered", "failed"]:
        """What the sources said decides."""
        return state["outcome"]

    def sends(self, state: RoutedState) -> list[Send]:
        """One for each source; retrievers that a strategy reads are one. What is left is divided among them before the
        first one starts.
        """
        groups: list[list[str]] = []
        together: list[str] = []
        for name in state["chosen"]:
            if self.reader is None or self.sources[name].kind != "retriever":
                groups.append([name])
            elif together:
                together.append(name)
            else:
                together = [name]
                groups.append(together)
        share = self._share(state, groups)
        return [
            Send(
                "ask",
                Asking(
                    names=names,
                    asked=state["asked"],
                    search_queries=state["search_queries"],
                    hypotheses=state["hypotheses"],
                    share=share,
                    alone=len(groups) == 1,
                ),
            )
            for names in groups
        ]

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def _to_sources(self, state: RoutedState) -> Literal["transform"] | list[Send]:
        searched = self.reader is None and any(self.sources[name].kind == "retriever" for name in state["chosen"])
        return "transform" if searched and self.parts.transform else self.sends(state)

    def _share(self, state: RoutedState, groups: Sequence[Sequence[str]]) -> Share:
        """All that is left for one source; of several, each has its part of what the reading does not need."""
        purse = self.purse(state)
        if len(groups) == 1:
            return Share(llm_calls=purse.calls, tokens=purse.tokens, seconds=purse.seconds, hops=purse.hops)
        calling = sum(self.sources[names[0]].kind != "retriever" or self.reader is not None for names in groups) or 1
        return Share(
            llm_calls=(purse.calls - 1) // calling,
            tokens=(purse.tokens - int(purse.budget.tokens * READING_SHARE)) // calling,
            seconds=purse.seconds - purse.budget.seconds * READING_SHARE,
            hops=purse.hops,
        )

    def _answers_itself(self, names: Sequence[str]) -> bool:
        kind = self.sources[names[0]].kind
        return kind == "graph" or (kind == "retriever" and self.reader is not None)

    def _refusal(self, state: Asking) -> str:
        """Why a source cannot be afforded."""
        share, budget = state["share"], self.parts.budget
        if share["seconds"] <= 0:
            return f"the budget of {budget.seconds:g} seconds is spent"
        if self._answers_itself(state["names"]) and (share["llm_calls"] <= 0 or share["tokens"] <= 0):
            return f"the budget of {budget.llm_calls} calls and {budget.tokens} tokens has nothing left for it"
        return ""

    def _asked(self, state: Asking, step: Step) -> Doing[SourceAnswer]:
        names, question = state["names"], state["asked"]
        source = self.sources[names[0]]
        if self._answers_itself(names):
            return (yield from self._strategy_answer(state, step))
        if source.kind == "tool":
            tool: Any = source.answers
            given = answer_of((yield AskTool(tool, question)), names)
            tell_documents(step, given["documents"])
            return (yield from screened_answer(self.parts.guard, question, given, step))
        retriever: Any = source.answers
        if len(state["search_queries"]) > 1 or state["hypotheses"]:
            found = yield from self.searching(retriever, state["search_queries"], state["hypotheses"], step)
            documents = with_provenance(found, source.name)
        else:
            documents = with_provenance((yield Search(retriever, question)), source.name)
            tell_documents(step, documents)
        return {**failure(names, ""), "documents": documents}

    def _strategy_answer(self, state: Asking, step: Step) -> Doing[SourceAnswer]:
        names, budget = state["names"], Budget(**state["share"])
        sources = [self.sources[name] for name in names]
        foreign = self.reader is None or sources[0].kind == "graph"
        write = get_stream_writer() if state["alone"] and not (foreign and self.parts.guard) else None
        if self.reader is None or foreign:
            reply: GraphReply = yield AskGraph(lambda: sources[0].graph(budget), state["asked"], write)
            given = answer_of_strategy(reply.result, names, owner=names[0], streamed=reply.streamed)
            return (yield from screened_answer(self.parts.guard, state["asked"], given, step))
        reader, retriever = self.reader, MergedRetriever(sources, merge=self.merging)
        reply = yield AskGraph(lambda: reader(retriever, budget), state["asked"], write)
        if retriever.failures:
            step["details"] = {"failed": retriever.failures}
        return answer_of_strategy(reply.result, names, owner=None, streamed=reply.streamed)
