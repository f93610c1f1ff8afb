"""The router beside a linear model, TF-IDF with an SVM and the majority class: python bench/finetune_router.py

Three sets: kinds of need (query_routing), intents with out-of-scope texts (CLINC150), and complexity: no retrieval, one
hop or several by the origin of the question, or with --runs by the simplest strategy that answered rightly in runs of
`ragloom eval answers`. Texts are split by their hash; artifacts are kept in bench/cache.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from common import CACHE, SEED, ended_well, has, options, publish, read_jsonl, say, table, verdict

SETS = "query_routing,clinc150,complexity"
COMPLEXITY = ("no_retrieval", "single_hop", "multi_hop")
NAMES = {"majority": "majority class", "tfidf_svm": "TF-IDF + linear SVM", "linear": "linear on the embedder"}
FEW = 12
"""Classes up to which each has a row of its own."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--runs", type=Path, action="append", default=[], help="folder of a run; repeatable")
    parser.add_argument("--method", default="lora", help="what is trained; the linear model is always beside it")
    parser.add_argument("--limit", type=int, help="texts of each set")
    parser.add_argument("--steps", type=int, help="optimiser steps")


def texts_of(data: Path, name: str, given: Any) -> list[Path]:
    """What to train on: the set itself, or a part of it written into the cache."""
    if name != "complexity" and given.limit is None:
        return [data / name]
    rows = read_jsonl(data / ("query_routing" if name == "complexity" else name) / "items.jsonl")
    if name == "complexity":
        rows = [row for row in rows if row["label"] in COMPLEXITY]
    # Every n-th: files are often sorted by class.
    rows = rows[:: max(1, len(rows) // given.limit)] if given.limit else rows
    folder = CACHE / f"finetune-router-{name}-{given.limit or 'all'}-texts"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for readme in (data / name).glob("README.md"):  # the licence
        (folder / "README.md").write_text(readme.read_text(encoding="utf-8"), encoding="utf-8")
    return [folder]


def train(data: list[Path], name: str, given: Any) -> Any:
    """The artifact of one set."""
    from ragloom.finetune import finetune

    def tell(text: str, done: int, total: int | None) -> None:
        if total and done % max(1, total // 10) == 0:
            say(f"{name}: {text} {done}/{total}")

    told = [name, given.method, *(f"{key}{value}" for key in ("limit", "steps") if (value := getattr(given, key)))]
    return finetune(
        "router",
        data,
        CACHE / f"finetune-router-{'-'.join(told)}",
        tell=tell,
        command=f"bench/finetune_router.py --sets {name}",
        method=given.method,
        seed=SEED,
        **({"max_steps": given.steps} if given.steps else {}),
    )


def rows_of(name: str, artifact: Any, method: str) -> list[tuple[Any, ...]]:
    """One row for each model on one set."""
    metrics = artifact.manifest.metrics
    found = {
        **{NAMES[key]: value for key, value in metrics["baselines"].items()},
        f"router ({method})": metrics["test"],
    }
    cell = lambda value: "" if value is None else f"{value:.3f}"  # noqa: E731
    gains = {NAMES[key]: value for key, value in metrics["accuracy_over_baselines"].items()}
    rows = []
    for model, told in found.items():
        gain = gains.get(model)
        interval = "" if gain is None else f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
        columns = ("accuracy", "macro_f1", "in_scope_accuracy", "out_of_scope_recall")
        rows.append((name, model, told["n"], *(cell(told.get(column)) for column in columns), interval))
    return rows


def classes_of(name: str, artifact: Any) -> list[tuple[Any, ...]]:
    """The classes of a set: all where there are few, else what is out of scope."""
    classes = artifact.manifest.metrics["test"]["classes"]
    kept = classes if len(classes) <= FEW else {key: value for key, value in classes.items() if key == "oos"}
    return [
        (name, label, each["n"], *(f"{each[column]:.3f}" for column in ("precision", "recall", "f1")))
        for label, each in kept.items()
    ]


def main() -> None:
    """Two tables: models by set, and classes of the trained router."""
    given = options(__doc__, add_options)
    artifacts = {}
    for name in given.sets.split(","):
        if has(given.data, "query_routing" if name == "complexity" else name):
            artifacts[name] = train(texts_of(given.data, name, given), name, given)
    if given.runs:
        artifacts["silver complexity"] = train(given.runs, "silver", given)
    if not artifacts:
        return
    models = table(
        (
            "set",
            "model",
            "n",
            "accuracy",
            "macro F1",
            "in-scope accuracy",
            "out-of-scope recall",
            "router minus it (95 %)",
        ),
        [row for name, each in artifacts.items() for row in rows_of(name, each, given.method)],
    )
    classes = table(
        ("set", "class", "n", "precision", "recall", "F1"),
        [row for name, each in artifacts.items() for row in classes_of(name, each)],
    )
    publish(
        "finetune_router",
        "The router beside its baselines",
        [
            "Accuracy counts an abstention as the class `oos`; the difference is of accuracy, paired over the texts.",
            models,
            f"## Classes of the trained router\n\n{classes}",
        ],
        {"manifests": {name: each.manifest.model_dump() for name, each in artifacts.items()}},
        [
            verdict(
                f"macro F1 over the linear model on {name}",
                each.manifest.metrics["test"]["macro_f1"] - each.manifest.metrics["baselines"]["linear"]["macro_f1"],
                0.0,
            )
            for name, each in artifacts.items()
        ],
    )


if __name__ == "__main__":
    ended_well(main)
