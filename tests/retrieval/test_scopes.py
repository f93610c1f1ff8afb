"""Scopes in the embedded store: the suite through every way to read a knowledge base, and what is its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lancedb
import pytest
from scope_suite import Asked, Door, Planted, ScopedBase, ScopeSuite, canaries

from ragloom.access import AccessScope
from ragloom.agents.langchain.kb_parents import KnowledgeBaseParents
from ragloom.agents.tasks.summary.library import KnowledgeBaseLibrary
from ragloom.errors import UsageError
from ragloom.retrieval import KnowledgeBase, LangChainRetriever, load_web, to_document
from ragloom.retrieval.search import MODES
from ragloom.testing import HashEmbedding


class Embedded:
    """A knowledge base on disk, and every way to read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kb = KnowledgeBase(folder / "kb", embedder=HashEmbedding(size=32))

    def _file(self, document: Planted) -> Path:
        file = self.folder / f"{abs(hash(document.tenant))}" / document.collection / document.file_name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(document.markdown)
        return file

    def ingest(self, documents: Sequence[Planted]) -> None:
        one = documents[0]
        files = [self._file(each) for each in documents]
        self.kb.ingest(files, tenant=one.tenant, groups=one.groups, collection=one.collection)

    def replace_groups(self, document: Planted, groups: Sequence[str]) -> None:
        files = [self._file(document)]
        self.kb.ingest(files, tenant=document.tenant, groups=groups, collection=document.collection)

    def delete(self, documents: Sequence[Planted], scope: AccessScope | None) -> int:
        return self.kb.delete([str(self._file(each)) for each in documents], scope=scope)

    def require_scope(self) -> None:
        KnowledgeBase(self.kb.folder, embedder=self.kb.embedder, requires_scope=True).ingest([])

    @property
    def doors(self) -> Mapping[str, Door]:
        words = {f"{mode} search": self._search(mode) for mode in MODES}
        return {
            **words,
            "all awaited": lambda asked: nodes(asyncio.run(self._retriever(asked, "dense").aretrieve("x"))),
            "all in another mode": lambda asked: nodes(self._retriever(asked, "bm25").with_mode("dense").retrieve("x")),
            "all as documents of LangChain": self._langchain,
            "all of a library": self._library,
            "all neighbours": self._parents,
            "all listed": self._listed,
            "a second source": lambda asked: nodes(
                load_web(f"kb:{self.kb.folder}", scope=asked.scope, mode="bm25", top_k=MOST).retrieve(asked.query)
            ),
        }

    def _retriever(self, asked: Asked, mode: Any) -> Any:
        options: dict[str, Any] = {"scope": asked.scope, "filters": asked.filters, "collection": asked.collection}
        return self.kb.retriever(mode=mode, top_k=asked.top_k, **options)

    def _search(self, mode: str) -> Door:
        return lambda asked: nodes(self._retriever(asked, mode).retrieve(asked.query))

    def _langchain(self, asked: Asked) -> Any:
        found = LangChainRetriever(retriever=self._retriever(asked, "dense"), k=asked.top_k).invoke("x")
        return [each.model_dump() for each in found]

    def _library(self, asked: Asked) -> Any:
        """Asked for every document there is, by its id."""
        library = KnowledgeBaseLibrary.seen_by(self._retriever(asked, "bm25"))
        own = KnowledgeBaseLibrary(
            self.kb, scope=asked.scope, filters=asked.filters, collection=asked.collection
        ).entries()
        everything = library.passages([each.doc_id for each in self.kb.ledger.all()])
        passages = [each.model_dump() for found in everything.values() for each in found]
        return [[asdict(each) for each in library.entries()], [asdict(each) for each in own], passages]

    def _parents(self, asked: Asked) -> Any:
        """Asked for what stands around every passage there is."""
        rows = self.kb.table.snapshot().rows(columns=["id", "doc_id"]).to_pylist()
        from langchain_core.documents import Document

        children = [Document("", id=row["id"], metadata={"doc_id": row["doc_id"]}) for row in rows]
        options: dict[str, Any] = {"scope": asked.scope, "filters": asked.filters, "collection": asked.collection}
        found = KnowledgeBaseParents(self.kb, **options).of(children)
        return [each.model_dump() for each in found if each is not None]

    def _listed(self, asked: Asked) -> Any:
        return [asdict(each) for each in self.kb.documents(scope=asked.scope, collection=asked.collection)]


