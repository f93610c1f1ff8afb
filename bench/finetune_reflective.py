"""The Self-RAG generator: is what it writes in grammar, and does it judge as our critics do?

    python bench/finetune_reflective.py [--reflective reflective:PATH]

Without an artifact one is trained on the sets (hours on 2 cores), in bench/cache, and goes on where it was; before it
the two critics that do not ship, of IsUse and of Retrieve. Its answers to questions of documents that it was not
trained on are those of the recipe: greedy, and at each `[Retrieval]` it is handed the next passage. The critics judge
what was written; `majority` is what always giving their commonest verdict would reach.
"""

from __future__ import annotations

import argparse
from typing import Any

from common import CACHE, SEED, ended_well, has, opened, options, publish, say, table, verdict

SETS = "squad,qed,nq_gold,fairytaleqa"
PER_SET, MINUTES = 900, 85.0
IN_GRAMMAR = 0.99
CRITICS: dict[Any, tuple[str, ...]] = {
    "retrieve": ("query_routing", "clinc150", "squad", "nq_gold"),
    "utility": ("squad", "qed", "nq_gold", "fairytaleqa", "halueval_qa"),
}
"""Role to the sets that it is trained on."""
CRITIC_ROWS, CRITIC_MINUTES = 600, 12.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reflective", help="an artifact that was trained already")
    parser.add_argument("--sets", default=SETS, help=f"answer sets to train on ({SETS})")
    parser.add_argument("--per-set", type=int, default=PER_SET, help=f"questions of each ({PER_SET})")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"of training at most ({MINUTES:g})")


def tell(text: str, done: int, total: int | None) -> None:
    if total and done % max(1, total // 10) == 0:
        say(f"{text} {done}/{total}")


def critics(given: Any) -> tuple[str, ...]:
    """Of those roles that do not ship, by name."""
    from ragloom.finetune import finetune

    made = []
    for role, sets in CRITICS.items():
        data = [given.data / name for name in sets if has(given.data, name)]
        out = CACHE / f"finetune-{role}"
        command = f"bench/finetune_reflective.py ({role})"
        settings = {"per_set": CRITIC_ROWS, "max_minutes": CRITIC_MINUTES, "seed": SEED}
        made.append(f"{role}:{finetune(role, data, out, tell=tell, command=command, **settings).folder}")
    return tuple(made)


def train(given: Any) -> Any:
    """The artifact of these sets."""
    from ragloom.finetune import finetune

    names = [name for name in given.sets.split(",") if has(given.data, name)]
    return finetune(
        "reflective",
        [given.data / name for name in names],
        CACHE / f"finetune-reflective-{'-'.join(names)}-{given.per_set}",
        tell=tell,
        command=f"bench/finetune_reflective.py --sets {','.join(names)} --per-set {given.per_set}",
        per_set=given.per_set,
        max_minutes=given.minutes,
        seed=SEED,
        critics=critics(given),
    )


def main() -> None:
    """One table: shares, and agreement beside the majority."""
    given = options(__doc__, add_options)
    artifact = opened(given.reflective, "reflective") if given.reflective else train(given)
    told = artifact.manifest.metrics["test"]
    shares = [(name, told["n"], told[name]) for name in ("in_grammar", "retrieves", "f1", "is_use")]
    agreement = [
        (name, each["n"], each["agreement"], each["majority"])
        for name, each in ((name, told[name]) for name in ("is_rel", "is_sup"))
    ]
    parts = [
        "`retrieves`: share of answers that asked for a passage; `is_use`: utility within one of the critic's.",
        table(("measure", "answers", "value"), shares),
        "## Agreement with our critics\n\n" + table(("token", "verdicts", "agreement", "majority"), agreement),
    ]
    if told["complaints"]:
        lines = [f"- {complaint}: {count}" for complaint, count in told["complaints"].items()]
        parts.append("## What was not in grammar\n\n" + "\n".join(lines))
    targets = [verdict("reflective: share of outputs in grammar", told["in_grammar"], IN_GRAMMAR)]
    targets += [
        verdict(f"reflective: {name} agrees more than the majority would", value - most, 0.0)
        for name, _, value, most in agreement
        if value is not None
    ]
    data = {"manifest": artifact.manifest.model_dump()}
    publish("finetune_reflective", "The Self-RAG generator on documents it was not trained on", parts, data, targets)


if __name__ == "__main__":
    ended_well(main)
