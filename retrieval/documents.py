"""LlamaIndex nodes as LangChain documents, and any retriever of ours as a LangChain retriever.

The only place where one becomes the other: graph state, checkpoints and streams hold `Document`s only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

if TYPE_CHECKING:
    from llama_index.core.schema import NodeWithScore

__all__ = ("LangChainRetriever", "to_document", "to_node")


def to_document(found: NodeWithScore) -> Document:
    """A retrieved node as a document: stable chunk id; `score`, `doc_id` and the node's metadata in `metadata`."""
    metadata: dict[str, Any] = dict(found.node.metadata)
    metadata["score"] = found.score
    metadata.setdefault("score_kind", "unknown")
    if found.node.ref_doc_id:
        metadata["doc_id"] = found.node.ref_doc_id
    return Document(id=found.node.node_id, page_content=found.node.get_content(), metadata=metadata)


def to_node(document: Document) -> NodeWithScore:
    """The way back, for LlamaIndex post-processors that work on retrieved documents."""
    from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode

    metadata = dict(document.metadata)
    score, doc_id = metadata.pop("score", None), metadata.pop("doc_id", None)
    node = TextNode(text=document.page_content, metadata=metadata)
    if document.id:
        node.id_ = document.id
    node.excluded_embed_metadata_keys = node.excluded_llm_metadata_keys = list(metadata)
    if doc_id:
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=doc_id)
    return NodeWithScore(node=node, score=score)


class LangChainRetriever(BaseRetriever):
    """A knowledge base's retriever for LangChain apps.

        >>> retriever = LangChainRetriever(retriever=kb.retriever(), k=3)  # doctest: +SKIP
        >>> retriever.invoke("How many days of leave?")[0].metadata["source"]  # doctest: +SKIP
        'handbook/leave.pdf'

    `k` may be given to the constructor and to `invoke(query, k=...)`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    retriever: Any
    """A `KnowledgeBaseRetriever`."""
    k: int = Field(default=5, ge=1)
    """How many documents."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return [to_document(found) for found in self.retriever.search(query, k or self.k)]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        import asyncio

        found = await asyncio.to_thread(self.retriever.search, query, k or self.k)
        return [to_document(item) for item in found]
