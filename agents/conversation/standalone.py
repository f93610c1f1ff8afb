"""A follow-up as a question that stands alone. What the user said stays as it was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel

from ...graphs.common.asking import ask
from ...graphs.common.effects import Doing, node
from ...graphs.common.prompting import render_prompt
from ...graphs.common.purse import Purse
from ...types import Budget, Step
from .checking import first_line, why_rejected
from .follow_up import why_follow_up
from .history import History, Turn
from .salience import rewrite_by_rules

__all__ = ("Standalone", "aresolve_question", "follow_up_node", "resolve_question", "standalone_question")

MOST_TURNS = 4
"""Turns that the model is shown."""
MOST_ANSWER_WORDS = 60
"""Of each answer."""
REWRITE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Standalone:
    """A question that can be understood without what was said before, and how it came to be."""

    question: str
    by: Literal["itself", "rules", "model"]
    """Who made it: nobody had to, the rules, or the language model."""
    reason: str


def standalone_question(
    history: History | Sequence[Turn | str],
    question: str,
    llm: BaseChatModel | None = None,
    purse: Purse | None = None,
) -> Doing[Standalone]:
    """The question made whole: `asked = yield from standalone_question(history, question, llm, purse)`.

    Rules decide whether it is a follow-up at all. If so the model rewrites it; what it says is checked
    (`why_rejected`), and where it fails, or there is none, the rules rewrite it: the first pronoun becomes the most
    salient phrase of the history, others are appended. Never raises for what the model says. Cost: no call where the
    question stands alone or `llm` is None, else one.

    Rewriting before retrieval: Vakulenko et al., 2021, https://arxiv.org/abs/2004.14652; the rules carry a subject from
    turn to turn as centering theory does (Grosz, Joshi and Weinstein, 1995).
    """
    history, question = History.of(history), question.strip()
    if not history.turns and not history.summary:
        return Standalone(question, "itself", "there is no earlier turn")
    why = _why(history, question)
    if not why:
        return Standalone(question, "itself", "it names its own subject")
    by_rules = rewrite_by_rules(history, question)
    if llm is None or (history.turns and history.turns[-1].offered):
        return _by_rules(question, by_rules, why)
    shown = _shown(history).text()
    messages = render_prompt(__package__ or "", "standalone", history=shown, question=question)
    said = yield from ask(llm, purse or Purse(Budget(), {}), messages, max_tokens=REWRITE_TOKENS)
    rewrite = first_line(said.text)
    examples = "\n".join(str(message.text) for message in messages).replace(shown, "")
    rejected = said.failed or why_rejected(rewrite, history, question, examples)
    if not rejected:
        return Standalone(rewrite, "model", f"a follow-up: {why}")
    return _by_rules(question, by_rules, f"{why}; the model's rewrite was not taken: {rejected}")


def resolve_question(
    history: History | Sequence[Turn | str],
    question: str,
    llm: BaseChatModel | None = None,
    budget: Budget | None = None,
) -> Standalone:
    """`standalone_question` for code outside a graph.

    >>> resolve_question(["Tell me about the Surrealism movement."], "What are its characteristics?").question
    "What are Surrealism movement's characteristics?"
    """
    body = _alone(history, question, llm, Purse(budget or Budget(), {}))
    made: Standalone = node("standalone", lambda state, step: body).invoke({})["standalone"]
    return made


async def aresolve_question(
    history: History | Sequence[Turn | str],
    question: str,
    llm: BaseChatModel | None = None,
    budget: Budget | None = None,
) -> Standalone:
    """As `resolve_question`, awaited."""
    body = _alone(history, question, llm, Purse(budget or Budget(), {}))
    update = await node("standalone", lambda state, step: body).ainvoke({})
    made: Standalone = update["standalone"]
    return made


def follow_up_node(llm: BaseChatModel | None = None, *, budget: Budget | None = None) -> Any:
    """A node for the place after `begin`: writes `asked` and `search_queries`; `question` and `messages` stay.

    Reads `messages` and, where there is one, `thread_summary` (a `ThreadSummary`).

        >>> graph.add_node("resolve", follow_up_node(llm))  # doctest: +SKIP
    """

    def resolve(state: Any, step: Step) -> Doing[dict[str, Any]]:
        purse = Purse(budget or Budget(), state)
        summary = state.get("thread_summary") or {"text": "", "turns": 0}
        history = History.from_messages(
            state.get("messages") or [], summary=summary["text"], summarised=summary["turns"]
        )
        made = yield from standalone_question(history, state["asked"], llm, purse)
        step["decision"] = made.question if made.by != "itself" else "stands alone"
        step["reason"] = made.reason if made.by == "itself" else f"by the {made.by}: {made.reason}"
        step["details"] = {"said": state["asked"], "by": made.by}
        return {"asked": made.question, "search_queries": [made.question], "usage": purse.usage}

    return node("resolve", resolve)


def _alone(
    history: History | Sequence[Turn | str], question: str, llm: BaseChatModel | None, purse: Purse
) -> Doing[dict[str, Any]]:
    return {"standalone": (yield from standalone_question(history, question, llm, purse))}


def _why(history: History, question: str) -> str:
    why = why_follow_up(question)
    if history.turns and history.turns[-1].offered and (why or "?" not in question):
        return "it answers a clarifying question"
    return why


def _by_rules(question: str, rewrite: str, why: str) -> Standalone:
    if rewrite == question:
        return Standalone(question, "itself", f"a follow-up: {why}; the history holds nothing to add")
    return Standalone(rewrite, "rules", f"a follow-up: {why}")


def _shown(history: History) -> History:
    """What the model is shown: the last turns, with the beginnings of their answers."""
    turns = [
        replace(turn, answer=" ".join(turn.answer.split()[:MOST_ANSWER_WORDS])) for turn in history.turns[-MOST_TURNS:]
    ]
    return replace(history, turns=tuple(turns))
