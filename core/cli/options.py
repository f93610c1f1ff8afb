"""Options for trained models, with one meaning in every command that has them."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ("CriticOption", "RerankFromOption", "RerankerOption")

CriticOption = Annotated[
    str | None, typer.Option("--critic", help="What checks answers: overlap, support:bundled or support:PATH.")
]
RerankerOption = Annotated[
    str | None, typer.Option("--reranker", help="What reorders passages: none, reranker:bundled or reranker:PATH.")
]
RerankFromOption = Annotated[
    int | None, typer.Option("--rerank-from", min=1, help="How many passages the reranker reads to keep top-k (50).")
]
