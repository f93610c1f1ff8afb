"""Several retrievers as one, so that any strategy can read what several sources hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle

from ...errors import UsageError
from ...graphs.common.effects import Search, Together
from ...retrieval.documents import to_node
from .answer import with_provenance
from .merging import Merge, merged
from .source import Source

__all__ = ("MergedRetriever",)


class MergedRetriever(BaseRetriever):
    """Asks every source, merges by rank, and says in each passage's metadata `source_name` where it is from.

    Each source is asked as it was given: what limits what it may see holds here too. Where some fail, the others'
    passages are given and `failures` says why; where all fail, the first error is raised.

        >>> retriever = MergedRetriever([handbook, web])  # doctest: +SKIP
        >>> retriever.retrieve("annual leave")[0].metadata["source_name"]  # doctest: +SKIP
        'handbook'
    """

    def __init__(self, sources: Sequence[Source], *, merge: Merge = "reciprocal_rank") -> None:
        """`UsageError` where a source is no retriever."""
        for source in sources:
            if source.kind != "retriever":
                raise UsageError(f"the source {source.name!r} is a {source.kind}", hint="give retrievers only")
        self.sources, self.merge = list(sources), merge
        self.failures: dict[str, str] = {}
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._merged(Together(self._searches(query_bundle)).run())

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._merged(await Together(self._searches(query_bundle)).arun())

    def _searches(self, query_bundle: QueryBundle) -> list[Search]:
        answers: list[Any] = [source.answers for source in self.sources]
        return [Search(retriever, query_bundle.query_str) for retriever in answers]

    def _merged(self, found: Sequence[list[Document] | Exception]) -> list[NodeWithScore]:
        lists, errors = [], []
        for source, documents in zip(self.sources, found, strict=True):
            if isinstance(documents, Exception):
                errors.append(documents)
                self.failures[source.name] = type(documents).__name__
            else:
                lists.append(with_provenance(documents, source.name))
        if errors and not lists:
            raise errors[0]
        return [to_node(document) for document in merged(lists, self.merge)]
