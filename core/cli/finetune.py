"""`ragloom finetune`: a command a role, and what concerns the artifacts."""

from __future__ import annotations

import json as jsonlib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from ..errors import ArtifactError, UsageError
from ..models.specs import TRAINED_ROLES, TrainedRole
from .artifacts import open_named, teller
from .eval_output import progress_bar, tell_left_out
from .output import JsonOption, console, download_progress, emit, note
from .refit import calibrate, fit_thresholds, shrink

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from ..models.artifacts import Artifact, Manifest

__all__ = ("app",)

_SETTINGS_HELP = "A setting of this role alone, NAME=VALUE (repeatable); 'ragloom finetune list --json' names them."
app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Train a small model for a role on your own data, and load it back by name (extra: finetune)."""


def _command(role: TrainedRole) -> Callable[..., None]:
    def train(
        data: Annotated[list[Path], typer.Option(help="Data folders, or files of rows.")],
        out: Annotated[Path, typer.Option(help="Folder of the artifact; a killed training goes on in it.")],
        base: Annotated[
            str | None, typer.Option(help="Model to train further: bundled:NAME, st:PATH, hf:PATH.")
        ] = None,
        method: Annotated[str | None, typer.Option(help="See 'ragloom finetune list'.")] = None,
        epochs: Annotated[float | None, typer.Option(help="Times through the data.")] = None,
        max_steps: Annotated[int | None, typer.Option(help="Optimiser steps at most.")] = None,
        max_minutes: Annotated[float | None, typer.Option(help="Minutes of training at most, kills included.")] = None,
        batch_size: Annotated[int | None, typer.Option(help="Rows of a forward pass.")] = None,
        accumulate: Annotated[int | None, typer.Option(help="Forward passes of an optimiser step.")] = None,
        lr: Annotated[float | None, typer.Option(help="Learning rate at its highest.")] = None,
        schedule: Annotated[str | None, typer.Option(help="linear, cosine or constant, after the warm-up.")] = None,
        warmup: Annotated[float | None, typer.Option(help="Share of the steps.")] = None,
        rank: Annotated[int | None, typer.Option(help="LoRA's r, a bottleneck's width, a prefix's length.")] = None,
        max_tokens: Annotated[int | None, typer.Option(help="Tokens of a row; longer ones are cut.")] = None,
        patience: Annotated[int | None, typer.Option(help="Stop after this many evaluations without gain.")] = None,
        evaluations: Annotated[int | None, typer.Option(help="Evaluations and checkpoints in all.")] = None,
        limit: Annotated[int | None, typer.Option(help="Rows to train on at most.")] = None,
        per_set: Annotated[int | None, typer.Option(help="Records of each data set to use at most.")] = None,
        precision: Annotated[str | None, typer.Option(help="auto, float32 or bfloat16.")] = None,
        device: Annotated[str | None, typer.Option(help="cpu, cuda or mps (default: the best there is).")] = None,
        gradient_checkpointing: Annotated[
            bool, typer.Option("--gradient-checkpointing", help="Less memory, a third slower.")
        ] = False,
        loss: Annotated[str | None, typer.Option(help="Of the recipes that have several.")] = None,
        teacher: Annotated[str | None, typer.Option(help="Reranker: bigger model to learn from.")] = None,
        general: Annotated[Path | None, typer.Option(help="Retrieval set to measure forgetting on.")] = None,
        seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.")] = None,
        settings: Annotated[list[str] | None, typer.Option("--set", help=_SETTINGS_HELP)] = None,
        make_questions: Annotated[
            int | None, typer.Option(min=1, help="Questions to make of each corpus without any, kept in OUT/questions.")
        ] = None,
        llm: Annotated[str | None, typer.Option(help="Chat model that makes them, e.g. gguf:PATH.")] = None,
        keep_checkpoints: Annotated[bool, typer.Option("--keep-checkpoints", help="Do not remove them.")] = False,
        fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what the folder holds of a training.")] = False,
        more: Annotated[
            list[Path] | None, typer.Argument(help="More data, as in --data A B.", show_default=False)
        ] = None,
        json: JsonOption = False,
    ) -> None:
        from ..finetune.processes import is_main
        from ..finetune.run import resolve_options

        given = {
            "base": base,
            "method": method,
            "epochs": epochs,
            "max_steps": max_steps,
            "max_minutes": max_minutes,
            "batch_size": batch_size,
            "accumulate": accumulate,
            "learning_rate": lr,
            "schedule": schedule,
            "warmup": warmup,
            "rank": rank,
            "max_tokens": max_tokens,
            "patience": patience,
            "evaluations": evaluations,
            "limit": limit,
            "per_set": per_set,
            "precision": precision,
            "device": device,
            "gradient_checkpointing": gradient_checkpointing or None,
            "general": str(general) if general else None,
            "loss": loss,
            "teacher": teacher,
            "seed": seed,
            **_settings(settings or []),
        }
        sources = [*data, *(more or [])]
        if make_questions:
            resolve_options(role, {name: value for name, value in given.items() if value is not None})
            sources = _with_questions(role, sources, out, make_questions, llm=llm, seed=seed or 0)
        elif llm:
            raise UsageError("--llm makes questions, and none were asked for", hint="add --make-questions N")
        artifact = _train(role, sources, out, given, fresh=fresh, keep_checkpoints=keep_checkpoints)
        if not is_main():
            return
        if json:
            emit({"folder": str(artifact.folder), **_shown(artifact.manifest)})
            return
        _print_metrics(artifact.manifest)
        note(f"{artifact.folder}: use it as {role}:{artifact.folder}; its card is {artifact.folder / 'README.md'}")

    train.__doc__ = f"Train {_article(role)}. The same command goes on where an interrupted one was."
    return train


def _article(role: str) -> str:
    described = {
        "support": "a support critic",
        "utility": "a utility critic",
        "retrieve": "a critic of need to retrieve",
        "injection": "a classifier of prompt injections",
    }
    described["reflective"] = "a reflective generator (Self-RAG)"
    return described.get(role, f"{'an' if role[0] in 'aeiou' else 'a'} {role}")


for _role in TRAINED_ROLES:
    app.command(_role)(_command(_role))


@app.command("list")
def list_roles(json: JsonOption = False) -> None:
    """List the roles: what for, methods, whether one is shipped; with --json, one object a line, with its settings."""
    from ..finetune.recipe import recipes
    from ..models.artifacts import bundled_artifacts

    shipped = bundled_artifacts()
    rows: list[dict[str, Any]] = [
        {
            "role": recipe.ROLE,
            "summary": recipe.SUMMARY,
            "methods": list(recipe.METHODS),
            "method": recipe.DEFAULTS.method,
            "base": recipe.DEFAULTS.base,
            "shipped": recipe.ROLE in shipped,
            "settings": recipe.DEFAULTS.own(),
        }
        for recipe in recipes()
    ]
    if json:
        for row in rows:
            emit(row)
        return
    from rich.table import Table

    table = Table("role", "what for", "methods (the first is the default)", "base", "shipped", box=None, pad_edge=False)
    for row in rows:
        methods = sorted(row["methods"], key=lambda name: name != row["method"])
        spec = f"{row['role']}:bundled" if row["shipped"] else "no"
        table.add_row(row["role"], row["summary"], " ".join(methods), row["base"], spec)
    console().print(table)


@app.command("show")
def show(
    artifact: Annotated[str, typer.Argument(help="Folder of an artifact, or ROLE:bundled.")],
    json: JsonOption = False,
) -> None:
    """Show what an artifact says of itself; its files are checked."""
    found = open_named(artifact)
    if json:
        emit({"folder": str(found.folder), **_shown(found.manifest)})
        return
    out, told = console(), found.manifest
    for name, value in (
        ("role", told.role),
        ("folder", found.folder),
        ("base", f"{told.base.spec} (SHA-256 {told.base.sha256[:16]}…)"),
        ("method", told.method),
        ("labels", ", ".join(told.labels)),
        ("thresholds", ", ".join(f"{key} {value:.4g}" for key, value in told.thresholds.items())),
        ("data", ", ".join(f"{source.name} ({source.rows} rows, {source.licence})" for source in told.data)),
        ("made by", told.command),
    ):
        if value:
            out.print(f"{name}: {value}")
    _print_metrics(told)


@app.command("export")
def export(
    spec: Annotated[str, typer.Argument(help="drafter:PATH, reflective:PATH, ROLE:bundled, or the artifact's folder.")],
    out: Annotated[Path, typer.Argument(help="The GGUF file to write; it must not exist.")],
    merged: Annotated[
        str | None, typer.Option(help="Base and adapter as one model: f32 (exact), f16 or q8_0 (rounded).")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a trained chat model for llama.cpp: its LoRA as a GGUF adapter, or merged into its base."""
    from ..finetune.export.gguf_lora import export_lora, merge_and_export
    from ..models.adapter_gguf import GgufDtype

    artifact = open_named(spec)
    role, base = artifact.manifest.role, artifact.manifest.base.spec
    if role not in ("drafter", "reflective"):
        raise UsageError(f"{spec!r} is of the role {role}, no chat model", hint="a drafter or a reflective model is")
    if merged is not None and merged not in get_args(GgufDtype):
        raise UsageError(f"unknown type {merged!r}", hint=f"use --merged {', '.join(get_args(GgufDtype))}")
    with download_progress("fetching the base") as fetching:
        weights = artifact.base_path(fetching)
    if merged is None:
        try:
            export_lora(artifact.folder, weights, out)
        except ArtifactError as error:
            hint = error.hint and "write base and adapter as one file: --merged f16"
            raise ArtifactError(error.message, hint=hint) from error
    else:
        merge_and_export(artifact, out, dtype=cast(GgufDtype, merged))
    told = {"file": str(out), "bytes": out.stat().st_size, "form": "merged" if merged else "lora", "base": base}
    if json:
        emit({**told, "dtype": merged or "f16"})
        return
    console().print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    if not merged:
        note(f"an adapter: use it with its base, {base}: llama-server -m BASE.gguf --lora {out}")


