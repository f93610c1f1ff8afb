"""The embedder's recipe on a tiny BERT: it learns, resumes, keeps parts apart, and loads as it was measured."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.errors import UsageError
from ragloom.finetune import finetune
from ragloom.finetune.data.parts import document_of, part_of
from ragloom.finetune.embedding_measures import compare, judged, measure
from ragloom.models import load_embedder

_spec = importlib.util.spec_from_file_location("tiny_bert", Path(__file__).parents[1] / "tiny_bert.py")
assert _spec and _spec.loader
tiny_bert = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny_bert)

FAST = {"batch_size": 8, "epochs": 1.0, "evaluations": 2, "device": "cpu", "precision": "float32", "max_tokens": 32}
TEXTS = ["w1 w2 w3", "w4 w5 w6 w7", "w100", " ".join(f"w{n}" for n in range(120))]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert.make_tiny_bert(tmp_path_factory.mktemp("base") / "tiny")


def write_set(folder: Path, *, articles: int = 24) -> Path:
    """An answer set: each article has two passages of its own words, and asks for one of them."""
    folder.mkdir(parents=True)
    passages, questions = [], []
    for article in range(articles):
        for half in range(2):
            words = [f"w{(article * 7 + half * 3 + step) % 200}" for step in range(8)]
            key = f"p{article}-{half}"
            passages.append(
                {"id": key, "title": f"Article {article}", "text": " ".join(words) + f" answer{article}x{half}."}
            )
            asked = {"question": f"{words[0]} {words[3]} ?", "answers": [f"answer{article}x{half}"]}
            questions.append({"id": f"q{article}-{half}", "passage_ids": [key], "answerable": True, **asked})
    for name, rows in (("passages", passages), ("questions", questions)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "README.md").write_text("**Licence:** CC BY 4.0\n")
    return folder


def write_rows(path: Path, *, documents: int = 40, negatives: int = 1) -> Path:
    """Rows as a user may write them."""
    rows = []
    for number in range(documents):
        text = " ".join(f"w{(number * 5 + step) % 200}" for step in range(6))
        others = [" ".join(f"w{(number * 5 + 60 * turn + step) % 200}" for step in range(6)) for turn in (1, 2)]
        origin = {"set": "mine", "id": str(number), "document": f"mine:{number}", "licence": "MIT"}
        row = {"query": f"w{number * 5 % 200} w{(number * 5 + 2) % 200}", "positive": text}
        rows.append({**row, "negatives": others[:negatives], "origin": origin})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA embedder, trained once."""
    folder = tmp_path_factory.mktemp("lora")
    data = write_rows(folder / "rows.jsonl")
    finetune("embedder", [data], folder / "out", base=f"st:{base}", rank=4, learning_rate=5e-3, **FAST)
    return folder / "out"


def test_loaded_vectors_are_those_of_sentence_transformers_and_peft(trained: Path, base: Path) -> None:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(base), device="cpu", local_files_only=True)
    untrained = theirs.encode(TEXTS, normalize_embeddings=True)
    theirs.load_adapter(str(trained))
    ours = load_embedder(f"embedder:{trained}", dtype="float32", device="cpu")
    wanted = theirs.encode(TEXTS, normalize_embeddings=True)
    assert np.abs(ours.embed(TEXTS) - wanted).max() < 1e-5
    assert np.abs(wanted - untrained).max() > 1e-3, "the training changed nothing"
    # The trunk is shared: the base still gives its own vectors.
    assert np.abs(load_embedder(f"st:{base}", dtype="float32", device="cpu").embed(TEXTS) - untrained).max() < 1e-5


def test_manifest_says_what_was_measured(trained: Path) -> None:
    manifest = json.loads((trained / "manifest.json").read_text())
    test = manifest["metrics"]["test"]
    assert set(manifest["files"]) == {"adapter_config.json", "adapter_model.safetensors"}
    assert test["ndcg@10"]["difference"]["n"] == test["n"] > 0
    assert test["ndcg@10"]["difference"]["mean"] == pytest.approx(
        test["ndcg@10"]["trained"] - test["ndcg@10"]["base"], abs=2e-4
    )
    assert manifest["metrics"]["general"]["cosine"] < 1
    assert manifest["settings"]["strength"] in (0.5, 0.75, 1.0)
    assert str(trained.parent) not in (trained / "adapter_config.json").read_text()


def test_measured_again_with_the_loaded_artifact(trained: Path) -> None:
    rows = {part: _read(trained / "rows" / f"{part}.jsonl") for part in ("train", "dev", "test")}
    texts = [text for part in rows.values() for row in part for text in (row["positive"], *row["negatives"])]
    found = judged(rows["test"], texts)
    loaded = load_embedder(f"embedder:{trained}", dtype="float32", device="cpu")

    class Ours:
        """The two methods that measuring calls, by the loaded artifact."""

        def encode_document(self, texts: list[str], **_: Any) -> Any:
            return loaded.embed(texts)

        def encode_query(self, texts: list[str], **_: Any) -> Any:
            return np.stack([loaded.embed_query(text) for text in texts])

    again = measure(Ours(), found)
    told = json.loads((trained / "manifest.json").read_text())["metrics"]["test"]
    assert np.mean([row["ndcg@10"] for row in again.values()]) == pytest.approx(told["ndcg@10"]["trained"], abs=1e-3)


