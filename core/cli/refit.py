"""`ragloom finetune fit-thresholds`, `calibrate` and `shrink`: what is done to an artifact after its training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..models.specs import TrainedRole
from .artifacts import open_named, teller
from .eval_output import progress_bar
from .output import JsonOption, console, emit, note

__all__ = ("calibrate", "fit_thresholds", "shrink")

ABSTENTION_ROWS = 300


def fit_thresholds(
    spec: Annotated[str, typer.Argument(help="evaluator:PATH, drafter:PATH, reader:PATH, or ROLE:bundled.")],
    data: Annotated[list[Path], typer.Option(help="Data folders with questions and passages (repeatable).")],
    more: Annotated[list[Path] | None, typer.Argument(help="More data, as in --data A B.", show_default=False)] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rows of each part that a drafter or reader answers (300); an evaluator: questions of each set (all).",
        ),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Store the thresholds into the artifact's manifest.")] = False,
    json: JsonOption = False,
) -> None:
    """Choose on your own data where an evaluator is unsure (CRAG), or when a drafter or a reader abstains."""
    from ..finetune.abstaining import fit_abstention, store_abstention
    from ..finetune.refit import refit_thresholds, store_thresholds

    artifact = _writable(spec, ("evaluator", "drafter", "reader"), write)
    abstains, sets = artifact.manifest.role != "evaluator", [*data, *(more or [])]
    with progress_bar() as bar:
        if abstains:
            found = fit_abstention(artifact, sets, rows=rows or ABSTENTION_ROWS, tell=teller(bar))
        else:
            found = refit_thresholds(f"evaluator:{artifact.folder}", sets, limit=rows, tell=teller(bar))
    if write:
        (store_abstention if abstains else store_thresholds)(artifact, found)
    if json:
        emit({**found, "written": write})
        return
    if abstains:
        _print_abstention(found, "a score" if artifact.manifest.role == "reader" else "a mean log-probability")
    else:
        _print_thresholds(found)
    note(f"written to {artifact.folder}" if write else "not stored: add --write")


def _print_thresholds(found: dict[str, Any]) -> None:
    console().print(f"lower {found['lower']:.4g}, upper {found['upper']:.4g}")
    for part in ("dev", "test"):
        if found.get(part):
            mix = ", ".join(f"{name} {share:.0%}" for name, share in found[part]["mix"].items())
            agreement = found[part]["agreement"]
            console().print(f"{part} ({found[part]['questions']} questions): {mix}; right {agreement:.0%}")
            for warning in found[part]["warnings"]:
                note(f"{part}: {warning}")


def _print_abstention(found: dict[str, Any], of: str) -> None:
    console().print(f"abstain below {of} of {found['abstain_below']:.4g}")
    for part in ("dev", "test"):
        told = found.get(part) or {}
        for name, each in ((part, told), (f"{part}, never abstaining by it", told.get("without"))):
            if each:
                shares = {"answered": each["answered"], "unanswerable abstained": each["unanswerable_abstained"]}
                said = ", ".join(f"{what} {share:.0%}" for what, share in shares.items() if share is not None)
                console().print(f"{name} ({each['rows']} rows): F1 {each['f1'] or 0:.3f}; {said}")


def calibrate(
    spec: Annotated[str, typer.Argument(help="The evaluator: evaluator:bundled or evaluator:PATH.")],
    data: Annotated[list[Path], typer.Option(help="Data folders with questions and passages (repeatable).")],
    more: Annotated[list[Path] | None, typer.Argument(help="More data, as in --data A B.", show_default=False)] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions of each set (all).")] = None,
    write: Annotated[bool, typer.Option("--write", help="Store it into the artifact's manifest.")] = False,
    json: JsonOption = False,
) -> None:
    """Make an evaluator's probabilities mean what they say on your own data; its actions stay the same."""
    from ..finetune.refit import refit_calibration, store_calibration

    artifact = _writable(spec, ("evaluator",), write)
    with progress_bar() as bar:
        sets = [*data, *(more or [])]
        found = refit_calibration(f"evaluator:{artifact.folder}", sets, limit=limit, tell=teller(bar))
    if write:
        store_calibration(artifact, found)
    if json:
        emit({**found, "written": write})
        return
    out = console()
    out.print(f"scale {found['scale']:.4g}, shift {found['shift'][0]:.4g}")
    for part in ("dev", "test"):
        if told := found.get(part):
            change = f"{told['before']:.4f} before, {told['after']:.4f} after"
            out.print(f"{part} ({told['rows']} rows): expected calibration error {change}")
    note(f"written to {artifact.folder}" if write else "not stored: add --write")


def shrink(
    spec: Annotated[str, typer.Argument(help="The artifact: ROLE:bundled, ROLE:PATH or its folder.")],
    out: Annotated[Path, typer.Argument(help="Folder of the smaller one; it must not exist.")],
    rank: Annotated[int, typer.Option(min=1, help="Rank of the LoRA adapter that is left.")],
    json: JsonOption = False,
) -> None:
    """Store an artifact's LoRA adapter with a lower rank; measure it again afterwards."""
    from ..finetune.shrinking import shrink_artifact

    found = shrink_artifact(open_named(spec), rank, out)
    size = sum((out / name).stat().st_size for name in found.manifest.files)
    kept = found.manifest.metrics["kept_change"]
    if json:
        emit({"folder": str(out), "bytes": size, "kept_change": kept})
        return
    console().print(f"{out}: {size / 1e6:.1f} MB, {kept:.1%} of the squared change kept")
    note("what it is worth now is not measured: 'ragloom eval' and 'finetune fit-thresholds' tell")


def _writable(spec: str, roles: tuple[TrainedRole, ...], write: bool) -> Any:
    """The artifact, if it is of one of the roles, and one that may be written to where it will be."""
    artifact = open_named(spec)
    if artifact.manifest.role not in roles:
        raise UsageError(f"{spec!r} is no {' and no '.join(roles)}")
    if write and spec.endswith(":bundled"):
        raise UsageError(f"the shipped {artifact.manifest.role} is not written to", hint="copy its folder, and name it")
    return artifact
