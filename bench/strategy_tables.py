"""The tables and pictures of docs/results/strategies.md, made from the rows alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import strategy_rows as rows
from common import RESULTS, SEED, table, verdict

BASELINE = "naive"
SHARES = {
    "right": "right",
    "f1": "F1",
    "contains": "contains",
    "citation_precision": "citation precision",
    "citation_recall": "citation recall",
    "support": "support",
}
HEADS = {
    "main": "All strategies",
    "reading": "As `ask` runs them",
    "false": "Passages that state a false answer",
    "evaluation": "With a larger model, the bundled one drafting",
    "latency": "Speculative drafts of two passages each against one read of ten",
    "missing": "Gold passages taken away",
    "noise": "Irrelevant passages put in",
    "ablations": "Ablations",
}
TOKENS = ("tokens_in", "tokens_out")
WANTED = "corrective + second corpus"

Values = dict[str, float]
"""Question to value, where it is defined."""


def short(llm: str) -> str:
    """A model's name without the place of its file."""
    return re.sub(r"^(gguf|hf|st):.*/", r"\1:", llm)


def column(lines: Sequence[rows.Line], name: str) -> Values:
    """A column over all sets of a system."""
    if name == "right":
        return right(lines)
    return {
        f"{line['set']}/{key}": float(value)
        for line in lines
        for key, value in zip(line["ids"], line[name], strict=True)
        if value is not None
    }


def right(lines: Sequence[rows.Line]) -> Values:
    """1 for an answer that contains a right one, and for an abstention where nothing can be answered; else 0."""
    contains, answerable = column(lines, "contains"), column(lines, "answerable")
    accurate = column(lines, "abstain_accuracy")
    return {key: contains.get(key, 0.0) if answerable[key] else accurate[key] for key in answerable}


def interval(values: Values) -> str:
    """Mean and its 95 % bootstrap interval."""
    from ragloom.evals.statistics import mean_interval

    if not values:
        return ""
    low, high = mean_interval([values[key] for key in sorted(values)], seed=SEED)
    return f"{np.mean(list(values.values())):.3f} [{low:.2f}, {high:.2f}]"


def beside(lines: Sequence[rows.Line], baseline: Sequence[rows.Line], name: str) -> dict[str, Any]:
    """The paired difference to the baseline."""
    from ragloom.evals.statistics import paired_difference

    return dict(paired_difference(column(lines, name), column(baseline, name), seed=SEED))


def shown(found: Mapping[str, Any]) -> str:
    """A difference with its interval; in bold where the interval leaves out 0."""
    text = f"{found['mean']:+.3f} [{found['low']:+.2f}, {found['high']:+.2f}]"
    return f"**{text}**" if found["low"] > 0 or found["high"] < 0 else text


def mean(lines: Sequence[rows.Line], name: str) -> float:
    """The mean of a column; NaN where it is defined for no question."""
    values = list(column(lines, name).values())
    return float(np.mean(values)) if values else float("nan")


def known(value: float) -> float | None:
    """JSON knows no NaN."""
    return None if np.isnan(value) else value


def kinds(lines: Sequence[rows.Line]) -> tuple[float, float]:
    """Shares of the unanswerable questions that were answered, and of the answerable ones that were declined."""
    answerable, abstained = column(lines, "answerable"), column(lines, "abstained")
    failed = column(lines, "failed")
    wrong = [1 - abstained[key] - failed[key] for key, can in answerable.items() if not can]
    declined = [abstained[key] for key, can in answerable.items() if can]
    return (float(np.mean(wrong)) if wrong else float("nan"), float(np.mean(declined)) if declined else float("nan"))


def quality(systems: Mapping[str, Sequence[rows.Line]]) -> str:
    """Quality over all sets."""
    return table(
        ("strategy", "n", *SHARES.values()),
        [
            (name, len(column(lines, "answerable")), *(interval(column(lines, metric)) for metric in SHARES))
            for name, lines in systems.items()
        ],
    )


def cost(systems: Mapping[str, Sequence[rows.Line]]) -> str:
    """Abstention and cost over all sets."""
    body = []
    for name, lines in systems.items():
        seconds = list(column(lines, "seconds").values())
        answered, declined = kinds(lines)
        body.append(
            (
                name,
                f"{mean(lines, 'abstain_accuracy'):.2f}",
                "" if np.isnan(answered) else f"{answered:.2f}",
                "" if np.isnan(declined) else f"{declined:.2f}",
                f"{mean(lines, 'retrieved'):.2f}",
                f"{mean(lines, 'calls'):.1f}",
                f"{mean(lines, 'tokens_in'):.0f}",
                f"{mean(lines, 'tokens_out'):.0f}",
                f"{np.percentile(seconds, 50):.1f}",
                f"{np.percentile(seconds, 95):.1f}",
                int(sum(column(lines, "failed").values())),
            )
        )
    asked = ("abstain accuracy", "answered though unanswerable", "declined though answerable", "retrieval rate")
    return table(("strategy", *asked, "calls", "tokens in", "tokens out", "p50 s", "p95 s", "failed"), body)


