"""`ragloom chat`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import CriticOption, RerankerOption, RerankFromOption, StrategyOption, TransformOption, WebOption
from .output import JsonOption, KbOption, console, emit, note

__all__ = ("chat",)

_HELP = """/sources  passages of the last answer
/why      what was done for the last answer, and why
/history  the conversation so far
/new      start a new conversation
/help     this list
/quit     leave (also Ctrl-D)"""


def chat(
    kb: KbOption = None,
    docs: Annotated[list[Path] | None, typer.Option(help="Chat with these files or folders (repeatable).")] = None,
    strategy: StrategyOption = None,
    llm: Annotated[
        str | None, typer.Option(help="Chat model, e.g. bundled:smollm2, drafter:PATH, openai:NAME.")
    ] = None,
    embedder: Annotated[str | None, typer.Option(help="Embedder, e.g. bundled:minilm.")] = None,
    top_k: Annotated[int | None, typer.Option(help="How many passages to read.")] = None,
    reranker: RerankerOption = None,
    rerank_from: RerankFromOption = None,
    critic: CriticOption = None,
    web: WebOption = None,
    transform: TransformOption = None,
    tenant: Annotated[str | None, typer.Option(help="Whose passages.")] = None,
    json: JsonOption = False,
) -> None:
    """Chat over the knowledge base: answers stream, with checked citations. /help lists the commands.

    With --json, questions are read from stdin, one a line, and each answer is printed as one JSON object.
    """
    from langgraph.checkpoint.memory import InMemorySaver

    from ..errors import RagloomError
    from ..settings import load_settings
    from .session import answer_json, build_graph, knowledge_base, show_answer, stream_answer

    settings = load_settings(
        kb=kb,
        strategy=strategy,
        llm=llm,
        embedder=embedder,
        top_k=top_k,
        reranker=reranker,
        rerank_from=rerank_from,
        critic=critic,
        web=web,
        transform=transform,
        tenant=tenant,
    )
    graph = build_graph(settings, knowledge_base(settings, docs), checkpointer=InMemorySaver())
    thread = 1
    last: dict[str, Any] = {}
    if not json:
        note("Ask about your documents; /help lists the commands.")
    while (line := _read(json)) is not None:
        question = line.strip()
        config = {"configurable": {"thread_id": str(thread)}}
        if not question:
            continue
        if question.startswith("/") and not json:
            if question in ("/quit", "/exit"):
                return
            if question == "/new":
                thread, last = thread + 1, {}
                note("new conversation")
            else:
                _command(question, last)
            continue
        given = {"messages": [("user", question)]}
        try:
            if json:
                result = [event for event in stream_answer(graph, given, config) if event["type"] == "result"][-1]
                emit(answer_json(question, settings.strategy, result))
            else:
                last = show_answer(stream_answer(graph, given, config))
        except RagloomError as error:  # a server that went away must not end the conversation
            emit({"error": {"code": error.code, "message": str(error)}}) if json else note(f"error: {error}")


def _read(quiet: bool) -> str | None:
    try:
        return input("" if quiet else "\n> ")
    except EOFError:
        return None


def _command(command: str, last: dict[str, Any]) -> None:
    out = console()
    if command == "/sources":
        for document in last.get("documents", []):
            metadata = document.metadata
            out.print(f"{metadata.get('source', '')} p. {metadata.get('page', 1)}", style="bold")
            out.print(f"{document.page_content}\n", style="dim")
    elif command == "/why":
        for step in last.get("steps", []):
            out.print(f"{step['node']}: {step['decision']} ({step['reason']}), {step['ms']:.0f} ms")
    elif command == "/history":
        for message in last.get("messages", []):
            out.print(f"{'you' if message.type == 'human' else 'ragloom'}: {message.text}")
    else:
        out.print(_HELP)
    if not last and command in ("/sources", "/why", "/history"):
        note("nothing was asked yet")
