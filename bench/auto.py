"""Strategy routing on the mix, beside fixed strategies, dice and an oracle: python bench/auto.py [--expensive A,B]

Every strategy answers every question of the mix (`strategy_mix`) alone, read by the shipped reader, as `ragloom ask`
runs it (part `reading` of strategies.py). Of these answers the rules of `auto` are chosen and their thresholds fitted
on one half of the questions; what they give and take is told of the other half. A question's quality is F1 where
something answers it, and where nothing does 1 for an abstention, as in SQuAD 2.0. Cost is calls of a model.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from common import RESULTS, SEED, ended_well, options, paired_interval, publish, say, table, verdict
from strategies import READER, Trial, answered, reading_trials

CHEAP, EXPENSIVE = "naive", "corrective,fusion,multi-hop"
SHARE = 0.5
"""Of the questions that rules are fitted on."""
SIGNALS = ("abstained", "unsupported", "uncited", "weak_retrieval")
PICTURE = RESULTS / "auto.png"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--expensive", default=EXPENSIVE, help=f"strategies of the part `reading` ({EXPENSIVE})")


def trial(name: str) -> Trial:
    """Of the part `reading`."""
    return next(each for each in reading_trials() if each.name == name)


def result_of(record: Mapping[str, Any], timing: Mapping[str, Any]) -> dict[str, Any]:
    """What the strategy returned, of what was kept of it."""
    from langchain_core.documents import Document

    read = [
        Document(each["text"], id=each["id"], metadata={name: each[name] for name in ("id", "source", "page", "title")})
        for each in record["documents"]
    ]
    usage = {name: record[name] for name in ("calls", "tokens_in", "tokens_out")} | {"seconds": timing["seconds"]}
    told = {name: record[name] for name in ("answer", "abstained", "citations", "steps")}
    return {**told, "documents": read, "error": record["failed"] or "", "usage": usage, "quality": quality_of(record)}


def quality_of(record: Mapping[str, Any]) -> float:
    """F1; of a question that nothing answers whether it was left unanswered."""
    given = not record["abstained"] and not record["failed"]
    if not record["answerable"]:
        return float(not given)
    return float(record["metrics"]["f1"] or 0.0) if given else 0.0


def rows_of(results: Mapping[str, Mapping[tuple[str, str], tuple[str, Any]]]) -> dict[tuple[str, str], Any]:
    """Set and id of every question to its row."""
    from ragloom.agents.auto import Abstained, Uncited, Unsupported, WeakRetrieval, row_of

    signals = [Abstained(), Unsupported(), Uncited(), WeakRetrieval("evaluator:bundled")]
    cheap, others = results[CHEAP], {name: found for name, found in results.items() if name != CHEAP}
    return {
        key: row_of(
            question,
            result,
            {name: found[key][1] for name, found in others.items()},
            quality=lambda each: each["quality"],
            signals=signals,
        )
        for key, (question, result) in cheap.items()
    }


def candidates(names: Sequence[str]) -> list[list[Any]]:
    """Rules whose thresholds are to be fitted: one signal to one strategy, or two, the second one for abstentions."""
    from ragloom.agents.auto import Rule

    single = [[Rule(name, {signal: 1.0})] for name in names for signal in SIGNALS]
    pairs = [
        [Rule(first, {"weak_retrieval": 1.0}), Rule(second, {"abstained": 1.0})]
        for first, second in itertools.permutations(names, 2)
    ]
    return [*single, *pairs]


def fitted(rows: Sequence[Any], names: Sequence[str], most: float) -> Any:
    """The rules that do best on these questions at no more than `most` calls; of equally good ones the cheapest."""
    from ragloom.agents.auto import fit_thresholds

    found = [fit_thresholds(rows, rules, max_cost=most) for rules in candidates(names)]
    return max(found, key=lambda each: (round(each.quality, 6), -each.cost))


def of_each(rows: Sequence[Any], rules: Sequence[Any]) -> list[float]:
    """The quality of every question under these rules."""
    from ragloom.agents.auto import point_of

    return [point_of([row], rules).quality for row in rows]


def default_rules(names: Sequence[str]) -> list[Any]:
    """What `--strategy auto` starts with, of strategies that were measured."""
    from ragloom.agents.auto import Rule
    from ragloom.models import open_artifact

    upper = open_artifact("evaluator:bundled", "evaluator").manifest.thresholds["upper"]
    rules = [Rule("multi-hop", {"abstained": 1.0}), Rule("corrective", {"weak_retrieval": 1.0 - upper})]
    return [rule for rule in rules if rule.to in names]


def compare(fit: Sequence[Any], held: Sequence[Any], names: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """A line of every way to choose on the held-out half, and what the targets are judged by."""
    from ragloom.agents.auto import cost_curve, point_of

    anything = candidates(names)[0]
    before, after = cost_curve(fit, anything), cost_curve(held, anything)
    fixed = {CHEAP: before.cheap, **before.always}
    best = max(fixed, key=lambda name: (fixed[name].quality, -fixed[name].cost))
    half = max(fixed[best].cost / 2, before.cheap.cost)
    say(f"best fixed strategy of the fitting half: {best}; rules may cost {half:.2f} calls")
    policies = {
        "auto, fitted at half its calls": fitted(fit, names, half).rules,
        "auto, fitted at any cost": fitted(fit, names, float("inf")).rules,
        "auto, default rules": default_rules(names),
    }
    of_best = [row.cheap.quality if best == CHEAP else row.expensive[best].quality for row in held]
    lines, told = [], {}
    for name, rules in policies.items():
        point = point_of(held, rules)
        gain = paired_interval(of_each(held, rules), of_best)
        # Two signals may lead to two strategies: dice go to the best of them.
        dice = max(after.random_mix(other, point.cost) for other in names)
        lines.append((name, point, gain, f"{dice:.3f}"))
        told[name] = {"point": point, "gain": gain, "dice": dice, "rules": [(rule.to, rule.when) for rule in rules]}
    values = {CHEAP: [row.cheap.quality for row in held]}
    values |= {name: [row.expensive[name].quality for row in held] for name in names}
    for name, point in {CHEAP: after.cheap, **after.always}.items():
        lines.append((f"always {name}", point, paired_interval(values[name], of_best), ""))
    oracle = [max(row.cheap.quality, *(row.expensive[name].quality for name in names)) for row in held]
    lines.append(("oracle", after.oracle, paired_interval(oracle, of_best), ""))
    cost = point_of(held, policies["auto, fitted at half its calls"]).cost
    dear = (after.cheap if best == CHEAP else after.always[best]).cost
    return lines, {"best": best, "policies": told, "share": cost / dear, "curve": after, "fixed": fixed}


def steps_of_curve(fit: Sequence[Any], held: Sequence[Any], names: Sequence[str]) -> list[tuple[float, Any, Any]]:
    """Levels of cost: the rules that do best on the fitting half within it, and what they do on the other."""
    from ragloom.agents.auto import cost_curve, point_of

    curves = [cost_curve(fit, rules) for rules in candidates(names)]
    low = curves[0].cheap.cost
    high = max(point.cost for curve in curves for point in curve.best())
    found = []
    for most in np.linspace(low, high, 9):
        rules = fitted(fit, names, float(most)).rules
        found.append((float(most), rules, point_of(held, rules)))
    return found


def draw(levels: Sequence[tuple[float, Any, Any]], curve: Any) -> None:
    """The curve as a picture."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([p.cost for _, _, p in levels], [p.quality for _, _, p in levels], "o-", label="auto, fitted")
        for name, point in {CHEAP: curve.cheap, **curve.always}.items():
            axes.plot([curve.cheap.cost, point.cost], [curve.cheap.quality, point.quality], ":", color="0.7")
            axes.plot(point.cost, point.quality, "s", label=f"always {name}")
        axes.plot(curve.oracle.cost, curve.oracle.quality, "*", markersize=11, label="oracle")
        axes.set_xlabel("calls of a model a question")
        axes.set_ylabel("quality")
        axes.grid(visible=True, alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
        figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


def main() -> None:
    """Two tables and a picture of the held-out half."""
    from ragloom.evals.answer_sets import share_of

    given = options(__doc__, add_options)
    names = given.expensive.split(",")
    results: dict[str, dict[tuple[str, str], tuple[str, Any]]] = {}
    for name in (CHEAP, *names):
        say(f"{name}: answers")
        _, records, timings = answered(trial(name), given.data)
        results[name] = {
            (record["set"], record["id"]): (record["question"], result_of(record, timing))
            for record, timing in zip(records, timings, strict=True)
        }
    rows = rows_of(results)
    halves: dict[bool, list[Any]] = {True: [], False: []}
    for (name, key), row in rows.items():
        halves[share_of(f"{name}:{key}", salt="auto") < SHARE].append(row)
    fit, held = halves[True], halves[False]
    lines, told = compare(fit, held, names)
    levels = steps_of_curve(fit, held, names)
    draw(levels, told["curve"])
    against = f"beside always {told['best']} (95 %)"
    parts = [
        f"{len(rows)} questions; rules are fitted on {len(fit)} of them, all that follows is of the other {len(held)}. "
        f"Passages are read by `{READER}`, seed {SEED}. Of the fitting half the best fixed strategy is {told['best']}.",
        table(
            ("", "quality", against, "calls", "went on", "dice at that cost"),
            [
                (
                    name,
                    f"{p.quality:.3f}",
                    f"{g[0]:+.3f} [{g[1]:+.3f}, {g[2]:+.3f}]",
                    f"{p.cost:.2f}",
                    f"{p.share:.0%}",
                    dice,
                )
                for name, p, g, dice in lines
            ],
        ),
        "## Quality over cost\n\nRules that do best on the fitting half within so many calls, on the other half.\n\n"
        + table(
            ("calls at most", "calls", "quality", "went on", "rules"),
            [(f"{most:.2f}", f"{p.cost:.2f}", f"{p.quality:.3f}", f"{p.share:.0%}", shown(r)) for most, r, p in levels],
        )
        + f"\n\n![Quality over calls]({PICTURE.name})",
    ]
    auto = told["policies"]["auto, fitted at half its calls"]
    targets = [
        verdict("auto: upper end of its interval beside the best fixed strategy", auto["gain"][2], 0.0),
        verdict("auto: calls, as a share of those of the best fixed strategy", told["share"], 0.5, at_most=True),
        verdict("auto: quality above dice of the same cost", auto["point"].quality - auto["dice"], 0.0),
    ]
    publish("auto", "Strategy routing: what `auto` pays", parts, {"policies": plain_of(told["policies"])}, targets)


def shown(rules: Sequence[Any]) -> str:
    """Rules in a cell."""
    told = [f"{rule.to}: " + " and ".join(f"{name} from {at:.2f}" for name, at in rule.when.items()) for rule in rules]
    return "; ".join(told) or "never"


def plain_of(policies: Mapping[str, Any]) -> dict[str, Any]:
    """For the JSON file."""
    return {
        name: {
            "rules": [{"to": to, "when": dict(when)} for to, when in each["rules"]],
            **{part: getattr(each["point"], part) for part in ("quality", "cost", "share")},
            "gain": each["gain"],
            "dice": each["dice"],
        }
        for name, each in policies.items()
    }


if __name__ == "__main__":
    ended_well(main)
