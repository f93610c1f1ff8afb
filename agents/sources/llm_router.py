"""A language model as a router: it is shown what there is, and asked for names."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel

from ...graphs.common.asking import ask
from ...graphs.common.effects import Doing
from ...graphs.common.prompting import render_prompt
from ...graphs.common.purse import Purse
from .route import NONE, UNKNOWN, SourceRoute, valid_route
from .router import BudgetedRouter
from .source import Source, checked_sources

__all__ = ("LLMRouter", "named", "takes_json_schema")

ROUTE_TOKENS = 128


class LLMRouter(BudgetedRouter):
    """Asks a chat model which sources can answer, by their descriptions, examples and costs.

    It asks for names, never for numbers: where choices are numbered, a model that counts from zero chooses the last one
    unseen. A model behind an OpenAI-compatible server is held to a JSON schema of the names there are (llama.cpp, vLLM
    and OpenAI all do that), any other model's reply is read as text. A reply with a name that is no source is unknown
    as a whole, and so is one without any name.

    Cost: 1 call of the language model.

    Args:
        sources: what can be chosen.
        llm: any LangChain chat model.
        most: sources it may name.
        json_schema: whether the model takes `response_format` with a JSON schema; None: known for `ChatOpenAI`,
            `AzureChatOpenAI` and the local models, assumed of no other.

    Example:
        >>> LLMRouter([handbook, sales], llm).route("What sold best in May?").names  # doctest: +SKIP
        ('sales',)
    """

    def __init__(
        self, sources: Sequence[Source], llm: BaseChatModel, *, most: int = 2, json_schema: bool | None = None
    ) -> None:
        self.sources = checked_sources(sources)
        self.llm, self.most = llm, most
        self._constrained = takes_json_schema(llm) if json_schema is None else json_schema

    @property
    def labels(self) -> tuple[str, ...]:
        """The sources, and `none`."""
        return (*self.sources, NONE)

    def routing(self, question: str, purse: Purse) -> Doing[SourceRoute]:
        """Asks, where the budget has a call for it beside the reading."""
        by = type(self).__name__
        sources = list(self.sources.values())
        messages = render_prompt(__package__ or "", "route", sources=sources, most=self.most, question=question)
        options = {"response_format": self._schema()} if self._constrained else {}
        said = yield from ask(self.llm, purse, messages, max_tokens=ROUTE_TOKENS, options=options)
        if said.failed:
            return SourceRoute((), by=by, failed=said.failed)
        names = named(said.text, [*self.labels, UNKNOWN])
        if not names:
            return SourceRoute((), by=by, failed=f"the model's reply names no source: {said.text[:80]!r}")
        given = SourceRoute(tuple(names), by=by, reason=f"the model names {', '.join(names)}"[:200])
        return valid_route(given, self.labels)

    def _schema(self) -> dict[str, Any]:
        names = {"type": "string", "enum": [*self.labels, UNKNOWN]}
        listed = {"type": "array", "items": names, "minItems": 1, "maxItems": self.most}
        schema = {
            "type": "object",
            "properties": {"sources": listed},
            "required": ["sources"],
            "additionalProperties": False,
        }
        return {"type": "json_schema", "json_schema": {"name": "route", "strict": True, "schema": schema}}


def takes_json_schema(llm: BaseChatModel) -> bool:
    """Whether the model is known to take `response_format` with a JSON schema.

    Classes that others derive from `ChatOpenAI` speak to services that often do not.
    """
    model: Any = llm
    while hasattr(model, "bound"):
        model = model.bound
    return type(model).__module__.partition(".")[0] in ("langchain_openai", "ragloom")


def named(text: str, labels: Sequence[str]) -> list[str]:
    """The names in a model's reply: out of the first JSON in it, else where it is nothing but names.

    In the labels' own spelling where they differ by case; what is no label stays as it is, to be refused by who knows.
    Empty where there is no name at all.

    >>> named('Sure: {"sources": ["Handbook"]}', ["handbook"]), named("sales, handbook.", ["handbook", "sales"])
    (['handbook'], ['sales', 'handbook'])
    >>> named("I would ask the handbook", ["handbook"]), named('{"sources": [0]}', ["handbook"])
    ([], [])
    """
    spelled = {label.casefold(): label for label in labels}
    given = _first_json(text)
    if given is None:
        words = [word.strip(" \t\"'`.*-") for word in re.split(r"[,\n]", text)]
        given = [word for word in words if word]
        if not all(word.casefold() in spelled for word in given):
            return []
    if isinstance(given, dict):
        given = given.get("sources", given.get("source"))
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        return []
    return [spelled.get(name.strip().casefold(), name.strip()) for name in names]


def _first_json(text: str) -> Any:
    """The first object or list in a text; None where there is none."""
    decoder = json.JSONDecoder()
    for mark in re.finditer(r"[{\[]", text):
        try:
            return decoder.raw_decode(text, mark.start())[0]
        except (json.JSONDecodeError, RecursionError):
            continue
    return None
