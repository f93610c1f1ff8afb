"""The embedder: equal to sentence-transformers, in order, in sync and async, and honest about lengths."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragloom.errors import ModelError, UsageError
from ragloom.models import Embedder, SentenceTransformerEmbedding, load_embedder, load_trunk
from ragloom.testing import HashEmbedding

DICE = random.Random(7)
WORDS = "Where does the quick brown fox keep 1,234 naïve résumés, über-documents and e-mails? 東京 Москва".split()  # noqa: SIM905 - easier to read
MIXED = [" ".join(DICE.choices(WORDS, k=DICE.choice((1, 3, 20, 100, 180, 400)))) for _ in range(40)] + ["", " ", "\n"]


@pytest.fixture(params=["bundled:minilm", "hash"], scope="module")
def any_embedder(request: pytest.FixtureRequest, embedder: SentenceTransformerEmbedding) -> Embedder:
    return embedder if request.param == "bundled:minilm" else HashEmbedding()


def test_equals_sentence_transformers(embedder: SentenceTransformerEmbedding, minilm_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(minilm_folder), device="cpu", local_files_only=True)
    expected = theirs.encode(MIXED, normalize_embeddings=True, show_progress_bar=False)
    ours = embedder.embed(MIXED)
    assert ours.dtype == np.float32
    assert np.min(np.sum(ours * expected, axis=1)) > 0.9999
    assert embedder.max_tokens == theirs.max_seq_length == 256
    assert embedder.dimension == 384


def test_other_architectures_take_the_general_way(
    minilm_folder: Path, tmp_path: Path, embedder: SentenceTransformerEmbedding
) -> None:
    """A folder that the plain encoder does not claim (here because of do_lower_case)."""
    folder = tmp_path / "model"
    shutil.copytree(minilm_folder, folder)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 128, "do_lower_case": true}')
    general = load_embedder(f"st:{folder}", dtype="float32")
    assert type(load_trunk(folder, dtype="float32")).__name__ == "_GeneralTrunk"
    assert general.max_tokens == 128
    short = [text for text in MIXED if embedder.count_tokens([text])[0] <= 128]
    assert np.min(np.sum(general.embed(short) * embedder.embed(short), axis=1)) > 0.9999


def test_query_and_document_prompts(
    minilm_folder: Path, tmp_path: Path, embedder: SentenceTransformerEmbedding
) -> None:
    folder = tmp_path / "prompted"
    shutil.copytree(minilm_folder, folder)
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "query: ", "passage": "text: "}}')
    prompted = load_embedder(f"st:{folder}", dtype="float32")
    assert np.allclose(prompted.embed_query("fox"), embedder.embed_query("query: fox"), atol=1e-6)
    assert np.allclose(prompted.embed(["fox"]), embedder.embed(["text: fox"]), atol=1e-6)
    assert prompted.count_tokens(["fox"])[0] == len(prompted.token_offsets("fox")) + prompted.special_tokens
    assert prompted.fingerprint != embedder.fingerprint


def test_order_unit_length_and_nothing_lost(any_embedder: Embedder) -> None:
    together = any_embedder.embed(MIXED)
    assert together.shape == (len(MIXED), any_embedder.dimension)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.stack([any_embedder.embed([text])[0] for text in MIXED])
    assert np.min(np.sum(together * alone, axis=1)) > 0.9999
    assert any_embedder.embed([]).shape == (0, any_embedder.dimension)


def test_sync_async_parity(embedder: SentenceTransformerEmbedding) -> None:
    async def both() -> tuple[list[list[float]], list[float]]:
        return await embedder.aget_text_embedding_batch(MIXED[:8]), await embedder.aget_query_embedding("a fox")

    texts, query = asyncio.run(both())
    assert np.allclose(texts, embedder.get_text_embedding_batch(MIXED[:8]), atol=1e-5)
    assert np.allclose(query, embedder.get_query_embedding("a fox"), atol=1e-6)


def test_threads_get_their_own_answers(embedder: SentenceTransformerEmbedding) -> None:
    expected = embedder.embed(MIXED[:6])
    with ThreadPoolExecutor(6) as pool:
        rows = list(pool.map(lambda text: embedder.embed([text])[0], MIXED[:6]))
    assert np.min(np.sum(np.stack(rows) * expected, axis=1)) > 0.9999


def test_cutting_is_said(embedder: SentenceTransformerEmbedding, caplog: pytest.LogCaptureFixture) -> None:
    fits, long = "fox " * 254, "fox " * 255
    assert embedder.count_tokens([fits, long]) == [256, 257]
    with caplog.at_level(logging.WARNING):
        embedder.embed([fits])
        assert not caplog.records
        embedder.embed([fits, long])
    assert "1 of 2 texts are longer than 256 tokens" in caplog.text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=300))
def test_offsets_law(any_embedder: Embedder, text: str) -> None:
    offsets = any_embedder.token_offsets(text)
    assert all(0 <= start <= end <= len(text) for start, end in offsets)
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in zip(offsets, offsets[1:], strict=False))
    assert any_embedder.count_tokens([text]) == [len(offsets) + any_embedder.special_tokens]


def test_offsets_have_no_noise_and_no_limit(
    embedder: SentenceTransformerEmbedding, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(embedder.token_offsets("fox " * 2000)) == 2000
    assert capfd.readouterr() == ("", "")


def test_both_satisfy_the_protocol(any_embedder: Embedder) -> None:
    assert isinstance(any_embedder, Embedder)
    assert any_embedder.fingerprint


def test_instances_share_weights(embedder: SentenceTransformerEmbedding, minilm_folder: Path) -> None:
    again = load_embedder("bundled:minilm", dtype="float32")
    assert again.fingerprint == embedder.fingerprint == load_embedder("bundled:minilm", dtype="bfloat16").fingerprint
    assert load_trunk(minilm_folder, dtype="float32") is load_trunk(minilm_folder, dtype="float32")


def test_bfloat16_is_near(embedder: SentenceTransformerEmbedding) -> None:
    rough = load_embedder("bundled:minilm", dtype="bfloat16")
    assert rough.dtype == "bfloat16"
    assert np.min(np.sum(rough.embed(MIXED[:10]) * embedder.embed(MIXED[:10]), axis=1)) > 0.999


def test_bad_folders(tmp_path: Path, minilm_folder: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        load_embedder("st:./nowhere")
    with pytest.raises(UsageError, match=r"modules\.json"):
        load_embedder(f"st:{tmp_path}")
    folder = tmp_path / "damaged"
    shutil.copytree(minilm_folder, folder)
    (folder / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="cannot load the embedder"):
        load_embedder(f"st:{folder}")
    with pytest.raises(UsageError, match="batch_tokens"):
        load_embedder("bundled:minilm", batch_tokens=0)


def test_loads_offline_without_sentence_transformers(minilm_folder: Path) -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*args): raise AssertionError('a network call')\n"
        "socket.socket.connect = refuse\nsocket.getaddrinfo = refuse\n"
        "from ragloom.models import load_embedder\n"
        "assert load_embedder('bundled:minilm').embed_query('x').shape == (384,)\n"
        "assert 'sentence_transformers' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
