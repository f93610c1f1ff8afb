"""`ragloom retrieve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import GroupOption, RerankerOption, RerankFromOption
from .output import JsonOption, KbOption, console, emit, note

if TYPE_CHECKING:
    from llama_index.core.schema import NodeWithScore

__all__ = ("retrieve",)


def retrieve(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    kb: KbOption = None,
    mode: Annotated[str | None, typer.Option(help="bm25, dense, hybrid or default.")] = None,
    top_k: Annotated[int | None, typer.Option(help="How many passages.")] = None,
    alpha: Annotated[float | None, typer.Option(help="hybrid: weight of dense, 0 (BM25) to 1 (dense).")] = None,
    fusion: Annotated[str | None, typer.Option(help="hybrid: rank or relative.")] = None,
    reranker: RerankerOption = None,
    rerank_from: RerankFromOption = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="key=value (also != > >= < <=); all hold.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only this knowledge source.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose passages.")] = None,
    group: GroupOption = None,
    json: JsonOption = False,
) -> None:
    """Show the passages that answer a query best."""
    from llama_index.core.vector_stores.types import MetadataFilters

    from ..retrieval import KnowledgeBase
    from ..retrieval.store.filters import parse_filter
    from ..settings import load_settings

    settings = load_settings(
        kb=kb,
        mode=mode,
        top_k=top_k,
        reranker=reranker,
        rerank_from=rerank_from,
        tenant=tenant,
        groups=group or None,
    )
    given = {"alpha": alpha, "fusion": fusion}  # the retriever refuses them where they mean nothing
    options = settings.retriever_options() | {name: value for name, value in given.items() if value is not None}
    retriever: Any = KnowledgeBase.open(settings.kb, embedder=settings.embedder).retriever(
        **options,
        scope=settings.scope,
        filters=MetadataFilters(filters=[parse_filter(text) for text in filters]) if filters else None,
        collection=source,
    )
    if settings.reranks:
        from ..retrieval.reranked import RerankedRetriever
        from .session import load_reranker

        loaded = load_reranker(settings.reranker)
        retriever = RerankedRetriever(retriever, loaded, rerank_from=settings.rerank_from, top_k=settings.top_k)
    results = retriever.retrieve(query)
    if json:
        emit({"query": query, "results": [_as_json(found) for found in results]})
        return
    out = console()
    for rank, found in enumerate(results, start=1):
        metadata = found.node.metadata
        out.print(f"{rank}. {_place(metadata)}  ({metadata['score_kind']} {found.score or 0.0:.3f})", style="bold")
        out.print(f"{found.node.get_content()}\n")
    if not results:
        note("nothing matches")


def _as_json(found: NodeWithScore) -> dict[str, Any]:
    metadata = dict(found.node.metadata)
    return {
        "id": found.node.node_id,
        "score": found.score,
        "score_kind": metadata.pop("score_kind"),
        "text": found.node.get_content(),
        "source": metadata.pop("source", ""),
        "page": metadata.pop("page", 1),
        "headings": metadata.pop("headings", ""),
        "start": metadata.pop("start", 0),
        "end": metadata.pop("end", 0),
        "doc_id": found.node.ref_doc_id,
        "metadata": metadata,
    }


def _place(metadata: dict[str, Any]) -> str:
    label = f" ({metadata['page_label']})" if metadata.get("page_label") else ""
    headings = f" > {metadata['headings']}" if metadata.get("headings") else ""
    return f"{metadata.get('source', '')} p. {metadata.get('page', 1)}{label}{headings}"