app.command("fit-thresholds")(fit_thresholds)
app.command("calibrate")(calibrate)
app.command("shrink")(shrink)


def _with_questions(
    role: TrainedRole, data: list[Path], out: Path, n: int, *, llm: str | None, seed: int
) -> list[Path]:
    """The data, with a made answer set for each corpus without questions."""
    from ..finetune.data.corpus import make_question_sets
    from ..models import load_chat_model
    from ..settings import load_settings

    settings = load_settings(llm=llm)
    name = f"gguf:{Path(settings.llm[5:]).name}" if settings.llm.startswith("gguf:") else settings.llm

    def load() -> BaseChatModel:
        with download_progress("fetching the chat model") as fetching:
            return load_chat_model(settings.llm, progress=fetching)

    given: dict[str, Any] = {"embedder": settings.embedder, "tenant": settings.tenant, "llm_name": name}
    with progress_bar() as bar:
        sets, made = make_question_sets(data, out, n, llm=load, role=role, seed=seed, tell=teller(bar), **given)
    for each in made:
        note(f"{each.answerable} answerable and {each.unanswerable} unanswerable questions made -> {each.folder}")
        for reason, count in each.rejected.most_common(3):
            note(f"rejected {count}: {reason}")
        note("read and edit them, and train anew on them with the same command and --fresh")
    return sets


