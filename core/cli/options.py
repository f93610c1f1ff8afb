"""Options with one meaning in every command that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = (
    "ApproveWebOption",
    "ConversationsOption",
    "CriticOption",
    "GroupOption",
    "GuardOption",
    "ReaderOption",
    "RerankFromOption",
    "RerankerOption",
    "StrategyOption",
    "ThreadOption",
    "TransformOption",
    "UserOption",
    "WebOption",
)

CriticOption = Annotated[
    str | None, typer.Option("--critic", help="What checks answers: overlap, support:bundled or support:PATH.")
]
GuardOption = Annotated[
    str | None,
    typer.Option("--guard", help="What screens texts: none, local, local:injection,secrets, nemo or nemo:FOLDER."),
]
GroupOption = Annotated[
    list[str] | None, typer.Option("--group", help="A group of whoever asks: its documents are seen too (repeatable).")
]
ReaderOption = Annotated[
    str | None,
    typer.Option(
        "--reader", help="What reads passages: none (the chat model), reader:bundled, reader:PATH or a chat model."
    ),
]
RerankerOption = Annotated[
    str | None, typer.Option("--reranker", help="What reorders passages: none, reranker:bundled or reranker:PATH.")
]
RerankFromOption = Annotated[
    int | None, typer.Option("--rerank-from", min=1, help="How many passages the reranker reads to keep top-k (50).")
]
StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        help="auto, naive, corrective, speculative, fusion, self-rag, adaptive, multi-hop, vote, ...",
    ),
]
WebOption = Annotated[
    str | None,
    typer.Option(
        "--web",
        help="Second source of corrective: kb:PATH; searxng:URL, brave, tavily, duckduckgo get the question.",
    ),
]
TransformOption = Annotated[
    str | None,
    typer.Option("--transform", help="Further queries of the question: none, diverse, hyde, step-back, sub-questions."),
]
ThreadOption = Annotated[
    str | None, typer.Option("--thread", help="Name of the conversation, to go on with it later; else a new one.")
]
UserOption = Annotated[
    str | None, typer.Option("--user", help="Whose conversations and memory (default: who runs this).")
]
ConversationsOption = Annotated[
    Path | None, typer.Option("--db", help="File of conversations and memory (default: in your data folder).")
]
ApproveWebOption = Annotated[
    bool, typer.Option("--approve-web", help="Ask before --web is asked anything (strategy corrective).")
]
