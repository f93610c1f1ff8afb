"""The drafter's training: what is learnt of a row, its loss, and from rows to an artifact."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from draft_kit import town_rows
from tiny_causal import make_causal

from ragloom.errors import ArtifactError, UsageError
from ragloom.finetune.causal_base import base_folder, load_base, load_tokenizer
from ragloom.finetune.causal_training import IGNORED, prompt_ids, train_causal
from ragloom.finetune.completion_loss import completion_trainer
from ragloom.finetune.data.rows import write_rows
from ragloom.finetune.drafting import draft_example, draft_prompt, right_draft
from ragloom.finetune.generation import greedy
from ragloom.finetune.methods import peft_config
from ragloom.finetune.options import TrainOptions, no_tell
from ragloom.finetune.recipe import Built
from ragloom.finetune.recipes import drafter
from ragloom.models.drafts import parse_draft, render_draft


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [render_draft(right_draft(row)) for row in town_rows(40)]
    texts += [message["content"] for row in town_rows(40) for message in draft_prompt(row)]
    return make_causal(tmp_path_factory.mktemp("base"), texts)


def _built(folder: Path, train: int = 24) -> Built:
    parts = {"train": town_rows(train, "a"), "dev": town_rows(6, "b"), "test": town_rows(10, "c")}
    paths = {part: folder / "rows" / f"{part}.jsonl" for part in parts}
    counts = {part: write_rows(paths[part], rows) for part, rows in parts.items()}
    return Built(files=paths, counts=counts, sources=())  # type: ignore[arg-type]


def test_only_the_completion_is_learnt(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    for row in town_rows(5):
        made = draft_example(tokenizer, row, 512)
        assert made is not None
        example, kept = made
        prompt = prompt_ids(tokenizer, draft_prompt(row))
        ids, labels = example["input_ids"], example["labels"]
        assert kept == [0, 1]
        assert ids[: len(prompt)] == prompt
        assert labels[: len(prompt)] == [IGNORED] * len(prompt)
        assert labels[len(prompt) :] == ids[len(prompt) :]
        assert ids[-1] == tokenizer.eos_token_id
        said = tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)
        assert parse_draft(said) == right_draft(row)


def test_long_rows_lose_distractors_and_keep_the_gold(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    row = town_rows(1)[0]
    row["passages"] = ["Filler text. " * 20, *row["passages"], "More filler. " * 20]
    row["gold"] += 1
    whole = draft_example(tokenizer, row, 2000)
    cut = draft_example(tokenizer, row, 220)
    assert whole is not None and len(whole[0]["input_ids"]) > 220 and whole[1] == [0, 1, 2, 3]
    assert cut is not None and len(cut[0]["input_ids"]) <= 220
    assert row["gold"] in cut[1] and len(cut[1]) < 4
    assert right_draft(row, cut[1]).cited == (cut[1].index(row["gold"]) + 1,)
    assert draft_example(tokenizer, row, 40) is None


def test_training_measures_base_and_drafter(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = drafter.DEFAULTS.updated(
        base=f"hf:{base}", max_steps=12, batch_size=4, accumulate=1, evaluations=2, answer_tokens=12, measured=6,
        device="cpu", precision="float32", learning_rate=5e-3,
    )  # fmt: skip
    outcome = drafter.train(_built(tmp_path), tmp_path, options, no_tell)
    assert capsys.readouterr().out == ""  # stdout belongs to the command's result
    assert outcome.inputs == "drafter"
    assert outcome.files == ("adapter_config.json", "adapter_model.safetensors")
    assert outcome.metrics["drafter"]["n"] + outcome.metrics["drafter"]["unanswerable"] == 6
    assert outcome.metrics["base"].keys() == outcome.metrics["drafter"].keys()
    assert outcome.metrics["drafter_minus_base_f1"]["n"] == outcome.metrics["drafter"]["n"]
    assert outcome.metrics["general"]["nll"]["change"] != 0
    losses = [entry["loss"] for entry in outcome.curves if "loss" in entry]
    assert losses[-1] < losses[0]
    assert str(base) not in (tmp_path / "adapter_config.json").read_text()


@pytest.mark.parametrize("method", ["lora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full"])
def test_what_was_written_answers_like_what_was_trained(base: Path, tmp_path: Path, method: str) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    options = drafter.DEFAULTS.updated(
        base=f"hf:{base}", method=method, max_steps=3, batch_size=4, accumulate=1, evaluations=1, device="cpu",
        precision="float32", learning_rate=5e-2 if method not in ("freeze", "full") else 5e-3,
    )  # fmt: skip
    tokenizer = load_tokenizer(base)
    made = [draft_example(tokenizer, row, 512) for row in town_rows(8)]
    parts: Any = {"train": [one[0] for one in made if one], "dev": [one[0] for one in made if one][:2]}
    untrained = load_base(base, options)
    prompts = [prompt_ids(tokenizer, draft_prompt(row)) for row in town_rows(6)]

    def said(model: Any) -> list[list[int]]:
        return greedy(model.eval(), prompts, max_new_tokens=16, pad_id=0, stop=[2])

    before = said(untrained)
    trained = train_causal(untrained, tokenizer, parts, tmp_path, options, no_tell)
    if "adapter_config.json" in trained.files:
        whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        loaded: Any = PeftModel.from_pretrained(whole, str(tmp_path))
    else:
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    after = said(trained.model)
    assert after != before
    assert len({tuple(answer) for answer in after}) > 1
    assert said(loaded) == after


@pytest.mark.parametrize("method", ["lora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full"])
def test_every_method_trains_in_bfloat16(base: Path, tmp_path: Path, method: str) -> None:
    options = drafter.DEFAULTS.updated(
        base=f"hf:{base}", method=method, max_steps=2, batch_size=4, accumulate=1, evaluations=1, device="cpu",
        precision="bfloat16",
    )  # fmt: skip
    tokenizer = load_tokenizer(base)
    made = [draft_example(tokenizer, row, 512) for row in town_rows(8)]
    parts: Any = {"train": [one[0] for one in made if one], "dev": [one[0] for one in made if one][:2]}
    trained = train_causal(load_base(base, options), tokenizer, parts, tmp_path, options, no_tell)
    assert trained.settings["steps"] == 2
    assert 0 < trained.settings["train_loss"] < 20


@pytest.mark.parametrize("method", ["lora", "prefix", "prompt", "freeze"])
def test_the_loss_on_a_cpu_is_that_of_trl(base: Path, tmp_path: Path, method: str) -> None:
    """Which computes the logits of every token. The labels have holes, as those of a reflective model."""
    import peft
    import torch
    import trl
    from datasets import Dataset

    options = drafter.DEFAULTS.updated(base=f"hf:{base}", method=method, device="cpu", precision="float32")
    tokenizer = load_tokenizer(base)
    model = load_base(base, options)
    if (adapter := peft_config(options, "causal")) is not None:
        model = peft.get_peft_model(model, adapter)
    made = [draft_example(tokenizer, row, 512) for row in town_rows(5)]
    rows = [one[0] for one in made if one]
    rows[1]["labels"][-6:-3] = [IGNORED] * 3
    trainers = []
    for kind in (trl.SFTTrainer, completion_trainer(trl.SFTTrainer, model, cpu=True)):
        arguments = trl.SFTConfig(output_dir=str(tmp_path), max_length=None, use_cpu=True, bf16=False, report_to=[])
        data = Dataset.from_list(rows)
        trainers.append(kind(model=model, args=arguments, train_dataset=data, processing_class=tokenizer))
    assert type(trainers[0]) is not type(trainers[1])
    inputs = trainers[0].data_collator(rows)
    found = []
    for trainer in trainers:
        for items in (None, torch.tensor(50)):
            model.zero_grad()
            loss = trainer.compute_loss(model.eval(), dict(inputs), num_items_in_batch=items)
            loss.backward()
            slopes = [float(weight.grad.norm()) for weight in model.parameters() if weight.grad is not None]
            found.append([float(loss.detach()), *slopes])
    assert found[2] == pytest.approx(found[0], rel=1e-3, abs=1e-5)
    assert found[3] == pytest.approx(found[1], rel=1e-3, abs=1e-5)
    assert found[0][0] > 0.5 and max(found[0][1:]) > 1e-3


def test_long_and_short_rows_are_learnt_side_by_side(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Abstentions are short. From long to short, the last thing that is learnt would be to abstain.
    learnt: list[int] = []

    def recording(*arguments: Any, **more: Any) -> Any:
        class Recording(completion_trainer(*arguments, **more)):  # type: ignore[misc]
            def compute_loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
                learnt.append(inputs["input_ids"].shape[1])
                return super().compute_loss(model, inputs, *rest, **named)

        return Recording

    monkeypatch.setattr("ragloom.finetune.causal_training.completion_trainer", recording)
    rows = [{"input_ids": [3] * size, "labels": [3] * size} for size in (8, 24) * 32]
    options = TrainOptions(base=f"hf:{base}", batch_size=1, accumulate=4, epochs=1.0, evaluations=1)
    model, tokenizer = load_base(base, options), load_tokenizer(base)
    train_causal(model, tokenizer, {"train": rows}, tmp_path, options, no_tell)
    steps = [{*learnt[at : at + 4]} for at in range(0, 64, 4)]
    assert sorted(learnt) == [8] * 32 + [24] * 32
    assert sum(len(step) == 2 for step in steps) > 10, steps


@pytest.mark.parametrize("method", ["lora", "prefix", "prompt"])
def test_an_answer_does_not_depend_on_what_is_answered_with_it(base: Path, method: str) -> None:
    import peft
    import torch

    options = drafter.DEFAULTS.updated(base=f"hf:{base}", method=method, device="cpu", precision="float32")
    model = peft.get_peft_model(load_base(base, options), peft_config(options, "causal"))
    torch.manual_seed(1)
    for weight in model.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.5)
    rng = random.Random(0)
    prompts = [[rng.randrange(3, 260) for _ in range(size)] for size in (5, 9, 9, 17, 30)]
    alone = [greedy(model, [prompt], max_new_tokens=8, pad_id=0, stop=[2])[0] for prompt in prompts]
    assert greedy(model, prompts, max_new_tokens=8, pad_id=0, stop=[2]) == alone


def test_greedy_says_what_is_likeliest_whatever_the_base_prefers(base: Path) -> None:
    import torch

    model = load_base(base, drafter.DEFAULTS.updated(base=f"hf:{base}", device="cpu", precision="float32")).eval()
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.no_repeat_ngram_size = 1
    ids = [5, 6, 7]
    for _ in range(8):
        with torch.inference_mode():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    [said] = greedy(model, [[5, 6, 7]], max_new_tokens=8, pad_id=0, stop=[599])
    assert said == ids[3:]


def test_damaged_bases_are_named(base: Path, tmp_path: Path) -> None:
    import shutil

    from ragloom.errors import ModelError
    from ragloom.models.causal_model import load_causal_model

    options = drafter.DEFAULTS.updated(device="cpu")
    for name in ("model.safetensors", "tokenizer.json"):
        folder = tmp_path / name.partition(".")[0]
        shutil.copytree(base, folder)
        (folder / name).write_bytes((folder / name).read_bytes()[:200])
        with pytest.raises(UsageError, match="does not load"):
            load_base(folder, options) if name.startswith("model") else load_tokenizer(folder)
        with pytest.raises(ModelError, match="cannot load"):
            load_causal_model(f"hf:{folder}", device="cpu")


def _unlike(row: dict[str, Any], number: int) -> dict[str, Any]:
    """The row in a document of its own: texts that two parts share are left out of one."""
    passages = [f"Page {number}: {passage}" for passage in row["passages"]]
    origin = {**row["origin"], "document": f"towns:{number}"}
    return {**row, "question": f"{row['question']} See page {number}.", "passages": passages, "origin": origin}


def test_a_whole_run_loads_by_name(base: Path, tmp_path: Path) -> None:
    from ragloom.finetune.run import finetune
    from ragloom.models.causal_model import load_causal_model

    data, out = tmp_path / "mine.jsonl", tmp_path / "out"
    write_rows(data, (_unlike(row, number) for number, row in enumerate(town_rows(40))))
    given_ = {"max_steps": 2, "batch_size": 4, "accumulate": 1, "evaluations": 1, "answer_tokens": 4, "measured": 2}
    artifact = finetune("drafter", [data], out, base=f"hf:{base}", device="cpu", precision="float32", **given_)
    assert artifact.manifest.role == "drafter"
    assert artifact.manifest.inputs == "drafter"
    assert artifact.manifest.max_tokens == drafter.DEFAULTS.max_tokens
    assert artifact.manifest.metrics["drafter"]["n"] + artifact.manifest.metrics["drafter"]["unanswerable"] <= 2
    loaded = load_causal_model(f"drafter:{out}", device="cpu")
    prompts = [prompt_ids(loaded.tokenizer, draft_prompt(row)) for row in town_rows(2)]
    assert all(greedy(loaded.model, prompts, max_new_tokens=4, pad_id=0, stop=[2]))

    given_["method"] = "full"  # of the adapter that was there nothing is left, or it would be put on the whole model
    whole = finetune("drafter", [data], out, base=f"hf:{base}", device="cpu", precision="float32", fresh=True, **given_)
    assert "model.safetensors" in whole.manifest.files and not (out / "adapter_config.json").exists()
    assert not hasattr(load_causal_model(f"drafter:{out}", device="cpu").model, "peft_config")
    (out / "adapter_config.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"holds adapter_config\.json, which its manifest\.json does not name"):
        load_causal_model(f"drafter:{out}", device="cpu")
    with pytest.raises(UsageError, match="holds a model already"):
        finetune("drafter", [data], base, base=f"hf:{base}", device="cpu", fresh=True, **given_)
    assert (base / "model.safetensors").is_file()


def test_the_best_checkpoint_is_gone_on_from(base: Path, tmp_path: Path) -> None:
    options = drafter.DEFAULTS.updated(
        base=f"hf:{base}", max_steps=4, batch_size=4, accumulate=1, evaluations=2, answer_tokens=4, measured=2,
        device="cpu", precision="float32",
    )  # fmt: skip
    drafter.train(_built(tmp_path), tmp_path, options, no_tell)
    on = drafter.train(_built(tmp_path), tmp_path, options.updated(max_steps=6), no_tell)
    assert on.settings["steps"] == 6
    assert on.curves[0]["step"] < 4  # the curve begins where the first run did


def test_what_is_no_chat_model_is_refused(base: Path, tmp_path: Path) -> None:
    import shutil

    silent = tmp_path / "silent"
    shutil.copytree(base, silent)
    (silent / "chat_template.jinja").unlink()
    with pytest.raises(UsageError, match="chat template"):
        load_tokenizer(silent)
    config = json.loads((silent / "config.json").read_text())
    (silent / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    with pytest.raises(UsageError, match="no causal"):
        base_folder(f"hf:{silent}")
    with pytest.raises(UsageError, match="max_tokens"):
        options = drafter.DEFAULTS.updated(base=f"hf:{base}", max_tokens=16, max_steps=1, device="cpu")
        drafter.train(_built(tmp_path), tmp_path, options, no_tell)


def test_the_base_is_named_by_nothing_of_this_machine(base: Path) -> None:
    model = load_base(base, TrainOptions(base=f"hf:{base}", device="cpu", precision="float32"))
    assert model.name_or_path == ""
    assert model.lm_head.weight is model.model.embed_tokens.weight
