"""Classifiers of pairs against PEFT and transformers themselves, on a tiny BERT."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_bert import make_tiny_bert
from tokenizers import Tokenizer

import ragloom.models.bert as bert_module
from ragloom.errors import ArtifactError, UnknownModelError
from ragloom.models import load_embedder
from ragloom.models.artifacts import MANIFEST, Base, Calibration, Manifest, file_hash
from ragloom.models.pair_classifier import PairClassifier, encode_pairs, load_pair_classifier

LABELS = {1: ("relevant",), 3: ("fully", "partially", "none")}
PEFT_FILES = ("adapter_config.json", "adapter_model.safetensors")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")


def pairs_of(count: int = 25, *, longest: int = 60, seed: int = 0) -> list[tuple[str, str]]:
    draw = random.Random(seed)

    def text() -> str:
        return " ".join(f"w{draw.randrange(200)}" for _ in range(draw.randrange(longest)))

    return [*((text(), text()) for _ in range(count)), ("w1 w2", ""), ("", "w3"), ("", "")]


def write_manifest(folder: Path, base: Path, files: tuple[str, ...], *, labels: int, **given: Any) -> Path:
    manifest = Manifest(
        role=given.pop("role", "evaluator"),
        name=folder.name,
        base=Base(spec=f"st:{base}", sha256=file_hash(base / "model.safetensors")),
        method=given.pop("method", "lora"),
        files={name: file_hash(folder / name) for name in files},
        labels=LABELS[labels],
        max_tokens=given.pop("max_tokens", 48),
        **given,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return folder


def adapted(base: Path, folder: Path, config: Any, *, labels: int, seed: int = 0, **given: Any) -> Any:
    """An artifact with random adapter weights in `folder`, and PEFT's own model of it."""
    from peft import get_peft_model
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(seed)
    whole = AutoModelForSequenceClassification.from_pretrained(str(base), num_labels=labels)
    model = get_peft_model(whole, config).eval()
    for name, value in model.named_parameters():
        if value.requires_grad and "prompt" not in name:
            value.data += 0.1 * torch.randn_like(value)
    model.save_pretrained(str(folder), save_embedding_layers=False)
    write_manifest(folder, base, PEFT_FILES, labels=labels, **given)
    return model


def lora(**given: Any) -> Any:
    from peft import LoraConfig

    targets = ["query", "key", "value", "attention.output.dense", "intermediate.dense"]
    return LoraConfig(
        **{"task_type": "SEQ_CLS", "r": 4, "target_modules": targets, "modules_to_save": ["classifier", "pooler"]}
        | given
    )


def expected(model: Any, base: Path, pairs: list[tuple[str, str]], max_tokens: int = 48) -> np.ndarray:
    """Logits by transformers, one pair at a time, so that no padding is in the way."""
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    rows = []
    for row in encode_pairs(tokenizer, pairs, max_tokens):
        with torch.inference_mode():
            given = {"input_ids": torch.tensor([row.ids]), "token_type_ids": torch.tensor([row.type_ids])}
            rows.append(model(**given, attention_mask=torch.ones(1, len(row), dtype=torch.long)).logits[0].numpy())
    return np.stack(rows)


def load(folder: Path, role: Any = "evaluator") -> PairClassifier:
    return load_pair_classifier(f"{role}:{folder}", role, device="cpu", dtype="float32")


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("rank_stabilised", [False, True])
def test_logits_on_the_shared_trunk_are_those_of_peft(
    base: Path, tmp_path: Path, labels: int, rank_stabilised: bool
) -> None:
    model = adapted(base, tmp_path / "a", lora(lora_alpha=16, use_rslora=rank_stabilised), labels=labels)
    pairs = pairs_of()
    found = load(tmp_path / "a").logits(pairs)
    np.testing.assert_allclose(found, expected(model, base, pairs), atol=1e-5)
    assert found.std(axis=0).min() > 0.01  # not equal because everything is alike


def test_pairs_within_the_limit_are_encoded_as_transformers_does(base: Path) -> None:
    from transformers import AutoTokenizer

    own = Tokenizer.from_file(str(base / "tokenizer.json"))
    own.no_padding()
    pairs = pairs_of(longest=20)
    found = AutoTokenizer.from_pretrained(str(base))([a for a, _ in pairs], [b for _, b in pairs])
    assert [row.ids for row in encode_pairs(own, pairs, 64)] == found["input_ids"]
    assert [row.type_ids for row in encode_pairs(own, pairs, 64)] == found["token_type_ids"]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [(5, 100, (5, 40)), (100, 5, (40, 5)), (100, 100, (22, 23)), (30, 30, (22, 23)), (22, 23, (22, 23))],
)
def test_what_is_cut(base: Path, first: int, second: int, kept: tuple[int, int]) -> None:
    own = Tokenizer.from_file(str(base / "tokenizer.json"))
    own.no_truncation()
    pair = (" ".join(["w1"] * first), " ".join(["w2"] * second))
    row = encode_pairs(own, [pair, pair], 48)[1]  # the second time: cutting the first one spoiled nothing
    one, two = own.token_to_id("w1"), own.token_to_id("w2")
    assert (row.ids.count(one), row.ids.count(two)) == kept
    assert len(row.ids) <= 48


