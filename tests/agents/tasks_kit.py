"""What the tests of tasks share: a small knowledge base of two tenants, and what its documents say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ragloom.agents.tasks import LibraryEntry
from ragloom.retrieval import ChunkSettings, KnowledgeBase
from ragloom.testing import HashEmbedding

TRAVEL = """# Travel policy

## Hotels

Hotels in Vienna are paid up to 165 euros a night. Hotels in Leeds are paid up to 120 euros a night.

## Booking

Trips are booked with Northgate Travel. Receipts are handed in within 30 days.
"""
LEAVE = """# Leave policy

## Annual leave

Employees get 25 days of annual leave. Unused days expire in March.

## Sick leave

A doctor's note is needed from the third day of sick leave.
"""
GARDEN = "The roses in the garden are watered at dawn. Nobody may pick them.\n"
SECRET = "# Merger plan\n\nThe merger with Acme is planned for June.\n"
FILES = {"hr/leave-policy.md": LEAVE, "travel-policy.md": TRAVEL, "garden.txt": GARDEN}


def small_base(folder: Path) -> KnowledgeBase:
    """Three documents without a tenant, one of the tenant `other`. Each section is a chunk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, text in {**FILES, "merger.md": SECRET}.items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(text)
        kb = KnowledgeBase(folder / "kb", embedder=HashEmbedding(), chunking=ChunkSettings(size=48, overlap=0))
        kb.ingest(list(FILES))
        kb.ingest(["merger.md"], tenant="other")
    return kb


def entry(source: str, title: str = "", collection: str = "") -> LibraryEntry:
    return LibraryEntry(f"id of {collection}/{source}", source, title, collection)


def told(result: Any, node: str) -> Any:
    """The step of a node."""
    return next(step for step in result["steps"] if step["node"].rpartition("/")[2] == node)
