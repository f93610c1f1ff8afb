"""Reranker: passages are ordered by a trained score, mixed with the first stage's.

    architecture=cross-encoder       question and passage are read together (Nogueira and Cho, 2019,
                                     https://arxiv.org/abs/1901.04085)
    architecture=late-interaction    they are read apart and their tokens compared (`models.late_interaction`)

A small model that saw few domains ranks others worse than the first stage did; so the first stage's score has a part in
the order, as large as the dev part says, and all of it where the model is of no use.

    made=0.5          so many queries made of the corpora (titles, sentences, keywords) beside each question
    --loss lambda     (cross-encoder) whole lists of a question instead of single pairs; also listnet
    --teacher SPEC    (cross-encoder) the margins of a better one are learned (MarginMSE)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UsageError
from ...models.late_interaction import LATE_INTERACTION
from ...models.pair_text import passage_text
from ...models.reranker import mixed_scores
from ...models.specs import TrainedRole
from ..data.build import build_parts
from ..data.made_queries import check_made
from ..data.relevance import relevance_rows
from ..data.rows import TrainingRow
from ..data.sources import Sources
from ..encoder_training import check_strengths
from ..options import Method, PairOptions, Tell, TrainOptions, own_options
from ..pair_metrics import auroc, mean_ndcg
from ..pair_rows import Examples, PairTask
from ..pair_training import Scored, train_pairs
from ..recipe import Built, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROLE: TrainedRole = "reranker"
SUMMARY = "question and passage to a score that orders passages, mixed with the first stage's"
CROSS_ENCODER = "cross-encoder"
ARCHITECTURES = (CROSS_ENCODER, LATE_INTERACTION)
MOST_NEGATIVES = 4
"""Wrong passages that the rows of a question have."""
METHODS: tuple[Method, ...] = ("lora", "qlora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full")
LOSSES = ("pointwise", "lambda", "listnet")
MODEL, FIRST = {"weight_model": 1.0, "weight_first": 0.0}, {"weight_model": 0.0, "weight_first": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerOptions(PairOptions):
    """What a reranker may be told besides."""

    architecture: str = CROSS_ENCODER
    """Or `late-interaction`."""
    negatives: int = 2
    """Of late interaction: wrong passages of a question that stand beside each right one."""
    strengths: tuple[float, ...] = (0.5, 0.75, 1.0)
    """Of late interaction: shares of the learned change that are tried on the dev part, as of an embedder."""
    most_weight: float = 1.0
    """Of the model in the mixture, at most. What the dev part finds holds for documents like it: use 0.5 for a reranker
    of documents of every kind."""
    made: float = 0.5
    """Queries made of the passages themselves for each question that is trained on; 0 for questions alone."""

    def __post_init__(self) -> None:
        PairOptions.__post_init__(self)
        if self.architecture not in ARCHITECTURES:
            known = " or ".join(ARCHITECTURES)
            raise UsageError(f"unknown architecture {self.architecture!r}", hint=f"use {known}")
        if not 0 <= self.negatives <= MOST_NEGATIVES:
            raise UsageError(f"negatives is {self.negatives}", hint=f"use 0 to {MOST_NEGATIVES}")
        check_strengths(self.strengths)
        if not 0 < self.most_weight <= 1:
            raise UsageError(f"most_weight is {self.most_weight!r}", hint="use a number above 0 and at most 1")
        check_made(self.made)


DEFAULTS = RerankerOptions(method="lora", rank=16, learning_rate=5e-4, max_tokens=288, batch_size=32, epochs=1.0)


def build(data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
    """Gold passages, and what our retriever found beside them, with its scores; and queries made of the passages."""
    made = own_options(options, RerankerOptions).made

    def rows(sources: Sources) -> Iterator[TrainingRow]:
        return relevance_rows(
            sources, out=out, role="reranker", limit=options.per_set, made=made, seed=options.seed, tell=tell
        )

    return build_parts(ROLE, data, out, options, tell, rows, made)


def measure(examples: Examples, probabilities: NDArray[Any]) -> dict[str, float | None]:
    """nDCG@10 of the model's own order, and its AUROC."""
    scores, truth = probabilities[:, 0], examples.targets
    return {"ndcg@10": mean_ndcg(scores, truth, examples.questions), "auroc": auroc(scores, truth)}


