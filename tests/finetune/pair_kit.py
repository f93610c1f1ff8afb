"""Tiny rows of the roles that judge pairs, and recipes run on them as the command runs them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from ragloom.finetune.data.parts import PARTS, Part, part_of
from ragloom.finetune.data.rows import write_rows
from ragloom.finetune.options import TrainOptions, no_tell
from ragloom.finetune.recipe import Built, Outcome, recipe_of
from ragloom.models.artifacts import MANIFEST, Calibration, Manifest, base_of, file_hash


def made_rows(role: str, count: int = 40) -> list[dict[str, Any]]:
    """Rows whose label a word tells: passages with a word of the question are relevant."""
    draw = random.Random(0)
    rows = []
    for number in range(count):
        words = [f"w{draw.randrange(100)}" for _ in range(5)]
        question, right = " ".join(words), " ".join([*words[:3], f"w{draw.randrange(100, 200)}"])
        wrong = " ".join(f"w{draw.randrange(100, 200)}" for _ in range(draw.randrange(3, 70)))
        name = f"set{number % 2}"
        origin = {"set": name, "id": str(number), "document": f"{name}:{number}", "licence": "CC0-1.0"}
        pairs = {
            "evaluator": [
                {"passage": right, "label": 1},
                *({"passage": f"{wrong} w{n}", "label": 0} for n in range(3)),
            ],
            "support": [
                {"claim": question, "passage": right, "label": "fully"},
                {"claim": question, "passage": f"{words[0]} {wrong}", "label": "partially"},
                {"claim": question, "passage": wrong, "label": "none"},
            ],
            "utility": [{"answer": " ".join([right] * n), "label": n} for n in range(1, 6)],
            "retrieve": [{"label": "yes"}, {"question": wrong, "label": "no"}],
        }
        pairs["reranker"] = [
            {**row, "first_stage": draw.random() + 0.3 * row["label"], "teacher": 3.0 * row["label"]}
            for row in pairs["evaluator"]
        ]
        rows += [{"question": question, **row, "origin": origin} for row in pairs[role]]
    return rows


def built_of(role: Any, folder: Path, rows: list[dict[str, Any]] | None = None) -> Built:
    files: dict[Part, Path] = {part: folder / "rows" / f"{part}.jsonl" for part in PARTS}
    chosen = made_rows(role) if rows is None else rows
    counts = {
        part: write_rows(path, [row for row in chosen if part_of(row["origin"]["document"]) == part])
        for part, path in files.items()
    }
    return Built(files, counts, ())


def few(base: Path, **given: Any) -> TrainOptions:
    settings: dict[str, Any] = {"max_steps": 4, "batch_size": 8, "max_tokens": 48, "rank": 4, "evaluations": 2}
    return TrainOptions(base=f"st:{base}", precision="float32", device="cpu", **{**settings, **given})


def train(role: Any, out: Path, options: TrainOptions, rows: list[dict[str, Any]] | None = None) -> Outcome:
    """The recipe, and the manifest as the run writes it."""
    outcome = recipe_of(role).train(built_of(role, out, rows), out, options, no_tell)
    manifest = Manifest(
        role=role,
        name=out.name,
        base=base_of(options.base)[1],
        method=options.method,
        files={name: file_hash(out / name) for name in outcome.files},
        labels=outcome.labels,
        max_tokens=options.max_tokens,
        calibration=Calibration(scale=outcome.scale, shift=outcome.shift),
        thresholds=outcome.thresholds,
        metrics=outcome.metrics,
        settings=outcome.settings,
    )
    (out / MANIFEST).write_text(manifest.model_dump_json())
    return outcome
