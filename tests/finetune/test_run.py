"""One training from data to artifact: a kill, a resume, folders that are refused, what the artifact says and holds."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_recipe
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ragloom.errors import ArtifactError, StoreError, UsageError
from ragloom.finetune import finetune
from ragloom.finetune.artifact_files import shown_command, store_half
from ragloom.finetune.callbacks import last_checkpoint, seconds_spent
from ragloom.finetune.card import metric_tables
from ragloom.finetune.options import METHODS
from ragloom.finetune.plots import write_plots
from ragloom.finetune.recipe import Outcome, recipe_of
from ragloom.models.artifacts import open_artifact
from ragloom.models.pair_classifier import load_pair_classifier

Cli = Callable[..., Any]
STEPS = 92  # 183 rows in batches of 8, four times


@pytest.fixture(autouse=True)
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tiny recipe in the place of a real one."""
    recipe_of("router")  # so that the package is there
    monkeypatch.setitem(sys.modules, "ragloom.finetune.recipes.utility", tiny_recipe)
    monkeypatch.setattr(tiny_recipe, "STARTS", [])
    return tiny_recipe


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_recipe.make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_recipe.make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def trained(base: Path, data: Path, tmp_path: Path) -> Path:
    """An artifact after three steps."""
    finetune("utility", [data], tmp_path / "made", base=f"st:{base}", max_steps=3)
    return tmp_path / "made"


def child(data: Path, out: Path, base: Path, pause: float, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", tiny_recipe.__file__, str(data), str(out), str(base), str(pause)]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(found: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not found():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


# -- kill and resume ---------------------------------------------------------------------------------------------------


def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_been(
    base: Path, data: Path, tmp_path: Path, recipe: Any
) -> None:
    out, whole = tmp_path / "killed", tmp_path / "whole"
    process = child(data, out, base, 0.05)
    wait_for(lambda: (out / "checkpoints" / "checkpoint-32" / "trainer_state.json").exists(), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "manifest.json").exists()
    assert seconds_spent(out) > 1.5  # 32 steps of at least 0.05 s: the clock survives the kill
    steps: list[int] = []
    tell = lambda text, done, total: steps.append(done) if text.startswith("step") else None  # noqa: E731
    again = finetune("utility", [data], out, base=f"st:{base}", tell=tell)
    assert recipe.STARTS[-1] and int(recipe.STARTS[-1].rpartition("-")[2]) >= 32
    assert steps[0] == int(recipe.STARTS[-1].rpartition("-")[2]) + 1 and steps[-1] == STEPS
    straight = finetune("utility", [data], whole, base=f"st:{base}")
    assert recipe.STARTS[-1] is None
    left, right = (each.manifest for each in (again, straight))
    assert left.settings["steps"] == right.settings["steps"] == STEPS
    assert left.metrics["test"]["accuracy"] == pytest.approx(right.metrics["test"]["accuracy"], abs=0.05)
    assert right.metrics["test"]["accuracy"] > 0.9
    ours, theirs = (load_file(folder / "adapter_model.safetensors") for folder in (out, whole))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in theirs)


