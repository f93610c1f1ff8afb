"""Training of a reranker by late interaction: token vectors of question and passage, compared.

Sentence-transformers' `MultiVectorEncoderTrainer` with InfoNCE over the batch and the mined negatives; the similarity
is the mean over the question's tokens of the best cosine among those of the passage, each token weighing the same: the
weights of use (`models.late_interaction`) are of a whole list, which a batch does not have. What is measured afterwards
is the artifact, loaded as users load it, with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..models.artifacts import base_of
from ..models.late_interaction import LATE_INTERACTION, LateInteraction
from ..models.trunk import is_plain_bert, resolve_device
from .data.rows import TrainingRow
from .encoder_training import (
    MINI_BATCH,
    fitting_batch_size,
    prepare_encoder,
    ranking_datasets,
    save_encoder,
    sentence_encoder,
    train_encoder,
)
from .forgetting import general_change
from .options import Method, Tell, TrainOptions
from .pair_rows import Examples, PairTask, check_classes, read_examples, some
from .pair_training import DEV_ROWS, Trained, calibrated_parts, draft_artifact
from .recipe import Built
from .warm_start import open_start

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("METHODS", "train_late")

METHODS: tuple[Method, ...] = ("lora", "full", "freeze")
_SCALE = 20.0
"""Of the mean best cosine in the loss: as of the cosine when an embedder is trained."""


def train_late(
    built: Built,
    task: PairTask,
    out: Path,
    options: TrainOptions,
    tell: Tell,
    *,
    negatives: int,
    strengths: Sequence[float],
) -> Trained:
    """Trains on the train part, calibrates on the dev part, scores dev and test part with the artifact in `out`.

    `negatives` of a question's rows stand beside each of its right passages. Goes on at its last checkpoint. Raises
    `UsageError` for data, options or a base that cannot be trained, before the training.
    """
    if options.method not in METHODS:
        known = ", ".join(METHODS)
        raise UsageError(f"late interaction is not trained with {options.method!r}", hint=f"use one of {known}")
    if options.loss or options.teacher:
        name, value = ("loss", options.loss) if options.loss else ("teacher", options.teacher)
        raise UsageError(f"{name} {value!r} is of cross-encoders", hint=f"leave --{name} out")
    if open_start(options):
        raise UsageError("late interaction has no start", hint="leave start out")
    folder, _ = base_of(options.base)
    if not is_plain_bert(folder):
        raise UsageError(f"the base {options.base!r} is no BERT", hint="use bundled:minilm, or another BERT encoder")
    parts = {part: read_examples(built, task, part) for part in ("train", "dev", "test")}
    train = parts["train"]
    check_classes(train, task)
    rows = _ranking_rows(train, negatives)
    sentence = sentence_encoder(options)
    model = _multi_vector(sentence, options)
    prepare_encoder(model, options, texts=options.batch_size * (1 + negatives))
    trained = train_encoder(
        model,
        ranking_datasets(rows, negatives),
        out,
        options.updated(batch_size=fitting_batch_size(rows, options.batch_size, negatives)),
        tell,
        kind="multi_vector",
        loss=_loss(model, options),
        evaluator=_evaluator(some(parts["dev"], DEV_ROWS)),
        metric="eval_dev_ndcg@10",
        strengths=strengths,
    )
    # The transformer is the sentence encoder's: what embedders load, we load.
    files = save_encoder(sentence, out, options.base, half=True)
    tell("measuring", 0, None)
    base = sentence_encoder(options)
    before, after = (partial(each.encode, show_progress_bar=False) for each in (base, sentence))
    general = general_change(before, after, retrieval=options.general)
    artifact = draft_artifact(task, out, options)
    late = LateInteraction.of(artifact, device=options.device, dtype=options.precision)
    logits = {part: _scores(late, parts[part])[:, None] for part in ("dev", "test")}
    settings = {**trained.settings, "architecture": LATE_INTERACTION, "loss": "ranking", "metric": task.metric}
    measured: dict[str, Any] = {"files": files, "settings": settings, "general": general, "curves": trained.curves}
    return calibrated_parts(task, parts, logits, **measured)


def _multi_vector(sentence: Any, options: TrainOptions) -> Any:
    """The encoder's transformer with a vector of length 1 for each token; markers are compared with nothing."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    tokenizer = sentence.tokenizer
    return MultiVectorEncoder(
        modules=[
            sentence[0],
            MultiVectorMask([tokenizer.cls_token, tokenizer.sep_token], skiplist_tasks=["query", "document"]),
            Normalize("token_embeddings", "token_embeddings"),
        ],
        device=resolve_device(options.device),
        similarity_fn_name="meanmaxsim",
    )


def _loss(model: Any, options: TrainOptions) -> Any:
    from sentence_transformers.multi_vector_encoder import losses
    from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores

    return losses.MultiVectorMultipleNegativesRankingLoss(
        model, scale=_SCALE, similarity_fct=mean_colbert_scores, mini_batch_size=min(MINI_BATCH, options.batch_size)
    )


def _evaluator(dev: Examples) -> Any:
    """sentence-transformers' own: nDCG@10 of each question's list."""
    from sentence_transformers.multi_vector_encoder.evaluation import MultiVectorRerankingEvaluator

    samples = [
        {"query": question, "positive": right, "negative": wrong}
        for question, right, wrong in _lists(dev)
        if right and wrong
    ]
    if not samples:
        raise UsageError(
            "nDCG@10 cannot be measured on the dev part", hint="it needs questions with right and wrong passages"
        )
    return MultiVectorRerankingEvaluator(samples, at_k=10, name="dev", write_csv=False, batch_size=64)


def _lists(examples: Examples) -> list[tuple[str, list[str], list[str]]]:
    """Of each question its wording, its right and its wrong passages, as models read them."""
    found = []
    for rows in examples.lists():
        right = [examples.pairs[at][1] for at in rows if examples.targets[at] >= 0.5]
        wrong = [examples.pairs[at][1] for at in rows if examples.targets[at] < 0.5]
        found.append((examples.pairs[rows[0]][0], right, wrong))
    return found


def _ranking_rows(train: Examples, negatives: int) -> list[TrainingRow]:
    """A row for each right passage, with its question's first wrong ones."""
    return [
        {"query": question, "positive": passage, "negatives": wrong[:negatives]}
        for question, right, wrong in _lists(train)
        for passage in right
    ]


def _scores(late: LateInteraction, examples: Examples) -> NDArray[np.float32]:
    """Of each row, its passage among those of its question."""
    scores = np.zeros(len(examples.rows), dtype=np.float32)
    for rows in examples.lists():
        scores[rows] = late.score(examples.pairs[rows[0]][0], [examples.pairs[at][1] for at in rows])
    return scores