def differences(systems: Mapping[str, Sequence[rows.Line]], bases: Mapping[str, str] | None = None) -> str:
    """Each strategy minus its baseline, and in words whether it pays."""
    body = []
    for name, lines in systems.items():
        base = (bases or {}).get(name, BASELINE)
        if name == base or base not in systems:
            continue
        found = {metric: beside(lines, systems[base], metric) for metric in ("right", "f1", "citation_recall")}
        body.append((name, base, *map(shown, found.values()), pays(found["right"])))
    return table(("strategy", "minus", "right", "F1", "citation recall", ""), body)


def minus_naive(name: str, systems: Mapping[str, Sequence[rows.Line]]) -> list[float] | None:
    """Mean, low and high end of the difference in right answers; None for naive RAG itself."""
    if name == BASELINE or BASELINE not in systems:
        return None
    found = beside(systems[name], systems[BASELINE], "right")
    return [found["mean"], found["low"], found["high"]]


def baselines_first(systems: Mapping[str, list[rows.Line]]) -> dict[str, list[rows.Line]]:
    """By name, behind the model alone and naive RAG."""
    order = ("closed-book", BASELINE)
    return dict(sorted(systems.items(), key=lambda item: (order.index(item[0]) if item[0] in order else 2, item[0])))


def pays(found: Mapping[str, Any]) -> str:
    """In words."""
    return "pays" if found["low"] > 0 else "does not pay: worse" if found["high"] < 0 else "not told apart"


def by_set(systems: Mapping[str, Sequence[rows.Line]], metric: str) -> str:
    """The mean of a metric, a column a set."""
    sets = list(dict.fromkeys(line["set"] for lines in systems.values() for line in lines))
    body = []
    for name, lines in systems.items():
        own = [mean([line for line in lines if line["set"] == each], metric) for each in sets]
        body.append((name, *("" if np.isnan(value) else f"{value:.2f}" for value in own)))
    return table(("strategy", *sets), body)


def levels(systems: Mapping[str, Sequence[rows.Line]]) -> dict[str, dict[int, Sequence[rows.Line]]]:
    """`naive at 25%` as naive: 25: its lines."""
    found: dict[str, dict[int, Sequence[rows.Line]]] = {}
    for name, lines in systems.items():
        strategy, _, level = name.rpartition(" at ")
        found.setdefault(strategy, {})[int(level.rstrip("%"))] = lines
    return {strategy: dict(sorted(at.items())) for strategy, at in found.items()}


def curve(part: str, systems: Mapping[str, Sequence[rows.Line]], llm: str) -> tuple[str, dict[str, Any]]:
    """Shares of right answers by damage, in a table and a picture, and each strategy minus naive RAG."""
    found = levels(systems)
    steps = sorted({level for at in found.values() for level in at})
    head = [f"{level} %" for level in steps]
    cells = [
        (name, *(interval(column(at[level], "contains")) if level in at else "" for level in steps))
        for name, at in found.items()
    ]
    declined = [
        (name, *(f"{mean(at[level], 'abstained'):.2f}" if level in at else "" for level in steps))
        for name, at in found.items()
    ]
    gains = {
        name: {level: beside(at[level], found[BASELINE][level], "contains") for level in at}
        for name, at in found.items()
        if name != BASELINE and BASELINE in found and set(at) <= set(found[BASELINE])
    }
    minus = [(name, *(shown(at[level]) if level in at else "" for level in steps)) for name, at in gains.items()]
    picture = draw(part, found, llm)
    text = (
        f"Share of right answers (an answer that contains a right one; all questions can be answered):\n\n"
        f"{table(('strategy', *head), cells)}\n\n![{HEADS[part]}]({picture})\n\n"
        f"Minus naive RAG, with paired 95 % intervals:\n\n{table(('strategy', *head), minus)}\n\n"
        f"Abstained:\n\n{table(('strategy', *head), declined)}"
    )
    return text, gains