def _train(
    role: TrainedRole, data: list[Path], out: Path, given: dict[str, Any], *, fresh: bool, keep_checkpoints: bool
) -> Artifact:
    from ..finetune.run import finetune, resumable_step

    command = shlex.join(["ragloom", *sys.argv[1:]])
    options = {name: value for name, value in given.items() if value is not None}
    try:
        with progress_bar() as bar:
            tell = teller(bar)
            return finetune(
                *(role, data, out),
                tell=tell,
                left_out=tell_left_out,
                command=command,
                fresh=fresh,
                keep_checkpoints=keep_checkpoints,
                **options,
            )
    except KeyboardInterrupt:
        step = resumable_step(out)
        where = f"from step {step}" if step else "from the start of the training"
        again = command.replace(" --fresh", "")
        note(f"interrupted: the same command goes on {where}{'' if again == command else ', without --fresh'}")
        raise


def _shown(manifest: Manifest) -> dict[str, Any]:
    return manifest.model_dump(mode="json")


def _print_metrics(manifest: Manifest) -> None:
    from rich.table import Table

    from ..finetune.card import metric_tables

    for table in metric_tables(manifest.metrics):
        shown = Table(*table.header, box=None, pad_edge=False, title=table.title or None, title_justify="left")
        for row in table.rows:
            shown.add_row(*row)
        console().print(shown)


def _settings(given: list[str]) -> dict[str, Any]:
    """NAME=VALUE: a value is what it is in JSON, else a text; a list becomes a tuple."""
    found: dict[str, Any] = {}
    for item in given:
        name, equals, text = item.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {item!r} is not of the form NAME=VALUE")
        try:
            value = jsonlib.loads(text)
        except ValueError:
            value = text
        found[name.strip().replace("-", "_")] = tuple(value) if isinstance(value, list) else value
    return found
