"""The plots of a model card: curves of the training, reliability, distribution of scores. PNG, by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .recipe import Outcome

__all__ = ("write_plots",)

INK, BLUE, ORANGE, GREY = "#222222", "#2b6cb0", "#c05621", "#a0aec0"
COLOURS = (BLUE, ORANGE, "#2f855a", "#6b46c1", "#b7791f", GREY)
_NO_METRICS = ("runtime", "epoch", "step", "loss", "grad_norm", "learning_rate", "num_tokens", "entropy")
_BIN = {"said", "seen", "rows"}
MOST_METRICS = 4
"""Curves beside the loss: more cannot be told apart."""


def write_plots(out: Path, outcome: Outcome) -> dict[str, str]:
    """Draws what the outcome has data for into `out`; file name to what it shows. Nothing without matplotlib.

    Looked at are `curves`, and in the metrics, at any depth, what `calibration.reliability` gives, and a `histogram`:
    {edges: [...], counts: {label: [...]}}.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return {}
    style = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e2e8f0"}
    made: dict[str, str] = {}
    with mpl.rc_context({**style, "font.size": 9, "text.color": INK, "axes.axisbelow": True}):
        drawings: tuple[tuple[str, str, Any, Any], ...] = (
            ("curves.png", "Loss and dev metrics by optimiser step", _curves, _curve_data(outcome.curves)),
            (
                "reliability.png",
                "Calibration: how often a probability comes true",
                _reliability,
                _bins(outcome.metrics),
            ),
            ("scores.png", "Scores of test rows by their true label", _scores, _histogram(outcome.metrics)),
        )
        for name, caption, draw, found in drawings:
            if not found:
                continue
            figure: Any = Figure(figsize=(5.6, 3.4), dpi=120, layout="constrained")
            draw(figure, found)
            # Without a version and a date in it the file depends on its data alone.
            figure.savefig(out / name, metadata={"Software": None})
            made[name] = caption
    return made


def _curve_data(curves: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[float, float]]]:
    """Name to its points."""
    found: dict[str, list[tuple[float, float]]] = {}
    for entry in curves:
        for name, value in entry.items():
            plain = name.removeprefix("eval_")
            if name in ("loss", "eval_loss") or (name.startswith("eval_") and not plain.endswith(_NO_METRICS)):
                found.setdefault(name, []).append((entry.get("step", 0.0), value))
    return found


def _curves(figure: Any, found: dict[str, list[tuple[float, float]]]) -> None:
    losses = {name: points for name, points in found.items() if name.endswith("loss")}
    metrics = dict([(name, points) for name, points in sorted(found.items()) if name not in losses][:MOST_METRICS])
    panels = [(axis, data) for axis, data in (("loss", losses), ("dev metric", metrics)) if data]
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (label, data) in zip(axes, panels, strict=True):
        for colour, (name, points) in zip(COLOURS, data.items(), strict=False):
            shown = {"loss": "train", "eval_loss": "dev"}.get(name, name.removeprefix("eval_"))
            marker = "o" if name.startswith("eval_") else None
            axis.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=3, linewidth=1.4, label=shown)
        axis.set_xlabel("step")
        axis.set_ylabel(label)
        axis.legend(frameon=False, fontsize=8)


def _bins(metrics: Any) -> list[dict[str, float]]:
    for found in _leaves(metrics):
        if isinstance(found, list) and found and all(isinstance(each, dict) and each.keys() >= _BIN for each in found):
            return found
    return []


def _reliability(figure: Any, found: list[dict[str, float]]) -> None:
    axis, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="perfect")
    said = [each["said"] for each in found]
    axis.plot(said, [each["seen"] for each in found], color=BLUE, marker="o", markersize=4, label="measured")
    axis.set(ylabel="share that is true", xlim=(0, 1), ylim=(0, 1))
    axis.legend(frameon=False, fontsize=8, loc="upper left")
    below.bar(said, [each["rows"] for each in found], width=0.03, color=BLUE)
    below.set(xlabel="probability said", ylabel="rows")


def _histogram(metrics: Any) -> dict[str, Any]:
    for found in _leaves(metrics, "histogram"):
        if isinstance(found, dict) and found.get("edges") and found.get("counts"):
            return found
    return {}


def _scores(figure: Any, found: dict[str, Any]) -> None:
    axis = figure.subplots()
    for colour, (label, counts) in zip(COLOURS, found["counts"].items(), strict=False):
        total = max(1, sum(counts))
        shares = [count / total for count in counts]
        axis.stairs(shares, found["edges"], fill=True, alpha=0.35, color=colour)
        axis.stairs(shares, found["edges"], color=colour, linewidth=1.4, label=f"{label} ({sum(counts)} rows)")
    axis.set(xlabel="score", ylabel="share of the rows of a label")
    axis.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _leaves(value: Any, name: str | None = None) -> list[Any]:
    """Everything in a tree that has this name; without one, everything that is no tree itself."""
    if not isinstance(value, Mapping):
        return []
    found = []
    for key, item in value.items():
        if key == name or (name is None and not isinstance(item, Mapping)):
            found.append(item)
        found += _leaves(item, name)
    return found
