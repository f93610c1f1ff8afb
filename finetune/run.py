"""One training from data to artifact: build rows, train, measure, describe; a killed one goes on where it was.

OUT/run.json        what is being trained: role, options, base, data; another configuration is refused
OUT/rows/           the rows, by part
OUT/checkpoints/    of the trainer, and the clock of the time limit; removed at the end
OUT/manifest.json   written last: from then on the folder is an artifact
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, MissingExtraError, RagloomError, StoreError, UsageError
from ..evals.answer_sets import load_judged_set
from ..evals.files import write_whole
from ..evals.jsonl import Problem
from ..models.artifacts import MANIFEST, Artifact, Base, base_of, file_hash, loadable_files, open_artifact
from ..models.specs import TRAINED_ROLES, TrainedRole, suggest
from .arguments import CHECKPOINTS
from .artifact_files import check_writable, write_artifact
from .callbacks import last_checkpoint
from .data.corpus import is_knowledge_base, knowledge_base_hash, refuse_corpora
from .options import Tell, TrainOptions, no_tell
from .processes import agreed, is_main, main_first
from .recipe import Recipe, recipe_of

__all__ = ("RUN", "data_fingerprint", "finetune", "resolve_options", "resumable_step")

RUN = "run.json"
ROWS = "rows"
BEFORE = ".before"
"""Where `fresh` puts what was there, until the new data is found to be good."""
_CARD = ("README.md", "curves.png", "reliability.png", "scores.png")
_MAY_CHANGE = frozenset({"max_minutes", "patience", "device", "command"})
"""What the same training may go on with changed: it decides where and how long, not what is learned."""
_NAMING = ("general", "teacher", "start", "replay_data", "critics")
"""Settings that name folders or artifacts."""
_NO_VECTORS = frozenset({"drafter", "reflective"})
_LIBRARIES = ("accelerate", "datasets", "peft")


def finetune(
    role: TrainedRole,
    data: Sequence[Path],
    out: Path,
    *,
    tell: Tell = no_tell,
    left_out: Callable[[Sequence[Problem]], None] | None = None,
    command: str = "",
    fresh: bool = False,
    keep_checkpoints: bool = False,
    **options: Any,
) -> Artifact:
    """Trains a model for a role, writes its artifact into `out`, and returns it.

    Args:
        role: what for; `ragloom finetune list` names them.
        data: data folders or files of rows.
        out: the artifact's folder. A finished artifact of the same configuration in it is returned as it is; an
            unfinished training goes on from its last checkpoint; another configuration is refused.
        tell: progress: what is done, how much, of how much.
        left_out: called before the training with the records that cannot be used, where there are any.
        command: how the user asked for it, for the card; paths are reduced to names.
        fresh: throw away what `out` holds of a training first.
        keep_checkpoints: do not remove them at the end.
        **options: settings of `TrainOptions`, or of the recipe's own; those not given are the recipe's defaults.

    Raises `UsageError` for what cannot be trained as asked, with file and line where the data is to blame;
    `MissingExtraError` without the extra `finetune`; `StoreError` while another process trains in the same folder.

        >>> finetune("evaluator", [Path("squad")], Path("out"), epochs=2)  # doctest: +SKIP
    """
    recipe, settings = resolve_options(role, options)
    _check_libraries()
    for path in data:
        if not path.exists():
            raise UsageError(f"there is no {str(path)!r}", hint="--data names data folders or files of rows")
    if not data:
        raise UsageError("there is no data to train on", hint="name data folders or files of rows with --data")
    refuse_corpora(role, data)
    if settings.general:
        load_judged_set(Path(settings.general))  # measured at the end: what is wrong with it is said now
    _, base = base_of(settings.base)
    asked = _asked(role, settings, base, data, out)
    with _readable_failures(out), _locked(out) if is_main() else contextlib.nullcontext(), _quiet():
        finished = _settle(role, out, asked, fresh=fresh) if is_main() else None
        if agreed(finished is not None):
            tell("already trained: nothing to do", 1, 1)
            return finished or open_artifact(f"{role}:{out}", role)
        with main_first(), _replacing(out) if fresh and is_main() else contextlib.nullcontext():
            built = recipe.build(data, out, settings, tell)
        if left_out is not None and is_main() and built.problems:
            left_out(built.problems)
        outcome = recipe.train(built, out, settings, tell)
        if is_main():
            tell("writing the card", 0, None)
            write_artifact(
                *(role, out, outcome, built, settings),
                base=base,
                command=command,
                keep_checkpoints=keep_checkpoints,
            )
        with main_first():
            return open_artifact(f"{role}:{out}", role)


def resolve_options(role: TrainedRole, given: dict[str, Any]) -> tuple[Recipe, TrainOptions]:
    """The recipe of a role and its settings with those that were given. Raises `UsageError` for what does not apply."""
    if role not in TRAINED_ROLES:
        raise UsageError(
            f"unknown role {role!r}", hint=f"{suggest(role, TRAINED_ROLES)}known: {', '.join(TRAINED_ROLES)}"
        )
    recipe = recipe_of(role)
    settings = recipe.DEFAULTS.updated(**given)
    if settings.general and (role in _NO_VECTORS or settings.method == "linear"):
        raise UsageError(
            f"the method {settings.method!r} of {role} changes no vectors that passages are found by",
            hint="leave --general out",
        )
    if settings.method not in recipe.METHODS:
        raise UsageError(
            f"the method {settings.method!r} does not apply to {role}", hint=f"use one of {', '.join(recipe.METHODS)}"
        )
    return recipe, settings


def resumable_step(out: Path) -> int | None:
    """The step from which the same command would go on; None where it would begin anew."""
    found = last_checkpoint(out)
    return int(found.rpartition("-")[2]) if found else None


def data_fingerprint(data: Sequence[Path], *, leave_out: Path | None = None) -> dict[str, str]:
    """Name of each folder or file to a hash over the names and contents of its files.

    What is in `leave_out` is left aside, unless the data itself lies there (the questions that were made).
    """
    aside = leave_out.resolve() if leave_out else None
    found: dict[str, str] = {}
    for path in data:
        inside = aside is not None and aside in path.resolve().parents
        files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
        digest = hashlib.sha256()
        if is_knowledge_base(path):
            files = []
            digest.update(knowledge_base_hash(path).encode())
        for file in files:
            if file.name.startswith(".") or (aside and not inside and aside in file.resolve().parents):
                continue
            digest.update(
                f"{file.relative_to(path).as_posix()}\0{file_hash(file)}\n".encode("utf-8", "surrogateescape")
            )
        name, number = path.resolve().name, 2
        while name in found:
            name, number = f"{path.resolve().name} ({number})", number + 1
        found[name] = digest.hexdigest()
    return found


def _asked(role: TrainedRole, settings: TrainOptions, base: Base, data: Sequence[Path], out: Path) -> dict[str, Any]:
    asked = {
        "role": role,
        **asdict(settings),
        "base_sha256": base.sha256,
        "data": data_fingerprint(data, leave_out=out),
    }
    if named := _named(settings):
        asked["named"] = named
    told: dict[str, Any] = json.loads(json.dumps(asked, default=str))
    return told


def _named(settings: TrainOptions) -> dict[str, str]:
    """Of the folders, files and artifacts that settings name beside the data and the base, hashes of what they hold."""
    found: dict[str, str] = {}
    for setting in _NAMING:
        value = getattr(settings, setting, None) or ()
        for each in value if isinstance(value, tuple) else (value,):
            kind, _, rest = str(each).partition(":")
            with contextlib.suppress(RagloomError):  # the training itself says what is wrong with it
                if kind in TRAINED_ROLES and rest:
                    found[f"{setting} {each}"] = open_artifact(str(each), kind).fingerprint
                elif (path := Path(rest or kind).expanduser()).exists():
                    found[f"{setting} {each}"] = data_fingerprint([path]).popitem()[1]
    return found


def _settle(role: TrainedRole, out: Path, asked: dict[str, Any], *, fresh: bool) -> Artifact | None:
    """Makes the folder one of this configuration; what it holds already, if it is finished."""
    if fresh:
        _set_aside(out)
    kept = _read(out / RUN)
    if kept is not None and not any((out / name).exists() for name in (MANIFEST, ROWS, CHECKPOINTS)):
        kept = None  # it failed before it had done anything
    if kept is None and (out / MANIFEST).exists():
        raise UsageError(
            f"{str(out)!r} holds an artifact that no training here has made", hint="name another --out, or use --fresh"
        )
    if kept is None and (found := loadable_files(out)):
        raise UsageError(f"{str(out)!r} holds a model already: {found[0]}", hint="name another --out")
    if kept is not None:
        names = sorted((kept.keys() | asked.keys()) - _MAY_CHANGE)
        differs = [name for name in names if kept.get(name) != asked.get(name)]
        if differs:
            changes = "; ".join(_change(name, kept.get(name), asked.get(name)) for name in differs)
            raise UsageError(
                f"{str(out)!r} holds another training: {changes}",
                hint="name another --out, give the same settings, or throw it away with --fresh",
            )
        if (out / MANIFEST).exists():
            try:
                return open_artifact(f"{role}:{out}", role)
            except ArtifactError as error:
                raise ArtifactError(error.message, hint="train it anew with --fresh") from error
    write_whole(out / RUN, json.dumps(asked, indent=1, ensure_ascii=False) + "\n")
    return None


def _set_aside(out: Path) -> None:
    """Moves away what a training made in the folder; what is no training's own is not touched.

    An adapter that stayed beside a whole model would be put on it.
    """
    _bring_back(out)  # of a run that was killed in between
    ours = (out / RUN).exists() or (out / MANIFEST).exists()
    made = [MANIFEST, *_CARD, *loadable_files(out)] if ours else []
    for name in dict.fromkeys((RUN, ROWS, CHECKPOINTS, *made)):
        if (out / name).exists():
            (out / BEFORE).mkdir(exist_ok=True)
            (out / name).rename(out / BEFORE / name)


def _bring_back(out: Path) -> None:
    """What was set aside stands where it stood."""
    for path in sorted((out / BEFORE).glob("*")):
        target = out / path.name
        shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)
        path.rename(target)
    shutil.rmtree(out / BEFORE, ignore_errors=True)


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[None]:
    """What was there before goes when the new data is found to be good, and comes back where it is not."""
    try:
        yield
    except BaseException:
        for name in (RUN, ROWS):
            path = out / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        _bring_back(out)
        raise
    shutil.rmtree(out / BEFORE, ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UsageError(f"{str(path)!r} is damaged: {error}", hint="name another --out, or use --fresh") from error
    if not isinstance(value, dict):
        raise UsageError(f"{str(path)!r} is damaged", hint="name another --out, or use --fresh")
    return value


def _change(name: str, was: Any, now: Any) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        gone, new = sorted(was.keys() - now.keys()), sorted(now.keys() - was.keys())
        other = sorted(key for key in was.keys() & now.keys() if was[key] != now[key])
        parts = [
            f"{word} {', '.join(keys)}" for word, keys in (("without", gone), ("with", new), ("changed", other)) if keys
        ]
        return f"{name}: {'; '.join(parts)}"
    if name == "base_sha256":
        return "the base model's weights have changed"
    return f"{name} was {was!r}, now {now!r}"


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    check_writable(out)
    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise StoreError(
            f"another process trains in {str(out)!r}", hint="wait for it, or name another --out"
        ) from error


@contextlib.contextmanager
def _readable_failures(out: Path) -> Iterator[None]:
    """What libraries raise for a full disk, full memory or an architecture they do not know, in words for the user."""
    try:
        yield
    except RagloomError:
        raise
    except Exception as error:
        chain = [str(each).lower() for each in _causes(error)]

        def says(*words: str) -> bool:
            return any(word in text for word in words for text in chain)

        codes = {each.errno for each in _causes(error) if isinstance(each, OSError)}
        if codes & {errno.ENOSPC, errno.EDQUOT} or says("no space left on device", "disk quota", "pytorchstreamwriter"):
            free = shutil.disk_usage(out).free / 1e6 if out.exists() else 0.0
            raise UsageError(
                f"the disk of {str(out)!r} is full ({free:.0f} MB free)",
                hint="make room; the same command goes on from the last checkpoint",
            ) from error
        if codes & {errno.EACCES, errno.EROFS, errno.EPERM} and isinstance(error, OSError):
            raise UsageError(f"cannot write {error.filename or str(out)!r}: {error.strerror}") from error
        if says("out of memory", "not enough memory", "can't allocate memory"):
            raise UsageError(
                "memory did not suffice",
                hint="lower --batch-size and raise --accumulate, lower --max-tokens, or use --gradient-checkpointing",
            ) from error
        if says("target modules", "please specify `target_modules`", "no modules were targeted"):
            raise UsageError(f"the method does not know this base model: {error}", hint="use --method lora") from error
        raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Libraries neither print on stdout, which is for results, nor draw bars of their own, while it lasts."""
    import datasets
    import transformers
    from transformers.trainer_callback import PrinterCallback

    told, verbosity = PrinterCallback.on_log, transformers.utils.logging.get_verbosity()
    bars = datasets.are_progress_bars_disabled()
    PrinterCallback.on_log = lambda *_, **__: None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        PrinterCallback.on_log = told
        transformers.utils.logging.set_verbosity(verbosity)
        transformers.utils.logging.enable_progress_bar()
        if not bars:
            datasets.enable_progress_bars()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _check_libraries() -> None:
    if any(importlib.util.find_spec(name) is None for name in _LIBRARIES):
        raise MissingExtraError("fine-tuning", "finetune")
