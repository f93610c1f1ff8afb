"""Puts the page together: one file with its data, style and scripts inside, and a policy that lets nothing else in.

Passages come from documents that nobody vouches for. Jinja's autoescape keeps them inert in the template, and the
scripts make text nodes only. Should either fail, a Content-Security-Policy stands behind both: it knows style and
script by their hash and allows no request at all.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from ...errors import UsageError
from ..files import write_whole
from .changes import compare_runs
from .header import facts_of, settings_of, warnings_of
from .island import page_data, to_island
from .loaded_run import Run, load_run
from .tables import changes_table, cost_table, quality_table, undefined_metrics

__all__ = ("render_report", "write_report")

_SCRIPTS = ("dom", "plot", "scatter", "bars", "curves", "tables", "filters", "detail", "questions", "main")


def write_report(run: Path, target: Path, *, previous: Path | None = None) -> Path:
    """Writes the report of a run folder to `target`, whole or not at all, and gives `target` back.

    Raises `UsageError` for a damaged or missing run folder (with file and line), or a target that cannot be written.
    """
    page = render_report(run, previous=previous)
    try:
        write_whole(target, page)
    except OSError as error:
        raise UsageError(
            f"cannot write {str(target)!r}: {error.strerror or error}", hint="name an HTML file"
        ) from error
    return target


def render_report(run: Path, *, previous: Path | None = None) -> str:
    """The report of a run folder as HTML: the same text for the same folders.

    With `previous`, another run folder, it also says what changed. Raises `UsageError` for a damaged or missing folder.
    """
    now = load_run(run)
    seed = _seed(now)
    changes = compare_runs(now, load_run(previous), seed=seed) if previous is not None else None
    return _template().render(
        title=", ".join(now.sets),
        facts=facts_of(now),
        settings=settings_of(now),
        warnings=warnings_of(now),
        sets=[
            {
                "name": name,
                "baseline": now.baseline(name),
                "quality": quality_table(now, name),
                "costs": cost_table(now, name),
                "undefined": undefined_metrics(now, name),
            }
            for name in now.sets
        ],
        changes=changes,
        changes_table=changes_table(changes.rows) if changes else None,
        island=to_island(page_data(now, changes, seed=seed)),
        style=Markup(_style()),
        script=Markup(_script()),
        policy=_policy(),
    )


def _seed(run: Run) -> int:
    seeds = [run.info.get("seed"), *(row.get("seed") for row in run.summaries)]
    return next((seed for seed in seeds if isinstance(seed, int)), 0)


def _policy() -> str:
    # Hashes, not nonces: the same run gives the same file. Trusted types forbid the ways of writing HTML from a script.
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(_script())}'",
            f"style-src '{_hash(_style())}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _style() -> str:
    return _asset("report.css")


@cache
def _script() -> str:
    return '(() => {\n"use strict";\n' + "\n".join(_asset(f"{name}.js") for name in _SCRIPTS) + "})();\n"


@cache
def _asset(name: str) -> str:
    # The browser hashes what its parser made of the file, and that has line feeds only.
    text = files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


@cache
def _template() -> Template:
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True)
    return environment.from_string(_asset("report.html.jinja"))
