"""What `ask` and `chat` share: a knowledge base, a model, a strategy; answers shown as they come."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, UsageError
from ..settings import DEFAULT_EVALUATOR, NO_GUARD, NO_TRANSFORM, NO_WEB
from .ingest import open_for_ingestion, run_ingestion
from .output import console, download_progress, note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.language_models import BaseChatModel

    from ..access import AccessScope
    from ..graphs.common.support import SupportCritic
    from ..guarding import Guard
    from ..models.reranker import TrainedReranker
    from ..retrieval import KnowledgeBase
    from ..settings import Settings
    from ..types import Citation

__all__ = (
    "AnswerPrinter",
    "answer_json",
    "build_graph",
    "checked_question",
    "knowledge_base",
    "load_critic",
    "load_models",
    "load_reranker",
    "open_guard",
    "own_parts",
    "show_answer",
    "strategy_graph",
    "strategy_parts",
    "stream_answer",
)


def checked_question(text: str) -> str:
    """The question. `UsageError` where it is empty, or has bytes that are no text, as of another encoding."""
    if not text.strip():
        raise UsageError("the question is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("the question is no UTF-8 text", hint="write questions in UTF-8") from None
    return text


def knowledge_base(settings: Settings, docs: list[Path] | None) -> KnowledgeBase:
    """The knowledge base of `--kb`, or one made of `--docs` in the cache folder, brought up to date first."""
    from ..retrieval import KnowledgeBase

    if not docs:
        return KnowledgeBase.open(settings.kb, embedder=settings.embedder)
    missing = [str(path) for path in docs if not path.expanduser().exists()]
    if missing:
        raise UsageError(f"no such file or folder: {missing[0]!r}")
    from ..models import cache_folder

    key = "\0".join(sorted(os.path.abspath(path.expanduser()) for path in docs))
    made = f"{settings.embedder}\0{settings.chunk_strategy}\0{settings.chunk_size}\0{settings.tenant}"
    name = hashlib.sha256(f"{key}\0{made}".encode())
    kept = settings.model_copy(update={"kb": cache_folder("docs") / name.hexdigest()[:16]})
    kb = open_for_ingestion(kept)
    report = run_ingestion(kb, docs, kept, prune=True)
    for failure in report.failed:
        note(f"failed: {failure['path']}: {failure['reason']}")
    if not (report.added or report.updated or report.unchanged):
        raise UsageError("none of the documents could be read", hint="see the reasons above")
    return kb


def build_graph(settings: Settings, kb: KnowledgeBase) -> Any:
    """The strategy that the settings name, over the knowledge base, with the models that they name."""
    llm, reader = load_models(settings)
    return strategy_graph(settings, kb, llm, reader)


def load_models(settings: Settings) -> tuple[BaseChatModel, BaseChatModel | None]:
    """The chat model of the settings, and its reader where that is another one."""
    from ..models import load_chat_model

    with download_progress("fetching the chat model") as fetching:
        llm = load_chat_model(settings.llm, progress=fetching)
        reader = (
            load_chat_model(settings.reads_with, progress=fetching) if settings.reads_with != settings.llm else None
        )
    return llm, reader


def strategy_graph(
    settings: Settings, kb: KnowledgeBase, llm: BaseChatModel, reader: BaseChatModel | None, **more: Any
) -> Any:
    """The strategy that the settings name, with these models; `more` are options of its own."""
    from ..agents import build_strategy

    retriever = kb.retriever(**settings.retriever_options(), scope=settings.scope)
    options = settings.strategy_options(settings.strategy, llm=settings.reads_with)
    options |= own_parts(settings.strategy, settings)
    if settings.strategy != "closed-book":
        options |= strategy_parts(settings)
    if settings.guard != NO_GUARD:
        options["guard"] = open_guard(settings.guard)
    if reader is not None:
        options["reader"] = reader
    return build_strategy(settings.strategy, retriever, llm, **options, **more)


@lru_cache(maxsize=4)
def open_guard(spec: str) -> Guard:
    """The guard that `spec` names; one object for all who name it."""
    from ..guardrails import load_guard

    return load_guard(spec)


def strategy_parts(settings: Settings) -> dict[str, Any]:
    """What the settings name of that which every strategy takes; nothing for what is off, or built in."""
    parts: dict[str, Any] = {}
    if settings.critic != "overlap":
        parts["critic"] = load_critic(settings.critic)
    if settings.reranks:
        parts["reranker"] = load_reranker(settings.reranker, top_n=settings.top_k)
    if settings.transform != NO_TRANSFORM:
        from ..graphs import load_transform

        parts["transform"] = load_transform(settings.transform)
    return parts


def own_parts(strategy: str, settings: Settings) -> dict[str, Any]:
    """What the settings name of that which this strategy alone takes."""
    from ..models import supports_scoring

    if strategy in ("auto", "corrective"):
        # In mode bm25 no model is loaded but those that are asked for.
        asked = settings.evaluator != DEFAULT_EVALUATOR or settings.web != NO_WEB
        light = strategy == "auto" and settings.mode == "bm25" and not asked
        parts: dict[str, Any] = {"evaluator": None if light else settings.evaluator}
        if settings.web != NO_WEB:
            from ..retrieval import load_web

            # Whose passages may be seen holds in the second source as well.
            parts["web"] = load_web(settings.web, top_k=settings.top_k, scope=settings.scope, mode=settings.mode)
        return parts
    if strategy == "fusion":
        return {"evaluator": settings.evaluator}
    if strategy == "self-rag":
        return {"relevance": settings.evaluator}
    if strategy == "speculative":
        scorers = {"draft_scorer": settings.reads_with, "verifier": settings.llm}
        parts = {name: spec for name, spec in scorers.items() if supports_scoring(spec)}
        return parts if settings.reads_with == settings.llm else {**parts, "drafter": settings.reads_with}
    if strategy == "self-rag-tokens" and supports_scoring(settings.llm):
        return {"scorer": settings.llm}
    return {}


def load_critic(spec: str) -> SupportCritic:
    """The support critic that `spec` names; its base is fetched on first use, which is shown."""
    from ..graphs.common.trained_support import load_support_critic

    with download_progress("fetching the base of the critic") as fetching:
        return load_support_critic(spec, progress=fetching)


def load_reranker(spec: str, *, top_n: int | None = None) -> TrainedReranker:
    """The reranker that `spec` names; its base is fetched on first use, which is shown."""
    from ..models.reranker import load_reranker as load
    from ..models.specs import parse_spec

    parse_spec(spec, role="reranker")
    with download_progress("fetching the base of the reranker") as fetching:
        return load(spec, top_n=top_n, progress=fetching)


def stream_answer(graph: Any, given: dict[str, Any], scope: AccessScope | None = None) -> Iterator[dict[str, Any]]:
    """Yields `{"type": "sentence", ...}` as sentences pass the check, and at last `{"type": "result", ...}`.

    `scope` is the run's context: who asks, for sources and guards that want to know.

    Raises `ModelError` where the model failed and nothing that it had said before can be shown.
    """
    result: dict[str, Any] = {}
    for kind, part in graph.stream(given, context=scope, stream_mode=["custom", "values"]):
        if kind == "custom":
            yield part
        else:
            result = part
    if result["abstained"] and result["error"]:
        raise ModelError(result["error"])
    yield {"type": "result", **result}


def show_answer(events: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Prints sentences as they come, numbered citations after each, then the sources. Returns the result."""
    printer = AnswerPrinter()
    result: dict[str, Any] = {}
    for result in events:
        printer.show(result)
    return result


