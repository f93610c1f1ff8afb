"""Training of extractive readers: where in a passage the answer to a question begins and ends, or that it holds none.

Transformers' `Trainer` and its question-answering head: cross-entropy of the first and of the last token, where the
first position of all stands for no answer (Devlin et al., 2019, https://arxiv.org/abs/1810.04805, section 4.3).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError, UsageError
from ..models.artifacts import Artifact, Manifest, base_of, loadable_files
from ..models.pair_classifier import encode_pairs
from .arguments import trainer_arguments
from .artifact_files import store_half
from .attention import without_attention_dropout
from .callbacks import callbacks, last_checkpoint, seconds_spent
from .data.rows import TrainingRow
from .data.texts import place_of
from .drafting import gold_place, titled
from .forgetting import general_change, mean_states
from .memory import check_memory
from .methods import apply_freeze, check_method, peft_config
from .options import Tell, TrainOptions

if TYPE_CHECKING:
    from tokenizers import Encoding

__all__ = ("INPUTS", "SpanPair", "Trained", "answer_span", "draft_artifact", "forgotten", "span_pairs", "train_spans")

INPUTS = "question [SEP] passage"
NOWHERE = 0
"""Position of a beginning and an end where there is none."""
_LABELS = ("start_positions", "end_positions")


@dataclass(frozen=True, slots=True)
class SpanPair:
    """A question, a passage as the prompt shows it, and where in it the answer stands; None: nowhere."""

    question: str
    passage: str
    span: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training left in its folder, and what is known of it."""

    artifact: Artifact
    files: tuple[str, ...]
    settings: dict[str, Any]
    curves: tuple[dict[str, float], ...]


def answer_span(row: TrainingRow) -> tuple[int, int] | None:
    """Where the answer of a drafter's row stands in its gold passage, see `place_of`: first of all in its rationale.

    >>> answer_span({"passages": ["It rained in 1889. It opened in 1889."], "rationale": "It opened in 1889.",
    ...     "answer": "1889", "answerable": True, "gold": 0})
    (32, 36)
    """
    place = gold_place(row)
    if place < 0 or not row["answer"].strip():
        return None
    passage, answer = row["passages"][place], row["answer"].strip()
    begin = max(0, passage.find(row["rationale"])) if row["rationale"] else 0
    at = place_of(passage, answer, begin)
    return None if at is None else (at, at + len(answer))


def span_pairs(rows: Sequence[TrainingRow]) -> tuple[list[SpanPair], int]:
    """A pair of each passage, and how many rows were left out: their answer stands in no passage word for word."""
    pairs: list[SpanPair] = []
    lost = 0
    for row in rows:
        place = gold_place(row)
        span = answer_span(row)
        if row["answerable"] and span is None:
            lost += 1
            continue
        for number, passage in enumerate(row["passages"]):
            shown = titled(row, number)
            shift = len(shown) - len(passage)
            own = (span[0] + shift, span[1] + shift) if span and number == place else None
            pairs.append(SpanPair(row["question"], shown, own))
    return pairs, lost


def train_spans(
    train: Sequence[SpanPair], dev: Sequence[SpanPair], out: Path, options: TrainOptions, tell: Tell
) -> Trained:
    """Trains on pairs, keeps what has the lowest loss on dev, and writes it into `out`.

    A training that was cut off goes on at its last checkpoint. Raises `UsageError` for options or a base that cannot
    be trained, and where no pair holds an answer.
    """
    check_method(options, "span")
    if any(importlib.util.find_spec(name) is None for name in ("accelerate", "datasets")):
        raise MissingExtraError("fine-tuning", "finetune")
    import datasets
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments, set_seed

    set_seed(options.seed)
    tokenizer, model = _model(options)
    rows = {"train": _encoded(tokenizer, train, options), "dev": _encoded(tokenizer, dev, options)}
    if not any(row["start_positions"] for row in rows["train"]):
        raise UsageError(
            "no passage to train on holds an answer word for word", hint="an extractive reader learns from those alone"
        )
    arguments = trainer_arguments(
        options, out, len(rows["train"]), metric="eval_loss" if rows["dev"] else None, greater_is_better=False
    )
    log: list[dict[str, float]] = []
    trainer: Any = Trainer(
        model=model,
        args=TrainingArguments(
            **arguments,
            label_names=list(_LABELS),
            train_sampling_strategy="group_by_length",
            length_column_name="length",
        ),
        train_dataset=datasets.Dataset.from_list(rows["train"]),
        eval_dataset=datasets.Dataset.from_list(rows["dev"]) if rows["dev"] else None,
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=callbacks(options, tell, log),
    )
    trainer.remove_callback(PrinterCallback)  # it writes to stdout, which belongs to the result
    done = trainer.train(resume_from_checkpoint=last_checkpoint(out))
    model = trainer.accelerator.unwrap_model(trainer.model).eval()
    if trainer.is_world_process_zero():
        _save(model, tokenizer, out)
    trainer.accelerator.wait_for_everyone()
    settings = {
        "steps": int(done.global_step),
        "dev_loss": trainer.state.best_metric,
        "trained_pairs": len(rows["train"]),
        "pairs_with_answer": sum(row["start_positions"] != NOWHERE for row in rows["train"]),
        "seconds": round(seconds_spent(out), 1),
    }
    return Trained(draft_artifact(out, options), tuple(loadable_files(out)), settings, tuple(log))


