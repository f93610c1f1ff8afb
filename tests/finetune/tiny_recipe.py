"""A recipe as small as can be, of the real parts: a tiny BERT that tells by words whether an answer is any use.

Put in the place of `ragloom.finetune.recipes.utility`. As a program it trains in a process that a test can kill:
`python tiny_recipe.py DATA OUT BASE [SECONDS A STEP] [OPTION=VALUE ...]`.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from ragloom.errors import UsageError
from ragloom.finetune.arguments import trainer_arguments
from ragloom.finetune.callbacks import callbacks, last_checkpoint
from ragloom.finetune.data.parts import PARTS, part_of
from ragloom.finetune.data.rows import read_rows, write_rows
from ragloom.finetune.memory import check_memory
from ragloom.finetune.methods import apply_freeze, peft_config
from ragloom.finetune.options import TrainOptions
from ragloom.finetune.recipe import Built, Outcome
from ragloom.models.artifacts import DataSource, base_of, file_hash

ROLE = "utility"
SUMMARY = "question and answer to how useful the answer is"
METHODS = ("lora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full")
DEFAULTS = TrainOptions(
    base="bundled:minilm", epochs=4, batch_size=8, learning_rate=5e-3, rank=4, max_tokens=16, evaluations=6
)
WORDS = ("good", "bad", *(f"w{n}" for n in range(40)))
PAUSE = [0.0]
STARTS: list[str | None] = []
"""The checkpoints that trainings of this process began from."""


def make_base(folder: Path, *, hidden: int = 32, layers: int = 2) -> Path:
    """A BERT of random weights, with a tokenizer of whole words, as a sentence-transformers folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(names),
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=2 * hidden,
            max_position_embeddings=64,
        )
    )
    model.save_pretrained(str(folder))
    fast.save_pretrained(str(folder))
    return folder


def make_data(folder: Path, rows: int = 240) -> Path:
    """Rows whose label is told by one word of the answer."""
    dice = random.Random(0)
    made = []
    for n in range(rows):
        word, label = dice.choice([("good", 5), ("bad", 1)])
        words = [word, *(f"w{dice.randrange(40)}" for _ in range(4))]
        dice.shuffle(words)
        question = " ".join(f"w{dice.randrange(40)}" for _ in range(3))
        origin = {"set": "rows", "id": str(n + 1), "document": f"rows:d{n}", "licence": ""}
        made.append({"question": question, "answer": " ".join(words), "label": label, "origin": origin})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return folder


def build(data: Any, out: Path, options: TrainOptions, tell: Any) -> Built:
    problems: list[Any] = []
    rows = [row for path in data for row in read_rows(path / "rows.jsonl", "utility", problems)]
    if not rows:
        raise UsageError("there is no row", hint=str(problems[0]) if problems else "")
    files, counts = {}, {}
    for part in PARTS:
        files[part] = out / "rows" / f"{part}.jsonl"
        counts[part] = write_rows(files[part], [row for row in rows if part_of(row["origin"]["document"]) == part])
    source = DataSource(name="made", licence="CC0-1.0", rows=len(rows), sha256=file_hash(data[0] / "rows.jsonl"))
    return Built(files, counts, (source,), tuple(problems), ("no duplicates",))


def train(built: Built, out: Path, options: TrainOptions, tell: Any) -> Outcome:
    import numpy as np
    import torch
    import transformers
    from datasets import Dataset
    from peft import get_peft_model

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    base, _ = base_of(options.base)
    transformers.set_seed(options.seed)
    model: Any = transformers.AutoModelForSequenceClassification.from_pretrained(str(base), num_labels=1)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(str(base))
    config = peft_config(options, "pair")
    model = apply_freeze(model, options) if config is None else get_peft_model(model, config)
    parameters = list(model.parameters())
    check_memory(
        options,
        parameters=sum(each.numel() for each in parameters),
        trainable=sum(each.numel() for each in parameters if each.requires_grad),
        hidden=model.config.hidden_size,
        layers=model.config.num_hidden_layers,
    )

    def part(name: Any) -> Any:
        rows = list(read_rows(built.files[name], "utility", []))
        encoded = tokenizer([r["question"] for r in rows], [r["answer"] for r in rows])
        return Dataset.from_dict({**encoded, "labels": [float(row["label"] > 3) for row in rows]})

    class Trainer(transformers.Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            labels = inputs.pop("labels")
            output = model(**inputs)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(output.logits[:, 0].float(), labels)
            return (loss, output) if return_outputs else loss

        def training_step(self, *given: Any, **named: Any) -> Any:
            time.sleep(PAUSE[0])
            return super().training_step(*given, **named)

    log: list[dict[str, float]] = []
    arguments = trainer_arguments(options, out, built.counts["train"], metric="eval_accuracy")
    trainer = Trainer(
        model=model,
        args=transformers.TrainingArguments(**arguments),
        train_dataset=part("train"),
        eval_dataset=part("dev"),
        processing_class=tokenizer,
        compute_metrics=lambda found: {"accuracy": float(np.mean((found[0][:, 0] > 0) == (found[1] > 0.5)))},
        callbacks=callbacks(options, tell, log),
    )
    STARTS.append(last_checkpoint(out))
    trainer.train(resume_from_checkpoint=STARTS[-1])
    found = trainer.predict(part("test"))
    model.save_pretrained(str(out))
    tokenizer.save_pretrained(str(out))
    weights = "model.safetensors" if config is None else "adapter_model.safetensors"
    names = (
        weights,
        "config.json" if config is None else "adapter_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    )
    return Outcome(
        labels=("useful",),
        inputs="question [SEP] answer",
        metrics={"test": {"accuracy": found.metrics["test_accuracy"], "n": built.counts["test"]}},
        settings={"steps": trainer.state.global_step},
        curves=tuple(log),
        files=names,
    )


def use() -> None:
    """Puts this module in the place of the recipe."""
    sys.modules["ragloom.finetune.recipes.utility"] = sys.modules[__name__]


if __name__ == "__main__":
    from ragloom.finetune import finetune

    use()
    PAUSE[0] = float(sys.argv[4])
    given = dict(item.split("=") for item in sys.argv[5:])
    finetune(
        "utility",
        [Path(sys.argv[1])],
        Path(sys.argv[2]),
        tell=lambda text, done, total: print(text, flush=True),
        base=f"st:{sys.argv[3]}",
        **{name: json.loads(value) for name, value in given.items()},
    )
