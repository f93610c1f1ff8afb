"""Sub-questions: a question of several parts, searched for part by part."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel

from ...errors import UsageError
from ..common.effects import Doing
from ..common.purse import Purse
from ..common.transforming import Rewritten
from .asking import ask_for_queries

__all__ = ("SubQuestions",)


@dataclass
class SubQuestions:
    """Up to `most` questions that can each be searched for by itself.

    After LlamaIndex's `SubQuestionQueryEngine` and "least-to-most" prompting (Zhou et al., 2023,
    https://arxiv.org/abs/2205.10625), but flat: none may need the answer of another (the strategy `multi-hop` is for
    those), and none is answered by itself. The passages of all are read together. Good for comparisons; costs one call
    of the model.
    """

    most: int = 3
    name = "sub-questions"

    def __post_init__(self) -> None:
        if self.most < 1:
            raise UsageError(f"SubQuestions(most={self.most})", hint="use 1 or more")

    def rewrite(self, question: str, llm: BaseChatModel, purse: Purse) -> Doing[Rewritten]:
        """The parts; none where the question has none, or the model fails."""
        return (yield from ask_for_queries("sub_questions", question, llm, purse, most=self.most))
