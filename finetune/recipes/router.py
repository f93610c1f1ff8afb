"""Router: question to class, such as how much work it needs (no retrieval, one hop, several, a table) or its intent.

    rows        {text, label} of labelled sets; silver labels from runs of `ragloom eval answers`: the simplest strategy
                that answered rightly (Jeong et al., 2024, "Adaptive-RAG", https://arxiv.org/abs/2403.14403)
    training    linear: logistic regression on the embedder's vectors; else a classifier on the trunk
    out of scope  rows labelled `oos` are no class: the threshold under which the router abstains is fitted on them
    measured    macro F1 and accuracy on unseen texts beside the majority class, TF-IDF with an SVM, the linear model

Silver labels belong to the reader, the retriever and the corpus that made them: change one, and label anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UsageError
from ...evals.jsonl import Problem, Row, scan_jsonl
from ...evals.statistics import paired_difference
from ...models.artifacts import Calibration
from ...models.pair_classifier import PairClassifier, probabilities_of
from ...models.router import HEAD, IN_SCOPE, LinearHead, query_vectors
from ...models.specs import TrainedRole
from ..data.parts import Part
from ..data.rows import TrainingRow, read_rows, write_rows
from ..data.sources import Sources
from ..linear_baseline import figures, fit_logistic, fit_scale, fit_threshold, majority, tfidf_svm
from ..options import Method, Tell, TrainOptions
from ..processes import is_main, wait_for_all
from ..recipe import Built, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...evals.records import Record
    from ..pair_training import Trained

    Logits = Callable[[Sequence[str]], NDArray[np.float32]]

__all__ = ("DEFAULTS", "METHODS", "OUTSIDE", "ROLE", "SUMMARY", "build", "silver_labels", "train")

ROLE: TrainedRole = "router"
SUMMARY = "question to class: which strategy or source it needs"
METHODS: tuple[Method, ...] = ("linear", "lora", "qlora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full")
DEFAULTS = TrainOptions(
    method="linear", epochs=4.0, batch_size=32, learning_rate=1e-3, rank=16, max_tokens=64, evaluations=6
)

OUTSIDE = "oos"
"""What out-of-scope texts are labelled with, here and in CLINC150."""
_OUTSIDE_NAMES = frozenset({"oos", "out_of_scope", "out-of-scope"})
_RIGHT = 0.5


def build(data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
    """Labelled texts, and questions of evaluation runs with silver labels."""
    from ..data.build import build_parts
    from ..data.routes import route_rows

    def rows(sources: Sources) -> Iterator[TrainingRow]:
        traces = sources.of("traces")
        # A run is of one strategy, often: what is compared may stand in several files.
        runs = _by_strategy(row for source in traces for row in scan_jsonl(source.path, []))
        if len(runs) > 1:
            yield from silver_labels(runs, licence="; ".join(sorted({each.licence for each in traces if each.licence})))
        elif traces:  # `ragloom ask --json` names no strategies to compare
            told = "no records of at least two strategies, which silver labels need: left out"
            sources.problems.extend(Problem(str(source.path), 0, told) for source in traces)
        yield from route_rows(sources, limit=options.per_set, seed=options.seed, tell=tell)

    return build_parts(ROLE, data, out, options, tell, rows)


def silver_labels(
    records_by_strategy: Mapping[str, Iterable[Record]], *, metric: str = "contains", licence: str = ""
) -> Iterator[TrainingRow]:
    """Rows {text, label}: the first strategy of the mapping that answered rightly is the label.

    Args:
        records_by_strategy: label to the records of one strategy, from the simplest to the dearest.
        metric: a record is right where it is at least 0.5; an abstention and a failure never are.
        licence: of the questions.

    A question that nobody answered rightly, or that not every strategy was asked, gives no row: it says nothing about
    which strategy is needed. Raises `UsageError` for fewer than two strategies.

        >>> right = {"set": "s", "id": "1", "question": "Why?", "abstained": False, "failed": None}
        >>> runs = {"closed-book": [{**right, "metrics": {"f1": 0.0}}], "naive": [{**right, "metrics": {"f1": 1.0}}]}
        >>> [row["label"] for row in silver_labels(runs, metric="f1")]
        ['naive']
    """
    if len(records_by_strategy) < 2:
        raise UsageError("silver labels need the records of at least two strategies", hint="run 'ragloom eval answers'")
    kept = {
        label: {(record["set"], record["id"]): record for record in records}
        for label, records in records_by_strategy.items()
    }
    first, *others = kept.values()
    for key, record in first.items():
        if not all(key in other for other in others):
            continue
        label = next((label for label, records in kept.items() if _right(records[key], metric)), None)
        if label is not None:
            name, question = key
            origin = {"set": name, "id": question, "document": f"{name}:{question}", "licence": licence}
            yield {"text": record["question"], "label": label, "origin": origin}


def train(built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
    """Trains, calibrates and chooses the threshold on the dev part, and measures everything on the test part."""
    parts = {part: _Texts.of(read_rows(path, ROLE, [])) for part, path in built.files.items() if path.is_file()}
    learned, dev, test = (parts.get(part, _Texts((), ())) for part in ("train", "dev", "test"))
    inside = learned.where(outside=False)
    classes = sorted({*inside.labels})
    if len(classes) < 2:
        found = (
            f"all {len(inside.labels)} texts to train on are labelled {classes[0]!r}" if classes else "there are none"
        )
        raise UsageError(f"a router needs texts of at least two labels: {found}", hint="give texts of several classes")
    known = dev.where(outside=False).of_classes(classes)
    # Nothing was trained on the texts that are out of scope, so those of the train part serve as well.
    outside = [text for part in (learned, dev) for text in part.where(outside=True).texts]

    linear = _fit_linear(inside, known, classes, options)
    logits: Logits
    metrics: dict[str, Any] = {}
    if options.method == "linear":
        logits, files = linear.logits, _save_head(linear.head, out)
        settings: dict[str, Any] = {}
        curves: tuple[dict[str, float], ...] = ()
    else:
        trained, logits = _train_classifier(built, classes, out, options, tell)
        files, settings, curves = trained.files, trained.settings, trained.curves
        metrics["general"] = dict(trained.general)

    chosen = _decide(logits, known, outside, classes)
    baseline = chosen if options.method == "linear" else _decide(linear.logits, known, outside, classes)
    truth = [OUTSIDE if _is_outside(label) else label for label in test.labels]
    predicted = chosen.labels(test.texts)
    if truth:
        rivals = {
            "majority": [majority(inside.labels)] * len(truth),
            "tfidf_svm": tfidf_svm(learned.texts, learned.named(), test.texts, seed=options.seed),
            "linear": baseline.labels(test.texts),
        }
        metrics["test"] = figures(truth, predicted, outside=OUTSIDE)
        metrics["baselines"] = {
            name: figures(truth, given, outside=OUTSIDE, classes=False) for name, given in rivals.items()
        }
        metrics["accuracy_over_baselines"] = {
            name: paired_difference(_hits(truth, predicted), _hits(truth, given), seed=options.seed)
            for name, given in rivals.items()
        }
    return Outcome(
        labels=tuple(classes),
        inputs="text",
        metrics=metrics,
        thresholds={IN_SCOPE: chosen.threshold},
        scale=chosen.scale,
        settings={**settings, "out_of_scope_texts": len(outside)},
        curves=curves,
        files=files,
    )


@dataclass(frozen=True, slots=True)
class _Texts:
    """Texts with their labels."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    @classmethod
    def of(cls, rows: Iterable[TrainingRow]) -> _Texts:
        pairs = [(row["text"], row["label"]) for row in rows]
        return cls(tuple(text for text, _ in pairs), tuple(label for _, label in pairs))

    def where(self, *, outside: bool) -> _Texts:
        return self._only(lambda label: _is_outside(label) == outside)

    def of_classes(self, classes: Sequence[str]) -> _Texts:
        known = {*classes}
        return self._only(lambda label: label in known)

    def named(self) -> list[str]:
        return [OUTSIDE if _is_outside(label) else label for label in self.labels]

    def _only(self, keep: Callable[[str], bool]) -> _Texts:
        pairs = [(text, label) for text, label in zip(self.texts, self.labels, strict=True) if keep(label)]
        return _Texts(tuple(text for text, _ in pairs), tuple(label for _, label in pairs))


