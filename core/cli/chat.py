"""`ragloom chat`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ModelError, RagloomError, UsageError
from .options import (
    ApproveWebOption,
    ConversationsOption,
    CriticOption,
    GroupOption,
    GuardOption,
    ReaderOption,
    RerankerOption,
    RerankFromOption,
    StrategyOption,
    ThreadOption,
    TransformOption,
    UserOption,
    WebOption,
)
from .output import JsonOption, KbOption, emit, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..retrieval import KnowledgeBase
    from ..settings import Settings

__all__ = ("chat",)


def chat(
    kb: KbOption = None,
    docs: Annotated[list[Path] | None, typer.Option(help="Chat with these files or folders (repeatable).")] = None,
    strategy: StrategyOption = None,
    llm: Annotated[
        str | None, typer.Option(help="Chat model, e.g. bundled:smollm2, drafter:PATH, openai:NAME.")
    ] = None,
    embedder: Annotated[str | None, typer.Option(help="Embedder, e.g. bundled:minilm.")] = None,
    top_k: Annotated[int | None, typer.Option(help="How many passages to read.")] = None,
    reader: ReaderOption = None,
    reranker: RerankerOption = None,
    rerank_from: RerankFromOption = None,
    critic: CriticOption = None,
    web: WebOption = None,
    approve_web: ApproveWebOption = False,
    transform: TransformOption = None,
    guard: GuardOption = None,
    thread: ThreadOption = None,
    user: UserOption = None,
    db: ConversationsOption = None,
    tenant: Annotated[str | None, typer.Option(help="Whose passages.")] = None,
    group: GroupOption = None,
    json: JsonOption = False,
) -> None:
    """Chat over the knowledge base: answers stream, with checked citations. /help lists the commands.

    Follow-ups are understood; "remember that ..." keeps a fact. A conversation goes on with --thread NAME.

    With --json, questions are read from stdin, one a line, and each answer is printed as one JSON object. Each question
    stands alone then and nothing is kept, unless --thread names a conversation.
    """
    from ..settings import NO_WEB, load_settings
    from .session import knowledge_base

    settings = load_settings(
        kb=kb,
        strategy=strategy,
        llm=llm,
        embedder=embedder,
        top_k=top_k,
        reader=reader,
        reranker=reranker,
        rerank_from=rerank_from,
        critic=critic,
        web=web,
        transform=transform,
        guard=guard,
        tenant=tenant,
        user=user,
        groups=group or None,
    )
    if user is not None and not user.strip():
        raise UsageError("a conversation needs a user", hint="--user NAME, or leave it away")
    if approve_web and settings.web == NO_WEB:
        raise UsageError("--approve-web: there is no web to ask", hint="give --web as well")
    if approve_web and json:
        raise UsageError("--approve-web needs a person to ask", hint="without --json; or leave --web away")
    documents = knowledge_base(settings, docs)
    if json and thread is None:
        _answer_lines(settings, _alone(settings, documents))
        return
    with ExitStack() as closing:
        talk = _talk(settings, documents, closing, db, approve_web)
        if thread is not None:
            talk.go_to(thread)
        if json:
            _answer_lines(settings, lambda question: _whole(talk.chat.ask(question)))
        else:
            talk.run()


def _talk(
    settings: Settings,
    kb: KnowledgeBase,
    closing: ExitStack,
    db: Path | None,
    approve_web: bool,
) -> Any:
    """The terminal's conversation, in a new thread."""
    from ..access import AccessScope
    from ..agents.assistant import Assistant, with_memory
    from ..agents.conversation import LongTermMemory, Threads
    from ..settings import DRAFTING, NO_GUARD, NO_WEB
    from .chat_terminal import Talk
    from .session import load_models, open_guard, strategy_graph

    path = db or _default_file()
    scope = AccessScope(settings.tenant, settings.user or _who_runs_this(), settings.groups)
    threads = closing.enter_context(Threads.open(path))
    memory = closing.enter_context(LongTermMemory.open(path, embedder=_embedder(settings, kb)))

    def build(chosen: Settings) -> Any:
        """The strategy of the settings, shown what the user told. What was trained for one prompt is asked as ever."""
        llm, reader = load_models(chosen)  # what reads depends on the strategy
        more: dict[str, Any] = {}
        if approve_web and chosen.strategy == "corrective":
            more = {"approve_web": True, "checkpointer": threads.saver}
        elif approve_web:  # nothing is sent without consent
            chosen = chosen.model_copy(update={"web": NO_WEB})
            note(f"strategy {chosen.strategy} cannot ask you first, so it goes without the web; corrective asks")
        if chosen.strategy in ("closed-book", "self-rag-tokens") or chosen.reads_with.startswith(DRAFTING):
            return strategy_graph(chosen, kb, llm, reader, **more)
        return strategy_graph(chosen, kb, llm, with_memory(reader or llm), **more)

    guard = open_guard(settings.guard) if settings.guard != NO_GUARD else None
    assistant = Assistant(build(settings), load_models(settings)[0], threads=threads, memory=memory, guard=guard)
    return Talk(assistant, scope, settings, build)


def _alone(settings: Settings, kb: KnowledgeBase) -> Callable[[str], dict[str, Any]]:
    """Answers every question by itself."""
    from .session import build_graph, stream_answer

    graph = build_graph(settings, kb)
    return lambda question: list(stream_answer(graph, {"messages": [("user", question)]}, settings.scope))[-1]


def _answer_lines(settings: Settings, answer: Callable[[str], dict[str, Any]]) -> None:
    """Questions from stdin, answers to stdout."""
    from .session import answer_json, checked_question

    for line in _lines():
        if not (question := line.strip()):
            continue
        try:
            emit(answer_json(question, settings.strategy, answer(checked_question(question))))
        except RagloomError as error:  # a server that went away must not end the conversation
            emit({"error": {"code": error.code, "message": str(error)}})


def _whole(result: dict[str, Any]) -> dict[str, Any]:
    """A result; `ModelError` where the model failed and nothing can be shown."""
    if result["abstained"] and result["error"]:
        raise ModelError(result["error"])
    return result


def _lines() -> Iterator[str]:
    """Of stdin. A byte that is no text comes as a lone surrogate: an error would take the lines after it along."""
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    yield from sys.stdin


def _default_file() -> Path:
    """Below `RAGLOOM_CACHE` where that is set, as everything of ragloom; else no cache: people empty caches."""
    import os

    from platformdirs import user_data_path

    from ..models import cache_folder

    folder = cache_folder("chats") if os.environ.get("RAGLOOM_CACHE") else user_data_path("ragloom")
    return folder / "chats.sqlite"


def _who_runs_this() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        raise UsageError("the system does not say who you are", hint="give --user NAME") from None


def _embedder(settings: Settings, kb: KnowledgeBase) -> Any:
    """The knowledge base's own, loaded with the first fact; words alone recall facts where they alone find passages."""

    class Lazy:
        def __getattr__(self, name: str) -> Any:
            return getattr(kb.embedder, name)

    return None if settings.mode == "bm25" else Lazy()
