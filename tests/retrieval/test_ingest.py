"""Ingestion: what is read, embedded, kept, removed, and who sees it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from ragloom.errors import IngestError, StoreError, UsageError
from ragloom.retrieval import ChunkSettings, KnowledgeBase, ingest, read_document
from ragloom.retrieval.search import MODES
from ragloom.retrieval.store import ChunkTable
from ragloom.testing import HashEmbedding


@pytest.fixture
def embedder() -> HashEmbedding:
    return HashEmbedding(size=64)


@pytest.fixture
def kb(own_folder: Path, embedder: HashEmbedding) -> KnowledgeBase:
    return KnowledgeBase(own_folder / "kb", embedder=embedder)


@pytest.fixture
def docs(own_folder: Path) -> Path:
    folder = own_folder / "docs"
    folder.mkdir()
    for name in ("apple", "banana", "cherry"):
        (folder / f"{name}.txt").write_text(f"Notes on the {name}.")
    return folder


def long_text(*words: str) -> str:
    """A chunk for each word, under a heading of its own."""
    return "# Book\n\n" + "\n\n".join(f"## {word}\n\n" + f"The {word} is here. " * 30 for word in words)


def sources(kb: KnowledgeBase, query: str = "notes", **options: Any) -> set[str]:
    options = {"mode": "bm25", "top_k": 100} | options
    return {Path(item.node.metadata["source"]).stem for item in kb.retriever(**options).retrieve(query)}


def stored(kb: KnowledgeBase) -> dict[str, int]:
    """Rows of each document, by file name."""
    found: dict[str, int] = {}
    for source in kb.table.snapshot().rows(columns=["source"])["source"].to_pylist():
        found[Path(source).stem] = found.get(Path(source).stem, 0) + 1
    return found


def counts(report: Any) -> tuple[int, int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.deleted, len(report.failed)


# -- counts, and what they cost ----------------------------------------------------------------------------------------


def test_counts(kb: KnowledgeBase, docs: Path) -> None:
    assert counts(kb.ingest([docs])) == (3, 0, 0, 0, 0)
    (docs / "apple.txt").write_text("Notes on the green apple.")
    (docs / "date.txt").write_text("Notes on the date.")
    (docs / "cherry.txt").unlink()
    (docs / "noise.bin").write_bytes(bytes(range(256)) * 20)
    report = kb.ingest([docs], prune=True)
    assert counts(report) == (1, 1, 1, 1, 1)
    assert report.chunks == 2
    assert sources(kb) == {"apple", "banana", "date"}
    assert {record.source for record in kb.documents()} == {f"docs/{n}.txt" for n in ("apple", "banana", "date")}
    assert [record.version for record in kb.documents()] == [2, 1, 1]


def test_unchanged_files_are_neither_read_nor_embedded(
    kb: KnowledgeBase, docs: Path, embedder: HashEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    kb.ingest([docs])
    before, version = embedder.embedded, kb.table.snapshot().version

    def never(path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("ragloom.retrieval.readers.read_document", never)
    for path in docs.iterdir():
        os.utime(path, (0, 0))  # its time does not matter, its bytes do
    assert counts(kb.ingest([docs])) == (0, 0, 3, 0, 0)
    assert embedder.embedded == before
    assert kb.table.snapshot().version == version, "nothing to write, nothing written"


def test_unchanged_files_do_not_even_load_the_embedder(kb: KnowledgeBase, docs: Path) -> None:
    kb.ingest([docs])

    class Unloaded:
        fingerprint = kb.embedder.fingerprint

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} needs the model")

    assert KnowledgeBase(kb.folder, embedder=Unloaded()).ingest([docs]).unchanged == 3  # type: ignore[arg-type]


def test_a_changed_file_embeds_only_changed_chunks(kb: KnowledgeBase, docs: Path, embedder: HashEmbedding) -> None:
    path = docs / "long.md"
    path.write_text(long_text("one", "two", "three", "four", "five"))
    chunks = kb.ingest([path]).chunks
    assert chunks == 5
    before = embedder.embedded
    path.write_text(long_text("one", "half", "two", "THREE", "four", "five"))
    report = kb.ingest([path])
    assert (report.updated, report.chunks, report.embedded) == (1, 6, 2)
    assert embedder.embedded == before + 2
    assert kb.ingest([path]).unchanged == 1
    assert stored(kb) == {"long": 6}


def test_chunks_keep_their_ids_when_they_move(kb: KnowledgeBase, docs: Path) -> None:
    path = docs / "long.md"
    path.write_text(long_text("one", "two"))
    kb.ingest([path])
    before = kb.table.snapshot().rows(columns=["id", "content"]).to_pylist()
    path.write_text(long_text("one", "half", "two"))
    kb.ingest([path])
    after = kb.table.snapshot().rows(columns=["id", "content"]).to_pylist()
    assert {(row["id"], row["content"]) for row in before} < {(row["id"], row["content"]) for row in after}


def test_the_same_path_given_twice_is_one_document(kb: KnowledgeBase, docs: Path) -> None:
    report = kb.ingest([docs, docs / "apple.txt", Path("docs/../docs"), str(docs)])
    assert counts(report) == (3, 0, 0, 0, 0)


def test_progress_ends_at_the_end(kb: KnowledgeBase, docs: Path) -> None:
    told: list[Any] = []
    kb.ingest([docs], progress=told.append)
    assert [now.files for now in told] == [0, 1, 2, 3]
    assert told[-1].bytes == told[-1].total_bytes == sum(path.stat().st_size for path in docs.iterdir())
    assert told[-1].chunks == 3


# -- removing ----------------------------------------------------------------------------------------------------------


def test_prune_removes_only_what_vanished_under_the_given_paths(kb: KnowledgeBase, docs: Path) -> None:
    other = docs.parent / "docs2"  # a name that begins alike is not below
    other.mkdir()
    (other / "elder.txt").write_text("Notes on the elder.")
    kb.ingest([docs, other])
    (docs / "apple.txt").unlink()
    (other / "elder.txt").unlink()
    assert kb.ingest([docs]).deleted == 0
    assert kb.ingest([docs / "banana.txt"], prune=True).deleted == 0
    assert kb.ingest([docs], prune=True).deleted == 1
    assert sources(kb) == {"banana", "cherry", "elder"}
    shutil.rmtree(other)
    assert kb.ingest([other], prune=True).deleted == 1
    assert sources(kb) == {"banana", "cherry"}


def test_prune_leaves_other_tenants_and_sources_alone(kb: KnowledgeBase, docs: Path) -> None:
    for options in ({}, {"tenant": "t"}, {"collection": "c"}):
        kb.ingest([docs], **options)
    (docs / "apple.txt").unlink()
    assert kb.ingest([docs], prune=True).deleted == 1
    assert "apple" in sources(kb, tenant="t")
    assert "apple" in sources(kb, collection="c")
    assert "apple" not in sources(kb, collection="")


def test_delete_by_source_path_or_id(kb: KnowledgeBase, docs: Path) -> None:
    kb.ingest([docs])
    assert kb.delete(["docs/apple.txt"]) == 1
    assert kb.delete([str(docs / "banana.txt")]) == 1
    assert kb.delete([kb.documents()[0].doc_id]) == 1
    assert kb.delete(["docs/apple.txt", "' OR 1=1 --"]) == 0
    assert stored(kb) == {}
    assert counts(kb.ingest([docs])) == (3, 0, 0, 0, 0)


def test_delete_stays_within_its_tenant(kb: KnowledgeBase, docs: Path) -> None:
    kb.ingest([docs], tenant="a")
    kb.ingest([docs], tenant="b")
    assert kb.delete(["docs/apple.txt"], tenant="a") == 1
    assert "apple" in sources(kb, tenant="b")
    assert kb.delete(["docs/banana.txt"]) == 0


# -- who sees what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_tenants_never_see_each_other(kb: KnowledgeBase, docs: Path, mode: Any) -> None:
    kb.ingest([docs / "apple.txt"], tenant="a")
    kb.ingest([docs / "banana.txt"], tenant="b")
    kb.ingest([docs / "cherry.txt"])
    every = MetadataFilters(
        filters=[
            MetadataFilter(key="tenant", value="b"),
            MetadataFilter(key="tenant", value="a", operator=FilterOperator.NE),
            MetadataFilter(key="source", value="docs/banana.txt"),
        ],
        condition=FilterCondition.OR,
    )
    for tenant, name in (("a", "apple"), ("b", "banana"), ("", "cherry")):
        assert sources(kb, "notes apple banana cherry", mode=mode, tenant=tenant) == {name}
        assert sources(kb, "notes apple banana cherry", mode=mode, tenant=tenant, filters=every) <= {name}
    for nobody in ("c", "A", "a' OR '1'='1", "%"):
        assert sources(kb, "notes apple banana cherry", mode=mode, tenant=nobody) == set()


def test_sources_of_one_tenant_can_be_told_apart(kb: KnowledgeBase, docs: Path) -> None:
    kb.ingest([docs / "apple.txt"], collection="fruit")
    kb.ingest([docs / "banana.txt", docs / "apple.txt"], collection="yellow")
    assert sources(kb) == {"apple", "banana"}
    assert sources(kb, collection="fruit") == {"apple"}
    assert sources(kb, collection="yellow") == {"apple", "banana"}
    assert len(kb.documents()) == 3
    assert len(kb.documents(collection="fruit")) == 1


def test_the_same_file_of_two_tenants_is_two_documents(kb: KnowledgeBase, docs: Path) -> None:
    kb.ingest([docs], tenant="a")
    assert counts(kb.ingest([docs], tenant="b")) == (3, 0, 0, 0, 0)
    assert len(kb.documents(tenant=None)) == 6
    assert len(kb.documents(tenant="a")) == 3
    assert len(kb.documents()) == 0


# -- changed settings --------------------------------------------------------------------------------------------------


def test_changed_chunk_settings_cut_anew(kb: KnowledgeBase, docs: Path, embedder: HashEmbedding) -> None:
    (docs / "long.md").write_text(long_text("one", "two", "three"))
    kb.ingest([docs])
    before = stored(kb)
    smaller = KnowledgeBase(kb.folder, embedder=embedder, chunking=ChunkSettings("sentence", size=32))
    report = smaller.ingest([docs])
    assert (report.added, report.updated, report.unchanged) == (0, 4, 0)
    assert stored(kb)["long"] > before["long"]
    # Whoever opens it next gets the settings that it has, and nothing is done twice.
    again = KnowledgeBase(kb.folder, embedder=embedder)
    assert again.chunking == ChunkSettings("sentence", size=32)
    assert again.ingest([docs]).unchanged == 4


def test_another_embedder_moves_everything(kb: KnowledgeBase, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents whose files are gone too; those who read meanwhile keep the old table."""
    kb.ingest([docs])
    (docs / "cherry.txt").unlink()
    old_reader = kb.retriever(mode="dense", top_k=10)
    seen: list[int] = []
    real = HashEmbedding.embed

    def embed(self: HashEmbedding, texts: Any) -> Any:
        seen.append(len(old_reader.retrieve("notes the cherry")))
        return real(self, texts)

    monkeypatch.setattr(HashEmbedding, "embed", embed)
    other = HashEmbedding(size=32, seed=7)
    moved = KnowledgeBase(kb.folder, embedder=other)
    assert counts(moved.ingest([docs])) == (0, 0, 2, 0, 0)
    assert seen and set(seen) == {3}
    assert other.embedded == 3
    for mode in MODES:
        assert sources(moved, "cherry", mode=mode, top_k=1) == {"cherry"}
    assert moved.table.dimension == 32
    assert moved.ingest([docs]).unchanged == 2
    fresh = KnowledgeBase(kb.folder, embedder=HashEmbedding(size=32, seed=7))
    assert sources(fresh, "cherry", mode="dense", top_k=1) == {"cherry"}


