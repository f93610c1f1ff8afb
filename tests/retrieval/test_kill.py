"""Ingestion that is killed, read while it runs, or run twice at once: no document is lost, doubled or half visible."""

from __future__ import annotations

import random
import re
import shutil
import signal
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from kill_child import Child, open_kb

from ragloom.errors import StoreError
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import HashEmbedding

KILLS = 30
SEED = 20_261
UNCHANGED, CHANGED, REMOVED, NEW = 20, 24, 8, 16


def text_of(name: str, version: str) -> str:
    """Five paragraphs, a chunk each, the first the same in all versions; the others name the version."""
    words = [f"{name} part{part} {version} " + f"word{part} " * 12 for part in range(1, 5)]
    return "\n\n".join([f"{name} part0 always " + "head " * 12, *words])


@dataclass(frozen=True)
class Scene:
    """A finished first version, the folder as it is now, and what the chunks of both are."""

    docs: Path
    start: Path
    before: dict[str, frozenset[str]]
    after: dict[str, frozenset[str]]
    moments: int
    """Before and after every write of an ingestion that goes through: where a child may be told to die."""

    def copy(self, folder: Path) -> Path:
        return Path(shutil.copytree(self.start, folder))

    def check_whole(self, kb: KnowledgeBase) -> dict[str, str]:
        """Asserts that each document is there exactly once, in one whole version; says which."""
        state = {}
        found = chunks_of(kb)
        for doc_id in {*self.before, *self.after}:
            ids = found.pop(doc_id, [])
            assert len(ids) == len(set(ids)), f"{doc_id} is doubled"
            old, new = self.before.get(doc_id, frozenset()), self.after.get(doc_id, frozenset())
            assert set(ids) in (old, new), f"{doc_id} is a mixture: {len(ids)} chunks, {len(old)} old, {len(new)} new"
            state[doc_id] = "new" if set(ids) == new else "old"
        assert not found, f"unknown documents: {list(found)}"
        return state

    def check_done(self, folder: Path) -> None:
        """Asserts that everything is as after an ingestion that nothing disturbed, and that the ledger says so."""
        kb = open_kb(folder)
        assert set(self.check_whole(kb).values()) == {"new"}
        records = {record.doc_id: record for record in kb.documents()}
        assert records.keys() == self.after.keys()
        for doc_id, record in records.items():
            assert record.content_hash
            assert record.chunks == len(self.after[doc_id])


def chunks_of(kb: KnowledgeBase) -> dict[str, list[str]]:
    """Document id to chunk ids, on one snapshot."""
    rows = kb.table.snapshot().rows(columns=["doc_id", "id"])
    found: dict[str, list[str]] = defaultdict(list)
    for doc_id, chunk_id in zip(rows["doc_id"].to_pylist(), rows["id"].to_pylist(), strict=True):
        found[doc_id].append(chunk_id)
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("kill")
    docs = folder / "docs"
    docs.mkdir()
    for number in range(UNCHANGED + CHANGED + REMOVED):
        (docs / f"doc{number:02}.txt").write_text(text_of(f"doc{number:02}", "v1"))
    kb = open_kb(folder / "start")
    kb.ingest([docs])
    before = {key: frozenset(ids) for key, ids in chunks_of(kb).items()}
    for number in range(UNCHANGED, UNCHANGED + CHANGED):
        (docs / f"doc{number:02}.txt").write_text(text_of(f"doc{number:02}", "v2"))
    for number in range(UNCHANGED + CHANGED, UNCHANGED + CHANGED + REMOVED):
        (docs / f"doc{number:02}.txt").unlink()
    for number in range(NEW):
        (docs / f"new{number:02}.txt").write_text(text_of(f"new{number:02}", "v2"))
    clean = open_kb(folder / "clean")
    clean.ingest([docs])
    after = {key: frozenset(ids) for key, ids in chunks_of(clean).items()}
    assert {len(ids) for ids in (*before.values(), *after.values())} == {5}
    child = Child(Path(shutil.copytree(folder / "start", folder / "counted")), docs)
    child.go()
    child.report()
    return Scene(docs, folder / "start", before, after, child.moments)


def after_a_kill(scene: Scene, folder: Path) -> str:
    """What must hold after a kill: at once for a reader, and after the next ingestion for good."""
    kb = KnowledgeBase.open(folder, embedder=HashEmbedding(size=32))
    state = scene.check_whole(kb)
    found = kb.retriever(mode="bm25", top_k=1000).retrieve("always")
    assert len(found) == len({item.node.node_id for item in found})
    dense = kb.retriever(mode="dense", top_k=1000).retrieve("always head")
    assert {item.node.ref_doc_id for item in dense} == set(chunks_of(kb))

    again = open_kb(folder).ingest([scene.docs], prune=True)
    assert not again.failed
    scene.check_done(folder)
    third = open_kb(folder).ingest([scene.docs], prune=True)
    assert (third.unchanged, third.chunks, third.deleted) == (len(scene.after), 0, 0)
    moved = [doc_id for doc_id, now in state.items() if scene.before.get(doc_id) != scene.after.get(doc_id)]
    done = sum(state[doc_id] == "new" for doc_id in moved)
    return "none" if not done else "all" if done == len(moved) else "some"


