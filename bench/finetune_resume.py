"""A training that is killed again and again beside one that is not: `python bench/finetune_resume.py`.

Each role is trained twice by the same command: once undisturbed, once with SIGKILL at random moments after a checkpoint
was written, and the command given again until it ends. Shown are the held-out metrics of both and how far their weights
are apart. Trainings are short: it is the machinery that is measured, not the models.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import CACHE, SEED, ended_well, has, options, publish, say, table, verdict

SET = "squad"
ROLES: dict[str, tuple[str, list[str]]] = {
    "evaluator": ("auroc", ["--per-set", "300", "--max-steps", "24", "--evaluations", "6"]),
    "embedder": (
        "test.ndcg@10.trained",
        ["--limit", "800", "--max-steps", "16", "--evaluations", "4", "--batch-size", "32"],
    ),
    "drafter": (
        "drafter.f1",
        ["--per-set", "200", "--max-steps", "6", "--evaluations", "3", "--set", "measured=20", "--max-tokens", "512"],
    ),
}
"""Role to the metric that is compared (a path in the manifest's metrics) and its options."""
KILLS = 3
NOISE = 0.01
"""Of the metric, at most."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--roles", default=",".join(ROLES), help=f"which ({','.join(ROLES)})")
    parser.add_argument("--kills", type=int, default=KILLS, help=f"of each training ({KILLS})")


def train(role: str, data: Path, out: Path, kills: int) -> tuple[int, float]:
    """Trains to the end; returns how often it was killed, and the minutes."""
    rng = random.Random(f"{SEED}:{role}")
    command = [sys.executable, "-m", "ragloom.cli", "finetune", role, "--data", str(data), "--out", str(out)]
    command += ["--seed", str(SEED), *ROLES[role][1]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAGLOOM_")}
    environment["RAGLOOM_CONFIG"] = os.devnull
    began, killed, seen = time.monotonic(), 0, set[str]()
    log = out.with_suffix(".log").open("a", encoding="utf-8")
    while True:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        while killed < kills and process.poll() is None:
            new = {path.name for path in (out / "checkpoints").glob("checkpoint-*")} - seen
            if new:  # in the middle of what comes after this checkpoint, or of the writing of the next one
                time.sleep(rng.uniform(0, 10))
                seen |= new
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    killed += 1
                    process.wait()
                    say(f"{role}: killed after {', '.join(sorted(new))}")
                    break
            time.sleep(0.2)
        if process.wait() == 0:
            return killed, (time.monotonic() - began) / 60
        if process.returncode != -signal.SIGKILL:
            sys.exit(f"the training of {role} ended with {process.returncode}: see {log.name}")


def metric_of(out: Path, path: str) -> float:
    """A number in the manifest's metrics; `a.b` is b in a."""
    value: Any = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["metrics"]
    for name in path.split("."):
        value = value[name]
    return float(value)


def apart(left: Path, right: Path) -> float:
    """The greatest difference of any weight, beside the greatest weight."""
    from safetensors.numpy import load_file

    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (left, right))
    greatest = max(float(abs(value).max()) for value in one.values())
    return max(float(abs(value - other[name]).max()) for name, value in one.items()) / greatest


def main() -> None:
    """A line for each role."""
    given = options(__doc__, add_options)
    if not has(given.data, SET):
        return
    rows = []
    for role in given.roles.split(","):
        folders = {name: CACHE / f"resume-{role}-{name}" for name in ("undisturbed", "killed")}
        found: dict[str, Any] = {"role": role, "metric": ROLES[role][0]}
        for name, folder in folders.items():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            folder.with_suffix(".log").unlink(missing_ok=True)
            say(f"{role}: {name}")
            kills, minutes = train(role, given.data / SET, folder, given.kills if name == "killed" else 0)
            found |= {name: metric_of(folder, ROLES[role][0]), f"minutes {name}": minutes}
            found["kills"] = kills
        rows.append({**found, "weights apart": apart(*folders.values())})
    lines = [
        (
            *(row["role"], row["kills"], row["metric"], f"{row['undisturbed']:.4f}", f"{row['killed']:.4f}"),
            *(f"{row['weights apart']:.1e}", f"{row['minutes undisturbed']:.1f}", f"{row['minutes killed']:.1f}"),
        )
        for row in rows
    ]
    head = ("role", "kills", "metric", "undisturbed", "killed", "weights apart, relative", "minutes", "minutes killed")
    targets = [
        verdict(
            f"{row['role']}: difference of {row['metric']}",
            abs(row["undisturbed"] - row["killed"]),
            NOISE,
            at_most=True,
        )
        for row in rows
    ]
    publish("finetune_resume", "Trainings that are killed and go on", [table(head, lines)], {"rows": rows}, targets)


if __name__ == "__main__":
    ended_well(main)