def test_a_move_that_is_cut_off_leaves_the_old_embedder_working(
    kb: KnowledgeBase, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kb.ingest([docs])
    with monkeypatch.context() as patch:
        patch.setattr(ChunkTable, "maintain", lambda self: (_ for _ in ()).throw(RuntimeError("pulled the plug")))
        with pytest.raises(RuntimeError):
            KnowledgeBase(kb.folder, embedder=HashEmbedding(size=32)).ingest([docs])
    assert sources(kb, "cherry", mode="dense", top_k=1) == {"cherry"}
    assert kb.ingest([docs]).unchanged == 3
    moved = KnowledgeBase(kb.folder, embedder=HashEmbedding(size=32))
    moved.ingest([docs])
    assert sources(moved, "cherry", mode="dense", top_k=1) == {"cherry"}
    assert stored(moved) == {"apple": 1, "banana": 1, "cherry": 1}


def test_chunks_too_long_for_a_smaller_embedder_are_cut_anew(kb: KnowledgeBase, docs: Path) -> None:
    (docs / "long.md").write_text(long_text("one", "two"))
    kb.ingest([docs])
    small = HashEmbedding(size=64, limit=64)
    moved = KnowledgeBase(kb.folder, embedder=small)
    report = moved.ingest([docs])
    assert (report.updated, report.unchanged) == (1, 3)
    contents = moved.table.snapshot().rows(columns=["content"])["content"].to_pylist()
    assert max(small.count_tokens(contents)) <= 64


# -- files that fail ---------------------------------------------------------------------------------------------------


def test_failed_files_are_reported_and_the_others_go_on(kb: KnowledgeBase, docs: Path) -> None:
    (docs / "a-empty.txt").write_text("")
    (docs / "b-broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    report = kb.ingest([docs, docs / "nowhere.txt"])
    assert report.added == 3
    assert {Path(failure["path"]).name: failure["reason"].split(" (")[0] for failure in report.failed} == {
        "nowhere.txt": "no such file or folder",
        "a-empty.txt": "is empty",
        "b-broken.pdf": "is damaged or truncated",
    }
    assert sources(kb) == {"apple", "banana", "cherry"}
    assert len(kb.documents()) == 3


def test_a_failed_update_keeps_the_old_version(kb: KnowledgeBase, docs: Path) -> None:
    kb.ingest([docs])
    (docs / "apple.txt").write_text("")
    assert counts(kb.ingest([docs], prune=True)) == (0, 0, 2, 0, 1)
    assert sources(kb, "apple", top_k=1) == {"apple"}
    (docs / "apple.txt").write_text("Notes on the apple.")
    assert kb.ingest([docs]).unchanged == 3


@pytest.mark.parametrize("moment", ["hashing", "reading", "after reading"])
def test_files_deleted_while_they_are_read(
    kb: KnowledgeBase, docs: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    real = read_document

    def vanishing(path: Path) -> Any:
        if moment == "reading" and path.stem == "banana":
            path.unlink()
        document = real(path)
        if moment == "after reading" and path.stem == "banana":
            path.unlink()
        return document

    def progress(now: Any) -> None:
        if moment == "hashing" and now.path.endswith("banana.txt"):
            Path(now.path).unlink(missing_ok=True)

    monkeypatch.setattr("ragloom.retrieval.readers.read_document", vanishing)
    report = kb.ingest([docs], progress=progress)
    if moment == "after reading":
        assert counts(report) == (3, 0, 0, 0, 0)
    else:
        assert counts(report) == (2, 0, 0, 0, 1)
        assert report.failed[0]["reason"] == "no such file (or it vanished while being read)"


def test_limits_of_size(kb: KnowledgeBase, docs: Path) -> None:
    with (docs / "huge.txt").open("wb") as stream:
        stream.truncate(200 * 2**20)
    report = kb.ingest([docs])
    assert report.failed == [
        {
            "path": str(docs / "huge.txt"),
            "reason": "is 200 MB large, over the limit of 100 MB (raise the limit with --max-file-mb)",
        }
    ]
    assert report.added == 3


# -- folders -----------------------------------------------------------------------------------------------------------


def test_the_knowledge_base_may_lie_in_the_folder(docs: Path, embedder: HashEmbedding) -> None:
    kb = KnowledgeBase(docs / "kb", embedder=embedder)
    assert counts(kb.ingest([docs])) == (3, 0, 0, 0, 0)
    assert counts(kb.ingest([docs], prune=True)) == (0, 0, 3, 0, 0)


def test_links_that_run_in_circles(kb: KnowledgeBase, docs: Path) -> None:
    (docs / "sub").mkdir()
    (docs / "sub" / "up").symlink_to(docs)
    (docs / "self").symlink_to(docs / "self")
    (docs / "dangling.txt").symlink_to(docs / "nothing")
    report = kb.ingest([docs])
    assert report.added == 3
    assert {Path(failure["path"]).name for failure in report.failed} == {"self", "dangling.txt"}


def test_hidden_files_only_by_name(kb: KnowledgeBase, docs: Path) -> None:
    (docs / ".secret.txt").write_text("Notes on secrets.")
    (docs / ".git").mkdir()
    (docs / ".git" / "config.txt").write_text("Notes on git.")
    assert kb.ingest([docs]).added == 3
    assert kb.ingest([docs / ".secret.txt"]).added == 1


@pytest.mark.parametrize("name", ["it's.txt", "a\nb.txt", "日本 🦊.txt", "-rf.txt", "%20.txt", "x'; DROP TABLE--.txt"])
def test_odd_file_names(kb: KnowledgeBase, docs: Path, name: str) -> None:
    (docs / name).write_text("Notes on odd names.")
    assert counts(kb.ingest([docs])) == (4, 0, 0, 0, 0)
    assert counts(kb.ingest([docs])) == (0, 0, 4, 0, 0)
    assert f"docs/{name}" in {record.source for record in kb.documents()}
    assert kb.delete([f"docs/{name}"]) == 1


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_file_names_that_are_no_text(kb: KnowledgeBase, docs: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(docs) + b"/caf\xe9.txt")).write_text("Notes on coffee.")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    report = kb.ingest([docs])
    assert report.added == 3
    assert report.failed == [{"path": str(docs / "caf\ufffd.txt"), "reason": "its name is not valid UTF-8 (rename it)"}]


# -- interruptions (the kills are in test_kill.py) ---------------------------------------------------------------------


def test_an_interrupted_document_is_read_again_even_if_its_bytes_go_back(
    kb: KnowledgeBase, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store holds the new version, the ledger's finish never came, the file is the old one again."""
    kb.ingest([docs])
    (docs / "apple.txt").write_text("Notes on the pear.")
    with monkeypatch.context() as patch:
        patch.setattr("ragloom.retrieval.ledger.Ledger.finish", lambda self, records: (_ for _ in ()).throw(OSError(5)))
        with pytest.raises(IngestError):
            kb.ingest([docs])
    assert sources(kb, "pear") == {"apple"}
    (docs / "apple.txt").write_text("Notes on the apple.")
    assert kb.ingest([docs]).unchanged == 2
    assert sources(kb, "pear") == set()
    assert stored(kb) == {"apple": 1, "banana": 1, "cherry": 1}


def test_a_full_disk_says_so_and_loses_nothing(kb: KnowledgeBase, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kb.ingest([docs / "apple.txt"])

    def full(self: ChunkTable, rows: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ChunkTable, "append", full)
        with pytest.raises(IngestError, match="the disk is full") as caught:
            kb.ingest([docs])
    assert caught.value.report["added"] == 0
    assert "run it again" in caught.value.hint
    assert sources(kb) == {"apple"}
    kb.ingest([docs])
    assert stored(kb) == {"apple": 1, "banana": 1, "cherry": 1}


def test_threads_of_one_process_take_turns(kb: KnowledgeBase, docs: Path, embedder: HashEmbedding) -> None:
    reports: list[Any] = []
    threads = [
        threading.Thread(target=lambda: reports.append(KnowledgeBase(kb.folder, embedder=embedder).ingest([docs])))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.added for report in reports) == [0, 0, 0, 3]
    assert stored(kb) == {"apple": 1, "banana": 1, "cherry": 1}


def test_windows_of_one_document_and_of_many(
    own_folder: Path, embedder: HashEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_folder / "many"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.md").write_text(long_text(*[f"w{number}x{part}" for part in range(number % 4 + 1)]))
    expected = {str(number): number % 4 + 1 for number in range(30)}
    for size in (1, 7, 10_000):
        monkeypatch.setattr(ingest, "WINDOW_CHUNKS", size)
        kb = KnowledgeBase(own_folder / f"kb{size}", embedder=embedder)
        assert kb.ingest([folder]).added == 30
        assert stored(kb) == expected


# -- offsets, in all formats of the handbook ---------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["structure", "paragraph", "sentence", "tokens"])
def test_every_chunk_is_its_documents_text(
    own_folder: Path, handbook: Path, embedder: HashEmbedding, strategy: Any
) -> None:
    kb = KnowledgeBase(own_folder / "kb", embedder=embedder, chunking=ChunkSettings(strategy, size=64))
    assert not kb.ingest([handbook]).failed
    texts = {str(path): read_document(path) for path in handbook.iterdir()}
    for path, document in texts.items():
        record = next(record for record in kb.documents() if record.path == path)
        rows = kb.table.snapshot().rows(f"doc_id = '{record.doc_id}'").to_pylist()
        assert len(rows) == record.chunks > 0
        for row in rows:
            body = row["content"][row["body_at"] :]
            text = document.text[row["start"] : row["end"]]
            assert body == text or (body.endswith(text) and body.lstrip().startswith("|"))
            page = next(page for start, end, page in document.page_spans() if start <= row["start"] < end)
            assert row["page"] == page.number


# -- opening -----------------------------------------------------------------------------------------------------------


def test_opening_what_is_not_there(own_folder: Path) -> None:
    with pytest.raises(StoreError, match="there is no knowledge base at"):
        KnowledgeBase.open(own_folder / "nothing")
    assert not (own_folder / "nothing").exists()
    assert KnowledgeBase(own_folder / "nothing").documents() == []


def _write(text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / "kb.json").write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_write("{oops"), "cannot read .*kb.json"),
        (_write('{"format": 1}'), "cannot read .*kb.json"),
        (_write('{"format": 99}'), "has format 99, not 1"),
        (_write("[]"), "cannot read .*kb.json"),
        (_write(""), "cannot read .*kb.json"),
        (lambda folder: (folder / "ledger.sqlite").write_bytes(b"no database " * 500), "cannot open the ledger"),
    ],
)
def test_damage_is_named(kb: KnowledgeBase, docs: Path, damage: Callable[[Path], Any], message: str) -> None:
    kb.ingest([docs])
    damage(kb.folder)
    with pytest.raises(StoreError, match=message):
        KnowledgeBase.open(kb.folder).documents()


def test_a_lost_ledger_costs_no_embedding(kb: KnowledgeBase, docs: Path, embedder: HashEmbedding) -> None:
    """As the message about a damaged one says: delete it and ingest again."""
    kb.ingest([docs])
    for path in kb.folder.glob("ledger.sqlite*"):
        path.unlink()
    before = embedder.embedded
    again = KnowledgeBase(kb.folder, embedder=embedder)
    again.ingest([docs])
    assert stored(again) == {"apple": 1, "banana": 1, "cherry": 1}
    assert embedder.embedded == before


@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "words"},
        {"size": 3},
        {"size": 64, "overlap": 60, "strategy": "tokens"},
        {"size": 64, "overlap": 8},
        {"overlap": -1},
    ],
)
def test_chunk_settings_that_cannot_work(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ChunkSettings(**settings)
