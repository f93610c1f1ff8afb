"""Step-back: the more general question behind a question."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel

from ..common.effects import Doing
from ..common.purse import Purse
from ..common.transforming import Rewritten
from .asking import ask_for_queries

__all__ = ("StepBack",)


@dataclass
class StepBack:
    """The question without its too specific conditions: a history, a principle, a rule.

    Zheng et al., 2024, "Take a Step Back", https://arxiv.org/abs/2310.06117. Passages for both questions are fused,
    where the paper's prompt holds them one after the other; the answer is of the question as it was asked. Good for
    questions with dates and conditions; on plain facts the general question only adds noise. Costs one call of the
    model.
    """

    name = "step-back"

    def rewrite(self, question: str, llm: BaseChatModel, purse: Purse) -> Doing[Rewritten]:
        """The one question; none where the model fails, or finds no more general one."""
        return (yield from ask_for_queries("step_back", question, llm, purse, most=1))