class AnswerPrinter:
    """Prints one answer, event by event."""

    def __init__(self) -> None:
        self._out = console()
        self._numbers: dict[tuple[str, int], int] = {}
        self._quotes: dict[tuple[str, int], str] = {}
        self.said = False
        """Whether a sentence was printed."""

    def show(self, event: dict[str, Any]) -> None:
        """A sentence, with its citations numbered; a result: what was not said yet, and the sources."""
        if event["type"] == "sentence":
            self._say(event["text"], event["citations"])
        elif event["abstained"]:
            self._show_nearest(event)
        else:
            if not self.said:  # the reader did not make it, or had made it before it was broken off
                self._say(event["answer"], event["citations"])
            self._out.print("\n")
            for place, number in self._numbers.items():
                self._out.print(f"[{number}] {place[0]} p. {place[1]}: {_short(self._quotes[place])}", style="dim")

    def _say(self, text: str, citations: list[Citation]) -> None:
        marks = ""
        for citation in citations:
            place = (citation["source"], citation["page"])
            self._quotes.setdefault(place, citation["quote"])
            marks += f"[{self._numbers.setdefault(place, len(self._numbers) + 1)}]"
        self._out.print(f"{text} {marks}", end=" ")
        self.said = True

    def _show_nearest(self, result: dict[str, Any]) -> None:
        self._out.print(result["answer"])
        if result["documents"]:
            self._out.print("\nNearest passages:")
        for document in result["documents"][:3]:
            where = f"{document.metadata.get('source', '')} p. {document.metadata.get('page', 1)}"
            self._out.print(f"  {where}: {_short(document.page_content)}", style="dim")


def _short(text: str, most: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def answer_json(question: str, strategy: str, result: dict[str, Any]) -> dict[str, Any]:
    """As `ragloom ask --json` prints it."""
    return {
        "question": question,
        "answer": result["answer"],
        "abstained": result["abstained"],
        "strategy": strategy,
        "citations": result["citations"],
        "documents": [
            {"id": document.id, "text": document.page_content, **document.metadata} for document in result["documents"]
        ],
        "steps": result["steps"],
        "usage": result["usage"],
    }
