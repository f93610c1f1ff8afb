"""NeMo configurations: our folder, reading, and everything that is wrong with one, told before a text is checked."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ...guarding import STAGES
from .actions import ACTION

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ("copy_config", "executed_by", "load_engine")

FOLDER = Path(__file__).parent / "config"
SPOKEN = "utter"
"""What `bot ...` and `stop` are parsed to: no action that is registered."""


def copy_config(to: str | Path) -> list[Path]:
    """Copies the configuration that `NeMoGuard()` uses into a folder, to be edited. Returns the files it has made.

    Raises `UsageError` where one of them is there already, before anything is written.

    >>> copy_config("guard")  # doctest: +SKIP
    [PosixPath('guard/config.yml'), PosixPath('guard/prompts.yml'), PosixPath('guard/rails.co')]
    """
    folder = Path(to).expanduser()
    files = sorted(path for path in FOLDER.iterdir() if path.suffix in (".yml", ".co"))
    there = [file.name for file in files if (folder / file.name).exists()]
    if there or (folder.exists() and not folder.is_dir()):
        what = f"has {', '.join(there)} already" if there else "is no folder"
        raise UsageError(f"{folder.name!r} {what}", hint="give an empty or a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copyfile(file, folder / file.name)) for file in files]


def load_engine(config: Any, llm: Any, actions: Mapping[str, Callable[..., Any]], rails: Collection[str]) -> Engine:
    """The engine of a configuration: a folder, a YAML file, a `RailsConfig`, or None for ours. `rails`: their names.

    Raises `UsageError` for what NeMo would say of it while checking, or never.
    """
    from .engine import STAGE_RAILS, Engine

    name = (
        repr(Path(config).name) if isinstance(config, str | Path) else "given" if config is not None else "of ragloom"
    )
    read = _read(FOLDER if config is None else config, name)
    if read.colang_version != "1.0":
        raise UsageError(
            f"the NeMo configuration {name} is of Colang {read.colang_version}",
            hint="use Colang 1.0: NeMo checks no texts with another one",
        )
    if not any(getattr(read.rails, part).flows for part in STAGE_RAILS.values()):
        raise UsageError(
            f"the NeMo configuration {name} checks nothing",
            hint=f"name flows in config.yml under rails: {', '.join(STAGE_RAILS.values())}",
        )
    try:
        engine = Engine(read, llm, actions)
    except Exception as error:
        raise UsageError(f"NeMo Guardrails rejects the configuration {name}: {_said(error)}") from error
    for stage, flows in engine.flows.items():
        for flow in flows:
            for file, element in _elements(engine, flow, STAGE_RAILS[stage]):
                _examine(engine, element, file, rails)
    return engine


def executed_by(engine: Engine, flow: str) -> set[str]:
    """The actions that a flow executes, itself and in flows that it does."""
    elements = [element for _, element in _elements(engine, flow, "")]
    return {element["action_name"] for element in elements if element["_type"] == "run_action"}


def _read(config: Any, name: str) -> Any:
    from .engine import RailsConfig

    if isinstance(config, RailsConfig):
        return config.model_copy(deep=True)  # NeMo adds to it
    if not isinstance(config, str | Path):
        raise UsageError(
            f"a NeMo configuration cannot be a {type(config).__name__}", hint="give a folder, a RailsConfig or None"
        )
    path = Path(config).expanduser()
    if not path.is_dir() and not (path.is_file() and path.suffix in (".yml", ".yaml")):
        raise UsageError(f"no NeMo configuration at {str(config)!r}", hint="give a folder with a config.yml in it")
    try:
        return RailsConfig.from_path(str(path))
    except Exception as error:
        damage = _damage(path)
        raise UsageError(
            damage or f"cannot read the NeMo configuration {name}: {_said(error)}", hint="correct it" if damage else ""
        ) from error


def _damage(path: Path) -> str:
    """What is wrong with the first file that cannot be read; empty where each can."""
    import yaml

    from .engine import parse_colang_file

    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        shown = file.relative_to(path) if path.is_dir() else file.name
        try:
            if file.suffix in (".yml", ".yaml"):
                read = yaml.safe_load(file.read_text(encoding="utf-8"))
                if not isinstance(read, dict):
                    return f"{shown} is no mapping, but {'empty' if read is None else type(read).__name__}"
            elif file.suffix == ".co":
                parse_colang_file(file.name, file.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f", line {mark.line + 1}" if mark else ""
            return f"broken YAML in {shown}{where}: {getattr(error, 'problem', None) or type(error).__name__}"
        except Exception as error:
            line = getattr(error, "line", None)
            return f"broken Colang in {shown}{f', line {line}' if line else ''}: {_said(error)}"
    return ""


def _elements(engine: Engine, flow: str, part: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of a flow and of all flows that it does, each with where it stands."""
    configs = engine.runtime.flow_configs
    waiting, seen = [(flow, f"rails.{part}")], set[str]()
    while waiting:
        name, named_in = waiting.pop()
        identity = re.split(r"[($]", name)[0].strip()
        if identity in seen or name.startswith("$"):  # by a variable: known while it runs
            continue
        seen.add(identity)
        if identity not in configs:
            raise UsageError(
                f"the flow {identity!r}, named in {named_in}, does not exist", hint="define it, or correct the name"
            )
        for element in configs[identity].elements:
            source = element.get("_source_mapping") or {}
            where = f"{source.get('filename') or 'Colang'}, line {source.get('line_number', 0)}"
            yield where, element
            if element["_type"] == "flow":
                waiting.append((element["flow_name"], where))


