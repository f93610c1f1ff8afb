"""When a drafter or an extractive reader should rather say nothing: how sure it must be of an answer.

Of a drafter the mean log-probability of its draft, of a reader the score of its span.

Chosen as SQuAD 2.0 chooses its threshold of no answer (Rajpurkar et al., 2018, https://arxiv.org/abs/1806.03822,
`best_f1_thresh` of its evaluation script): an answer counts its F1, an abstention 1 where nothing answers and 0 where
something does, and the threshold with the highest mean on dev documents is taken. Both kinds count half, as they do
there, whatever their shares in the data are.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, UsageError
from ..models.artifacts import Artifact
from .artifact_files import update_manifest
from .data.parts import Part
from .data.rows import TrainingRow
from .options import Tell, no_tell
from .recipe import recipe_of

__all__ = (
    "Answer",
    "Said",
    "answers_of",
    "best_threshold",
    "fit_abstention",
    "store_abstention",
    "told_at",
    "told_of_parts",
)

ROWS = 300
"""Of each part that are answered: a second or two each on two cores."""
DRAWN = 16
"""Questions of each set for a row that is wanted: about one in seven is of a part."""


@dataclass(frozen=True, slots=True)
class Said:
    """A draft: how sure the model was, and what it is worth."""

    confidence: float
    answerable: bool
    answered: bool
    """Whether it gave an answer of its own accord."""
    f1: float
    """Of the answer; 0 where nothing answers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written, and what it tells."""

    text: str
    said: Said


def best_threshold(said: Sequence[Said]) -> float:
    """The threshold with the highest score, of equal ones the lowest: halfway between two drafts, or below all.

    >>> best_threshold([Said(-0.3, False, True, 0.0), Said(-0.1, True, True, 1.0)])
    -0.2
    """
    means = sorted({each.confidence for each in said})
    if not means:
        raise UsageError("no draft to choose a threshold by", hint="give more documents")
    pairs = zip(means, means[1:], strict=False)
    between = [max((low + high) / 2, math.nextafter(low, high)) for low, high in pairs]
    candidates = [means[0] - 1.0, *between]
    return candidates[int(np.argmax([told_at(said, each)["score"] for each in candidates]))]


def told_at(said: Sequence[Said], threshold: float | None) -> dict[str, Any]:
    """What a threshold does: score, F1 where there is an answer, right abstentions, share answered.

    None: without one.
    """
    kept = [each.answered and (threshold is None or each.confidence >= threshold) for each in said]
    asked = [answers for answers, each in zip(kept, said, strict=True) if each.answerable]
    other = [answers for answers, each in zip(kept, said, strict=True) if not each.answerable]
    found = [each.f1 if answers else 0.0 for answers, each in zip(kept, said, strict=True) if each.answerable]
    refused = [float(not answers) for answers in other]

    def mean(values: Sequence[float]) -> float | None:
        return round(float(np.mean(values)), 4) if values else None

    return {
        "rows": len(said),
        "score": mean([each for each in (mean(found), mean(refused)) if each is not None]),
        "f1": mean(found),
        "f1_of_answered": mean([each.f1 for answers, each in zip(kept, said, strict=True) if answers]),
        "answered": mean([float(answers) for answers in asked]),
        "unanswerable_abstained": mean(refused),
    }


def fit_abstention(
    artifact: Artifact, data: Sequence[Path], *, rows: int = ROWS, seed: int = 0, tell: Tell = no_tell
) -> dict[str, Any]:
    """The threshold of a drafter or a reader, chosen on the dev part of `data` and measured on its test part.

    Gives {abstain_below, dev, test}, each part with `told_at` of the threshold and, below `without`, of none. Rows are
    those of the recipe. Raises `UsageError` where the dev part has no row.
    """
    from ..models import load_chat_model
    from ..models.drafter_chat import LOGPROBS
    from .causal_training import part_rows

    role = artifact.manifest.role
    recipe = recipe_of(role)
    with tempfile.TemporaryDirectory() as folder:
        options = replace(recipe.DEFAULTS, per_set=DRAWN * rows, seed=seed)
        built = recipe.build(data, Path(folder), options, tell)
        parts: dict[Part, list[TrainingRow]] = {
            part: part_rows(built, role, part, rows, seed) for part in ("dev", "test")
        }
    if not parts["dev"]:
        raise UsageError(f"the dev part has no row for a {role}", hint="give more documents")
    llm: Any = load_chat_model(f"{role}:{artifact.folder}", abstain_below=None)
    asked = llm.bind(**LOGPROBS) if role == "drafter" else llm
    said = {
        part: [each.said for each in answers_of(asked, given, f"answering, {part} rows", tell)]
        for part, given in parts.items()
    }
    threshold = best_threshold(said["dev"])
    return {"abstain_below": threshold, "dev": None, "test": None, **told_of_parts(said, threshold)}


def told_of_parts(said: Mapping[Part, Sequence[Said]], threshold: float) -> dict[str, Any]:
    """What a threshold does in each part, and below `without` what happens without one."""
    return {part: {**told_at(each, threshold), "without": told_at(each, None)} for part, each in said.items() if each}


def store_abstention(artifact: Artifact, found: dict[str, Any]) -> None:
    """Writes the threshold, and what it does, into an artifact's manifest."""
    told = artifact.manifest
    thresholds = {**told.thresholds, "abstain_below": float(found["abstain_below"])}
    metrics = {**told.metrics, "abstaining": {part: found[part] for part in ("dev", "test") if found.get(part)}}
    update_manifest(artifact, {"thresholds": thresholds, "metrics": metrics})


def answers_of(llm: Any, rows: Sequence[TrainingRow], task: str, tell: Tell) -> list[Answer]:
    """What a drafter or a reader says to each row. `ModelError` where its server does not tell how sure it is."""
    from ..models.drafter_chat import mean_logprob
    from .drafting import draft_prompt, score_drafts

    found = []
    for number, row in enumerate(rows, start=1):
        message = llm.invoke([(turn["role"], turn["content"]) for turn in draft_prompt(row)])
        told, text = message.response_metadata, str(message.text)
        confidence = told["span_score"] if "span_score" in told else mean_logprob(told)
        if confidence is None:
            raise ModelError("the drafter's server tells no log-probabilities", hint="nothing can be chosen by them")
        (score,) = score_drafts([row], [text])
        said = Said(float(confidence), bool(row["answerable"]), not score["abstained"], score.get("f1", 0.0))
        found.append(Answer(text, said))
        tell(task, number, len(rows))
    return found
