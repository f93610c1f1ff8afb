"""Forgetting: what a training did to what the base could do, measured and shown for every role."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_recipe
import torch
from pair_kit import made_rows
from tiny_bert import make_tiny_bert

from ragloom.errors import UsageError
from ragloom.finetune import finetune
from ragloom.finetune.data.rows import write_rows
from ragloom.finetune.forgetting import (
    general_change,
    general_sentences,
    language_change,
    mean_states,
    negative_log_likelihood,
)
from ragloom.models import load_embedder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")


def write_set(folder: Path) -> Path:
    """A retrieval set in which each query is its document."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in {
        "corpus": [{"id": f"d{n}", "title": "", "text": f"w{n}"} for n in range(4)],
        "queries": [{"id": f"q{n}", "text": f"w{n}"} for n in range(4)],
        "qrels": [{"query_id": f"q{n}", "doc_id": f"d{n}", "relevance": 1} for n in range(4)],
    }.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_what_turned_the_vectors_is_seen(tmp_path: Path) -> None:
    names = sorted({word for text in (*general_sentences(), "w0 w1 w2 w3") for word in text.split()})

    def encode(texts: Any) -> Any:
        return np.array([[text.split().count(name) for name in names] for text in texts], dtype=np.float32)

    def worse(texts: Any) -> Any:
        return np.roll(encode(texts), 1, axis=1) + 0.01 * np.array([[len(text)] for text in texts])

    write_set(tmp_path)
    same = general_change(encode, encode, retrieval=tmp_path)
    assert same["cosine"] == pytest.approx(1)
    assert (same["ndcg@10"]["before"], same["ndcg@10"]["change"], same["ndcg@10"]["n"]) == (1, 0, 4)
    assert same["n"] >= 40
    changed = general_change(encode, worse)
    assert changed["cosine"] < 0.9 and "ndcg@10" not in changed


def test_the_likelihood_of_plain_sentences() -> None:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    base = tiny_recipe.make_base(Path("tiny"))
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**sizes, intermediate_size=64)).eval()
    texts = ["w1 w2 w3 w4", "good bad w7", "w9 w9 w9 w9 w9 w9 w9"]
    found = negative_log_likelihood(model, tokenizer, texts)
    total, count = 0.0, 0
    for text in texts:  # one by one, by the model's own loss
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            total += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert found == pytest.approx(total / count, rel=1e-4)
    assert language_change(found, found + 0.5)["nll"]["change"] == pytest.approx(0.5)


def test_states_under_a_classifier_are_the_vectors_of_the_embedder(base: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    texts = ["w1 w2 w3", "w7", "w9 w8 w7 w6 w5 w4"]
    model = AutoModelForSequenceClassification.from_pretrained(str(base), num_labels=3)
    found = mean_states(model, AutoTokenizer.from_pretrained(str(base)), texts)
    wanted = np.array(load_embedder(f"st:{base}", device="cpu", dtype="float32").get_text_embedding_batch(texts))
    cosine = (found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
    assert cosine == pytest.approx(np.ones(3), abs=1e-4)


@pytest.mark.parametrize(
    ("role", "options"),
    [
        ("retrieve", {"method": "lora"}),
        ("retrieve", {"method": "prompt"}),
        ("retrieve", {"method": "full"}),
        ("reranker", {"architecture": "late-interaction"}),
        ("router", {"method": "lora"}),
    ],
)
def test_every_card_says_what_was_forgotten(base: Path, tmp_path: Path, role: Any, options: dict[str, Any]) -> None:
    rows = made_rows("retrieve" if role == "router" else role, 80)
    if role == "router":
        rows = [{"text": row["question"], "label": row["label"], "origin": row["origin"]} for row in rows]
    data, general = tmp_path / "mine.jsonl", write_set(tmp_path / "general")
    write_rows(data, rows)
    given = {"base": f"st:{base}", "device": "cpu", "precision": "float32", "batch_size": 8, "max_tokens": 48}
    made = finetune(
        role, [data], tmp_path / "o", max_steps=3, learning_rate=1e-2, rank=4, general=str(general), **given, **options
    )
    told = made.manifest.metrics["general"]
    assert told["n"] >= 40 and told["cosine"] <= 1.0001
    assert told["ndcg@10"]["before"] == 1.0 and told["ndcg@10"]["set"] == "general"
    if options.get("method") == "full":
        assert told["cosine"] < 0.999
    assert "## What it forgot" in (tmp_path / "o" / "README.md").read_text()


@pytest.mark.parametrize(("role", "options"), [("drafter", {}), ("router", {"method": "linear"})])
def test_what_cannot_be_measured_is_refused(tmp_path: Path, role: Any, options: dict[str, Any]) -> None:
    general = str(write_set(tmp_path / "general"))
    with pytest.raises(UsageError, match="changes no vectors"):
        finetune(role, [tmp_path], tmp_path / "o", general=general, **options)


def test_a_general_set_that_is_none_is_named_before_the_training(base: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "mine.jsonl", made_rows("retrieve", 40))
    with pytest.raises(UsageError, match="nowhere"):
        finetune("retrieve", [tmp_path / "mine.jsonl"], tmp_path / "o", base=f"st:{base}", general="nowhere")
    assert not (tmp_path / "o").exists()
