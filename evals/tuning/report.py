"""The report: Markdown that reads well in a terminal too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .result import Comparison, Outcome, Row, Tuned

__all__ = ("render_report",)

SHOWN = 12
"""Rows of the table of what was tried; --json has them all."""


def render_report(tuned: Tuned) -> str:
    """What was tried, what was chosen, what it is worth on unseen questions, and what was not done."""
    parts = ["# Tuning", _summary(tuned)]
    for title, outcome in (("Retrieval", tuned.retrieval), ("Answers", tuned.answers)):
        if outcome:
            parts += _stage(title, outcome)
    settings = [f"{name} = {_toml(value)}" for name, value in tuned.settings().items()]
    parts += ["## Settings", _code(settings or ["# nothing differs from the defaults"])]
    if tuned.notes:
        parts += ["## Notes", "\n".join(f"- {each}" for each in tuned.notes)]
    return "\n\n".join(parts) + "\n"


def _summary(tuned: Tuned) -> str:
    rows = [(name, *map(str, sizes.values())) for name, sizes in tuned.sets.items()]
    lines = [outcome.verdict() for outcome in (tuned.retrieval, tuned.answers) if outcome]
    lines.append(
        f"{tuned.seconds / 60:.1f} of {tuned.minutes:g} minutes, seed {tuned.seed}"
        + (f", model {tuned.llm}" if tuned.llm else "")
        + ("; interrupted: this is the best so far" if tuned.interrupted else "")
        + "."
    )
    return "\n\n".join([*lines, _table(("set", "documents", "dev queries", "test queries"), rows)])


def _stage(title: str, outcome: Outcome) -> list[str]:
    parts = [f"## {title}"]
    heading = ("configuration", "n", outcome.metric, "95 % interval")
    if outcome.test:
        parts += ["### On unseen questions (test half)", _table(heading, _compared(outcome.test))]
        parts.append(_difference("Chosen minus baseline", outcome.test))
        if outcome.best_on_test:
            parts.append(
                _difference(f"The best on the dev half, not chosen ({outcome.best.name()})", outcome.best_on_test)
                + " It is shown for information; nothing was chosen by it."
            )
    baseline = next(iter(outcome.dev.values()))
    rows = sorted(outcome.dev.values(), key=lambda row: (-len(row.values), -row.mean))
    shown = list(dict.fromkeys([baseline.name, *(row.name for row in rows[:SHOWN]), outcome.chosen.name()]))
    dev = [(row, "baseline" if row is baseline else "") for row in rows if row.name in shown]
    parts.append(f"### On the dev half: {len(rows)} configurations tried")
    parts.append(_table((*heading, ""), [(*_cells(row), mark) for row, mark in dev]))
    for family, best in outcome.best_by_family().items():
        if len(best) > 1:
            parts += [f"Best of each {family}, dev half:", _table(heading, [_cells(row) for row in best])]
    if outcome.importance:
        told = ", ".join(f"{name} {value:.0%}" for name, value in outcome.importance.items())
        parts.append(f"Share of the differences explained by (fANOVA): {told}.")
    if outcome.skipped:
        parts += ["Not tried:", "\n".join(f"- {name}: {why}" for name, why in outcome.skipped.items())]
    return parts


def _compared(found: Comparison) -> list[tuple[str, ...]]:
    rows = [found.baseline] if found.chosen.name == found.baseline.name else [found.baseline, found.chosen]
    return [_cells(row) for row in rows]


def _difference(label: str, found: Comparison) -> str:
    told = found.difference
    if all(value == 0 for value in (told["low"], told["high"])):
        return f"{label}: 0, they rank the same."
    clear = "told apart from 0" if told["low"] > 0 or told["high"] < 0 else "not told apart from 0"
    return f"{label}: {told['mean']:+.4f} [{told['low']:+.4f}, {told['high']:+.4f}], n {told['n']}: {clear}."


def _cells(row: Row) -> tuple[str, ...]:
    told = row.to_dict()
    low, high = told["ci95"]
    return row.name, str(told["n"]), f"{told['mean']:.4f}", f"[{low:.3f}, {high:.3f}]"


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns padded, so that the source is as readable as what is made of it."""
    body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(3, *(len(row[at]) for row in [list(heading), *body])) for at in range(len(heading))]
    lines = [list(heading), ["-" * width for width in widths], *body]
    return "\n".join(f"| {' | '.join(c.ljust(w) for c, w in zip(line, widths, strict=True))} |" for line in lines)


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _code(lines: Sequence[str]) -> str:
    return "\n".join(["```toml", *lines, "```"])