TASK = PairTask(
    role=ROLE,
    labels=("relevant",),
    inputs="question [SEP] title: passage",
    pair=lambda row: (row["question"], passage_text(row["passage"], str(row.get("title") or ""))),
    target=lambda row: float(row["label"]),
    measure=measure,
    metric="ndcg@10",
)


def train(built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
    """Trains, fits the mixture on the dev part, and measures model, first stage and mixture on the test part."""
    if options.loss not in (None, *LOSSES):
        raise UsageError(f"unknown loss {options.loss!r}", hint=f"use one of {', '.join(LOSSES)}")
    if options.teacher and options.loss:
        raise UsageError(f"loss {options.loss!r} has no teacher", hint="leave --loss or --teacher out")
    own = own_options(options, RerankerOptions)
    if own.architecture == LATE_INTERACTION:
        from ..late_training import train_late

        apart = replace(TASK, inputs="question, and title: passage, read apart")
        trained = train_late(built, apart, out, options, tell, negatives=own.negatives, strengths=own.strengths)
    else:
        loss = "margin" if options.teacher else options.loss or "pointwise"
        trained = train_pairs(built, TASK, out, options, tell, loss=loss)
    mixture = fit_mixture(trained.dev, most=own.most_weight)
    shown = measure(trained.test.examples, trained.test.logits)
    metrics: dict[str, Any] = {**shown, "sets": _sets(trained.test, MODEL)}
    if mixture:
        metrics |= {
            "ndcg@10_first_stage": _ndcg(trained.test, FIRST),
            "ndcg@10_mixed": _ndcg(trained.test, mixture),
            "sets_first_stage": _sets(trained.test, FIRST),
            "sets_mixed": _sets(trained.test, mixture),
        }
    return trained.outcome(metrics, settings={"mixture": mixture} if mixture else None)


def fit_mixture(scored: Scored, *, most: float = 1.0) -> dict[str, float] | None:
    """Weights of the two scores, each standardised within its list, of sum 1; None where no row has `first_stage`.

    Logistic regression of relevance on both, the model's weight at most `most`; it is taken if no score alone orders
    the part better, of which the model's is one where `most` is 1.
    """
    from sklearn.linear_model import LogisticRegression

    if all(row.get("first_stage") is None for row in scored.examples.rows):
        return None
    features = np.stack([_mixed(scored, MODEL), _mixed(scored, FIRST)], axis=1)
    found = LogisticRegression().fit(features, scored.examples.targets >= 0.5).coef_[0].clip(min=0)
    tried = [FIRST, MODEL] if most == 1 else [FIRST]
    if found.sum() > 0:
        model = round(min(float(found[0] / found.sum()), most), 4)
        tried.insert(0, {"weight_model": model, "weight_first": round(1 - model, 4)})
    return max(tried, key=lambda weights: _ndcg(scored, weights) or 0.0)  # the first of equal ones


def _mixed(scored: Scored, weights: dict[str, float]) -> NDArray[Any]:
    """The score of each row as `TrainedReranker` computes it: lists are the rows of one question."""
    result = np.zeros(len(scored.examples.rows))
    for rows in scored.examples.lists():
        first = [scored.examples.rows[at].get("first_stage") for at in rows]
        result[rows] = mixed_scores(scored.logits[rows, 0], first, **weights)
    return result


def _ndcg(scored: Scored, weights: dict[str, float]) -> float | None:
    return mean_ndcg(_mixed(scored, weights), scored.examples.targets, scored.examples.questions)


def _sets(scored: Scored, weights: dict[str, float]) -> dict[str, float | None]:
    """nDCG@10 of each data set."""
    mixed, sets, questions = _mixed(scored, weights), np.array(scored.examples.sets), scored.examples.questions
    found: dict[str, float | None] = {}
    for name in sorted(set(scored.examples.sets)):
        rows = np.flatnonzero(sets == name)
        found[name] = mean_ndcg(mixed[rows], scored.examples.targets[rows], [questions[at] for at in rows])
    return found