def test_critics_and_embedder_share_one_trunk_and_do_not_disturb_each_other(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModel

    loaded = []
    real = bert_module.load_weights
    monkeypatch.setattr(bert_module, "load_weights", lambda *a, **k: (loaded.append(1), real(*a, **k))[1])
    own = make_tiny_bert(tmp_path / "own")
    models = [
        adapted(own, tmp_path / f"{role}-{seed}", config, labels=labels, seed=seed, role=role)
        for seed, (role, labels, config) in enumerate(
            [
                ("evaluator", 1, lora()),
                ("support", 3, lora(target_modules=["value"])),
                ("support", 3, lora(target_modules=["query", "output.dense"], r=2)),
            ]
        )
    ]
    critics = [
        load(path, role=path.name.split("-")[0]) for path in sorted(tmp_path.glob("*-*"), key=lambda p: p.name[-1])
    ]
    embedder = load_embedder(f"st:{own}", device="cpu", dtype="float32")
    pairs = pairs_of(12)
    texts = [text for text, _ in pairs if text]
    plain = AutoModel.from_pretrained(str(own)).eval()

    def vector(text: str) -> np.ndarray:
        ids = torch.tensor([Tokenizer.from_file(str(own / "tokenizer.json")).encode(text).ids[:64]])
        with torch.inference_mode():
            states = plain(input_ids=ids).last_hidden_state.mean(1)
        return torch.nn.functional.normalize(states)[0].numpy()

    short = [text for text in texts if len(text.split()) < 60]
    right: list[Any] = [*(expected(model, own, pairs) for model in models), np.stack([vector(text) for text in short])]
    ask: list[Any] = [*((lambda each=each: each.logits(pairs)) for each in critics), lambda: embedder.embed(short)]
    with ThreadPoolExecutor(4) as pool:
        order = [n % 4 for n in range(40)]
        for which, found in zip(order, pool.map(lambda n: ask[n](), order), strict=True):
            np.testing.assert_allclose(found, right[which], atol=1e-5)
    assert len(loaded) == 1


def test_a_classifier_is_loaded_once(base: Path, tmp_path: Path) -> None:
    adapted(base, tmp_path / "a", lora(), labels=1)
    assert load(tmp_path / "a") is load(tmp_path / "a")


def peft_config(name: str) -> Any:
    from peft import IA3Config, PrefixTuningConfig, PromptTuningConfig

    return {
        "prefix": lambda: PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4),
        "prompt": lambda: PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4),
        "ia3": lambda: IA3Config(
            task_type="SEQ_CLS", target_modules=["key", "value", "output.dense"], feedforward_modules=["output.dense"]
        ),
        "dora": lambda: lora(use_dora=True),
    }[name]()


@pytest.mark.parametrize("method", ["prefix", "prompt", "ia3", "dora"])
def test_other_adapters_run_in_transformers(base: Path, tmp_path: Path, method: str) -> None:
    kind = "lora" if method == "dora" else method
    model = adapted(base, tmp_path / "a", peft_config(method), labels=3, method=kind, max_tokens=40)
    pairs = pairs_of(12)
    np.testing.assert_allclose(load(tmp_path / "a").logits(pairs), expected(model, base, pairs, 40), atol=1e-5)


def test_a_whole_model_runs_in_transformers(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(str(base), num_labels=3).eval()
    model.save_pretrained(str(tmp_path / "a"))
    AutoTokenizer.from_pretrained(str(base)).save_pretrained(str(tmp_path / "a"))
    files = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    write_manifest(tmp_path / "a", base, files, labels=3, method="full")
    pairs = pairs_of(12)
    np.testing.assert_allclose(load(tmp_path / "a").logits(pairs), expected(model, base, pairs), atol=1e-5)


@pytest.mark.parametrize("labels", [1, 3])
def test_probabilities_follow_the_calibration(base: Path, tmp_path: Path, labels: int) -> None:
    shift = tuple(0.5 * n - 0.3 for n in range(labels))
    adapted(base, tmp_path / "a", lora(), labels=labels, calibration=Calibration(scale=1.7, shift=shift))
    critic = load(tmp_path / "a")
    values = torch.tensor(critic.logits(pairs_of())) * 1.7 + torch.tensor(shift)
    wanted = values.sigmoid() if labels == 1 else values.softmax(1)
    np.testing.assert_allclose(critic.probabilities(pairs_of()), wanted.numpy(), atol=1e-6)
    assert critic.probabilities([]).shape == (0, labels)


def test_what_does_not_fit_is_named(base: Path, tmp_path: Path) -> None:
    adapted(base, tmp_path / "a", lora(), labels=1)
    with pytest.raises(ArtifactError, match="was trained as evaluator, not as support"):
        load(tmp_path / "a", role="support")
    with pytest.raises(UnknownModelError, match="names no evaluator"):
        load_pair_classifier("st:somewhere", "evaluator")
    adapted(base, tmp_path / "headless", lora(modules_to_save=["classifier"]), labels=1)
    with pytest.raises(ArtifactError, match=r"has no pooler\.dense\.weight"):
        load(tmp_path / "headless")
    adapted(base, tmp_path / "words", lora(target_modules=["word_embeddings", "query"]), labels=1)
    with pytest.raises(ArtifactError, match="more than linear layers"):
        load(tmp_path / "words")
    adapted(base, tmp_path / "labels", lora(), labels=1, seed=5)  # a seed of its own: equal files are loaded once
    write_manifest(tmp_path / "labels", base, PEFT_FILES, labels=3)
    with pytest.raises(ArtifactError, match="names 3 labels, but its head has 1"):
        load(tmp_path / "labels")
    config = tmp_path / "a" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "r": 8}))
    with pytest.raises(ArtifactError, match="is damaged"):
        load(tmp_path / "a")