def test_an_interruption_says_how_to_go_on_and_the_curve_is_whole(
    base: Path, data: Path, tmp_path: Path, cli: Cli, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("finetune", "utility", "--data", data, "--out", tmp_path / "o", "--base", f"st:{base}", "--json")
    real = recipe.callbacks

    def interrupted(options: Any, tell: Any, log: Any) -> Any:
        def stop(text: str, done: int, total: int | None) -> None:
            if done == 20:
                raise KeyboardInterrupt
            tell(text, done, total)

        return real(options, stop, log)

    with monkeypatch.context() as patched:
        patched.setattr(recipe, "callbacks", interrupted)
        first = cli(*arguments)
    assert first.code == 130
    assert "the same command goes on from step 16" in first.err
    second = cli(*arguments)
    assert (second.code, second.json["settings"]["steps"]) == (0, STEPS), second.err
    assert f"of {STEPS}, loss" in second.err
    assert second.json["command"].startswith("ragloom finetune utility --data data")
    assert str(tmp_path) not in second.json["command"]
    assert (tmp_path / "o" / "curves.png").stat().st_size > 5000
    third = cli(*arguments)
    assert third.code == 0 and "already trained" in third.err
    assert len(recipe.STARTS) == 2


def test_the_time_before_an_end_counts(
    base: Path, data: Path, tmp_path: Path, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o"

    def stop(text: str, done: int, total: int | None) -> None:
        if done == 18:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune("utility", [data], out, base=f"st:{base}", max_minutes=0.5, tell=stop)
    assert seconds_spent(out) > 0
    (out / "checkpoints" / "clock.json").write_text('{"seconds": 1000}')
    made = finetune("utility", [data], out, base=f"st:{base}", max_minutes=0.5)
    assert made.manifest.settings["steps"] == 17  # one step on from the checkpoint, and the time is up


def test_patience_ends_a_training_that_gains_nothing(base: Path, data: Path, tmp_path: Path) -> None:
    made = finetune("utility", [data], tmp_path / "o", base=f"st:{base}", patience=1, learning_rate=1e-9)
    assert made.manifest.settings["steps"] == 32  # the second evaluation was no better than the first


def test_patience_is_what_the_command_says_now(
    base: Path, data: Path, tmp_path: Path, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = recipe.callbacks

    def interrupted(options: Any, tell: Any, log: Any) -> Any:
        def stop(text: str, done: int, total: int | None) -> None:
            if done == 20:
                raise KeyboardInterrupt

        return real(options, stop, log)

    given_ = {"base": f"st:{base}", "learning_rate": 1e-9}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(recipe, "callbacks", interrupted)
        finetune("utility", [data], tmp_path / "o", patience=9, **given_)
    made = finetune("utility", [data], tmp_path / "o", patience=1, **given_)
    assert made.manifest.settings["steps"] == 32


@pytest.mark.parametrize(("limits", "steps"), [({"max_steps": 500}, 23), ({"max_steps": 9}, 9)])
def test_the_first_limit_ends_a_training(
    base: Path, data: Path, tmp_path: Path, limits: dict[str, Any], steps: int
) -> None:
    made = finetune("utility", [data], tmp_path / "o", base=f"st:{base}", epochs=1, **limits)
    assert made.manifest.settings["steps"] == steps


def test_a_checkpoint_that_a_kill_left_unfinished_is_no_start(tmp_path: Path) -> None:
    for number, text in ((10, '{"global_step": 10}'), (20, '{"global_st'), (9, '{"global_step": 9}')):
        folder = tmp_path / "checkpoints" / f"checkpoint-{number}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text(text)
    (tmp_path / "checkpoints" / "checkpoint-30").mkdir()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoints" / "checkpoint-10")
    assert not (tmp_path / "checkpoints" / "checkpoint-30").exists()
    assert last_checkpoint(tmp_path / "none") is None


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_folder_of_another_training_is_refused_until_it_may_go(trained: Path, base: Path, data: Path) -> None:
    def again(**options: Any) -> Any:
        return finetune("utility", [data], trained, base=f"st:{base}", **{"max_steps": 3, **options})

    before = again().manifest
    for options, says in (
        ({"learning_rate": 1e-3}, "learning_rate was 0.005, now 0.001"),
        ({"max_steps": 4, "rank": 8}, "max_steps was 3, now 4; rank was 4, now 8"),
    ):
        with pytest.raises(UsageError, match=says):
            again(**options)
    assert again(max_minutes=9).manifest == before  # how long it may take decides nothing that is learned
    assert again(fresh=True, max_steps=4).manifest.settings["steps"] == 4


def test_other_data_of_the_same_name_is_another_training(trained: Path, base: Path, data: Path) -> None:
    path = data / "rows.jsonl"
    text = path.read_text()
    path.write_text(text + text.splitlines()[0].replace("d0", "d999") + "\n")
    try:
        with pytest.raises(UsageError, match=f"data: changed {data.name}"):
            finetune("utility", [data], trained, base=f"st:{base}", max_steps=3)
    finally:
        path.write_text(text)


def no_rows(folder: Path) -> Path:
    folder.mkdir()
    (folder / "rows.jsonl").write_text("{}\n")
    return folder


def test_what_failed_before_it_began_claims_no_folder(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        finetune("utility", [no_rows(tmp_path / "bad")], tmp_path / "o", base=f"st:{base}", max_steps=1)
    made = finetune("utility", [data], tmp_path / "o", base=f"st:{base}", max_steps=2)
    assert made.manifest.settings["steps"] == 2


def test_a_finished_artifact_stays_until_the_new_data_is_found_good(trained: Path, base: Path, tmp_path: Path) -> None:
    def files() -> dict[str, bytes]:
        found = (path for path in trained.rglob("*") if path.is_file() and path.name != ".lock")
        return {path.relative_to(trained).as_posix(): path.read_bytes() for path in found}

    before = files()
    with pytest.raises(UsageError):
        finetune("utility", [no_rows(tmp_path / "bad")], trained, base=f"st:{base}", max_steps=1, fresh=True)
    assert files() == before
    assert open_artifact(f"utility:{trained}", "utility").manifest.settings["steps"] == 3


def test_two_trainings_in_one_folder_are_refused(base: Path, data: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "o").mkdir()
    with FileLock(tmp_path / "o" / ".lock"), pytest.raises(StoreError, match="another process trains"):
        finetune("utility", [data], tmp_path / "o", base=f"st:{base}", max_steps=1)


def test_an_artifact_from_elsewhere_is_not_written_over(trained: Path, base: Path, data: Path) -> None:
    (trained / "run.json").unlink()
    with pytest.raises(UsageError, match="--fresh"):
        finetune("utility", [data], trained, base=f"st:{base}", max_steps=3)


def test_a_folder_that_cannot_be_written_is_named(base: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write to .*--out"):
        finetune("utility", [data], tmp_path / "file" / "o", base=f"st:{base}", max_steps=1)


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk .* is full .*goes on"),
        (RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/3"), "disk .* is full"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GB"), "memory did not suffice"),
    ],
)
def test_a_full_disk_or_memory_is_no_traceback(
    base: Path, data: Path, tmp_path: Path, recipe: Any, monkeypatch: pytest.MonkeyPatch, raised: Exception, says: str
) -> None:
    def fail(*_: Any) -> Any:
        raise raised

    monkeypatch.setattr(recipe, "train", fail)
    with pytest.raises(UsageError, match=says):
        finetune("utility", [data], tmp_path / "o", base=f"st:{base}")


@pytest.mark.parametrize(
    ("role", "options", "says"),
    [
        ("utlity", {}, "did you mean 'utility'"),
        ("utility", {"method": "qlora"}, "use one of lora, prefix"),
        ("utility", {"base": "st:nowhere"}, "no base model"),
        ("utility", {"data": "nowhere"}, "there is no 'nowhere'"),
        ("utility", {"learning_rates": 1}, "learning_rate"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    data: Path, own_folder: Path, role: Any, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        finetune(role, [Path(options.pop("data", data))], own_folder / "o", **options)
    assert not (own_folder / "o").exists()


def test_bad_rows_are_named_with_file_and_line(base: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "rows.jsonl").write_text('{"question": "w1", "answer": "w2"}\n')
    done = cli("finetune", "utility", "--data", tmp_path / "bad", "--out", "o", "--base", f"st:{base}")
    assert done.code == 2
    assert "rows.jsonl:1: column 'label' is missing" in done.err


# -- the artifact ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [method for method in METHODS if method in tiny_recipe.METHODS])
def test_what_a_method_makes_is_loaded_as_a_critic(method: str, base: Path, data: Path, tmp_path: Path) -> None:
    made = finetune("utility", [data], tmp_path / "o", base=f"st:{base}", method=method, max_steps=2)
    assert made.manifest.method == method
    found = load_pair_classifier(f"utility:{tmp_path / 'o'}", "utility", dtype="float32").probabilities(
        [("w1 w2", "good w3"), ("w1 w2", "bad w3")]
    )
    assert found.shape == (2, 1)
    assert np.all((found > 0) & (found < 1))
    assert not (tmp_path / "o" / "checkpoints").exists()


def test_an_artifact_is_refused_as_another_role_on_another_base_or_damaged(
    trained: Path, base: Path, tmp_path: Path
) -> None:
    assert open_artifact(f"utility:{trained}", "utility").base_path() == base
    with pytest.raises(ArtifactError, match="was trained as utility, not as support"):
        open_artifact(f"support:{trained}", "support")
    other = tiny_recipe.make_base(tmp_path / "other", hidden=16)
    weights, kept = base / "model.safetensors", (base / "model.safetensors").read_bytes()
    try:
        weights.write_bytes((other / "model.safetensors").read_bytes())
        with pytest.raises(ArtifactError, match="was trained on"):
            load_pair_classifier(f"utility:{trained}", "utility")
    finally:
        weights.write_bytes(kept)
    for name in json.loads((trained / "manifest.json").read_text())["files"]:
        before = (trained / name).read_bytes()
        (trained / name).write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        with pytest.raises(ArtifactError, match=r"is damaged: its SHA-256"):
            open_artifact(f"utility:{trained}", "utility")
        (trained / name).unlink()
        with pytest.raises(ArtifactError, match=f"{name} is missing"):
            open_artifact(f"utility:{trained}", "utility")
        (trained / name).write_bytes(before)
    (trained / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactError, match="is damaged: role"):
        open_artifact(f"utility:{trained}", "utility")


def test_no_path_of_this_machine_is_in_what_is_passed_on(trained: Path) -> None:
    manifest = open_artifact(f"utility:{trained}", "utility").manifest
    for name in ("README.md", *manifest.files):
        assert str(trained.parent).encode() not in (trained / name).read_bytes(), name


def test_the_card_says_what_one_must_know(trained: Path) -> None:
    card = (trained / "README.md").read_text()
    for text in (
        "| made | CC0-1.0 | 240 |",
        "accuracy",
        "lora",
        "useful",
        "utility:PATH",
        "train 183, dev 22, test 35",
    ):
        assert text in card
    assert "no duplicates" in card


def test_show_and_list(trained: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = cli("finetune", "show", trained, "--json")
    assert (shown.json["role"], shown.json["labels"]) == ("utility", ["useful"])
    assert "accuracy" in cli("finetune", "show", trained).out
    assert cli("finetune", "show", "nowhere").code == 2
    monkeypatch.setattr("ragloom.finetune.recipe.recipes", lambda: iter([recipe_of("utility")]))
    assert cli("finetune", "list", "--json").lines[0]["methods"] == list(tiny_recipe.METHODS)


@settings(deadline=None, max_examples=30)
@given(st.floats(-60_000, 60_000).filter(lambda x: x == 0 or abs(x) > 1e-3))
def test_half_is_half_the_bytes_and_nearly_the_same(value: float) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        path = Path(name) / "adapter_model.safetensors"
        save_file({"a": torch.full((64, 64), value), "n": torch.ones(2, dtype=torch.int64)}, str(path))
        before = path.stat().st_size
        assert store_half(Path(name))
        assert path.stat().st_size < 0.55 * before
        found = load_file(path)
        assert found["a"].dtype == torch.float16 and found["n"].dtype == torch.int64
        assert float(found["a"][0, 0]) == pytest.approx(value, rel=1e-3)
        assert not store_half(Path(name))


@pytest.mark.parametrize("value", [1e6, 1e-12])
def test_what_half_cannot_hold_stays_whole(tmp_path: Path, value: float) -> None:
    save_file({"a": torch.full((4,), value)}, str(tmp_path / "adapter_model.safetensors"))
    assert not store_half(tmp_path)
    assert load_file(tmp_path / "adapter_model.safetensors")["a"].dtype == torch.float32


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (
            "ragloom finetune support --data /h/wice /h/q2/ --out=/o/s",
            "ragloom finetune support --data wice q2 --out=s",
        ),
        ("ragloom finetune drafter --base gguf:/m/a.gguf", "ragloom finetune drafter --base gguf:a.gguf"),
        ("ragloom finetune embedder --base hf:BAAI/bge-small", "ragloom finetune embedder --base hf:BAAI/bge-small"),
    ],
)
def test_a_command_is_shown_without_folders(command: str, shown: str) -> None:
    assert shown_command(command) == shown


def test_metrics_become_tables() -> None:
    one, two = metric_tables({"n": 5, "squad": {"auroc": 0.9, "n": 2}, "qed": {"auroc": 0.8, "n": 3}, "bins": [{}]})
    assert one.rows == (("n", "5"),)
    assert (two.header, two.rows) == (("", "auroc", "n"), (("squad", "0.9", "2"), ("qed", "0.8", "3")))


def test_plots_are_drawn_where_there_is_something_to_draw(tmp_path: Path) -> None:
    bins = [
        {"from": 0.1 * n, "to": 0.1 * n + 0.1, "said": 0.1 * n + 0.05, "seen": 0.1 * n, "rows": n} for n in range(9)
    ]
    histogram = {"edges": [0, 0.5, 1], "counts": {"yes": [1, 5], "no": [4, 1]}}
    metrics = {"test": {"calibration": {"reliability": bins}, "histogram": histogram}}
    made = write_plots(tmp_path, Outcome(metrics=metrics, curves=({"step": 1.0, "loss": 2.0},)))
    assert set(made) == {"curves.png", "reliability.png", "scores.png"}
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in made)
    assert write_plots(tmp_path, Outcome()) == {}


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_a_folder_without_write_permission_is_named(base: Path, data: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "o").mkdir(mode=0o500)
    with pytest.raises(UsageError, match="cannot write"):
        finetune("utility", [data], tmp_path / "o", base=f"st:{base}", max_steps=1)
