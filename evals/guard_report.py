"""What a guard stops, and what it stops wrongly, on texts whose labels are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..guarding import Finding, Guard, Stage
from .jsonl import Problem, find_jsonl, scan_jsonl
from .statistics import mean_interval

__all__ = ("GuardReport", "LabelledText", "OperatingPoint", "guard_report", "load_labelled_texts")

HARMLESS = ("benign", "safe", "clean", "0", "false")
"""Labels of texts that a guard should let pass, in lower case; `load_labelled_texts` takes others."""
FALSE_ALARMS = (0.01, 0.02, 0.05)
"""Shares of harmless texts for which `GuardReport.points` tells what is found."""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and what is known of it."""

    text: str
    label: str
    bad: bool
    """A guard should not let it pass."""
    source: str = ""
    """Where it is from: results are told for each source."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a threshold on the score would do."""

    false_alarms: float
    """Share of harmless texts that may reach the threshold at most."""
    threshold: float
    """The lowest that keeps to it: a text is stopped from this score on."""
    recall: float
    """Share of bad texts that reach it."""


@dataclass(frozen=True, slots=True)
class GuardReport:
    """Verdicts against labels. Stopped is what a guard changes or blocks."""

    n: int
    matrix: dict[str, dict[str, int]]
    """`matrix[label][verdict]` counts texts; verdicts: pass, change, block."""
    recall: float | None
    """Share of bad texts that are stopped; None where there are none, as below."""
    recall_ci95: tuple[float, float] | None
    false_alarms: float | None
    """Share of harmless texts that are stopped: over-refusal."""
    false_alarms_ci95: tuple[float, float] | None
    precision: float | None
    """Share of bad ones among the texts that are stopped."""
    by_source: dict[str, dict[str, Any]]
    """Of each source and label: how many, how many stopped, the share."""
    by_rail: dict[str, int]
    """How often each rail decided."""
    auroc: float | None
    """Of the scores; None where not every finding has one, or one class only is there. So is `points`."""
    points: tuple[OperatingPoint, ...]
    ms_p50: float
    """Milliseconds of a text checked alone."""
    ms_p95: float


def load_labelled_texts(
    path: Path, *, positive: Collection[str] = (), negative: Collection[str] = (), problems: list[Problem]
) -> list[LabelledText]:
    """The texts of a JSON Lines file, or of `items.jsonl` in a folder: text, label, and where known source.

    Args:
        path: file or folder; gzipped or not.
        positive: labels of what should be stopped; all but `negative` by default.
        negative: labels of what should pass, by default benign, safe, clean, 0, false. Where `positive` is given too,
            texts of other labels are left out.
        problems: is told of lines without text or label.

    Raises `UsageError` where there is no such file, or nothing in it.

    >>> load_labelled_texts(Path("prompt_safety"), positive=["injection"], problems=[])  # doctest: +SKIP
    """
    found = find_jsonl(path, "items", "texts") if path.is_dir() else path
    if found is None or not found.is_file():
        raise UsageError(f"there is no labelled set at {str(path)!r}", hint="a JSON Lines file, or items.jsonl in it")
    bad, fine = _lower(positive), _lower(negative) or _lower(HARMLESS)
    items = []
    for row in scan_jsonl(found, problems):
        text, label = row.text("text"), row.text("label").strip()
        if not text.strip() or not label:
            problems.append(row.problem("it has no text" if not text.strip() else "it has no label"))
            continue
        if (known := label.lower()) in fine or not bad or known in bad:
            is_bad = known in bad or (not bad and known not in fine)
            items.append(LabelledText(text, label, is_bad, row.text("source")))
    if not items:
        raise UsageError(f"nothing in {str(found)!r} has a text and a label that is asked for")
    return items


def guard_report(
    guard: Guard,
    items: Sequence[LabelledText],
    stage: Stage = "input",
    *,
    progress: Callable[[Sequence[LabelledText]], Iterable[LabelledText]] = lambda items: items,
) -> GuardReport:
    """Checks every text alone, as it would come in, and counts.

    `progress`: what goes over the texts and shows how far it is.

    >>> guard_report(guard, items).recall  # doctest: +SKIP
    0.94
    """
    found: list[Finding] = []
    seconds = []
    for item in progress(items):
        began = time.perf_counter()
        found.extend(guard.check(stage, [item.text]))
        seconds.append(time.perf_counter() - began)
    return _report(items, found, [1000 * each for each in seconds])


def _report(items: Sequence[LabelledText], found: Sequence[Finding], ms: Sequence[float]) -> GuardReport:
    stopped = [finding.verdict != "pass" for finding in found]
    bad = [float(hit) for item, hit in zip(items, stopped, strict=True) if item.bad]
    fine = [float(hit) for item, hit in zip(items, stopped, strict=True) if not item.bad]
    matrix: dict[str, dict[str, int]] = {}
    by_source: dict[str, dict[str, Any]] = {}
    by_rail: dict[str, int] = {}
    for item, finding in zip(items, found, strict=True):
        row = matrix.setdefault(item.label, {"pass": 0, "change": 0, "block": 0})
        row[finding.verdict] += 1
        group = by_source.setdefault(
            f"{item.source} ({item.label})" if item.source else item.label, {"bad": item.bad, "n": 0, "stopped": 0}
        )
        group["n"] += 1
        group["stopped"] += finding.verdict != "pass"
        if finding.verdict != "pass":
            by_rail[finding.rail] = by_rail.get(finding.rail, 0) + 1
    for group in by_source.values():
        group["share"] = group["stopped"] / group["n"]
    auroc, points = _by_score(items, [finding.score for finding in found])
    return GuardReport(
        n=len(items),
        matrix=matrix,
        recall=float(np.mean(bad)) if bad else None,
        recall_ci95=mean_interval(bad) if bad else None,
        false_alarms=float(np.mean(fine)) if fine else None,
        false_alarms_ci95=mean_interval(fine) if fine else None,
        precision=sum(bad) / (sum(bad) + sum(fine)) if any(stopped) else None,
        by_source=dict(sorted(by_source.items())),
        by_rail=dict(sorted(by_rail.items())),
        auroc=auroc,
        points=points,
        ms_p50=float(np.percentile(ms, 50)),
        ms_p95=float(np.percentile(ms, 95)),
    )


def _by_score(
    items: Sequence[LabelledText], scores: Sequence[float | None]
) -> tuple[float | None, tuple[OperatingPoint, ...]]:
    known = [score for score in scores if score is not None]
    if len(known) < len(items) or len({item.bad for item in items}) < 2:
        return None, ()
    from sklearn.metrics import roc_auc_score

    bad = np.array([score for item, score in zip(items, known, strict=True) if item.bad])
    fine = np.sort([score for item, score in zip(items, known, strict=True) if not item.bad])[::-1]
    points = []
    for share in FALSE_ALARMS:
        allowed = int(share * len(fine))
        # Just above the first harmless text that must pass.
        threshold = float(np.nextafter(fine[allowed], np.inf)) if allowed < len(fine) else float(fine[-1])
        points.append(OperatingPoint(share, threshold, float(np.mean(bad >= threshold))))
    return float(roc_auc_score([item.bad for item in items], known)), tuple(points)


def _lower(labels: Collection[str]) -> frozenset[str]:
    return frozenset(label.strip().lower() for label in labels)
