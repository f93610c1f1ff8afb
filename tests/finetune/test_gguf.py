"""Trained chat models under llama.cpp give what transformers gives: adapters, merged files, added tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import httpx
import peft
import pytest
import torch
from gguf_kit import TEXTS, make_artifact, make_gguf

from ragloom.errors import ArtifactError, UsageError
from ragloom.finetune.export.gguf_lora import export_lora, merge_and_export
from ragloom.models import load_chat_model
from ragloom.models.adapter_gguf import served_files
from ragloom.models.artifacts import MANIFEST, Artifact, base_of, open_artifact
from ragloom.models.bottleneck import BottleneckConfig, register_bottleneck
from ragloom.models.causal_model import causal_folder, load_causal_model
from ragloom.models.gguf import read_header
from ragloom.models.llama_server import LlamaServer
from ragloom.models.scoring import load_scorer


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAGLOOM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("RAGLOOM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("base"))


def said_by_transformers(spec: str) -> list[list[int]]:
    """Greedy; the markers that end an answer are forbidden, so that every answer has its sixteen tokens."""
    loaded = load_causal_model(spec, device="cpu")
    result = []
    for text in TEXTS:
        ids = loaded.tokenizer(text, return_tensors="pt").input_ids
        settings = {"max_new_tokens": 16, "do_sample": False, "suppress_tokens": [0, 2]}
        out = loaded.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)
        result.append(out[0, ids.shape[1] :].tolist())
    return result


def said_by_llama_cpp(file: Path, adapter: Path | None = None) -> list[list[int]]:
    server = LlamaServer(file, adapter=adapter, threads=1, exact=True)
    settings = {"n_predict": 16, "temperature": 0, "ignore_eos": True, "return_tokens": True}
    try:
        return [ask(server, {"prompt": text, **settings})["tokens"] for text in TEXTS]
    finally:
        server.close()


def ask(server: LlamaServer, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {server.api_key}"}
    return httpx.post(f"{server.url}/completion", json=body, headers=headers, timeout=600).raise_for_status().json()


def test_a_gguf_base_is_the_same_model_in_transformers(base: Path) -> None:
    spec = f"gguf:{base}"
    said = said_by_transformers(spec)
    assert said == said_by_llama_cpp(base)
    assert [len(tokens) for tokens in said] == [16] * len(TEXTS)
    assert len({tuple(tokens) for tokens in said}) == len(TEXTS)


def test_scores_are_those_of_llama_cpp(base: Path) -> None:
    scored = load_scorer(f"gguf:{base}", device="cpu").score("The cat", " sat on the mat and looked")
    ids = load_causal_model(f"gguf:{base}", device="cpu").tokenizer("The cat sat on the mat and looked").input_ids
    first = len(ids) - len(scored.tokens)
    theirs = []
    server = LlamaServer(base, threads=1, exact=True)
    try:
        for i in range(first, len(ids)):
            answer = ask(server, {"prompt": ids[:i], "n_predict": 1, "n_probs": 320, "temperature": 0})
            every = answer["completion_probabilities"][0]["top_logprobs"]
            theirs.append(next(token["logprob"] for token in every if token["id"] == ids[i]))
    finally:
        server.close()
    assert first > 0 and len(theirs) > 4
    assert [token.logprob for token in scored.tokens] == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize(
    "settings",
    [{}, {"use_rslora": True}, {"rank_pattern": {"q_proj": 8}, "alpha_pattern": {"layers.1.mlp.up_proj": 3}}],
    ids=["plain", "rank-stabilised", "patterns"],
)
def test_an_adapter_says_the_same_in_both(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    spec = make_artifact(base, tmp_path / "drafter", **settings)
    file = export_lora(tmp_path / "drafter", base, tmp_path / "out.gguf", dtype="f32")
    ours = said_by_llama_cpp(base, file)
    assert said_by_transformers(spec) == ours
    assert all(a != b for a, b in zip(said_by_transformers(f"gguf:{base}"), ours, strict=True))
    head = read_header(file)
    assert (head["general.type"], head["adapter.type"], head["adapter.lora.alpha"]) == ("adapter", "lora", 8.0)


def test_the_base_may_be_named_by_its_transformers_folder(base: Path, tmp_path: Path) -> None:
    make_artifact(base, tmp_path / "drafter")
    one = export_lora(tmp_path / "drafter", base, tmp_path / "one.gguf")
    two = export_lora(tmp_path / "drafter", causal_folder(f"gguf:{base}"), tmp_path / "two.gguf")
    assert one.read_bytes() == two.read_bytes()


def test_merged_files_say_the_same(base: Path, tmp_path: Path) -> None:
    spec = make_artifact(base, tmp_path / "drafter")
    file = merge_and_export(open_artifact(spec, "drafter"), tmp_path / "merged.gguf", dtype="f32")
    assert said_by_transformers(spec) == said_by_llama_cpp(file)
    before, after = (gguf.GGUFReader(path) for path in (base, file))
    assert {tensor.name for tensor in before.tensors} == {tensor.name for tensor in after.tensors}
    for field in before.fields.values():
        if not field.name.startswith("GGUF."):
            assert after.get_field(field.name).contents() == field.contents(), field.name


@pytest.mark.parametrize("kind", ["whole", "dora", "ia3"])
def test_what_is_no_lora_is_merged_on_first_use(base: Path, tmp_path: Path, kind: str) -> None:
    ia3 = {"target_modules": ["k_proj", "v_proj", "down_proj"], "feedforward_modules": ["down_proj"]}
    settings: dict[str, dict[str, Any]] = {
        "whole": {"whole": True},
        "dora": {"use_dora": True},
        "ia3": {"config": peft.IA3Config(task_type="CAUSAL_LM", **ia3)},
    }
    spec = make_artifact(base, tmp_path / "drafter", **settings[kind])
    artifact = open_artifact(spec, "drafter")
    file, adapter = served_files(artifact)
    assert adapter is None
    made = file.stat().st_mtime_ns
    assert served_files(artifact)[0].stat().st_mtime_ns == made
    exact = merge_and_export(artifact, tmp_path / "merged.gguf", dtype="f32")
    assert said_by_transformers(spec) == said_by_llama_cpp(exact)
    with pytest.raises(ArtifactError, match="is no plain LoRA"):
        export_lora(tmp_path / "drafter", base, tmp_path / "lora.gguf")


def test_added_tokens_are_trained_read_and_written(base: Path, tmp_path: Path) -> None:
    added = ("[Relevant]", "[Irrelevant]", "[Utility:5]")
    spec = make_artifact(base, tmp_path / "reflective", role="reflective", tokens=added)
    artifact = open_artifact(spec, "reflective")
    file = merge_and_export(artifact, tmp_path / "merged.gguf", dtype="f32")
    assert said_by_transformers(spec) == said_by_llama_cpp(file)
    loaded = load_causal_model(spec)
    server = LlamaServer(file, threads=1)
    try:
        text = "The cat[Relevant] sat [Utility:5]"
        assert server.tokenize(text) == loaded.tokenizer(text).input_ids
        # Made to say one of them, it shows it.
        chosen = loaded.tokenizer.convert_tokens_to_ids("[Irrelevant]")
        body = {"prompt": "The cat", "n_predict": 1, "logit_bias": [[chosen, 1000.0]]}
        assert ask(server, body)["content"] == "[Irrelevant]"
    finally:
        server.close()
    assert load_scorer(spec).score("The cat", "[Relevant] sat").tokens[0].id == loaded.tokenizer.convert_tokens_to_ids(
        "[Relevant]"
    )


@pytest.mark.parametrize("kind", ["lora", "prompt", "prefix", "bottleneck"])
def test_every_adapter_can_be_scored(base: Path, tmp_path: Path, kind: str) -> None:
    register_bottleneck()
    configs: dict[str, Any] = {
        "lora": None,
        "prompt": peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
        "prefix": peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
        "bottleneck": BottleneckConfig(task_type="CAUSAL_LM", width=4),
    }
    scorer = load_scorer(make_artifact(base, tmp_path / "drafter", config=configs[kind]), device="cpu")
    pairs = [
        ("The cat", " sat on the mat"),
        ("Who wrote the", " letter"),
        ("Water boils at 100", " degrees; ice melts"),
    ]
    together = [scored.total for scored in scorer.score_many(pairs)]
    assert together == pytest.approx([scorer.score(*pair).total for pair in pairs], abs=1e-3)
    plain = load_scorer(f"gguf:{base}", device="cpu")
    assert all(abs(a - plain.score(*pair).total) > 0.01 for a, pair in zip(together, pairs, strict=True))


def test_chat_models_by_artifact(base: Path, tmp_path: Path) -> None:
    spec = make_artifact(base, tmp_path / "drafter")
    llm = load_chat_model(spec, max_tokens=8)
    plain = load_chat_model(f"gguf:{base}", max_tokens=8)
    assert llm.server() is load_chat_model(spec).server()  # type: ignore[attr-defined]
    assert llm.server() is not plain.server()  # type: ignore[attr-defined]
    assert llm.invoke(TEXTS[0]).content != plain.invoke(TEXTS[0]).content
    assert llm.get_num_tokens(TEXTS[0]) == plain.get_num_tokens(TEXTS[0])
    for model in (llm, plain):
        model.server().close()  # type: ignore[attr-defined]


def test_what_cannot_be_served_is_refused(base: Path, tmp_path: Path) -> None:
    prompt = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    with pytest.raises(UsageError, match=r"PROMPT_TUNING.*--method lora"):
        load_chat_model(make_artifact(base, tmp_path / "prompt", config=prompt))
    register_bottleneck()
    bottleneck = make_artifact(base, tmp_path / "bottleneck", config=BottleneckConfig(task_type="CAUSAL_LM", width=4))
    with pytest.raises(UsageError, match=r"BOTTLENECK.*--method lora"):
        load_chat_model(bottleneck)
    spec = make_artifact(base, tmp_path / "drafter")
    with pytest.raises(ArtifactError, match="was trained as drafter, not as reflective"):
        load_chat_model(f"reflective:{tmp_path / 'drafter'}")
    folder = causal_folder(f"gguf:{base}")
    found = open_artifact(spec, "drafter")
    other = found.manifest.model_copy(update={"base": base_of(f"hf:{folder}")[1]})
    (tmp_path / "drafter" / MANIFEST).write_text(other.model_dump_json())
    with pytest.raises(UsageError, match=r"transformers folder, which llama\.cpp cannot run"):
        load_chat_model(spec)
    with pytest.raises(UsageError, match="exists already"):
        merge_and_export(Artifact(found.folder, found.manifest), base)


def test_exported_by_the_command(base: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    spec = make_artifact(base, tmp_path / "drafter")
    told = cli("finetune", "export", spec, tmp_path / "lora.gguf", "--json").json
    assert (told["form"], told["dtype"]) == ("lora", "f16")
    assert told["bytes"] == (tmp_path / "lora.gguf").stat().st_size
    assert read_header(tmp_path / "lora.gguf")["general.type"] == "adapter"
    merged = cli("finetune", "export", tmp_path / "drafter", tmp_path / "merged.gguf", "--merged", "f32")
    assert merged.code == 0 and "merged.gguf" in merged.out
    assert said_by_transformers(spec) == said_by_llama_cpp(tmp_path / "merged.gguf")
    make_artifact(base, tmp_path / "whole", whole=True)
    for arguments, said in (
        ((spec, tmp_path / "lora.gguf"), "exists already"),
        ((spec, tmp_path / "nowhere" / "x.gguf"), "there is no folder"),
        ((spec, tmp_path / "x.gguf", "--merged", "q4"), "use --merged f32, f16, q8_0"),
        ((tmp_path / "whole", tmp_path / "x.gguf"), "--merged f16"),
        ((tmp_path, tmp_path / "x.gguf"), "is no artifact"),
        (("reflective:bundled", tmp_path / "x.gguf"), "ships no reflective"),
    ):
        found = cli("finetune", "export", *arguments)
        assert found.code and said in found.err, found.err
        assert not (tmp_path / "x.gguf").exists()
    assert not list(tmp_path.glob(".*.gguf*")), "a draft was left behind"
