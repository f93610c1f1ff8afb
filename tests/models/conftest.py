"""Fixtures of the model tests: the bundled models, loaded once (fetched on first use)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragloom.models import SentenceTransformerEmbedding, ensure_weights, load_embedder


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    return ensure_weights("minilm")


@pytest.fixture(scope="session")
def smollm2_file() -> Path:
    return ensure_weights("smollm2")


@pytest.fixture(scope="session")
def embedder() -> SentenceTransformerEmbedding:
    return load_embedder("bundled:minilm", dtype="float32")
