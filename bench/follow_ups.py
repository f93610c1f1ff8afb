"""Follow-ups made whole by rules beside what people wrote, no model: python bench/follow_ups.py

Of the turns with a history: the share of the content words that the human rewrite adds which ours adds too, how many of
ours are among them, and ROUGE-L to the human rewrite; beside the last turn alone and joined to one or two earlier ones.
The rules were tuned on CAsT 2019; nothing was chosen on MTRAG's rewrites.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

from common import has, options, publish, read_jsonl, table

SETS = ("cast2019", "mtrag_rewrite")
WAYS: dict[str, Callable[[list[str], str], str]] = {
    "last turn alone": lambda history, question: question,
    "last two turns": lambda history, question: " ".join([*history[-1:], question]),
    "last three turns": lambda history, question: " ".join([*history[-2:], question]),
    "rules": lambda history, question: resolved(history, question),
}


def resolved(history: list[str], question: str) -> str:
    """By `resolve_question`, without a model."""
    from ragloom.agents.conversation import resolve_question

    return resolve_question(history, question).question


def measured(data: Path, name: str) -> list[list[Any]]:
    """A row for each way."""
    from ragloom.agents.conversation.phrases import terms_of
    from ragloom.evals.text_metrics import rouge_l

    turns = [row for row in read_jsonl(data / name / "items.jsonl") if row["history"]]
    rows = []
    for way, rewrite in WAYS.items():
        common = wanted = given = 0
        likeness = []
        for turn in turns:
            ours, theirs = rewrite(turn["history"], turn["question"]), turn["rewrite"]
            said = terms_of(turn["question"])
            added, right = terms_of(ours) - said, terms_of(theirs) - said
            common, wanted, given = common + len(added & right), wanted + len(right), given + len(added)
            likeness.append(rouge_l(ours, [theirs]))
        precision = f"{common / given:.3f}" if given else ""
        rows.append([name, len(turns), way, f"{common / wanted:.3f}", precision, f"{mean(likeness):.3f}"])
    return rows


def main() -> None:
    """One table."""
    given = options(__doc__)
    rows = [row for name in SETS if has(given.data, name) for row in measured(given.data, name)]
    head = ("set", "turns", "rewritten by", "added words recovered", "of ours right", "ROUGE-L")
    publish("follow_ups", "Follow-ups made whole", [table(head, rows)], {"rows": rows}, [])


if __name__ == "__main__":
    main()