MOST = 500


def nodes(found: Sequence[Any]) -> Any:
    """All that a caller is given: of a node what LlamaIndex shows, and what LangChain makes of it."""
    return [[each.model_dump(), to_document(each).model_dump()] for each in found]


class TestEmbeddedStore(ScopeSuite):
    @pytest.fixture(scope="class")
    def open_base(self, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], ScopedBase]:
        return lambda: Embedded(tmp_path_factory.mktemp("scopes"))


# -- of this store alone -----------------------------------------------------------------------------------------------

STAFF, EVERYBODY = AccessScope("acme", "ana", ["staff"]), AccessScope("acme")


@pytest.fixture
def base(tmp_path: Path) -> Embedded:
    base = Embedded(tmp_path)
    base.ingest([Planted(1, "acme", (), "", "leave")])
    base.ingest([Planted(2, "acme", ("staff",), "", "travel")])
    base.ingest([Planted(3, "globex", (), "", "hotel")])
    return base


def seen(kb: KnowledgeBase, scope: AccessScope | None) -> set[str]:
    return canaries(nodes(kb.retriever(mode="bm25", scope=scope).retrieve("notes")))


def test_a_tenant_alone_is_a_scope_without_groups(base: Embedded) -> None:
    assert seen(base.kb, EVERYBODY) == {"zq0001k"}
    assert canaries(nodes(base.kb.retriever(tenant="acme", mode="bm25").retrieve("notes"))) == {"zq0001k"}
    both = base.kb.retriever(scope=STAFF, tenant="acme", mode="bm25")
    assert canaries(nodes(both.retrieve("notes"))) == {"zq0001k", "zq0002k"}
    with pytest.raises(UsageError, match="only be narrowed"):
        base.kb.retriever(scope=STAFF, tenant="globex")


def test_a_node_says_whose_it_is(base: Embedded) -> None:
    (found,) = base.kb.retriever(scope=STAFF, mode="bm25").retrieve("travel")
    assert (found.node.metadata["tenant"], found.node.metadata["groups"]) == ("acme", ["staff"])
    (open_to_all,) = base.kb.retriever(scope=STAFF, mode="bm25").retrieve("leave")
    assert "groups" not in open_to_all.node.metadata
    assert {record.groups for record in base.kb.documents(scope=STAFF)} == {(), ("staff",)}


def test_a_file_does_not_say_whose_it_is(base: Embedded) -> None:
    file = base.folder / "claims.jsonl"
    file.write_text('{"id": "1", "text": "Notes of a liar.", "tenant": "globex", "groups": ["board"]}\n')
    base.kb.ingest([file], tenant="acme", groups=["staff"])
    assert base.kb.retriever(tenant="globex", mode="bm25").retrieve("liar") == []
    (found,) = base.kb.retriever(scope=STAFF, mode="bm25").retrieve("liar")
    assert (found.node.metadata["tenant"], found.node.metadata["groups"]) == ("acme", ["staff"])


def test_other_groups_are_an_update_and_none_said_changes_nothing(base: Embedded) -> None:
    travel = base._file(Planted(2, "acme", (), "", "travel"))
    report = base.kb.ingest([travel], tenant="acme")
    assert (report.unchanged, report.updated) == (1, 0)
    assert seen(base.kb, EVERYBODY) == {"zq0001k"}
    report = base.kb.ingest([travel], tenant="acme", groups=["board", "staff"])
    assert (report.unchanged, report.updated, report.embedded) == (0, 1, 0)
    travel.write_text("Notes that are new. zq0002k")
    assert base.kb.ingest([travel], tenant="acme").updated == 1
    assert seen(base.kb, EVERYBODY) == {"zq0001k"}
    assert base.kb.ingest([travel], tenant="acme", groups=[]).updated == 1
    assert seen(base.kb, EVERYBODY) == {"zq0001k", "zq0002k"}


