"""The extractive reader beside the chat model that it reads for, on unseen documents: python bench/finetune_reader.py

Rows are those of bench/finetune_drafter.py: the gold passage among what our retriever finds beside it, or no passage
that answers, of the test part of the split by document; of HotpotQA, which nothing was trained on, of all. The reader
is shown with its threshold and always answering, the chat model by the prompt that `ask` has for a short answer, all
with the same passages. An abstention where there is an answer scores 0; `score` is SQuAD 2.0's (F1 where something
answers, 1 for an abstention where nothing does). What the chat model said is kept in bench/cache; the speed is measured
anew, the models in turn. With fewer rows than by default nothing is written to docs/results.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

from common import SEED, ended_well, has, opened, options, publish, say, table, verdict
from finetune_drafter import (
    ANSWER,
    BASE,
    BUDGET,
    LIMIT,
    QUALITY,
    RIGHT,
    SETS,
    Row,
    answers,
    rows_of,
    scores_of,
    summary,
    within,
)
from finetune_drafter import messages as messages_of

READER = "reader:bundled"
TABLES = ("wikitablequestions", "tatqa")
"""Of these what people asked and is looked up in one cell: no question made by template."""
UNTRAINED = ("hotpotqa_100",)
"""Sets of which nothing was trained on: all their documents are unseen."""
ALWAYS = "reader, always answering"
TIMED = 20
"""Prompts on which the speed is measured."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reader", default=READER, help=f"the artifact ({READER})")
    parser.add_argument("--sets", default=",".join((*SETS, *TABLES, *UNTRAINED)), help="answer sets")
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"rows of each set ({LIMIT})")
    parser.add_argument("--budget", type=int, default=BUDGET, help=f"tokens of a prompt ({BUDGET})")
    parser.add_argument("--easy", action="store_true", help="distractors at random: nothing is indexed")


def squad_score(score: dict[str, Any]) -> float:
    """Of one row."""
    return float(score["f1"] if "f1" in score else score["right_abstention"])


def gains_of(scores: dict[str, list[dict[str, Any]]], other: str) -> dict[str, Any]:
    """The reader's measures less those of the chat model, with paired 95 % intervals."""
    from ragloom.evals.statistics import paired_difference

    gains = {}
    for name in ("reader", ALWAYS):
        for metric in ("score", *QUALITY):
            left, right = (
                {str(i): squad_score(s) if metric == "score" else s.get(metric) for i, s in enumerate(scores[who])}
                for who in (name, other)
            )
            gains[f"{metric}, {name}"] = paired_difference(left, right, seed=SEED)
    return gains


def milliseconds(llm: Any, prompts: Sequence[Any]) -> list[float]:
    """Of each answer."""
    spent = []
    for prompt in prompts:
        began = time.perf_counter()
        llm.invoke(messages_of(prompt))
        spent.append(1000 * (time.perf_counter() - began))
    return spent


def main() -> None:
    """Means of each model over all rows and by set, and the reader's gain."""
    given = options(__doc__, add_options)
    artifact = opened(given.reader, "reader")
    names = [name for name in given.sets.split(",") if has(given.data, name)]
    if not names or artifact is None:
        return
    from ragloom.finetune.drafting import draft_prompt, reader_prompt
    from ragloom.models import load_chat_model

    base = load_chat_model(BASE, max_tokens=ANSWER)
    rows: list[Row] = [
        within(row, base, given.budget)
        for name in names
        for row in rows_of(given.data, name, given, every_part=name in UNTRAINED)
    ]
    who = "base, short prompt"
    asked = {
        "reader": (load_chat_model(given.reader), [draft_prompt(row) for row in rows]),
        ALWAYS: (load_chat_model(given.reader, abstain_below=None), [draft_prompt(row) for row in rows]),
        who: (base, [reader_prompt(row) for row in rows]),
    }
    scores = {}
    for name, (llm, prompts) in asked.items():
        kept = f"{BASE}, {who}" if name == who else f"{artifact.fingerprint} {name}"
        scores[name] = scores_of(rows, answers(llm, kept, prompts))
    sets: dict[str, Any] = {}
    for name in ("all", *names):
        at = [i for i, row in enumerate(rows) if name in ("all", row["origin"]["set"])]
        sets[name] = {
            model: {
                "score": statistics.fmean(squad_score(each[i]) for i in at),
                **summary([rows[i] for i in at], [each[i] for i in at]),
            }
            for model, each in scores.items()
        }
    spent: dict[str, list[float]] = {"reader": [], who: []}
    for number in range(min(TIMED, len(rows))):  # in turn
        for name, found in spent.items():
            llm, prompts = asked[name]
            found += milliseconds(llm, prompts[number : number + 1])
    report(given, sets, gains_of(scores, who), {name: statistics.median(found) for name, found in spent.items()})


def report(given: Any, sets: dict[str, Any], gains: dict[str, Any], speed: dict[str, float]) -> None:
    """Prints, and writes docs/results where all was measured."""
    shown = lambda value: "" if value is None else f"{value:.3f}"  # noqa: E731
    columns = ("score", *QUALITY, *RIGHT)
    head = ("set", "model", "answerable", "unanswerable", "score", *QUALITY.values(), "answered", "abstained rightly")
    rows = [
        (name, who, told["answerable"], told["unanswerable"], *(shown(told[column]) for column in columns))
        for name, each in sets.items()
        for who, told in each.items()
    ]
    lines = [(name, g["n"], f"{g['mean']:+.3f} [{g['low']:+.3f}, {g['high']:+.3f}]") for name, g in gains.items()]
    parts = [
        f"{given.limit} rows of each set at most, prompts of at most {given.budget} tokens. F1, EM and containment are "
        "over the answerable rows.",
        table(head, rows),
        f"## Over `{BASE}`\n\n" + table(("measure", "rows", "difference (95 %, paired)"), lines),
        f"## Speed\n\nThe first {TIMED} prompts, the models in turn.\n\n"
        + table(("model", "median milliseconds"), [(who, f"{each:.0f}") for who, each in speed.items()]),
    ]
    if given.limit < LIMIT or given.easy:
        print("\n\n".join(parts))
        say("a part only: nothing is written to docs/results")
        return
    targets = [
        verdict("reader: score over the chat model, lower end of the interval", gains["score, reader"]["low"], 0.0)
    ]
    data = {"sets": sets, "gains": gains, "milliseconds": speed}
    publish("finetune_reader", "The reader on documents it was not trained on", parts, data, targets)


if __name__ == "__main__":
    ended_well(main)
