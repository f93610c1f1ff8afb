"""Late interaction: scores are the weighted mean of the best cosines, whatever the batch, the length and the order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artifact_kit import make_artifact, make_base
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.errors import ArtifactError
from ragloom.models import load_reranker
from ragloom.models.artifacts import open_artifact
from ragloom.models.late_interaction import LateInteraction, token_weights

LATE = {"architecture": "late-interaction"}
CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
HALF = 2**-10
"""What one rounding to half precision may change: another batch sums in another order, and may round the other way."""
words = st.lists(st.integers(0, 199).map("w{}".format), min_size=1, max_size=12).map(" ".join)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "bert")


@pytest.fixture(scope="module")
def folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("late")
    return make_artifact(made, base, "embedder", settings=LATE) and as_reranker(made)


def as_reranker(folder: Path) -> Path:
    """An adapter without a head, as a reranker."""
    import json

    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "role": "reranker", "labels": ["relevant"]}))
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> LateInteraction:
    return LateInteraction.of(open_artifact(f"reranker:{folder}", "reranker"), **CPU)


@pytest.fixture(scope="module")
def theirs(base: Path, folder: Path, model: LateInteraction) -> Any:
    """transformers and PEFT, and the formula written out."""
    import torch
    from peft import PeftModel
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(base))
    encoder = PeftModel.from_pretrained(AutoModel.from_pretrained(str(base)), str(folder)).eval()

    def tokens(text: str) -> tuple[list[int], Any]:
        ids = tokenizer(text, truncation=True, max_length=model.max_tokens, return_tensors="pt")
        with torch.inference_mode():
            hidden = encoder(**ids).last_hidden_state[0, 1:-1]
        return ids["input_ids"][0, 1:-1].tolist(), torch.nn.functional.normalize(hidden, dim=-1).numpy()

    def score(question: str, passages: list[str]) -> list[float]:
        asked, own = tokens(question)
        read = [tokens(passage) for passage in passages]
        found = []
        for _, vectors in read:
            total = weights = 0.0
            for token, vector in zip(asked, own, strict=True):
                having = sum(token in ids for ids, _ in read)
                weight = np.log(1 + (len(passages) + 1) / (having + 0.5))
                total += weight * max(float(vector @ other) for other in vectors)
                weights += weight
            found.append(total / weights)
        return found

    return score


@settings(deadline=None, max_examples=25)
@given(words, st.lists(words, min_size=1, max_size=6))
def test_scores_are_those_of_transformers_and_the_formula(
    model: LateInteraction, theirs: Any, question: str, passages: list[str]
) -> None:
    assert model.score(question, passages) == pytest.approx(theirs(question, passages), abs=1e-3)


def test_long_passages_are_cut_as_transformers_cuts_them(model: LateInteraction, theirs: Any) -> None:
    long = " ".join(f"w{n % 200}" for n in range(150))
    assert model.score("w70 w3", [long, "w3"]) == pytest.approx(theirs("w70 w3", [long, "w3"]), abs=1e-3)


@settings(deadline=None, max_examples=25)
@given(words, st.lists(words, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_neither_order_nor_batches_matter(
    model: LateInteraction, question: str, passages: list[str], random: Any
) -> None:
    order = list(range(len(passages)))
    random.shuffle(order)
    whole = model.score(question, passages)
    assert (np.abs(whole) <= 1).all()
    shuffled = model.score(question, [passages[at] for at in order])
    assert shuffled == pytest.approx(whole[order], abs=HALF)
    small = LateInteraction(model._trunk, model._adapter, model.artifact)
    small.batch_tokens = 16
    assert small.score(question, passages) == pytest.approx(whole, abs=HALF)


def test_texts_without_a_token(model: LateInteraction) -> None:
    assert model.score("w1", []).shape == (0,)
    assert model.score("\u200b", ["w1"]).tolist() == [0.0]
    assert model.score("w1", ["\u200b", "w1"])[0] == 0.0


def test_what_is_known_is_not_read_again_and_scores_the_same(
    model: LateInteraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = LateInteraction(model._trunk, model._adapter, model.artifact)
    passages = [f"w{n} w{n + 1}" for n in range(9)]
    before = fresh.score("w1 w5", passages)
    read: list[str] = []
    inside = LateInteraction._encoded
    monkeypatch.setattr(LateInteraction, "_encoded", lambda self, texts: read.extend(texts) or inside(self, texts))
    assert (fresh.score("w1 w5", passages) == before).all()
    assert read == []
    monkeypatch.setattr("ragloom.models.late_interaction.KEPT", 2)
    assert (fresh.score("w1 w5", passages) == before).all()
    assert read
    assert len(fresh._known) == 2


def test_rare_tokens_weigh_more() -> None:
    weights = token_weights([1, 2, 3], [[1, 2], [1], [1]])
    assert weights[0] < weights[1] < weights[2]


def test_a_reranker_of_it(folder: Path, model: LateInteraction) -> None:
    reranker = load_reranker(f"reranker:{folder}", **CPU)
    assert reranker.score("w1 w2", ["w1", "w9 w2"]) == pytest.approx(model.score("w1 w2", ["w1", "w9 w2"]))


def test_an_artifact_without_an_adapter_is_refused(base: Path, tmp_path: Path) -> None:
    import json

    made = as_reranker(make_artifact(tmp_path / "ia3", base, "embedder", settings=LATE))
    config = json.loads((made / "adapter_config.json").read_text())
    (made / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    manifest = json.loads((made / "manifest.json").read_text())
    from ragloom.models.artifacts import file_hash

    manifest["files"]["adapter_config.json"] = file_hash(made / "adapter_config.json")
    (made / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="no plain LoRA adapter"):
        load_reranker(f"reranker:{made}", **CPU)
