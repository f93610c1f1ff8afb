"""What a source gave, in one form: passages, or a whole answer with its passages, or why there is none."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, ToolMessage
from llama_index.core.schema import NodeWithScore
from typing_extensions import TypedDict

from ...graphs.common.metering import no_usage
from ...retrieval.documents import to_document
from ...types import Citation, Step, Usage

__all__ = ("SOURCE_NAME", "OwnAnswer", "SourceAnswer", "answer_of", "answer_of_strategy", "failure", "with_provenance")

SOURCE_NAME = "source_name"
"""Key of a passage's metadata: the name of the source that it is from."""


class OwnAnswer(TypedDict):
    """The answer of a source that answers by itself."""

    answer: str
    abstained: bool
    citations: list[Citation]
    error: str
    streamed: bool
    """Its sentences went out on the custom stream as they came."""


class SourceAnswer(TypedDict):
    """What asking one source gave."""

    names: list[str]
    """The sources; several where one strategy reads passages of all of them."""
    documents: list[Document]
    own: OwnAnswer | None
    steps: list[Step]
    """Of a source that is a strategy itself."""
    usage: Usage
    failed: str
    """Why it could not be asked, or gave nothing that can be read."""
    seconds: float


def failure(names: Sequence[str], why: str) -> SourceAnswer:
    """A source that gave nothing."""
    return SourceAnswer(names=list(names), documents=[], own=None, steps=[], usage=no_usage(), failed=why, seconds=0.0)


def answer_of(given: Any, names: Sequence[str]) -> SourceAnswer:
    """What a tool gave: the result of a strategy as it is; text and data as passages, as they are what can be cited.

    Raises `TypeError` for what cannot be read, and `RuntimeError` where a tool says itself that it failed.

    >>> [each.page_content for each in answer_of([{"month": "May", "sold": 3}], ["sales"])["documents"]]
    ['[{"month": "May", "sold": 3}]']
    """
    if isinstance(given, ToolMessage):
        if given.status == "error":
            raise RuntimeError(" ".join(str(given.text).split())[:200])
        given = given.artifact if _is_result(given.artifact) or _are_documents(given.artifact) else given.text
    if _is_result(given):
        return answer_of_strategy(given, names, owner=names[0])
    return {**failure(names, ""), "documents": with_provenance(_passages(given, names[0]), names[0])}


def answer_of_strategy(given: Any, names: Sequence[str], *, owner: str | None, streamed: bool = False) -> SourceAnswer:
    """The result of a strategy. `TypeError` where it is none.

    All its passages are of the source `owner`. None: it read a `MergedRetriever`, whose passages say whose they are.
    """
    if not _is_result(given):
        raise TypeError("the strategy gave no answer")
    found = [each for each in given.get("documents") or [] if isinstance(each, Document)]
    documents = with_provenance(found, owner)
    return SourceAnswer(
        names=list(names),
        documents=documents,
        own=_own(given, documents, streamed),
        steps=_steps(given.get("steps"), names),
        usage=_usage(given.get("usage")),
        failed="",
        seconds=0.0,
    )


def with_provenance(documents: Sequence[Document], name: str | None) -> list[Document]:
    """Copies that say which source they are from, each with an id, a score and the kind of the score.

    None: what they say already stays.
    """
    return [
        Document(
            id=each.id or _identity(name or "", each.page_content),
            page_content=each.page_content,
            metadata={
                "source": name or "",
                "page": 1,
                "score_kind": "rank",
                **each.metadata,
                "score": _score(each.metadata.get("score"), otherwise=1 / rank),
                **({SOURCE_NAME: name} if name else {}),
            },
        )
        for rank, each in enumerate(documents, start=1)
    ]


def _is_result(given: Any) -> bool:
    return isinstance(given, Mapping) and isinstance(given.get("answer"), str) and "documents" in given


def _are_documents(given: Any) -> bool:
    return isinstance(given, (list, tuple)) and bool(given) and all(isinstance(each, Document) for each in given)


def _passages(given: Any, name: str) -> list[Document]:
    if given is None:
        return []
    if isinstance(given, BaseMessage):
        given = given.text
    items = list(given) if isinstance(given, (list, tuple)) else [given]
    if items and all(isinstance(item, (str, Document, NodeWithScore)) for item in items):
        made = [_passage(item, name) for item in items]
        return [document for document in made if document.page_content.strip()]
    if not items:
        return []
    return [_passage(json.dumps(given, ensure_ascii=False, default=_plain), name)]


def _passage(item: str | Document | NodeWithScore, name: str) -> Document:
    if isinstance(item, NodeWithScore):
        return to_document(item)
    return item if isinstance(item, Document) else Document(item, id=_identity(name, item))


def _identity(name: str, text: str) -> str:
    return f"{name}:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _plain(value: Any) -> str:
    if isinstance(value, (date, time, Decimal)):  # as databases give
        return str(value)
    raise TypeError(f"it gave a {type(value).__name__}, which cannot be read")


def _score(value: Any, *, otherwise: float) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else otherwise


def _own(given: Mapping[str, Any], documents: Sequence[Document], streamed: bool) -> OwnAnswer:
    """Of the citations those that stand in the passages."""
    texts = [(document.id, document.page_content) for document in documents]
    citations = [
        cited
        for cited in given.get("citations") or []
        if any(cited["id"] == identity and cited["quote"] in text for identity, text in texts)
    ]
    answer = given["answer"].strip()
    return OwnAnswer(
        answer=answer,
        abstained=bool(given.get("abstained")) or not answer,
        citations=citations,
        error=str(given.get("error") or ""),
        streamed=streamed,
    )


def _steps(given: Any, names: Sequence[str]) -> list[Step]:
    """Its steps, each named after the source: `sales/execute`."""
    prefix = "+".join(names)
    blank = Step(node="", decision="", reason="", ms=0.0)
    steps: list[Any] = [{**blank, **step, "node": f"{prefix}/{step['node']}"} for step in given or []]
    return steps


def _usage(given: Any) -> Usage:
    spent = given or no_usage()
    return Usage(
        calls=int(spent["calls"]),
        tokens_in=int(spent["tokens_in"]),
        tokens_out=int(spent["tokens_out"]),
        seconds=float(spent["seconds"]),
    )
