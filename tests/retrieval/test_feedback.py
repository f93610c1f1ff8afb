"""Weak feedback reorders a ranking: it neither loses, adds nor doubles a passage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragloom.retrieval import KnowledgeBase
from ragloom.retrieval.feedback import POOL, feedback
from ragloom.testing import HashEmbedding


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    folder: Path = tmp_path_factory.mktemp("feedback")
    (folder / "docs").mkdir()
    for number in range(POOL + 60):
        topic = "owls hunt mice at night" if number % 3 else "ships carry grain by day"
        (folder / "docs" / f"{number:03}.txt").write_text(f"Note {number}: {topic} in year {1800 + number}.")
    kb = KnowledgeBase(folder / "kb", embedder=HashEmbedding(size=64))
    kb.ingest([folder / "docs"])
    return kb


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_ranking_in_a_ranking_out(kb: KnowledgeBase, data: st.DataObject) -> None:
    snapshot = kb.table.snapshot()
    rows = sorted(snapshot.search_vector(kb.embedder.embed_query("owls"), POOL + 60))
    chosen = data.draw(st.lists(st.sampled_from(rows), unique=True, max_size=POOL + 50))
    values = data.draw(st.lists(st.floats(0, 1), min_size=len(chosen), max_size=len(chosen)))
    scores = dict(zip(chosen, sorted(values, reverse=True), strict=True))
    found = feedback(snapshot, scores)
    assert set(found) == set(scores)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert not scores or max(found.values()) == pytest.approx(max(scores.values()), abs=1e-5)
    assert list(found)[POOL:] == list(scores)[POOL:]


def test_a_passage_among_its_like_moves_up(kb: KnowledgeBase) -> None:
    snapshot = kb.table.snapshot()
    owls = list(snapshot.search_text("owls", 5))
    ship = next(iter(snapshot.search_text("ships", 1)))
    scores = dict(zip([*owls[:3], ship, owls[3]], [1.0, 0.99, 0.98, 0.5, 0.49], strict=True))
    assert list(feedback(snapshot, scores)).index(owls[3]) < list(feedback(snapshot, scores)).index(ship)


def test_scores_of_nothing_stay(kb: KnowledgeBase) -> None:
    rows = list(kb.table.snapshot().search_text("owls", 5))
    scores = dict.fromkeys(rows, 0.0)
    assert set(feedback(kb.table.snapshot(), scores)) == set(rows)