def test_a_lost_ledger_opens_nothing(base: Embedded) -> None:
    travel = base._file(Planted(2, "acme", (), "", "travel"))
    for path in base.kb.folder.glob("ledger.sqlite*"):
        path.unlink()
    kb = KnowledgeBase(base.kb.folder, embedder=HashEmbedding(size=32))
    kb.ingest([travel], tenant="acme")
    assert seen(kb, EVERYBODY) == {"zq0001k"}
    assert seen(kb, STAFF) == {"zq0001k", "zq0002k"}


def test_a_base_from_before_groups(base: Embedded) -> None:
    """It opens as one without groups, for readers and writers, and its documents may get some."""
    table = lancedb.connect(str(base.kb.folder / "store")).open_table("chunks")
    table.drop_index("groups_idx")
    table.drop_columns(["groups"])
    with sqlite3.connect(base.kb.folder / "ledger.sqlite") as ledger:
        ledger.execute('ALTER TABLE documents DROP COLUMN "groups"')
    ledger.close()
    kb = KnowledgeBase.open(base.kb.folder, embedder=HashEmbedding(size=32))
    assert seen(kb, EVERYBODY) == {"zq0001k", "zq0002k"}
    assert len(kb.documents(scope=EVERYBODY)) == 2
    travel = base._file(Planted(2, "acme", (), "", "travel"))
    assert kb.ingest([travel], tenant="acme").unchanged == 1
    assert kb.ingest([travel], tenant="acme", groups=["staff"]).updated == 1
    assert (seen(kb, EVERYBODY), seen(kb, STAFF)) == ({"zq0001k"}, {"zq0001k", "zq0002k"})
    assert {each.name for each in kb.table._table.list_indices()} >= {"groups_idx", "tenant_idx"}


def test_groups_move_to_another_embedder(base: Embedded) -> None:
    moved = KnowledgeBase(base.kb.folder, embedder=HashEmbedding(size=16), requires_scope=True)
    moved.ingest([])
    assert (seen(moved, EVERYBODY), seen(moved, STAFF)) == ({"zq0001k"}, {"zq0001k", "zq0002k"})
    again = KnowledgeBase(base.kb.folder, embedder=HashEmbedding(size=32))
    again.ingest([])
    assert again.requires_scope


def test_a_scope_that_is_required_is_so_for_good(base: Embedded) -> None:
    before = base.kb.retriever(mode="bm25")
    twin = before.with_mode("dense")
    assert before.retrieve("notes") == []
    base.require_scope()
    for retriever in (before, twin, KnowledgeBase.open(base.kb.folder).retriever):
        with pytest.raises(UsageError, match="without a scope"):
            retriever.retrieve("notes") if retriever in (before, twin) else retriever()
    with pytest.raises(UsageError, match="without a scope"):
        base.kb.documents(tenant=None)
    KnowledgeBase(base.kb.folder, embedder=HashEmbedding(size=32), requires_scope=False).ingest([])
    assert KnowledgeBase.open(base.kb.folder).requires_scope
    assert seen(base.kb, EVERYBODY) == {"zq0001k"}


def test_what_a_retriever_found_is_kept_under_its_scope(base: Embedded) -> None:
    scopes = [None, EVERYBODY, STAFF, AccessScope("globex"), AccessScope("acme", groups=["board"])]
    assert len({base.kb.retriever(scope=scope).fingerprint for scope in scopes}) == len(scopes)


@pytest.mark.parametrize("groups", ["staff", ["a", ""], [" "], [7], 7, b"x"])
def test_groups_that_are_none_are_refused(base: Embedded, groups: Any) -> None:
    with pytest.raises(UsageError):
        base.kb.ingest([base.folder], groups=groups)
    with pytest.raises(UsageError):
        AccessScope("acme", groups=groups)
    assert len(base.kb.ledger.all()) == 3


def test_what_is_no_text_is_refused(base: Embedded) -> None:
    for scope in (AccessScope("\ud800"), AccessScope("a", groups=["\udfff"])):
        with pytest.raises(UsageError, match="no text"):
            base.kb.retriever(scope=scope)
    with pytest.raises(UsageError, match="no access scope"):
        base.kb.retriever(scope={"tenant": "acme"})  # type: ignore[arg-type]
