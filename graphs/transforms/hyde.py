"""HyDE: what an answer might look like, as a query."""

from __future__ import annotations

import re
from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel

from ...errors import UsageError
from ..common.asking import ask, with_temperature
from ..common.effects import Doing
from ..common.prompting import render_prompt
from ..common.purse import Purse
from ..common.saying import declines
from ..common.transforming import Rewritten

__all__ = ("HyDE",)

_LABEL = re.compile(r"^\W*passage\W*:\W*", re.I)


@dataclass
class HyDE:
    """Up to `n` passages that might answer the question; the vector searched for is the mean of theirs and its own.

    Gao, Ma, Lin and Callan, 2023, "Precise Zero-Shot Dense Retrieval without Relevance Labels",
    https://arxiv.org/abs/2212.10496 (n = 8, temperature 0.7, 512 tokens; here one short passage by default, for each is
    a call). The lexical search still gets the question alone. Good for weak embedders; strong ones lose by it (Weller
    et al., 2024, https://arxiv.org/abs/2309.08541), and so does a question about what the model does not know.

    Args:
        n: how many passages, one call of the model each.
        temperature: for n > 1, where the model has one; a model that repeats itself is asked no further.
        max_tokens: of one passage.
    """

    n: int = 1
    temperature: float = 0.7
    max_tokens: int = 160
    name = "hyde"

    def __post_init__(self) -> None:
        if self.n < 1 or self.max_tokens < 1 or not 0 <= self.temperature <= 2:
            given = f"HyDE(n={self.n}, temperature={self.temperature}, max_tokens={self.max_tokens})"
            raise UsageError(given, hint="use at least 1 passage of 1 token, and a temperature from 0 to 2")

    def rewrite(self, question: str, llm: BaseChatModel, purse: Purse) -> Doing[Rewritten]:
        """The passages; fewer or none where the model fails, repeats itself or says that it does not know."""
        messages = render_prompt(__package__ or "", "hyde", question=question)
        options = with_temperature(llm, self.temperature) if self.n > 1 else {}
        passages: list[str] = []
        failed = ""
        while len(passages) < self.n and not failed:
            said = yield from ask(llm, purse, messages, max_tokens=self.max_tokens, options=options)
            passage = _LABEL.sub("", " ".join(said.text.split()))
            if said.failed:
                failed = said.failed
            elif not re.search(r"\w", passage) or declines(passage):
                failed = "the model knows no passage"
            elif passage in passages:
                failed = "the model repeats itself"
            else:
                passages.append(passage)
        return Rewritten(hypotheses=passages, failed=failed)