def _examine(engine: Engine, element: Mapping[str, Any], where: str, rails: Collection[str]) -> None:
    expression = element.get("expression")
    if isinstance(expression, str):
        try:
            ast.parse(expression.replace("$", "_").strip(), mode="eval")
        except SyntaxError as error:
            raise UsageError(f"broken Colang in {where}: {expression!r} is no expression", hint="correct it") from error
    if element["_type"] != "run_action" or element["action_name"] == SPOKEN:
        return
    name, dispatcher = element["action_name"], engine.runtime.action_dispatcher
    if name == ACTION:
        _examine_rail(element.get("action_params") or {}, where, rails)
    if engine.config.actions_server_url:
        return  # which has actions that nobody here knows
    if not dispatcher.has_registered(name):
        raise UsageError(
            f"{where}: the action {name!r} does not exist",
            hint="define it in actions.py beside config.yml, give it in actions={...}, or correct the name",
        )
    action = dispatcher.get_action(name)
    if action is None:
        raise UsageError(f"{where}: the action {name!r} cannot be loaded", hint="the log of NeMo says why")
    asks = dispatcher.is_manifest_action(name) and "llm" in _parameters(action)
    if asks and engine.llm is None and not engine.runtime.registered_action_params.get("llms"):
        raise UsageError(f"{where}: the action {name!r} asks a chat model, and there is none", hint="give llm=")


def _examine_rail(given: Mapping[str, Any], where: str, rails: Collection[str]) -> None:
    if not rails:
        raise UsageError(
            f"{where}: the configuration runs rails of ragloom, and none is given", hint="give rails=[...]"
        )
    if given.get("stage") not in STAGES:
        raise UsageError(f"{where}: {ACTION} needs a stage", hint=f"one of {', '.join(STAGES)}")
    if given.get("rail") is not None and given["rail"] not in rails:
        raise UsageError(f"{where}: no rail {given['rail']!r} is given", hint=f"there are {', '.join(sorted(rails))}")


def _parameters(action: Callable[..., Any]) -> Collection[str]:
    import inspect

    try:
        return inspect.signature(action).parameters
    except (TypeError, ValueError):
        return ()


def _said(error: BaseException) -> str:
    """What an error of NeMo says, in a line and without the folders of this machine."""
    details = getattr(error, "errors", None)
    if callable(details):  # of pydantic: which key, and what is wrong with it
        said = "; ".join(": ".join(filter(None, [".".join(map(str, each["loc"])), each["msg"]])) for each in details())
    else:
        said = str(error)
    if error.__cause__ is not None:
        said += f": {type(error.__cause__).__name__}: {error.__cause__}"
    return re.sub(r"(/[^/\s]+)+/", "", " ".join(said.split())) or type(error).__name__