@pytest.mark.parametrize("method", ["full", "freeze"])
def test_whole_models_load_as_folders(base: Path, tmp_path: Path, method: str) -> None:
    from sentence_transformers import SentenceTransformer

    data = write_rows(tmp_path / "rows.jsonl", negatives=0)
    artifact = finetune("embedder", [data], tmp_path / "out", base=f"st:{base}", method=method, max_steps=2, **FAST)
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu", local_files_only=True)
    ours = load_embedder(f"embedder:{tmp_path / 'out'}", dtype="float32", device="cpu")
    assert np.abs(ours.embed(TEXTS) - theirs.encode(TEXTS, normalize_embeddings=True)).max() < 1e-5
    assert type(ours._trunk).__name__ == "_BertTrunk", "sentence-transformers 6 writes the pooling under another name"
    assert {"modules.json", "model.safetensors"} <= set(artifact.manifest.files)


def test_negatives_and_parts_of_an_answer_set(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLOOM_CACHE", str(tmp_path / "cache"))
    data = write_set(tmp_path / "set")
    artifact = finetune("embedder", [data], tmp_path / "out", base=f"st:{base}", max_steps=2, rank=2, **FAST)
    documents = {row["text"]: document_of("set", row["title"], row["id"]) for row in _read(data / "passages.jsonl")}
    rows = {part: _read(tmp_path / "out" / "rows" / f"{part}.jsonl") for part in ("train", "dev", "test")}
    for part, found in rows.items():
        for row in found:
            for text in (row["positive"], *row["negatives"]):
                owner = next(name for passage, name in documents.items() if passage in text)
                assert part_of(owner) == part, f"{text!r} of {owner} is in {part}"
    assert any(row["negatives"] for row in rows["train"])
    assert artifact.manifest.metrics["passages"] == len(documents), "the measuring must search the whole set"


def test_killed_and_resumed_is_the_same(base: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl")
    options = {**FAST, "max_steps": 4, "evaluations": 4, "rank": 2}
    finetune("embedder", [data], tmp_path / "whole", base=f"st:{base}", **options)

    class Killed(BaseException):
        pass

    def kill(text: str, done: int, total: int | None) -> None:
        if "left" in text and done >= 3:
            raise Killed

    with pytest.raises(Killed):
        finetune("embedder", [data], tmp_path / "cut", base=f"st:{base}", tell=kill, **options)
    steps = sorted(path.name for path in (tmp_path / "cut" / "checkpoints").glob("checkpoint-*"))
    assert steps, "nothing to resume from"
    finetune("embedder", [data], tmp_path / "cut", base=f"st:{base}", **options)
    left, right = (
        load_embedder(f"embedder:{tmp_path / name}", dtype="float32", device="cpu") for name in ("whole", "cut")
    )
    assert np.abs(left.embed(TEXTS) - right.embed(TEXTS)).max() < 1e-6


@pytest.mark.parametrize(
    "options", [{"loss": "guided"}, {"matryoshka": (16, 8)}, {"negatives": 0}], ids=["guided", "matryoshka", "pairs"]
)
def test_losses(base: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    data = write_rows(tmp_path / "rows.jsonl", negatives=2)
    artifact = finetune("embedder", [data], tmp_path / "out", base=f"st:{base}", max_steps=2, rank=2, **FAST, **options)
    assert np.isfinite(artifact.manifest.settings["training_loss"])


def test_replay_takes_titles_of_other_corpora(base: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl")
    other = tmp_path / "general"
    other.mkdir()
    lines = [{"id": str(n), "title": f"w{n} w{n + 1}", "text": f"w{n + 2} w{n + 3} w{n}"} for n in range(0, 100, 2)]
    (other / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = {"replay": 0.5, "replay_data": (other,), "max_steps": 2}
    artifact = finetune("embedder", [data], tmp_path / "out", base=f"st:{base}", rank=2, **FAST, **options)
    told = artifact.manifest.settings
    assert told["trained_rows"]["replay"] == told["replayed"]
    assert told["replayed"] == pytest.approx(0.5 * len(_read(tmp_path / "out/rows/train.jsonl")), abs=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loss": "triplet"}, "unknown loss 'triplet'"),
        ({"strengths": ()}, "strengths"),
        ({"matryoshka": (64,)}, "vectors have 32"),
        ({"method": "prefix"}, "prefix"),
        ({"base": "bundled:smollm2"}, "smollm2"),
    ],
)
def test_wrong_options_are_named(base: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    data = write_rows(tmp_path / "rows.jsonl")
    with pytest.raises(UsageError, match=said):
        finetune("embedder", [data], tmp_path / "out", **{"base": f"st:{base}", **FAST, "max_steps": 2, **options})


@given(values=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
@settings(max_examples=25, deadline=None)
def test_compared_means_and_difference_agree(values: list[tuple[float, float]]) -> None:
    before, after = (
        {f"q{n}": {"ndcg@10": pair[side], "recall@10": pair[side]} for n, pair in enumerate(values)} for side in (0, 1)
    )
    told = compare(before, after)["ndcg@10"]
    assert told["trained"] - told["base"] == pytest.approx(told["difference"]["mean"], abs=2e-4)
    assert told["difference"]["low"] - 1e-4 <= told["difference"]["mean"] <= told["difference"]["high"] + 1e-4


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
