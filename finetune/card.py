"""The model card: what the artifact is, what it was trained on, what it is worth, how to use it and make it anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..evals.files import write_whole
from ..evals.jsonl import Problem
from ..models.artifacts import Manifest
from .plots import write_plots
from .recipe import Built, Outcome, recipe_of

__all__ = ("MetricTable", "metric_tables", "refresh_card", "render_card", "write_card")

MOST_PROBLEMS = 5
_WORTH = "## What it is worth"
_USE = {
    "embedder": "ragloom retrieve --embedder embedder:{folder} 'QUESTION'",
    "reranker": "ragloom ask --reranker reranker:{folder} 'QUESTION'",
    "evaluator": "ragloom finetune fit-thresholds evaluator:{folder} --data YOURS",
    "support": "ragloom ask --critic support:{folder} 'QUESTION'",
    "drafter": "ragloom ask --llm drafter:{folder} 'QUESTION'",
    "reader": "ragloom ask --reader reader:{folder} 'QUESTION'",
}


@dataclass(frozen=True, slots=True)
class MetricTable:
    """Measured values, as the card shows them."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def write_card(out: Path, manifest: Manifest, outcome: Outcome, built: Built, *, base: str) -> None:
    """Draws the plots and writes README.md; `base` is the base's name as the card shows it."""
    plots = write_plots(out, outcome)
    write_whole(out / "README.md", render_card(manifest, built, plots, base=base, size=_size(out, manifest)))


def refresh_card(folder: Path, manifest: Manifest) -> None:
    """Brings what the card of an artifact says it is worth up to its manifest; where there is no card, none is made."""
    path = folder / "README.md"
    if not path.is_file():
        return
    before, title, after = path.read_text(encoding="utf-8").partition(_WORTH)
    if title:
        rest = after.find("\n## ")
        told = _rendered("card_worth.md.jinja", manifest=manifest, tables=metric_tables(_split(manifest)[0]))
        needed = f"| Files needed | {len(manifest.files)}, {_bytes(_size(folder, manifest))} |"
        before = re.sub(r"^\| Files needed \|.*\|$", needed, before, flags=re.MULTILINE)
        write_whole(path, before + told.rstrip("\n") + "\n" + (after[rest:] if rest >= 0 else ""))


def render_card(manifest: Manifest, built: Built, plots: Mapping[str, str], *, base: str, size: int = 0) -> str:
    """The card's text; `plots` is file name to caption, `size` the bytes of the files that are needed to load it."""
    measured, forgetting = _split(manifest)
    return _rendered(
        "card.md.jinja",
        manifest=manifest,
        base=base,
        summary=recipe_of(manifest.role).SUMMARY,
        tables=metric_tables(measured),
        forgetting=metric_tables(forgetting),
        settings=[(name, _shown(value)) for name, value in manifest.settings.items()],
        built=built,
        problems=[_place(problem) for problem in built.problems[:MOST_PROBLEMS]],
        plots=plots,
        use=_USE.get(manifest.role, "").format(folder=manifest.name),
        size=_bytes(size),
    )


def _split(manifest: Manifest) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metrics of the task, and those of what was forgotten."""
    forgetting = {name: manifest.metrics[name] for name in ("forgetting", "general") if manifest.metrics.get(name)}
    return {name: value for name, value in manifest.metrics.items() if name not in forgetting}, forgetting


def _rendered(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Markdown: escaping for HTML would spoil it.
    environment = Environment(
        loader=FileSystemLoader(str(files(__package__))),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def metric_tables(metrics: Mapping[str, Any], title: str = "") -> list[MetricTable]:
    """A tree of measured values as tables: a level's values together, groups of like members one below another."""
    told = {name: value for name, value in metrics.items() if not _drawn(name, value)}
    plain = {name: value for name, value in told.items() if not isinstance(value, Mapping)}
    groups = {name: value for name, value in told.items() if isinstance(value, Mapping)}
    tables = []
    if plain:
        rows: tuple[tuple[str, ...], ...] = tuple((name, _shown(value)) for name, value in plain.items())
        tables.append(MetricTable(title, ("metric", "value"), rows))
    flat = {name: value for name, value in groups.items() if value and not _deep(value)}
    columns = list(dict.fromkeys(name for value in flat.values() for name in value))
    like = len(flat) > 1 and all(len(set(value) & set(columns)) * 2 >= len(columns) for value in flat.values())
    if like:
        rows = tuple((name, *(_shown(value.get(column)) for column in columns)) for name, value in flat.items())
        tables.append(MetricTable(title, ("", *columns), rows))
    for name, value in groups.items():
        if not (like and name in flat):
            tables += metric_tables(value, f"{title}: {name}" if title else name)
    return tables


def _drawn(name: str, value: Any) -> bool:
    """What a plot shows: a histogram, the bins of a reliability diagram."""
    return name == "histogram" or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _deep(value: Mapping[str, Any]) -> bool:
    return any(isinstance(item, Mapping) or _drawn(name, item) for name, item in value.items())


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(item) for item in value)}]"
    return str(value).replace("|", "\\|")


def _place(problem: Problem) -> str:
    """With the file's name instead of its path, as all of a card."""
    return str(replace(problem, file=Path(problem.file).name))


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


def _size(out: Path, manifest: Manifest) -> int:
    return sum((out / name).stat().st_size for name in manifest.files)