def test_sigkill_at_random_moments(scene: Scene, tmp_path: Path) -> None:
    """30 kills, spread over the run; the next child imports while the last one's remains are looked at."""
    child = Child(scene.copy(tmp_path / "timed"), scene.docs)
    child.go()
    began = time.monotonic()
    assert child.report().updated == CHANGED
    whole = time.monotonic() - began
    scene.check_done(tmp_path / "timed")
    dice = random.Random(SEED)
    outcomes = []
    child = Child(scene.copy(tmp_path / "kb0"), scene.docs)
    for number in range(KILLS):
        follower = Child(scene.copy(tmp_path / f"kb{number + 1}"), scene.docs)
        child.go()
        time.sleep((number + dice.random()) / KILLS * whole)
        child.kill()
        outcomes.append(after_a_kill(scene, tmp_path / f"kb{number}"))
        shutil.rmtree(tmp_path / f"kb{number}")
        child = follower
    child.kill()
    # The moments were spread over the run: some met the work half done.
    assert outcomes.count("all") <= KILLS - 5, outcomes
    assert outcomes.count("some") >= 3, outcomes


@pytest.mark.parametrize("die", range(2 * 6))
def test_sigkill_around_every_write_of_a_window(scene: Scene, tmp_path: Path, die: int) -> None:
    """Not left to chance: dead right before or right after a write of the ledger or the store, in the first windows."""
    child = Child(scene.copy(tmp_path / "kb"), scene.docs, die=die)
    child.go()
    child.process.join()
    assert child.process.exitcode == -signal.SIGKILL
    after_a_kill(scene, tmp_path / "kb")


@pytest.mark.parametrize("from_end", range(1, 2 * 3 + 1))
def test_sigkill_around_every_write_of_the_end(scene: Scene, tmp_path: Path, from_end: int) -> None:
    """The last three writes: pruning deletes from the store, then from the ledger; then indexes are brought up."""
    child = Child(scene.copy(tmp_path / "kb"), scene.docs, die=scene.moments - from_end)
    child.go()
    child.process.join()
    assert child.process.exitcode == -signal.SIGKILL
    after_a_kill(scene, tmp_path / "kb")


def test_readers_see_whole_versions_at_every_moment(scene: Scene, tmp_path: Path) -> None:
    """A thread that takes snapshots and one that searches, while another process writes."""
    kb = scene.copy(tmp_path / "kb")
    child = Child(kb, scene.docs, slow=0.03)
    reader = KnowledgeBase.open(kb, embedder=HashEmbedding(size=32))
    seen: list[int] = []
    problems: list[BaseException] = []
    stop = threading.Event()

    def snapshots() -> None:
        try:
            while not stop.is_set():
                seen.append(sum(state == "new" for state in scene.check_whole(reader).values()))
        except BaseException as error:
            problems.append(error)

    def searches() -> None:
        """All hits of a search come from one snapshot: the versions that they name are never two for a document."""
        retriever = reader.retriever(mode="hybrid", top_k=1000)
        try:
            while not stop.is_set():
                versions = defaultdict(set)
                for item in retriever.retrieve("v1 v2 word1 word2 word3 word4"):
                    versions[item.node.ref_doc_id] |= set(re.findall(r"\bv[12]\b", item.node.get_content()))
                assert max(map(len, versions.values())) == 1, versions
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=snapshots), threading.Thread(target=searches)]
    child.go()
    for thread in threads:
        thread.start()
    report = child.report()
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems, problems[0]
    assert report.updated == CHANGED
    assert len(set(seen)) >= 4, "the reader saw too few states between start and end to mean anything"
    assert seen == sorted(seen), "a reader must never see an older state than before"
    scene.check_done(kb)


def test_of_two_ingestions_the_second_waits(scene: Scene, tmp_path: Path) -> None:
    kb = scene.copy(tmp_path / "kb")
    release = tmp_path / "release"
    first, second = Child(kb, scene.docs, hold=release), Child(kb, scene.docs)
    first.go()
    assert first.pipe.recv() == "holding"
    second.go()
    assert second.pipe.recv() == "waiting"

    with pytest.raises(StoreError, match="another process is writing to") as caught:
        open_kb(kb).ingest([scene.docs], wait=0.2)
    assert "wait" in caught.value.hint
    scene.check_whole(open_kb(kb))  # readers do not wait

    release.touch()
    assert first.report().updated == CHANGED
    report = second.report()
    assert (report.added, report.updated, report.unchanged) == (0, 0, len(scene.after))
    scene.check_done(kb)


def test_a_killed_writer_locks_nobody_out(scene: Scene, tmp_path: Path) -> None:
    kb = scene.copy(tmp_path / "kb")
    child = Child(kb, scene.docs, hold=tmp_path / "never")
    child.go()
    assert child.pipe.recv() == "holding"
    child.kill()
    open_kb(kb).ingest([scene.docs], prune=True, wait=0.2)
    scene.check_done(kb)
