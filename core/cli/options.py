"""Options for trained models, with one meaning in every command that has them."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ("CriticOption", "RerankFromOption", "RerankerOption", "StrategyOption", "TransformOption", "WebOption")

CriticOption = Annotated[
    str | None, typer.Option("--critic", help="What checks answers: overlap, support:bundled or support:PATH.")
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
