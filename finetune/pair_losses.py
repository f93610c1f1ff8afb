"""Losses of pair classifiers and the rows each needs: pairs, lists of a question, a positive beside a negative."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

from ..errors import UsageError
from ..models.artifacts import base_of
from ..models.pair_classifier import load_pair_classifier
from .options import Tell, TrainOptions
from .pair_rows import Examples

__all__ = ("loss_of", "loss_rows", "teacher_scores")

Rows = list[dict[str, Any]]


def loss_of(model: Any, name: str, labels: int) -> Any:
    """Sentence-transformers' loss."""
    from sentence_transformers.cross_encoder import losses

    if name == "pointwise":
        return losses.BinaryCrossEntropyLoss(model) if labels == 1 else losses.CrossEntropyLoss(model)
    if name == "lambda":
        return losses.LambdaLoss(model, mini_batch_size=-1)
    return losses.ListNetLoss(model, mini_batch_size=-1) if name == "listnet" else losses.MarginMSELoss(model)


def loss_rows(train: Examples, name: str, labels: int, options: TrainOptions, tell: Tell) -> tuple[Rows, int]:
    """Rows of a data set for the loss, and how many make a batch of about `options.batch_size` pairs."""
    rows: Rows
    firsts = [first for first, _ in train.pairs]
    seconds = [second for _, second in train.pairs]
    if name == "pointwise":
        targets = [float(value) if labels == 1 else int(value) for value in train.targets]
        columns = zip(firsts, seconds, targets, strict=True)
        rows = [{"first": first, "second": second, "label": target} for first, second, target in columns]
        return rows, options.batch_size
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for at, question in enumerate(train.questions):
        groups[question].append(at)
    if name in ("lambda", "listnet"):
        lists = [group for group in groups.values() if len({bool(train.targets[at] >= 0.5) for at in group}) > 1]
        _some_left(lists, "no question has both a relevant and another passage")
        rows = [
            {
                "first": firsts[group[0]],
                "seconds": [seconds[at] for at in group],
                "labels": [float(train.targets[at]) for at in group],
            }
            for group in lists
        ]
        mean = sum(len(group) for group in lists) / len(lists)
        return rows, max(1, round(options.batch_size / mean))
    scores = teacher_scores(options.teacher or "", train, options, tell)
    rows = [
        {"first": firsts[yes], "second": seconds[yes], "third": seconds[no], "label": scores[yes] - scores[no]}
        for group in groups.values()
        for yes in group
        if train.targets[yes] >= 0.5
        for no in group
        if train.targets[no] < 0.5
    ]
    _some_left(rows, "no question has both a relevant and another passage")
    return rows, max(1, options.batch_size // 2)


def teacher_scores(spec: str, train: Examples, options: TrainOptions, tell: Tell) -> list[float]:
    """Scores of the train part by `column:NAME` of its rows, `reranker:PATH`, or a cross-encoder `st:PATH`."""
    provider, _, name = spec.partition(":")
    if provider == "column":
        found = [row.get(name) for row in train.rows]
        for value, row in zip(found, train.rows, strict=True):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UsageError(
                    f"row {row['origin']['id']!r} of {row['origin']['set']!r} has no number {name!r}: {value!r}",
                    hint="every row needs the teacher's score",
                )
        return [float(value) for value in found if value is not None]
    tell(f"scores of the teacher {spec}", 0, len(train.pairs))
    if provider == "reranker":
        teacher = load_pair_classifier(spec, "reranker", device=options.device)
        return [float(value) for value in teacher.logits(train.pairs)[:, 0]]
    if provider not in ("st", "hf"):
        raise UsageError(
            f"unknown teacher {spec!r}", hint="use column:NAME, reranker:PATH or st:PATH of a cross-encoder"
        )
    import torch
    from sentence_transformers import CrossEncoder

    folder, _ = base_of(spec)
    try:
        model = CrossEncoder(str(folder), device=options.device, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UsageError(f"the teacher {spec!r} does not load: {error}") from error
    if model.num_labels != 1:
        raise UsageError(f"the teacher {spec!r} has {model.num_labels} outputs", hint="a reranker has one")
    scores = model.predict(train.pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    return [float(value) for value in scores]


def _some_left(rows: Sequence[Any], complaint: str) -> None:
    if not rows:
        raise UsageError(complaint, hint="this loss compares passages of one question")
