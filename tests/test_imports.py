"""Importing is quick and light, and the rooms import each other in one direction only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "transformers", "llama_index", "lancedb", "langchain_core", "langgraph", "numpy", "pyarrow"}


def best_seconds(*command: str, times: int = 5) -> float:
    """The best of several fresh processes, what a bare interpreter takes included."""
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        best = min(best, time.perf_counter() - began)
    return best


def loaded(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after running this."""
    code = f"import json, sys\n{code}\nsys.stderr.write(json.dumps([n.split('.')[0] for n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_importing_takes_less_than_a_third_of_a_second() -> None:
    assert best_seconds(sys.executable, "-c", "import ragloom") < 0.3


def test_help_takes_less_than_two_thirds_of_a_second() -> None:
    assert best_seconds(sys.executable, "-m", "ragloom.cli", "--help") < 0.6


def test_importing_loads_nothing_heavy() -> None:
    assert not loaded("import ragloom") & HEAVY


def test_help_loads_nothing_heavy() -> None:
    code = "import ragloom.cli\nsys.argv = ['ragloom', '--help']\ntry: ragloom.cli.main()\nexcept SystemExit: pass"
    assert not loaded(code) & HEAVY


@pytest.mark.parametrize("room", ["models", "retrieval", "graphs", "agents", "evals", "finetune", "testing"])
def test_rooms_load_nothing_heavy_by_themselves(room: str) -> None:
    assert not loaded(f"import ragloom.{room}") & {"torch", "transformers", "llama_index", "lancedb"}


@pytest.mark.parametrize("room", ["ragloom", "models", "retrieval", "graphs", "evals", "finetune", "testing"])
def test_every_public_name_is_there(room: str) -> None:
    import importlib

    module = importlib.import_module("ragloom" if room == "ragloom" else f"ragloom.{room}")
    for name in getattr(module, "__all__", ()):
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        _ = module.no_such_name


def test_rooms_are_built_one_upon_the_other(tmp_path: Path) -> None:
    """On a tree as it is installed: the linter does not follow the mapping of folders to packages."""
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which("lint-imports")
    if not command:
        pytest.skip("import-linter is not installed")
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    for package, folder in sorted(folders.items()):
        shutil.copytree(ROOT / folder, tmp_path / package.replace(".", "/"), dirs_exist_ok=True)
    done = subprocess.run(
        [command, "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
