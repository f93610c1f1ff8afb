"""What rules of choosing give on unseen halves: the table of docs/tune.md (3 minutes on 2 cores).

Every set's queries are cut in two at random, 200 times. A rule chooses on one half among 41 rankings; its gain over the
configuration that it began with is measured on the other half.
"""

from __future__ import annotations

import argparse

import numpy as np
from common import SEED, has, judged, options, say, table

from ragloom.evals.indexing import set_base
from ragloom.evals.tuning import choose as rule
from ragloom.evals.tuning.rankings import QueryVectors, Rankings
from ragloom.evals.tuning.space import DEFAULT, Candidate

STARTS = {
    "the default": DEFAULT,
    "rank fusion": Candidate(kind="rank", alpha=0.5),
    "BM25": Candidate(kind="relative", alpha=0),
    "dense": Candidate(kind="relative", alpha=1),
}
SPLITS, FOLDS = 200, 5


def best(values, start, _):
    return int(values.mean(1).argmax())


def standard_error(values, start, _):
    top = best(values, start, _)
    lead = values[top] - values[start]
    return top if lead.mean() > lead.std(ddof=1) / np.sqrt(lead.size) else start


def cross_validated(values, start, dice):
    """The best, if choosing the best on four fifths gains on the fifth, beyond one-sided 95 %."""
    order = dice.permutation(values.shape[1])
    lead = np.zeros(order.size)
    for fold in np.array_split(order, FOLDS):
        top = values[:, np.setdiff1d(order, fold)].mean(1).argmax()
        lead[fold] = values[top, fold] - values[start, fold]
    sure = lead.mean() > 1.64 * lead.std(ddof=1) / np.sqrt(lead.size) and lead.mean() > 0
    return best(values, start, dice) if sure else start


def ours(level):
    def choose(values, start, _):
        scores = {at: {str(q): float(v) for q, v in enumerate(row)} for at, row in enumerate(values)}
        distance = lambda left, right: CANDIDATES[left].distance(CANDIDATES[right])  # noqa: E731
        return rule.choose(start, scores, distance=distance, level=level).chosen

    return choose


RULES = {
    "best on dev": best,
    "one standard error": standard_error,
    "cross-validated gain": cross_validated,
    "reality check, 0.05": ours(0.05),
    "reality check, 0.1": ours(0.1),
    "reality check, 0.2": ours(0.2),
}
CANDIDATES = list(
    dict.fromkeys(
        [DEFAULT, *(Candidate(kind=kind, alpha=step / 20) for kind in ("relative", "rank") for step in range(21))]
    )
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", default="cacm,cisi,npl")
    parser.add_argument("--splits", type=int, default=SPLITS)


def main() -> None:
    """Prints the table; it is kept in docs/tune.md, not in docs/results."""
    given = options(__doc__, add_options)
    rule.RESAMPLES = 500
    dice = np.random.default_rng(SEED)
    totals: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for name in given.sets.split(","):
        if not has(given.data, name):
            continue
        found = judged(given.data, name).limited(200)
        rankings = Rankings(found, set_base(found), QueryVectors())
        values = np.array([[v["ndcg@10"] for v in rankings.scores(each).values()] for each in CANDIDATES])
        say(f"{name}: {values.shape[1]} queries")
        half = values.shape[1] // 2
        splits = [dice.permutation(values.shape[1]) for _ in range(given.splits)]
        for label, begun_with in STARTS.items():
            start = CANDIDATES.index(begun_with)
            for title, choose in RULES.items():
                gains = np.zeros(len(splits))
                for number, order in enumerate(splits):
                    at = choose(values[:, order[:half]], start, dice)
                    gains[number] = (values[at, order[half:]] - values[start, order[half:]]).mean()
                row = gains.mean(), (np.abs(gains) > 1e-12).mean(), (gains < -1e-12).mean()
                totals.setdefault((label, title), []).append(row)
    rows = []
    for (label, title), found_rows in totals.items():
        gain, changed, worse = np.mean(found_rows, axis=0)
        rows.append((label, title, f"{gain:+.4f}", f"{changed:.0%}", f"{worse:.0%}"))
    print(table(("in use", "rule", "mean gain", "changed", "worse than before"), rows))


if __name__ == "__main__":
    main()
