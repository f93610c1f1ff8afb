"""Configurations of NeMo: what is wrong with one is said when the guard is made, with the file and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nemoguardrails", reason="needs ragloom[guardrails]")

from nemo_kit import COLANG, YAML, WordRail, look, mask, own_config

from ragloom.errors import UsageError
from ragloom.guardrails.nemo import NeMoGuard, copy_config

FLOW = 'define flow own\n  $said = execute look(text=$user_message)\n  if $said == "bad"\n    stop\n'
RAILS = "rails: {input: {flows: [own]}}\n"
ACTIONS = """
from nemoguardrails.actions import action

@action(name="look")
async def look(text: str) -> str:
    return "bad" if "bad" in text else "fine"
"""


def folder(path: Path, **files: str) -> Path:
    for name, text in {"config_yml": RAILS, "own_co": FLOW, "actions_py": ACTIONS, **files}.items():
        (path / name.replace("_", ".")).write_text(text)
    return path


async def test_a_users_folder_works_unchanged(tmp_path: Path) -> None:
    guard = NeMoGuard(folder(tmp_path))
    fine, bad = guard.check("input", ["well", "bad"])
    assert (fine.verdict, bad.verdict, bad.rail) == ("pass", "block", "own")
    assert [each.verdict for each in guard.check("output", ["bad"])] == ["pass"]  # it has no such rails


def test_the_users_object_stays_as_it_was() -> None:
    config = own_config()
    flows = [flow["id"] for flow in config.flows]
    for _ in range(2):
        NeMoGuard(config, actions={"look": look, "mask": mask})
    assert [flow["id"] for flow in config.flows] == flows


def test_a_configuration_with_dialog_and_documents_loads_no_model(tmp_path: Path) -> None:
    """The network is blocked here: neither an index nor a knowledge base may ask for an embedding model."""
    dialog = (
        'define user greet\n  "hello"\n\ndefine flow greeting\n  user greet\n  bot greet\n\ndefine bot greet\n  "Hi."\n'
    )
    (tmp_path / "kb").mkdir()
    (tmp_path / "kb" / "facts.md").write_text("# Facts\n\nThe earth is round.")
    guard = NeMoGuard(folder(tmp_path, dialog_co=dialog))
    assert guard.check("input", ["hello"])[0].verdict == "pass"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"own_co": "define flow own\n   stop\n  bot hello\n"}, "broken Colang in own.co, line 3: "),
        ({"own_co": "define flow own\n  $x = execute f(\n"}, "broken Colang in own.co: "),
        ({"own_co": FLOW.replace('$said == "bad"', "$said ==")}, "broken Colang in own.co, line 3: '$said =='"),
        ({"own_co": FLOW.replace("flow own", "flow mine")}, "flow `own` does not exist"),
        ({"own_co": FLOW + "  do other\n"}, "the flow 'other', named in own.co, line 5, does not exist"),
        ({"actions_py": ""}, "own.co, line 2: the action 'look' does not exist"),
        ({"actions_py": "import nothing_of_the_kind"}, "own.co, line 2: the action 'look' does not exist"),
        (
            {"config_py": "raise RuntimeError('no')"},
            "Failed to load configuration module at config.py.: RuntimeError: no",
        ),
        ({"config_yml": "rails: [1"}, "broken YAML in config.yml, line "),
        ({"config_yml": "- rails"}, "config.yml is no mapping, but list"),
        ({"config_yml": ""}, "config.yml is no mapping, but empty"),
        ({"config_yml": "rails: {input: {flows: {a: 1}}}"}, "rails.input.flows"),
        ({"config_yml": "rails: {inptu: {flows: [own]}}"}, "checks nothing"),
        (
            {"config_yml": "rails: {tool_input: {flows: [own tools]}}"},
            "'own tools', named in rails.tool_input, does not",
        ),
        ({"config_yml": "rails: {input: {flows: [self check input]}}"}, "Missing a `self_check_input` prompt template"),
        ({"config_yml": 'colang_version: "2.x"\n' + RAILS, "own_co": ""}, "is of Colang 2.x"),
    ],
)
def test_what_is_broken_is_named(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        NeMoGuard(folder(tmp_path, **files))
    assert message in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [("nowhere", "no NeMo configuration at 'nowhere'"), (3, "cannot be a int"), ("a,b", "no NeMo configuration")],
)
def test_what_is_no_configuration(config: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NeMoGuard(config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"on_failure": "raise"}, "on_failure"),
        ({"rails": [object()]}, "no rail"),
        ({}, "runs rails of ragloom, and none is given"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NeMoGuard(**options)


def test_a_copy_is_the_users_to_edit(tmp_path: Path) -> None:
    files = copy_config(tmp_path / "guard")
    assert [file.name for file in files] == ["config.yml", "prompts.yml", "rails.co"]
    rails = tmp_path / "guard" / "rails.co"
    rails.write_text(rails.read_text().replace('stage="retrieval"', 'stage="retrieval", rail="second"'))
    with pytest.raises(UsageError, match="no rail 'second' is given"):
        NeMoGuard(tmp_path / "guard", rails=[WordRail()])
    guard = NeMoGuard(tmp_path / "guard", rails=[WordRail(), WordRail("second")])
    assert guard.check("retrieval", ["forbidden"])[0].rail == "second"
    assert guard.check("input", ["forbidden"])[0].rail == "word"


def test_a_copy_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "rails.co").write_text("mine")
    with pytest.raises(UsageError, match=r"has rails\.co already"):
        copy_config(tmp_path / "own")
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["rails.co"]
    with pytest.raises(UsageError, match="is no folder"):
        copy_config(tmp_path / "own" / "rails.co")


def test_self_checks_need_a_chat_model(tmp_path: Path) -> None:
    copy_config(tmp_path)
    (tmp_path / "config.yml").write_text("rails: {input: {flows: [self check input]}}")
    with pytest.raises(UsageError, match="the action 'self_check_input' asks a chat model") as raised:
        NeMoGuard(tmp_path)
    assert raised.value.hint == "give llm="


def test_nemo_does_not_report_to_its_makers() -> None:
    assert os.environ["NEMO_GUARDRAILS_NO_USAGE_STATS"] == "1"


def test_rails_in_parallel() -> None:
    yaml = YAML.replace(
        "input: {flows: [own input $strictness=high]}", "input: {parallel: true, flows: [first, own input]}"
    )
    first = 'define flow first\n  $said = execute look(text=$user_message)\n  if $said == "bad"\n    stop\n'
    colang = COLANG.replace(", strictness=$strictness", "") + first
    guard = NeMoGuard(own_config(yaml, colang), actions={"look": look, "mask": mask})
    fine, bad, failed = guard.check("input", ["well", "bad", "raise"])
    assert (fine.verdict, bad.verdict, failed.verdict) == ("pass", "block", "block")
    assert bad.rail in ("first", "own input")
    assert "the action 'look' failed" in failed.reason
