"""`ragloom ask`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .options import (
    CriticOption,
    GroupOption,
    GuardOption,
    ReaderOption,
    RerankerOption,
    RerankFromOption,
    StrategyOption,
    TransformOption,
    WebOption,
)
from .output import JsonOption, KbOption, emit, note

__all__ = ("ask",)


def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    kb: KbOption = None,
    docs: Annotated[list[Path] | None, typer.Option(help="Ask these files or folders instead (repeatable).")] = None,
    strategy: StrategyOption = None,
    llm: Annotated[
        str | None, typer.Option(help="Chat model, e.g. bundled:smollm2, drafter:PATH, openai:NAME.")
    ] = None,
    embedder: Annotated[str | None, typer.Option(help="Embedder, e.g. bundled:minilm.")] = None,
    mode: Annotated[str | None, typer.Option(help="Retrieval: bm25, dense, hybrid or default.")] = None,
    top_k: Annotated[int | None, typer.Option(help="How many passages to read.")] = None,
    reader: ReaderOption = None,
    reranker: RerankerOption = None,
    rerank_from: RerankFromOption = None,
    critic: CriticOption = None,
    web: WebOption = None,
    transform: TransformOption = None,
    guard: GuardOption = None,
    tenant: Annotated[str | None, typer.Option(help="Whose passages.")] = None,
    group: GroupOption = None,
    steps: Annotated[bool, typer.Option("--steps", help="Show what was done, and why.")] = False,
    json: JsonOption = False,
) -> None:
    """Answer a question with citations, or abstain and show the nearest passages.

    Abstaining is an answer: the exit code is 0.
    """
    from ..settings import load_settings
    from .session import answer_json, build_graph, checked_question, knowledge_base, show_answer, stream_answer

    checked_question(question)
    if kb and docs:
        raise UsageError("--kb and --docs exclude each other")

    settings = load_settings(
        kb=kb,
        strategy=strategy,
        llm=llm,
        embedder=embedder,
        mode=mode,
        top_k=top_k,
        reader=reader,
        reranker=reranker,
        rerank_from=rerank_from,
        critic=critic,
        web=web,
        transform=transform,
        guard=guard,
        tenant=tenant,
        groups=group or None,
    )
    graph = build_graph(settings, knowledge_base(settings, docs))
    events = stream_answer(graph, {"question": question}, settings.scope)
    if json:
        result = [event for event in events if event["type"] == "result"][-1]
        emit(answer_json(question, settings.strategy, result))
        return
    result = show_answer(events)
    if steps:
        for step in result["steps"]:
            note(f"{step['node']}: {step['decision']} ({step['reason']}), {step['ms']:.0f} ms")
    usage = result["usage"]
    calls = f"{usage['calls']} call{'' if usage['calls'] == 1 else 's'}"
    note(f"{calls}, {usage['tokens_in']} + {usage['tokens_out']} tokens, {usage['seconds']:.1f} s")
