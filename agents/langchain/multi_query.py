"""One question, several queries."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from pydantic import BeforeValidator, ConfigDict, Field, SkipValidation

from ...errors import UsageError
from ...graphs.common.effects import Doing, Together
from ...graphs.common.multi_query import query_weights
from ...graphs.common.purse import Purse
from ...graphs.common.transforming import QueryTransform, Rewritten
from ...graphs.transforms import TRANSFORMS, load_transform
from ...types import Budget, Step
from .composing import Composition, fuse, search, told
from .llama_index import RetrieverLike

__all__ = ("MultiQueryRetriever",)

_logger = logging.getLogger(__name__)


def _transform(given: Any) -> Any:
    if isinstance(given, str):
        return load_transform(given)
    if not hasattr(given, "rewrite"):
        raise UsageError(f"a {type(given).__name__} is no transform", hint=f"give {', '.join(TRANSFORMS)}, or your own")
    return given


class MultiQueryRetriever(Composition):
    """Lets a model ask in other words as well, searches for all queries at once, and fuses by reciprocal rank.

    The question itself is always searched for, and counts most where others drift away from it: queries that share no
    content word with it have half its weight together. Where the model fails, or says nothing that is a query, the
    question is searched for alone. A search for another query that fails is left out, with a warning in the log; one
    for the question is raised. Scores are of the kind `reciprocal_rank`.

        >>> retriever = MultiQueryRetriever(retriever=kb.retriever(), llm=llm, k=5)  # doctest: +SKIP
        >>> retriever = MultiQueryRetriever(retriever=web, llm=llm, transform=DiverseRewrites(n=2))  # doctest: +SKIP
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    retriever: RetrieverLike
    """What is searched: a LangChain or LlamaIndex retriever, or a Runnable from a query to documents."""
    llm: SkipValidation[BaseChatModel]
    """Any LangChain chat model, also a bound one."""
    # Every Runnable has a method `transform`, by which chains stream: the argument has that name, the field has not.
    query_transform: Annotated[SkipValidation[QueryTransform], BeforeValidator(_transform)] = Field(
        default="diverse", alias="transform", validate_default=True
    )
    """The argument `transform`: `diverse`, `step-back`, `sub-questions`, `hyde` (made-up passages, searched for as
    text), or a `QueryTransform`.
    """
    max_queries: int = Field(default=8, ge=1)
    """How many queries are searched for at most, the question included."""
    budget: Budget = Budget()
    """What the model may take for one question. One call of `llm_calls` stays unused, kept for an answer."""

    def compose(self, query: str, step: Step) -> Doing[list[Document]]:
        """The model's queries, then all searches at once, then the fusion."""
        purse, made = Purse(self.budget, {}), Rewritten(failed="there is no question")
        if query.strip():
            made = yield from self.query_transform.rewrite(query, self.llm, purse)
        queries = list(dict.fromkeys([query, *made.queries, *made.hypotheses]))[: self.max_queries]
        found = yield Together([search(self.retriever, each) for each in queries])
        rankings: list[list[Document]] = []
        weights: list[float] = []
        failures: list[Exception] = []
        for documents, weight in zip(found, query_weights(query, queries[1:]), strict=True):
            if not isinstance(documents, Exception):
                rankings.append(documents)
                weights.append(weight)
            elif not rankings:  # the question's own search is the first
                raise documents
            else:
                _logger.warning("a search for a rewritten query failed and is left out: %s", told(documents))
                failures.append(documents)
        fused = fuse(rankings, weights)
        step["decision"] = f"{len(fused)} documents"
        step["reason"] = f"by reciprocal rank in {len(rankings)} rankings, queries by {self.query_transform.name}"
        if made.failed:
            step["reason"] += f"; {made.failed}"
        if failures:
            step["reason"] += f"; {len(failures)} of {len(queries)} searches failed: {told(failures[0])}"
        step["details"] = {"queries": queries, "usage": purse.usage}
        return fused
