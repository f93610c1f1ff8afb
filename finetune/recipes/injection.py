"""Injection: how probably does a message or a passage try to take the assistant over (prompt injection, jailbreak)?

training    a classifier on the trunk, shown the kind of text and a window of it
prefilter   a linear model on hashed words, fitted on the sentences of the train part; its threshold lets
            `passed` of the dev part's benign passages through
thresholds  for each kind, what flags 1 % and 2 % of the dev part's benign texts, read as they are in use
measured    recall and false positives at these thresholds on the test part, by kind and set

leave_out=()      beginnings of names of sets or families to train without, to measure on what was never seen
copies=8          plantings of an attack
passed=0.2        share of benign passages that the prefilter lets through
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UsageError
from ...models.artifacts import Artifact, DataSource
from ...models.injection import (
    KINDS,
    PREFILTER_THRESHOLD,
    RATES,
    InjectionClassifier,
    Suspicion,
    normalised,
    threshold_name,
)
from ...models.pair_classifier import PairClassifier
from ...models.prefilter import PREFILTER
from ...models.specs import TrainedRole
from ..data.attacks import collected_sets
from ..data.build import write_parts
from ..data.injections import COPIES, injection_rows
from ..data.rows import TrainingRow, read_rows
from ..data.sources import Sources, load_sources
from ..false_positives import partial_auroc, threshold_at
from ..options import Method, PairOptions, Tell, TrainOptions, own_options
from ..pair_metrics import auroc, by_set
from ..pair_rows import Examples, PairTask
from ..pair_training import draft_artifact, train_pairs
from ..prefilter_training import fit_prefilter, save_prefilter
from ..processes import is_main
from ..recipe import Built, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROLE: TrainedRole = "injection"
SUMMARY = "message or passage to the probability of a prompt injection or jailbreak"
METHODS: tuple[Method, ...] = ("lora", "qlora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionOptions(PairOptions):
    """What an injection classifier may be told besides."""

    leave_out: tuple[str, ...] = ()
    """Beginnings of names of sets (`deepset`) or families (`bipia:Clickbait`) to train without."""
    copies: int = COPIES
    """Plantings of each attack in the train part."""
    passed: float = 0.2
    """Share of the benign passages that the prefilter lets through to the trunk."""

    def __post_init__(self) -> None:
        PairOptions.__post_init__(self)
        if self.copies < 1:
            raise UsageError(f"copies is {self.copies}", hint="use 1 or more")
        if not 0 < self.passed <= 1:
            raise UsageError(f"passed is {self.passed}", hint="a share above 0, at most 1")


DEFAULTS = InjectionOptions(
    method="lora", rank=8, learning_rate=5e-4, max_tokens=128, batch_size=32, epochs=3.0, per_set=800
)


def build(data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
    """Attacks alone, beside questions and in passages, and the same without attacks."""
    own = own_options(options, InjectionOptions)
    sources = load_sources(data, tell=tell)
    key = sources.key(ROLE, own.limit, own.per_set, own.seed, own.leave_out, own.copies)
    rows = injection_rows(sources, leave_out=own.leave_out, copies=own.copies, limit=own.per_set, seed=own.seed)
    sets = tuple(each for each in _sets(sources) if not each.name.startswith(own.leave_out))
    return write_parts(ROLE, rows, out, sources=sets, options=options, tell=tell, problems=sources.problems, key=key)


def measure(examples: Examples, probabilities: NDArray[Any]) -> dict[str, float | None]:
    """Partial AUROC up to 5 % false positives, where a guard works, as the mean over kinds; and the whole AUROC."""
    scores, kinds = probabilities[:, 0], [str(row["kind"]) for row in examples.rows]
    _, mean = by_set(partial_auroc, kinds, scores, examples.targets)
    return {"partial_auroc": mean, "auroc": auroc(scores, examples.targets)}


def _pair(row: TrainingRow) -> tuple[str, str]:
    start, end = row.get("window") or (0, len(row["text"]))
    return row["kind"], normalised(row["text"][start:end])


TASK = PairTask(
    role=ROLE,
    labels=("injection",),
    inputs="kind [SEP] text",
    pair=_pair,
    target=lambda row: float(row["label"] == "injection"),
    measure=measure,
    metric="partial_auroc",
)


def train(built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
    """Binary cross-entropy on windows; calibration, prefilter and thresholds on the dev part; the rest on the test
    part, whose texts are read as they are in use.
    """
    own = own_options(options, InjectionOptions)
    trained = train_pairs(built, TASK, out, options, tell)
    tell("fitting the prefilter", 0, None)
    rows = {part: list(read_rows(path, ROLE, [])) for part, path in built.files.items()}
    prefilter = fit_prefilter(rows["train"], rows["dev"], passed=own.passed, seed=options.seed)
    if prefilter is not None and is_main():
        save_prefilter(prefilter, out / PREFILTER)
    draft = draft_artifact(TASK, out, options)
    manifest = draft.manifest.model_copy(update={"calibration": trained.calibration})
    loaded = PairClassifier.of(Artifact(out, manifest), device=options.device, dtype=options.precision)
    classifier = InjectionClassifier(loaded, prefilter)
    tell("choosing thresholds", 0, None)
    dev, test = (_scores(classifier, rows[part]) for part in ("dev", "test"))
    thresholds = _thresholds(rows["dev"], dev)
    metrics = {**measure(trained.test.examples, trained.test.probabilities), **report(rows["test"], test, thresholds)}
    if prefilter is not None:
        thresholds[PREFILTER_THRESHOLD] = prefilter.threshold
        metrics["prefilter"] = {
            "recall": _share(test[_chosen(rows["test"], "passage", "injection")] > 0),
            "benign_passed": _share(test[_chosen(rows["test"], "passage", "benign")] > 0),
        }
    outcome = trained.outcome(metrics, thresholds=thresholds)
    return replace(outcome, files=(*outcome.files, *([PREFILTER] if prefilter is not None else [])))


def report(rows: Sequence[TrainingRow], scores: NDArray[Any], thresholds: dict[str, float]) -> dict[str, Any]:
    """Of each rate: recall as the mean over kinds, recall and false positives of each kind, flagged share of each set
    (`SET benign`, `SET injection`).
    """
    found: dict[str, Any] = {}
    sets = [f"{row['origin']['set']} {row['label']}" for row in rows]
    for rate in RATES:
        flagged = np.zeros(len(rows), dtype=bool)
        told: dict[str, Any] = {}
        for kind in KINDS:
            inside = np.array([row["kind"] == kind for row in rows], dtype=bool)
            flagged |= inside & (scores >= thresholds[threshold_name(kind, rate)])
            told[kind] = {
                "recall": _share(flagged[_chosen(rows, kind, "injection")]),
                "false_positives": _share(flagged[_chosen(rows, kind, "benign")]),
            }
        recalls = [each["recall"] for each in told.values() if each["recall"] is not None]
        found[f"recall_fpr_{rate:g}"] = round(float(np.mean(recalls)), 4) if recalls else None
        shares = {name: _share(flagged[[at for at, own in enumerate(sets) if own == name]]) for name in sorted({*sets})}
        found[f"fpr_{rate:g}"] = {**told, "sets": shares}
    return found


def _scores(classifier: InjectionClassifier, rows: Sequence[TrainingRow]) -> NDArray[np.float64]:
    found = np.zeros(len(rows))
    for kind in KINDS:
        chosen = [at for at, row in enumerate(rows) if row["kind"] == kind]
        said: list[Suspicion] = classifier.suspicions([rows[at]["text"] for at in chosen], kind)
        found[chosen] = [each.probability for each in said]
    return found


def _thresholds(rows: Sequence[TrainingRow], scores: NDArray[Any]) -> dict[str, float]:
    return {
        threshold_name(kind, rate): threshold_at(scores[_chosen(rows, kind, "benign")], rate)
        for kind in KINDS
        for rate in RATES
    }


def _chosen(rows: Sequence[TrainingRow], kind: str, label: str) -> list[int]:
    return [at for at, row in enumerate(rows) if row["kind"] == kind and row["label"] == label]


def _share(values: NDArray[Any]) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None


def _sets(sources: Sources) -> Iterator[DataSource]:
    """A collection's sets one by one, each under its own licence."""
    collections = {source.name: collected_sets(source) for source in sources.of("texts")}
    for each in sources.data_sources():
        for name, licence in collections.get(each.name, {each.name: each.licence}).items():
            yield each.model_copy(update={"name": name, "licence": licence})