def draft_artifact(out: Path, options: TrainOptions) -> Artifact:
    """What was just trained, ready to load; the manifest on disk is written when all is measured."""
    base = base_of(options.base)[1]
    return Artifact(
        out,
        Manifest(
            role="reader", name="draft", base=base, method=options.method, files={}, max_tokens=options.max_tokens
        ),
    )


def _model(options: TrainOptions) -> tuple[Any, Any]:
    """Tokenizer, and the base with a new head and what the method adds."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    path = str(base_of(options.base)[0])
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model: Any = AutoModelForQuestionAnswering.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UsageError(
            f"{options.base!r} does not load as a reader: {error}", hint="use bundled:minilm, st:PATH or hf:PATH"
        ) from error
    if not getattr(tokenizer, "is_fast", False):
        raise UsageError(f"{options.base!r} has no fast tokenizer", hint="it needs tokenizer.json")
    places = getattr(model.config, "max_position_embeddings", None)
    if places and options.max_tokens > places:
        raise UsageError(
            f"{options.base!r} reads {places} tokens, not {options.max_tokens}",
            hint=f"use --max-tokens {places} or fewer",
        )
    model = apply_freeze(model, options)
    without_attention_dropout(model)
    adapter = peft_config(options, "span")
    if adapter is not None:
        from peft import get_peft_model

        model = get_peft_model(model, adapter)
        model.peft_config["default"].base_model_name_or_path = options.base  # not where this machine keeps it
    sizes = [(value.numel(), value.requires_grad) for value in model.parameters()]
    check_memory(
        options,
        parameters=sum(count for count, _ in sizes),
        trainable=sum(count for count, trained in sizes if trained),
        hidden=model.config.hidden_size,
        layers=model.config.num_hidden_layers,
        loaded=True,
    )
    return tokenizer, model


def _encoded(tokenizer: Any, pairs: Sequence[SpanPair], options: TrainOptions) -> list[dict[str, Any]]:
    """Rows of token ids and positions, cut as the reader cuts; a pair whose answer is cut off is left out."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    typed = "token_type_ids" in tokenizer.model_input_names
    rows = []
    texts = [(pair.question, pair.passage) for pair in pairs]
    for pair, found in zip(pairs, encode_pairs(backend, texts, options.max_tokens, offsets=True), strict=True):
        positions = _positions(found, pair.span)
        if positions is None:
            continue
        types = {"token_type_ids": found.type_ids} if typed else {}
        labels = dict(zip(_LABELS, positions, strict=True))
        rows.append(
            {"input_ids": found.ids, "attention_mask": [1] * len(found), **types, **labels, "length": len(found)}
        )
    return rows


def _positions(row: Encoding, span: tuple[int, int] | None) -> tuple[int, int] | None:
    """First and last token of the span; None where it was cut off."""
    if span is None:
        return NOWHERE, NOWHERE
    inside = [at for at, sequence in enumerate(row.sequence_ids) if sequence == 1]
    first = next((at for at in inside if row.offsets[at][0] <= span[0] < row.offsets[at][1]), None)
    last = next((at for at in inside if row.offsets[at][0] < span[1] <= row.offsets[at][1]), None)
    return None if first is None or last is None else (first, last)


def _save(model: Any, tokenizer: Any, out: Path) -> None:
    if not hasattr(model, "peft_config"):
        model.save_pretrained(str(out))
        tokenizer.save_pretrained(str(out))
        return
    # Not asked whether the base's embeddings grew: that would look for the base on the hub.
    model.save_pretrained(str(out), save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)
    store_half(out)  # what is measured is what was saved


def forgotten(out: Path, options: TrainOptions) -> dict[str, Any]:
    """What the training did to the sentence vectors under the head, as it is stored in `out`."""
    from transformers import AutoModel, AutoModelForQuestionAnswering, AutoTokenizer

    path = str(base_of(options.base)[0])
    base: Any = AutoModel.from_pretrained(path, local_files_only=True).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True)
    if (out / "adapter_config.json").exists():
        from peft import PeftModel

        whole: Any = AutoModelForQuestionAnswering.from_pretrained(path, local_files_only=True)
        trained: Any = PeftModel.from_pretrained(whole, str(out)).eval()
    else:
        trained = AutoModel.from_pretrained(str(out), local_files_only=True).eval()
    before, after = (partial(mean_states, each, tokenizer, max_tokens=options.max_tokens) for each in (base, trained))
    return general_change(before, after, retrieval=options.general)
