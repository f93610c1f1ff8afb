"""New thresholds for an evaluator that is trained already: `ragloom finetune fit-thresholds`."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..models.artifacts import Artifact
from ..models.pair_classifier import load_pair_classifier
from .artifact_files import write_manifest
from .data.dedup import PartFilter
from .data.parts import part_of
from .data.relevance import relevance_rows
from .data.rows import TrainingRow, validate
from .data.sources import load_sources
from .options import Tell, no_tell
from .recipes.evaluator import TASK
from .thresholds import fit_thresholds, measure_thresholds

__all__ = ("refit_thresholds", "store_thresholds")

GOLD = 0.5
"""A row's label from which its passage counts as gold."""
_BATCH = 512


def refit_thresholds(spec: str, data: Sequence[Path], *, tell: Tell = no_tell) -> dict[str, Any]:
    """Thresholds chosen on the dev part of `data` and measured on its test part: {lower, upper, dev, test}.

    `data` is what the evaluator's recipe can make rows of: question sets, traces, rows. The split is by the hash of a
    document, so that none that the evaluator was trained on is in the dev part. Raises `UsageError` where no question
    there has passages.
    """
    critic = load_pair_classifier(spec, "evaluator")
    with tempfile.TemporaryDirectory() as folder:
        rows = _rows(data, Path(folder), tell)
    dev, test = (_scored(critic, rows[part], part, tell) for part in ("dev", "test"))
    if not dev:
        raise UsageError("the dev part has no question with passages", hint="give more documents")
    chosen = fit_thresholds(dev)
    measured = measure_thresholds(test, chosen.lower, chosen.upper).report() if test else None
    return {"lower": chosen.lower, "upper": chosen.upper, "dev": chosen.report(), "test": measured}


def store_thresholds(artifact: Artifact, found: dict[str, Any]) -> None:
    """Writes thresholds, and what they do, into an artifact's manifest."""
    told = artifact.manifest
    thresholds = {**told.thresholds, "lower": float(found["lower"]), "upper": float(found["upper"])}
    metrics = {**told.metrics, "thresholds": {part: found[part] for part in ("dev", "test") if found.get(part)}}
    try:
        write_manifest(artifact.folder, told.model_copy(update={"thresholds": thresholds, "metrics": metrics}))
    except OSError as error:
        raise UsageError(f"cannot write to {str(artifact.folder)!r}: {error.strerror or error}") from error


def _rows(data: Sequence[Path], out: Path, tell: Tell) -> dict[str, list[TrainingRow]]:
    """Rows of the dev and the test part, and nothing that stands in both; what is mined is kept below `out`."""
    found: dict[str, list[TrainingRow]] = {"test": [], "dev": []}
    for row in relevance_rows(load_sources(data, tell=tell), out=out, parts=("dev", "test"), tell=tell):
        part = part_of(row["origin"]["document"])
        if part in found and not validate("evaluator", row):
            found[part].append(row)
    kept = PartFilter()
    return {part: list(kept.part(rows)) for part, rows in found.items()}


def _scored(critic: Any, rows: Sequence[TrainingRow], part: str, tell: Tell) -> dict[str, list[tuple[float, bool]]]:
    """Of each question its passages: score, and whether it is gold."""
    questions: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        scores = critic.probabilities([TASK.pair(row) for row in batch])[:, 0]
        for row, score in zip(batch, scores, strict=True):
            asked = str(row.get("query") or row["question"])
            questions[f"{row['origin']['set']}\0{asked}"].append((float(score), row["label"] >= GOLD))
        tell(f"scoring the {part} part", start + len(batch), len(rows))
    return dict(questions)
