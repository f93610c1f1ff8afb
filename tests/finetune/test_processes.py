"""A training of two processes on a CPU, as `torchrun` starts them: one artifact, one end, nobody is waited for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pair_kit import made_rows
from tiny_bert import make_tiny_bert

from ragloom.finetune.data.rows import write_rows
from ragloom.models.artifacts import open_artifact


def train(base: Path, data: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "ragloom.cli", "finetune", "utility", "--data", str(data), "--out", str(out)]
    command += ["--base", f"st:{base}", "--device", "cpu", "--precision", "float32", "--batch-size", "4", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAGLOOM_CONFIG": os.devnull}
    return subprocess.run(
        [*launched, *command], capture_output=True, text=True, env=environment, timeout=240, check=False
    )


def test_two_processes_make_one_artifact(tmp_path: Path) -> None:
    base, data, out = make_tiny_bert(tmp_path / "bert"), tmp_path / "mine.jsonl", tmp_path / "out"
    write_rows(data, made_rows("utility", 60))
    limited = ("--epochs", "50", "--max-minutes", "0.05", "--max-tokens", "48")
    made = train(base, data, out, *limited)
    assert made.returncode == 0, made.stderr
    found = open_artifact(f"utility:{out}", "utility").manifest
    rows = sum(1 for _ in (out / "rows" / "train.jsonl").open())
    whole = 50 * -(-rows // 8)  # four rows in each of two processes
    assert 0 < found.settings["steps"] < whole  # the clock of the first process ended both
    written = json.loads((out / "manifest.json").read_text())
    again = train(base, data, out, *limited)
    assert again.returncode == 0, again.stderr
    assert json.loads((out / "manifest.json").read_text()) == written  # already trained: nothing to do
