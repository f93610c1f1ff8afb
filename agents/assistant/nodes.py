"""Nodes of the assistant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_config, get_stream_writer
from langgraph.pregel import Pregel
from langgraph.runtime import get_runtime

from ...access import AccessScope
from ...errors import RagloomError
from ...graphs.common.effects import Compute, Doing, node
from ...graphs.common.purse import Purse
from ...graphs.common.screening import WITHHELD, check_context, findings
from ...graphs.common.state import begin
from ...guarding import Guard
from ...types import Budget, Step
from ..conversation.clarifying import clarification, should_clarify
from ..conversation.memory import LongTermMemory, MemoryItem
from ..conversation.standalone import standalone_question
from ..conversation.summary import ThreadSummary, summarise_thread
from ..sources.answer import answer_of_strategy
from ..sources.asking import AskGraph, GraphReply
from ..sources.passing import own_update
from ..sources.route import NONE, UNKNOWN, valid_route
from ..sources.router import BudgetedRouter, SourceRouter, routed
from ..tasks.rules import is_small_talk
from .owner import who_asks
from .remembering import fact_to_remember, refusal_of_fact
from .state import AssistantState, Way
from .told import AskTold
from .turns import ASIDE, earlier_unscreened, history_of, is_blocked, screened, summary_of

__all__ = ("AssistantNodes", "Strategy", "strategy_of")

Strategy = Pregel[Any, Any, Any, Any] | Callable[[AccessScope], Any]
"""What answers, the same for everybody or built for who asks."""


@dataclass(frozen=True, kw_only=True)
class AssistantNodes:
    """The nodes, with what they work with."""

    strategy: Strategy
    llm: BaseChatModel
    memory: LongTermMemory | None
    guard: Guard | None
    router: SourceRouter | BudgetedRouter | None
    budget: Budget
    sure: float
    margin: float
    most_tokens: int
    most_facts: int

    def node(self, name: str) -> Any:
        """The node of the body `name`."""
        return node(name, getattr(self, name))

    def answering(self) -> Any:
        """The node `answer`: what the strategy did stands behind it in `steps`."""

        def with_inner_steps(update: dict[str, Any]) -> dict[str, Any]:
            inner = update.pop("inner_steps")
            return {**update, "steps": [*update["steps"], *inner]}

        return self.node("answer") | RunnableLambda(with_inner_steps)

    def hear(self, state: AssistantState) -> dict[str, Any]:
        """First node: finds the question, clears what an earlier turn left, and keeps what the user said."""
        update = begin(state)
        messages = state.get("messages") or []
        said = messages and messages[-1].type == "human" and str(messages[-1].text).strip() == update["asked"]
        return {
            **update,
            "recalled": [],
            "strategy": strategy_of(self.strategy, lambda: _asking()[0]).get_name(),
            "way": self._way_of(update["asked"]),
            **({} if said else {"messages": [HumanMessage(update["asked"])]}),
        }

    # -- bodies -------------------------------------------------------------------------------------------------------

    def admit(self, state: AssistantState, step: Step) -> Doing[dict[str, Any]]:
        """Before anything else is done with it: may this be asked?

        What was said earlier and seen by no guard is checked with it: later prompts would show that as well.
        """
        said, unseen = state["messages"][-1], earlier_unscreened(state["messages"])
        texts = [state["asked"], *(str(message.text) for message in unseen)]
        finding, *earlier = yield from findings(self.guard, "input", texts, check_context(state["asked"]))
        blocked = is_blocked(finding)
        step["decision"] = "refused" if blocked else "changed" if finding.verdict == "change" else "admitted"
        step["reason"] = finding.reason or finding.rail or "by the guard"
        seen = zip([said, *unseen], [finding, *earlier], strict=True)
        update: dict[str, Any] = {"messages": [screened(*each) for each in seen]}
        if any(each.verdict != "pass" for each in earlier):
            update["thread_summary"] = ThreadSummary(text="", turns=0)  # it is made anew, of what may be read
        if not blocked:
            asked = finding.text.strip()
            return {**update, "asked": asked, "search_queries": [asked], "way": self._way_of(asked)}
        answer = AIMessage(WITHHELD, additional_kwargs={"citations": [], "abstained": True})
        update["messages"].append(answer)
        return {**update, "way": "end", "answer": WITHHELD, "abstained": True}

    def remember(self, state: AssistantState, step: Step) -> Doing[dict[str, Any]]:
        """Keeps the fact that the user asked to keep. No model is asked."""
        memory = self.memory
        assert memory is not None
        scope, thread = _asking()
        fact = fact_to_remember(state["asked"])
        step["decision"], step["reason"] = "kept", "the user asked to remember it"
        answer = f"I will remember: {fact}"
        if refused := refusal_of_fact(fact):
            step["decision"], step["reason"], answer = "not kept", "it is too long", refused
        else:
            yield Compute(partial(memory.remember, scope, fact, thread=thread))
        message = AIMessage(answer, additional_kwargs={"citations": [], "abstained": False, ASIDE: True})
        return {"answer": answer, "messages": [message]}

    def summarise(self, state: AssistantState, step: Step) -> Doing[dict[str, Any]]:
        """Folds the oldest turns of a long thread into its summary. The messages stay."""
        purse = Purse(self.budget, state)
        made = yield from summarise_thread(history_of(state), self.llm, purse, most_tokens=self.most_tokens)
        step["decision"] = f"{made.folded} turns folded" if made.folded else "nothing to summarise"
        step["reason"] = made.told
        if not made.folded:
            return {}
        turns = summary_of(state)["turns"] + made.folded
        return {"thread_summary": ThreadSummary(text=made.history.summary, turns=turns), "usage": purse.usage}

    def resolve(self, state: AssistantState, step: Step) -> Doing[dict[str, Any]]:
        """Makes the question whole. What the user said stays in the messages."""
        if is_small_talk(state["asked"]):  # thanks are about what was said before, and ask for nothing
            step["decision"], step["reason"] = "stands alone", "it is small talk"
            return {"search_queries": [state["asked"]]}
        purse = Purse(self.budget, state)
        made = yield from standalone_question(history_of(state), state["asked"], self.llm, purse)
        step["decision"] = made.question if made.by != "itself" else "stands alone"
        step["reason"] = made.reason if made.by == "itself" else f"by the {made.by}: {made.reason}"
        step["details"] = {"said": state["asked"], "by": made.by}
        return {"asked": made.question, "search_queries": [made.question], "usage": purse.usage}

    def clarify(self, state: AssistantState, step: Step) -> Doing[dict[str, Any]]:
        """Asks back where the router hesitates between sources."""
        assert self.router is not None
        purse = Purse(self.budget, state)
        route = valid_route((yield from routed(self.router, state["asked"], purse)), self.router.labels)
        scores = {name: score for name, score in route.scores.items() if name not in (NONE, UNKNOWN)}
        # Where nothing is known, or no source is needed, there is nothing to choose from.
        unsure = not (route.unknown or NONE in route.names)
        offered = should_clarify(scores, history_of(state), sure=self.sure, margin=self.margin) if unsure else []
        step["decision"] = f"asks back: {', '.join(offered)}" if offered else "does not ask back"
        step["reason"] = route.failed or route.reason or f"the route is {route.label}"
        step["scores"] = {name: round(score, 4) for name, score in route.scores.items()}
        if not offered:
            return {"way": "answer", "usage": purse.usage}
        message = clarification(offered)
        return {"way": "end", "answer": str(message.text), "messages": [message], "usage": purse.usage}

    def recall(self, state: AssistantState, step: Step) -> Doing[dict[str, Any]]:
        """Finds what the user told that has to do with the question. Without it, the question is answered as well."""
        assert self.memory is not None
        scope, _ = _asking()
        items: tuple[MemoryItem, ...] = ()
        step["reason"] = "by likeness to the question"
        try:
            items = yield Compute(self.memory.recall, scope, state["asked"], self.most_facts)
        except RagloomError as error:
            step["reason"] = f"the memory failed: {error}"
        facts = [item.fact for item in items if not refusal_of_fact(item.fact)]
        found = yield from findings(self.guard, "input", facts, check_context(state["asked"]))
        shown = [" ".join(each.text.split()) for each in found if not is_blocked(each)]
        step["decision"] = f"{len(shown)} facts"
        if too_long := len(items) - len(facts):
            step["reason"] += f"; {too_long} too long to be shown"
        if blocked := len(facts) - len(shown):
            step["reason"] += f"; {blocked} held back by the guard"
        return {"recalled": shown}

    def answer(self, state: AssistantState, step: Step) -> Doing[dict[str, Any]]:
        """Asks the strategy the standalone question; its sentences go out as it says them."""
        graph = strategy_of(self.strategy, lambda: _asking()[0])
        name, facts = graph.get_name(), state["recalled"]
        reply: GraphReply = yield AskTold(AskGraph(lambda: graph, state["asked"], get_stream_writer()), facts)
        given = answer_of_strategy(reply.result, [name], owner=None, streamed=reply.streamed)
        own = given["own"]
        assert own is not None
        step["decision"] = f"{name} {'abstains' if own['abstained'] else 'answers'}"
        step["reason"] = f"with {len(given['documents'])} passages and {len(own['citations'])} citations"
        # A guard within the strategy that holds the answer back is no lack of evidence.
        if own["abstained"] and facts and not own["error"] and own["answer"] != WITHHELD:
            told = " ".join(f'"{fact}"' for fact in facts)
            own["answer"] += f" You told me: {told}"
            step["reason"] += "; what the user told is repeated as such"
        update = own_update(own, given["documents"], get_stream_writer())
        return {**update, "usage": given["usage"], "inner_steps": given["steps"]}

    # -- routes -------------------------------------------------------------------------------------------------------

    def chosen_way(self, state: AssistantState) -> Way:
        """What the node before decided."""
        return state["way"]

    def _way_of(self, asked: str) -> Way:
        return "remember" if self.memory and fact_to_remember(asked) else "listen"


def strategy_of(strategy: Strategy, who: Callable[[], AccessScope]) -> Any:
    """The graph that answers: the one that was given, or the one for who asks."""
    return strategy if isinstance(strategy, Pregel) else strategy(who())


def _asking() -> tuple[AccessScope, str]:
    """Who asks in the run that is going on, and in which thread."""
    return who_asks(get_config(), get_runtime().context)
