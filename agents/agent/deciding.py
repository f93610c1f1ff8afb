"""The next step of a model without tool calling: a JSON object, and the schema that holds the model to it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ("DECISION_TOKENS", "PLACEHOLDER", "Decision", "decision_of", "decision_schema")

DECISION_TOKENS = 96
"""Room for a search, or for what stands around an answer."""
PLACEHOLDER = "what to look for"
"""Stands for a query in the prompt (`prompts/decide.jinja`). A small model repeats it: it means the question then."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Search a source, or answer."""

    action: Literal["search", "answer"]
    source: str = ""
    query: str = ""
    answer: str = ""


def decision_schema(names: Sequence[str], *, may_answer: bool) -> dict[str, Any]:
    """The `response_format` by which an OpenAI-compatible server (llama.cpp, vLLM) constrains the reply.

    Keys are required in the order in which they are written. `may_answer` is false while nothing was found: an answer
    from nowhere could not be cited.
    """
    text = {"type": "string"}
    search = _object({"action": {"const": "search"}, "source": {"type": "string", "enum": list(names)}, "query": text})
    answer = _object({"action": {"const": "answer"}, "answer": text})
    schema = {"anyOf": [search, answer]} if may_answer else search
    return {"type": "json_schema", "json_schema": {"name": "decision", "strict": True, "schema": schema}}


def decision_of(reply: str) -> Decision | None:
    """The first JSON object in a reply; None where it is no decision.

    >>> decision_of('Sure: {"action": "search", "source": "wiki", "query": "Emma"}').query
    'Emma'
    >>> decision_of('{"action": "dance"}'), decision_of('{"action": "answer", "answer": 7}')
    (None, None)
    """
    given = _first_object(reply)
    if given is None:
        return None
    if given.get("action") == "answer" and isinstance(given.get("answer"), str) and given["answer"].strip():
        return Decision("answer", answer=given["answer"])
    if given.get("action") == "search" and isinstance(given.get("query"), str):
        return Decision("search", source=str(given.get("source") or ""), query=given["query"])
    return None


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _first_object(text: str) -> dict[str, Any] | None:
    decoder = json.JSONDecoder()
    for mark in re.finditer(r"\{", text):
        try:
            given = decoder.raw_decode(text, mark.start())[0]
        except (json.JSONDecodeError, RecursionError):
            continue
        return given if isinstance(given, dict) else None
    return None
