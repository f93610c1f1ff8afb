"""Options, methods, arguments and memory: what holds for all, what trains, what is refused."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.errors import UsageError
from ragloom.finetune.arguments import trainer_arguments, training_steps
from ragloom.finetune.attention import without_attention_dropout
from ragloom.finetune.memory import available_memory, check_memory, needed_memory
from ragloom.finetune.methods import KINDS, METHOD_KINDS, apply_freeze, check_method, load_arguments, peft_config
from ragloom.finetune.options import METHODS, TrainOptions

WORDS = 60
TRAINED = [(method, kind) for method in METHODS for kind in METHOD_KINDS[method] if method not in ("qlora", "linear")]


def model_of(kind: str, layers: int = 3) -> Any:
    """A tiny BERT or Llama of random weights."""
    from transformers import BertConfig, BertForSequenceClassification, BertModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 2}
    if kind == "causal":
        return LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=1, intermediate_size=64, pad_token_id=0))
    config = BertConfig(**sizes, intermediate_size=64, max_position_embeddings=64, num_labels=1)
    return (BertForSequenceClassification if kind == "pair" else BertModel)(config)


def wrapped(method: Any, kind: Any) -> Any:
    from peft import get_peft_model

    options = TrainOptions(method=method, rank=4)
    config = peft_config(options, kind)
    return apply_freeze(model_of(kind), options) if config is None else get_peft_model(model_of(kind), config)


def output(model: Any, ids: torch.Tensor) -> torch.Tensor:
    return model(input_ids=ids, attention_mask=torch.ones_like(ids))[0].float()


# -- options -----------------------------------------------------------------------------------------------------------

NUMBERS = ("epochs", "max_steps", "max_minutes", "batch_size", "accumulate", "learning_rate", "rank", "evaluations")


@settings(deadline=None, max_examples=30)
@given(st.sampled_from((*NUMBERS, "limit", "patience")), st.sampled_from([0, -1, -0.5, math.inf, math.nan]))
def test_a_count_that_is_not_positive_is_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=name):
        TrainOptions(**{name: value})


@settings(deadline=None, max_examples=30)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.floats(0.1, 50),
            "batch_size": st.integers(1, 512),
            "warmup": st.floats(0, 0.9),
            "method": st.sampled_from(METHODS),
            "seed": st.integers(0, 99),
            "schedule": st.sampled_from(["linear", "cosine", "constant"]),
        },
    )
)
def test_only_what_is_given_changes(given: dict[str, Any]) -> None:
    before = TrainOptions()
    after = before.updated(**given, rank=None)
    assert {name: getattr(after, name) for name in given} == given
    others = {field.name for field in dataclasses.fields(TrainOptions)} - given.keys()
    assert all(getattr(after, name) == getattr(before, name) for name in others)
    assert after.updated() == after


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"method": "lorra"}, "lora, qlora"),
        ({"warmup": 1.0}, "warmup"),
        ({"max_tokens": 8}, "max_tokens"),
        ({"schedule": "step"}, "linear, cosine"),
        ({"precision": "float16"}, "bfloat16"),
        ({"seed": -1}, "seed"),
        ({"method": "prefix", "gradient_checkpointing": True}, "gradient checkpointing"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TrainOptions(**setting)


def test_an_unknown_setting_is_named_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match=r"'lr'.*learning_rate"):
        TrainOptions().updated(lr=1)


# -- methods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "kind"), TRAINED)
def test_every_method_trains_and_loads_again(method: Any, kind: Any, tmp_path: Path) -> None:
    from peft import PeftModel

    model = wrapped(method, kind)
    ids = torch.randint(1, WORDS, (4, 10), generator=torch.Generator().manual_seed(1))
    before = output(model.eval(), ids)
    learned = {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
    frozen = {name: value.detach().clone() for name, value in model.named_parameters() if not value.requires_grad}
    assert learned
    assert bool(frozen) == (method != "full")
    optimiser = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=0.05)
    model.train()
    for _ in range(2):
        optimiser.zero_grad()
        output(model, ids).square().mean().backward()
        optimiser.step()
    now = dict(model.named_parameters())
    assert any(not torch.equal(now[name], value) for name, value in learned.items())
    assert all(torch.equal(now[name], value) for name, value in frozen.items())
    after = output(model.eval(), ids)
    assert not torch.allclose(before, after, atol=1e-4)
    if not hasattr(model, "peft_config"):
        return
    model.save_pretrained(str(tmp_path))
    again = PeftModel.from_pretrained(model_of(kind), str(tmp_path)).eval()
    assert torch.allclose(output(again, ids), after, atol=1e-5)


def test_a_bottleneck_changes_nothing_at_first_and_nothing_when_it_is_switched_off() -> None:
    ids = torch.randint(1, WORDS, (2, 8))
    bare, model = model_of("causal").eval(), wrapped("bottleneck", "causal").eval()
    assert torch.equal(output(bare, ids), output(model, ids))
    for name, value in model.named_parameters():
        if "bottleneck_" in name:
            torch.nn.init.normal_(value)
    assert not torch.allclose(output(bare, ids), output(model, ids))
    with model.disable_adapter():
        assert torch.equal(output(bare, ids), output(model, ids))


def test_a_bottleneck_is_not_linear() -> None:
    """What tells it from a renamed LoRA: the change of a doubled input is not the doubled change."""
    model = wrapped("bottleneck", "causal")
    layer = next(module for name, module in model.named_modules() if name.endswith("down_proj"))
    for name, value in layer.named_parameters():
        torch.nn.init.normal_(value, generator=torch.Generator().manual_seed(len(name)))
    change = lambda x: layer(x) - layer.base_layer(x)  # noqa: E731
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(change(2 * x) - change(0 * x), 2 * (change(x) - change(0 * x)), rtol=0.05, atol=0.01)


def test_attention_without_dropout_leaves_the_other_dropout() -> None:
    from transformers import BertConfig, BertModel

    sizes: dict[str, Any] = {"vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    ids = torch.tensor([[1, 2, 3, 4]])

    def differs(hidden: float, attention: float) -> bool:
        torch.manual_seed(0)
        config = BertConfig(**sizes, hidden_dropout_prob=hidden, attention_probs_dropout_prob=attention)
        model = BertModel(config)
        assert without_attention_dropout(model) == (3 if attention else 0)
        assert without_attention_dropout(model) == 0
        calm = model.eval()(input_ids=ids).last_hidden_state
        return not torch.allclose(model.train()(input_ids=ids).last_hidden_state, calm, atol=1e-5)

    assert not differs(hidden=0.0, attention=0.5)
    assert differs(hidden=0.5, attention=0.5)
    assert differs(hidden=0.5, attention=0.0)


def test_a_classifier_trains_its_head_whole() -> None:
    for method in ("lora", "ia3", "bottleneck"):
        named = [name for name, value in wrapped(method, "pair").named_parameters() if value.requires_grad]
        assert any("pooler.modules_to_save" in name for name in named), method
        assert any("classifier.modules_to_save" in name for name in named), method
        assert not any("pooler" in name and "lora" in name for name in named)


def test_lora_changes_every_linear_layer_of_a_causal_model_but_the_output() -> None:
    named = {name for name, _ in wrapped("lora", "causal").named_parameters() if "lora_A" in name}
    for layer in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"):
        assert sum(f".{layer}." in name for name in named) == 3
    assert not any("lm_head" in name for name in named)


@pytest.mark.parametrize(("layers", "free"), [(1, 1), (2, 1), (3, 2), (6, 2)])
def test_freeze_trains_the_last_layers_and_the_head(layers: int, free: int) -> None:
    model = apply_freeze(model_of("pair", layers), TrainOptions(method="freeze"))
    named = {name for name, value in model.named_parameters() if value.requires_grad}
    assert {int(name.split("layer.")[1].split(".")[0]) for name in named if "layer." in name} == set(
        range(layers - free, layers)
    )
    assert {"classifier.weight", "bert.pooler.dense.weight"} <= named
    assert not any("embeddings" in name for name in named)


def test_freeze_leaves_other_methods_alone() -> None:
    model = apply_freeze(model_of("pair"), TrainOptions(method="full"))
    assert all(value.requires_grad for value in model.parameters())


@pytest.mark.parametrize(("method", "kind"), [(m, k) for m in METHODS for k in KINDS if k not in METHOD_KINDS[m]])
def test_a_method_that_does_not_apply_is_refused_with_those_that_do(method: Any, kind: Any) -> None:
    with pytest.raises(UsageError, match="lora") as caught:
        peft_config(TrainOptions(method=method), kind)
    assert repr(method) in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_qlora_without_a_gpu_is_refused_before_anything_loads() -> None:
    for call in (lambda o: check_method(o, "causal"), lambda o: peft_config(o, "pair"), load_arguments):
        with pytest.raises(UsageError, match=r"CUDA.*--method lora"):
            call(TrainOptions(method="qlora"))
    assert load_arguments(TrainOptions(method="lora")) == {}


def test_more_settings_of_a_method_can_be_given() -> None:
    config = peft_config(TrainOptions(method="lora", rank=8), "causal", trainable_token_indices=[1, 2], lora_dropout=0)
    assert (config.trainable_token_indices, config.lora_dropout, config.r) == ([1, 2], 0, 8)


# -- arguments ---------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    rows=st.integers(1, 5000),
    batch=st.integers(1, 64),
    accumulate=st.integers(1, 8),
    epochs=st.floats(0.1, 5),
    evaluations=st.integers(1, 20),
)
def test_evaluations_are_as_many_as_asked_for_or_fewer(
    rows: int, batch: int, accumulate: int, epochs: float, evaluations: int
) -> None:
    options = TrainOptions(
        batch_size=batch, accumulate=accumulate, epochs=epochs, evaluations=evaluations, device="cpu"
    )
    found = trainer_arguments(options, Path("out"), rows, metric="eval_loss", greater_is_better=False)
    steps = training_steps(options, rows)
    assert found["eval_steps"] == found["save_steps"]  # the best checkpoint must be one that was measured
    assert math.ceil(steps / found["eval_steps"]) <= evaluations
    assert 0 <= found["warmup_steps"] <= steps


@pytest.mark.parametrize(
    "options",
    [
        TrainOptions(batch_size=4, epochs=1.5, device="cpu"),
        TrainOptions(batch_size=3, accumulate=2, epochs=2, device="cpu"),
        TrainOptions(max_steps=7, device="cpu"),
    ],
)
def test_steps_are_those_that_the_trainer_counts(options: TrainOptions, tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    rows = Dataset.from_dict({"input_ids": [[1, 2, 3]] * 17, "labels": [[1, 2, 3]] * 17})
    arguments = {**trainer_arguments(options, tmp_path, 17, metric=None), "save_strategy": "no"}
    trainer = Trainer(model_of("causal", 1), TrainingArguments(**arguments), train_dataset=rows)
    trainer.train()
    assert trainer.state.global_step == training_steps(options, 17)


def test_arguments_fit_all_trainers(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoderTrainingArguments, SentenceTransformerTrainingArguments
    from trl import SFTConfig

    given = trainer_arguments(TrainOptions(gradient_checkpointing=True), tmp_path, 100, metric="eval_loss")
    for kind in (SFTConfig, SentenceTransformerTrainingArguments, CrossEncoderTrainingArguments):
        assert kind(**given).output_dir == str(tmp_path / "checkpoints")


@pytest.mark.parametrize(
    ("device", "says"), [("tpu", "cpu, cuda or mps"), *([] if torch.cuda.is_available() else [("cuda", "no device")])]
)
def test_a_device_that_is_not_there_is_refused(device: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        trainer_arguments(TrainOptions(device=device), Path(), 10, metric=None)


def test_patience_without_a_dev_part_is_refused() -> None:
    with pytest.raises(UsageError, match="patience"):
        trainer_arguments(TrainOptions(patience=2), Path(), 10, metric=None)


# -- memory ------------------------------------------------------------------------------------------------------------

SIZES = {"parameters": 22_000_000, "trainable": 700_000, "hidden": 384, "layers": 6}


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 512), st.integers(16, 2048))
def test_more_of_anything_needs_more(batch: int, tokens: int) -> None:
    def total(**changed: Any) -> int:
        sizes = {**SIZES, **{name: changed.pop(name) for name in list(changed) if name in (*SIZES, "vocabulary")}}
        return sum(needed_memory(TrainOptions(batch_size=batch, max_tokens=tokens, **changed), **sizes).values())

    least = total(precision="bfloat16")
    assert least <= total(precision="float32")
    assert least < total(precision="bfloat16", layers=12)
    assert least < total(precision="bfloat16", trainable=22_000_000)
    assert least < total(precision="bfloat16", vocabulary=49_152)
    assert total(precision="bfloat16", gradient_checkpointing=True) < least


def test_what_does_not_fit_is_refused_with_what_to_lower() -> None:
    free = available_memory("cpu")
    assert free
    with pytest.raises(UsageError, match=r"GB.*are free.*--batch-size \d+ --accumulate \d+.*--gradient-checkpointing"):
        check_memory(TrainOptions(batch_size=1_000_000, max_tokens=512, device="cpu"), **SIZES)
    with pytest.raises(UsageError, match="--method lora"):
        check_memory(TrainOptions(device="cpu"), **{**SIZES, "parameters": 10**12, "trainable": 10**12})
    check_memory(TrainOptions(batch_size=1, max_tokens=16, device="cpu"), parameters=1, trainable=1, hidden=1, layers=1)


def test_weights_that_are_loaded_are_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    options = TrainOptions(batch_size=1, max_tokens=16, device="cpu")
    sizes = {"parameters": 10**9, "trainable": 1, "hidden": 8, "layers": 1}
    needed = needed_memory(options, **sizes)
    free = sum(needed.values()) - needed["weights"] + 1
    monkeypatch.setattr("ragloom.finetune.memory.available_memory", lambda device: free)
    check_memory(options, **sizes, loaded=True)
    with pytest.raises(UsageError, match="are free"):
        check_memory(options, **sizes)


def test_files_that_were_read_are_no_memory_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"max": "1000", "current": "900", "memory.stat": "anon 300\ninactive_file 500\n"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("ragloom.finetune.memory._GROUPS", ((str(tmp_path / "max"), str(tmp_path / "current")),))
    assert available_memory("cpu") == 600
