"""The fixed mix of questions that strategies are measured on: python bench/strategy_mix.py writes strategy_mix.json.

The ids are in the repository, so that every run, on any machine, asks the same questions. They were chosen by the hash
of their id alone, so many of each set and kind as `TAKEN` says, before any strategy had been run on them; of the sets
that the shipped adapters learned from only questions about documents that these never saw.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common import has, options, read_jsonl, say

IDS = Path(__file__).with_suffix(".json")
SALT = "strategy mix"
TRAINED_ON = ("squad", "qed", "covidqa", "clapnq")
TAKEN = {
    "squad": (26, 14),
    "qed": (36, 0),
    "hotpotqa_100": (36, 0),
    "covidqa": (32, 0),
    "clapnq": (22, 22),
    "rgb": (36, 0),
    "mtrag_un": (12, 11),
}
"""Set to how many answerable and unanswerable questions; 247 in all."""
FALSE = "rgb_false"
"""RGB's counterfactual part: the same questions over passages that state a false answer. Told apart from the mix."""
FALSE_TAKEN = 24


def load(data: Path, name: str) -> Any:
    """A whole set of the data folder as an answer set."""
    from ragloom.evals.answer_sets import load_answer_set

    if name in ("rgb", FALSE):
        return _rgb(data / "rgb" / "en_fact.jsonl", false=name == FALSE)
    return _mtrag(data / name / "items.jsonl") if name == "mtrag_un" else load_answer_set(data / name)


def _rgb(path: Path, *, false: bool) -> Any:
    """RGB's English items over the passages of all of them; with `false` over those edited to state a false answer."""
    from ragloom.evals.answer_sets import AnswerSet, Question

    documents, questions = {}, []
    for row in read_jsonl(path):
        said = row["positive_wrong" if false else "positive"]
        for kind, texts in (("p", said), ("n", row["negative"])):
            documents |= {f"{row['id']}-{kind}{number}": ("", text) for number, text in enumerate(texts)}
        gold = tuple(f"{row['id']}-p{number}" for number in range(len(said)))
        questions.append(Question(row["id"], row["question"], _flat(row["answer"]), gold))
    return AnswerSet(FALSE if false else "rgb", documents, tuple(questions))


def false_answers(data: Path) -> dict[str, str]:
    """What RGB's edited passages state instead, by question."""
    return {row["id"]: row["fake_answer"] for row in read_jsonl(data / "rgb" / "en_fact.jsonl")}


def _flat(answer: Any) -> tuple[str, ...]:
    """Alternatives may be nested."""
    return (answer,) if isinstance(answer, str) else tuple(each for part in answer for each in _flat(part))


def _mtrag(path: Path) -> Any:
    """First questions of conversations, over the passages of all tasks.

    An underspecified question, to which the reference asks back, counts as unanswerable: of a system that answers one
    question at a time that is the best it can do.
    """
    from ragloom.evals.answer_sets import AnswerSet, Question

    documents, questions = {}, []
    for row in read_jsonl(path):
        documents |= {each["id"]: (each["title"], each["text"]) for each in row["contexts"]}
        if row["history"] or not row["contexts"]:
            continue
        answerable = "UNDERSPECIFIED" not in row["answerability"]
        gold = tuple(each["id"] for each in row["contexts"]) if answerable else ()
        answers = tuple(row["answers"]) if answerable else ()
        questions.append(Question(row["id"], row["question"].strip(), answers, gold, answerable))
    return AnswerSet("mtrag_un", documents, tuple(questions))


def choose(data: Path) -> dict[str, list[str]]:
    """The ids of the mix, by hash."""
    chosen = {}
    for name, counts in {**TAKEN, FALSE: (FALSE_TAKEN, 0)}.items():
        found = load(data, name)
        unseen = [item for item in found.questions if name not in TRAINED_ON or held_out(name, found, item)]
        ids: list[str] = []
        for answerable, count in zip((True, False), counts, strict=True):
            fit = [item for item in unseen if item.answerable is answerable and (item.gold or not answerable)]
            if len(fit) < count:
                raise ValueError(f"{name}: {len(fit)} of {count} questions")
            ids += [item.id for item in _by_hash(fit)[:count]]
        chosen[name] = ids
    return chosen


def held_out(name: str, found: Any, item: Any) -> bool:
    """Whether it asks about documents of the test part of our trainings."""
    from ragloom.finetune.data.parts import document_of, part_of

    return all(part_of(document_of(name, found.documents[key][0], key)) == "test" for key in item.gold)


def _by_hash(questions: Iterable[Any]) -> list[Any]:
    from ragloom.evals.answer_sets import share_of

    return sorted(questions, key=lambda item: share_of(item.id, salt=SALT))


def mix(data: Path, names: Iterable[str] = tuple(TAKEN), *, share: float = 1.0, answerable: bool = False) -> list[Any]:
    """The sets that `names` says, with the chosen questions alone; a set that is not there is named and left out.

    Of each set the first `share` by hash, so that a smaller share is part of a larger one; with `answerable` only of
    those that can be answered.
    """
    from dataclasses import replace

    chosen = json.loads(IDS.read_text(encoding="utf-8"))
    sets = []
    for name in names:
        if not has(data, "rgb" if name == FALSE else name):
            continue
        found = load(data, name)
        wanted = set(chosen[name])
        kept = [item for item in found.questions if item.id in wanted]
        if len(kept) < len(wanted):
            say(f"{name}: {len(wanted) - len(kept)} questions of the mix are not in this copy of the set")
        groups = [[item for item in _by_hash(kept) if item.answerable is kind] for kind in (True, False)]
        taken = [item for group in groups[: 1 if answerable else 2] for item in group[: round(len(group) * share)]]
        sets.append(replace(found, questions=tuple(taken)))
    return sets


def main() -> None:
    chosen = choose(options(__doc__).data)
    lines = [f'"{name}": {json.dumps(ids)}' for name, ids in chosen.items()]
    IDS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    say(f"{sum(map(len, chosen.values()))} questions in {IDS.name}")


if __name__ == "__main__":
    main()
