"""Without the extra `guardrails`."""

from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ragloom.errors import MissingExtraError, UsageError
from ragloom.guardrails.nemo import NeMoGuard, copy_config, rail_action


@pytest.fixture
def no_nemo(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "nemoguardrails":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", importing)


@pytest.mark.usefixtures("no_nemo")
def test_the_extra_is_named_at_construction() -> None:
    with pytest.raises(MissingExtraError) as raised:
        NeMoGuard()
    assert isinstance(raised.value, UsageError)
    assert raised.value.hint == "pip install 'ragloom[guardrails]'"


@pytest.mark.usefixtures("no_nemo")
def test_the_configuration_can_be_copied_all_the_same(tmp_path: Path) -> None:
    assert len(copy_config(tmp_path)) == 3


def test_importing_the_package_imports_no_nemo() -> None:
    code = "import sys; from ragloom.guardrails.nemo import *; print('nemoguardrails' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert callable(rail_action)