def draw(part: str, found: Mapping[str, Mapping[int, Sequence[rows.Line]]], llm: str) -> str:
    """A curve for each strategy, as SVG beside the tables; its file's name."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = part  # the same file for the same numbers
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, at in found.items():
        axes.plot(list(at), [mean(lines, "contains") for lines in at.values()], marker="o", label=name)
    what = "questions whose gold passages are gone (%)" if part == "missing" else "irrelevant passages (%)"
    axes.set(xlabel=what, ylabel="right answers", ylim=(0, None))
    axes.legend(fontsize="small")
    name = f"strategies_{part}_{re.sub(r'[^a-z0-9]+', '-', llm.lower()).strip('-')[:24]}.svg"
    figure.savefig(Path(RESULTS) / name, metadata={"Date": None})
    return name


def report(lines: Sequence[rows.Line]) -> tuple[list[str], dict[str, Any], list[dict[str, Any]]]:
    """Parts in Markdown, values for the JSON file, and targets."""
    parts = [INTRODUCTION]
    values: dict[str, Any] = {}
    targets: list[dict[str, Any]] = []
    for part, head in HEADS.items():
        for llm in dict.fromkeys(line["llm"] for line in lines if line["part"] == part):
            systems = baselines_first(rows.of(lines, part, llm))
            named = f"## {head}: {llm}"
            if part in ("missing", "noise"):
                text, gains = curve(part, systems, llm)
                parts.append(f"{named}\n\n{text}")
                values[f"{part} {llm}"] = gains
                if part == "missing":
                    targets += [
                        verdict(
                            f"{llm}: Corrective RAG with a second corpus minus naive, {level} % gone: low end", low, 0.0
                        )
                        for level, found in gains.get(WANTED, {}).items()
                        if level >= 50 and (low := found["low"]) is not None
                    ]
                continue
            bases = {name: name.partition(":")[0] for name in systems if ":" in name and part == "ablations"}
            body = [quality(systems), cost(systems), differences(systems, bases)]
            if part == "false":
                body = [false_table(systems), cost(systems)]
            elif part == "latency":
                body = [speed(systems), quality(systems), differences(systems)]
            elif part != "ablations":
                body += [f"Right, by set:\n\n{by_set(systems, 'right')}", f"F1, by set:\n\n{by_set(systems, 'f1')}"]
            parts.append("\n\n".join([named, *body]))
            values[f"{part} {llm}"] = {
                name: {
                    **{metric: known(mean(found, metric)) for metric in (*SHARES, "abstained", "calls", *TOKENS)},
                    "right minus naive": minus_naive(name, systems),
                    "n": len(column(found, "answerable")),
                    "p50_s": float(np.percentile(list(column(found, "seconds").values()), 50)),
                }
                for name, found in systems.items()
            }
    return parts, values, targets


def speed(systems: Mapping[str, Sequence[rows.Line]]) -> str:
    """Wall time beside that of one read, question by question."""
    base = column(systems[BASELINE], "seconds") if BASELINE in systems else {}
    body = []
    for name, lines in systems.items():
        seconds = column(lines, "seconds")
        ratios = {key: seconds[key] / base[key] for key in seconds if base.get(key)}
        p50, p95 = np.percentile(list(seconds.values()), (50, 95))
        body.append((name, len(seconds), f"{p50:.1f}", f"{p95:.1f}", interval(ratios) if name != BASELINE else ""))
    return table(("strategy", "n", "p50 s", "p95 s", "times as long as one read, mean"), body)


def false_table(systems: Mapping[str, Sequence[rows.Line]]) -> str:
    """How often what a false passage claims is repeated."""
    body = [
        (
            name,
            len(column(lines, "answerable")),
            interval(column(lines, "repeated_false")),
            interval(column(lines, "contains")),
            f"{mean(lines, 'abstained'):.2f}",
        )
        for name, lines in systems.items()
    ]
    return table(("strategy", "n", "repeats the false answer", "says the right one", "abstains"), body)


INTRODUCTION = """\
The same 247 questions to every strategy (bench/strategy_mix.json: SQuAD, QED, HotpotQA, CovidQA, ClapNQ, RGB and first
turns of MTRAG-UN, 47 of them unanswerable), the five best passages of `default` retrieval, the default budget and
check, no key and no server. Of the sets that the shipped adapters learned from, only documents that these never saw.

*Right* is an answer that contains a right one, or an abstention where nothing can be answered. Intervals are 95 %
bootstrap intervals; a difference in bold has one that leaves out 0. Seconds are those of two cores, which other work
shared at times; where a strategy asks what another one asked before, they are those of the run that asked first.
Log-probabilities are computed in bfloat16.

In the first table the chat model reads and drafts for itself, and says in sentences what it found; a reader finds the
words of an answer in a passage. `self-rag-tokens` and `adaptive` are not here: a model with reflection tokens and a
router do not ship."""