@dataclass(frozen=True, slots=True)
class _Linear:
    head: LinearHead
    embed: Callable[[Sequence[str]], NDArray[np.float32]]

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.head.logits(self.embed(texts))


@dataclass(frozen=True, slots=True)
class _Decision:
    """A model with its calibration and threshold, as it will be loaded."""

    logits: Logits
    classes: Sequence[str]
    scale: float
    threshold: float

    def labels(self, texts: Sequence[str]) -> list[str]:
        if not texts:
            return []
        found = _probabilities(self.logits(texts), self.scale)
        return [self.classes[int(row.argmax())] if row.max() >= self.threshold else OUTSIDE for row in found]


def _decide(logits: Logits, dev: _Texts, outside: Sequence[str], classes: Sequence[str]) -> _Decision:
    if not dev.texts:
        return _Decision(logits, classes, 1.0, 0.0)
    found = logits(dev.texts)
    scale = fit_scale(found, dev.labels, classes)
    other = _probabilities(logits(outside), scale) if outside else np.zeros((0, len(classes)), dtype=np.float32)
    sure = _probabilities(found, scale)
    return _Decision(logits, classes, scale, fit_threshold(sure, dev.labels, classes, other))


def _fit_linear(inside: _Texts, dev: _Texts, classes: Sequence[str], options: TrainOptions) -> _Linear:
    from ...models.embedders import load_embedder

    embedder = load_embedder(options.base, device=options.device, dtype=options.precision)

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        return query_vectors(embedder, texts) if texts else np.zeros((0, embedder.dimension), dtype=np.float32)

    head = fit_logistic(
        embed(inside.texts), inside.labels, embed(dev.texts), dev.labels, classes=classes, seed=options.seed
    )
    return _Linear(head, embed)


