"""A language model says which task a question is."""

from __future__ import annotations

import re
from typing import Any

from langchain_core.language_models import BaseChatModel

from ...graphs.common.asking import ask
from ...graphs.common.effects import Doing
from ...graphs.common.prompting import render_prompt
from ...graphs.common.purse import Purse
from ..sources.llm_router import takes_json_schema
from ..sources.route import SourceRoute
from ..sources.router import BudgetedRouter
from .task import DESCRIPTIONS, EXAMPLES, TASKS

__all__ = ("TaskLLMRouter", "named_task")

TASK_TOKENS = 32


class TaskLLMRouter(BudgetedRouter):
    """Asks a chat model for the name of the task, held to a JSON schema where its server can do that.

    A reply that names no task, or more than one, is unknown: nothing is guessed. Cost: 1 call of the language model.

    Args:
        llm: any LangChain chat model.
        json_schema: whether it takes `response_format` with a JSON schema; None: as far as that is known.

    Example:
        >>> classifier = CascadeRouter(TaskRules(), TaskLLMRouter(llm))  # doctest: +SKIP
    """

    def __init__(self, llm: BaseChatModel, *, json_schema: bool | None = None) -> None:
        self.llm = llm
        self._constrained = takes_json_schema(llm) if json_schema is None else json_schema

    @property
    def labels(self) -> tuple[str, ...]:
        """All tasks."""
        return TASKS

    def routing(self, question: str, purse: Purse) -> Doing[SourceRoute]:
        """Asks, where the budget has a call for it beside the answer."""
        by = type(self).__name__
        tasks = [{"name": task, "what": DESCRIPTIONS[task], "example": EXAMPLES[task][0]} for task in TASKS]
        messages = render_prompt(__package__ or "", "task", tasks=tasks, question=question)
        options = {"response_format": _SCHEMA} if self._constrained else {}
        said = yield from ask(self.llm, purse, messages, max_tokens=TASK_TOKENS, options=options)
        if said.failed:
            return SourceRoute((), by=by, failed=said.failed)
        task = named_task(said.text)
        if task is None:
            return SourceRoute((), by=by, failed=f"the model's reply names no single task: {said.text[:80]!r}")
        return SourceRoute((task,), by=by, reason=f"the model says {task}")


def named_task(text: str) -> str | None:
    """The one task that a reply names; None where it names none, or several.

    >>> named_task('{"task": "small_talk"}'), named_task("Small talk."), named_task("fact or summary")
    ('small_talk', 'small_talk', None)
    """
    words = re.sub(r"[\W_]+", " ", text.casefold())
    found = [task for task in TASKS if re.search(rf"\b{task.replace('_', ' ')}\b", words)]
    return found[0] if len(found) == 1 else None


_SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "task",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"task": {"type": "string", "enum": list(TASKS)}},
            "required": ["task"],
            "additionalProperties": False,
        },
    },
}
