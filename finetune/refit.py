"""New thresholds for an evaluator that is trained already: `ragloom finetune fit-thresholds`."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..evals.jsonl import Problem
from ..models.artifacts import Artifact
from ..models.pair_classifier import load_pair_classifier
from ..models.pair_text import passage_text
from .artifact_files import write_manifest
from .data.parts import Part
from .data.rows import TrainingRow, read_rows
from .options import Tell, no_tell
from .recipe import Built, recipe_of
from .thresholds import fit_thresholds, measure_thresholds

__all__ = ("refit_thresholds", "store_thresholds")

GOLD = 0.5
"""A row's label from which its passage counts as gold."""
_BATCH = 512


def refit_thresholds(spec: str, data: Sequence[Path], *, tell: Tell = no_tell) -> dict[str, Any]:
    """Thresholds chosen on the dev part of `data` and measured on its test part: {lower, upper, dev, test}.

    `data` is what the evaluator's recipe can build rows from. The split is by the hash of a document, so that none that
    the evaluator was trained on is in the dev part. Raises `UsageError` where no question there has passages.
    """
    critic = load_pair_classifier(spec, "evaluator")
    recipe = recipe_of("evaluator")
    with tempfile.TemporaryDirectory() as folder:
        built = recipe.build(data, Path(folder), recipe.DEFAULTS, tell)
        dev, test = _scored(critic, built, "dev", tell), _scored(critic, built, "test", tell)
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


def _scored(critic: Any, built: Built, part: Part, tell: Tell) -> dict[str, list[tuple[float, bool]]]:
    problems: list[Problem] = []
    path = built.files.get(part)
    rows = list(read_rows(path, "evaluator", problems)) if path and path.is_file() else []
    questions: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        scores = critic.probabilities([_pair(row) for row in batch])[:, 0]
        for row, score in zip(batch, scores, strict=True):
            questions[f"{row['origin']['set']}\0{row['question']}"].append((float(score), row["label"] >= GOLD))
        tell(f"scoring the {part} part", start + len(batch), len(rows))
    return dict(questions)


def _pair(row: TrainingRow) -> tuple[str, str]:
    """As the evaluator's recipe puts them: the title stands above the passage."""
    return row["question"], passage_text(row["passage"], str(row.get("title") or ""))