def _train_classifier(
    built: Built, classes: Sequence[str], out: Path, options: TrainOptions, tell: Tell
) -> tuple[Trained, Logits]:
    """A classifier of pairs whose second text is empty, as `models.router` reads it."""
    from sklearn.metrics import f1_score

    from ..pair_training import Examples, PairTask, draft_artifact, train_pairs

    at = {label: number for number, label in enumerate(classes)}

    def measure(examples: Examples, probabilities: NDArray[Any]) -> dict[str, float | None]:
        found = probabilities.argmax(axis=1)
        return {
            "accuracy": float((found == examples.targets).mean()),
            "macro_f1": float(f1_score(examples.targets, found, average="macro", zero_division=0.0)),
        }

    # Only texts of the classes: those that are out of scope teach the threshold, not the classifier.
    files: dict[Part, Path] = {part: out / "rows" / "in_scope" / path.name for part, path in built.files.items()}
    for part, path in built.files.items() if is_main() else ():
        write_rows(files[part], (row for row in read_rows(path, ROLE, []) if row["label"] in at))
    wait_for_all()
    task = PairTask(
        role=ROLE,
        labels=tuple(classes),
        inputs="text",
        pair=lambda row: (row["text"], ""),
        target=lambda row: float(at[row["label"]]),
        measure=measure,
        metric="macro_f1",
    )
    trained = train_pairs(replace(built, files=files), task, out, options, tell)
    artifact = draft_artifact(task, out, options)
    classifier = PairClassifier.of(artifact, device=options.device, dtype=options.precision)
    return trained, lambda texts: classifier.logits([(text, "") for text in texts])


def _save_head(head: LinearHead, out: Path) -> tuple[str, ...]:
    from safetensors.numpy import save_file

    out.mkdir(parents=True, exist_ok=True)
    save_file({"weight": np.ascontiguousarray(head.weight), "bias": head.bias}, str(out / HEAD))
    return (HEAD,)


def _by_strategy(rows: Iterable[Row]) -> dict[str, list[Record]]:
    """Records by strategy, the one with the fewest calls and tokens first. What is no record of an evaluation is not
    among them.
    """
    groups: dict[str, list[Any]] = {}
    for row in rows:
        record = row.fields
        whole = {"strategy", "metrics", "question", "set", "id", "abstained"} <= record.keys()
        if whole and isinstance(record["metrics"], dict):
            groups.setdefault(str(record["strategy"]), []).append(record)

    def cost(name: str) -> tuple[float, float]:
        calls, tokens = (
            float(np.mean([float(record.get(what) or 0) for record in groups[name]])) for what in ("calls", "tokens_in")
        )
        return calls, tokens

    return {name: groups[name] for name in sorted(groups, key=cost)}


def _right(record: Record, metric: str) -> bool:
    value = record["metrics"].get(metric)
    return not record["abstained"] and not record.get("failed") and value is not None and value >= _RIGHT


def _hits(truth: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    return {f"{at:06d}": float(a == b) for at, (a, b) in enumerate(zip(truth, predicted, strict=True))}


def _is_outside(label: str) -> bool:
    return label.strip().lower() in _OUTSIDE_NAMES


def _probabilities(logits: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    return probabilities_of(logits, Calibration(scale=scale))
