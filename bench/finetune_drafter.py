"""The drafter beside its untrained base, on documents that it was not trained on: python bench/finetune_drafter.py

Rows are those of the recipe (`finetune/data/drafts.py`), of the test part of the split by document: the gold passage
among what our retriever finds beside it, or no passage that answers. All models read the same passages, cut to
`--budget` tokens of prompt, by llama.cpp at temperature 0: the base by the drafter's prompt and by the prompt that
`ask` has for a short answer, the drafter by its own. An abstention where there is an answer scores 0. What was said is
kept in bench/cache; the speed is measured anew, the models in turn. A drafter with a threshold is shown without it too,
where it answers always, as the base does, and timed without it, for with it a draft comes in one piece. With
`--drafter none`, or fewer rows than by default, nothing is written to docs/results.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import CACHE, SEED, ended_well, has, opened, options, publish, say, table, verdict

SETS = ("squad", "qed", "fairytaleqa")
BASE, DRAFTER = "bundled:smollm2", "drafter:bundled"
ALWAYS = "drafter, always answering"
LIMIT, BUDGET, ANSWER = 100, 512, 96
WANTED = 0.15
"""F1 over the untrained base."""
DRAWN = 12
"""Questions from which rows are made for each that is wanted: about one in seven is of the test part."""
QUALITY = {"f1": "F1", "em": "EM", "contains": "contains"}
RIGHT = ("answered", "abstained")
TIMED = 20
"""Prompts on which the speed is measured."""
Row = dict[str, Any]
Prompt = list[dict[str, str]]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--drafter", default=DRAFTER, help="the artifact; 'none': the base alone")
    parser.add_argument("--sets", default=",".join(SETS), help=f"answer sets ({','.join(SETS)})")
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"rows of each set ({LIMIT})")
    parser.add_argument("--budget", type=int, default=BUDGET, help=f"tokens of a prompt ({BUDGET})")
    parser.add_argument("--easy", action="store_true", help="distractors at random: nothing is indexed")


def rows_of(data: Path, name: str, given: Any, *, every_part: bool = False) -> list[Row]:
    """Rows of unseen documents that people asked about, drawn by hash; with `every_part` of all documents."""
    from ragloom.evals.answer_sets import share_of
    from ragloom.finetune.data.drafts import draft_rows
    from ragloom.finetune.data.parts import part_of
    from ragloom.finetune.data.sources import load_sources
    from ragloom.finetune.data.table_rows import MADE_ID

    def tell(text: str, done: int, total: int | None) -> None:
        if total and done % max(1, total // 4) == 0:
            say(f"{name}: {text} {done}/{total}")

    found = draft_rows(
        load_sources([data / name]),
        out=CACHE / "mined-drafts",
        seed=SEED,
        tell=tell,
        limit=max(200, DRAWN * given.limit),
        hard=not given.easy,
    )
    unseen = [
        row
        for row in found
        if not row["origin"]["id"].startswith(MADE_ID) and (every_part or part_of(row["origin"]["document"]) == "test")
    ]
    return sorted(unseen, key=lambda row: share_of(row["origin"]["id"], seed=SEED))[: given.limit]


def within(row: Row, llm: Any, budget: int) -> Row:
    """The row without the last distractors that are too much for the budget; the gold passage stays."""
    from ragloom.finetune.drafting import draft_prompt

    kept = list(range(len(row["passages"])))
    while len(kept) > 1 and llm.get_num_tokens_from_messages(messages(draft_prompt(row, kept))) > budget:
        spare = [place for place in kept if place != row["gold"]]
        kept.remove(spare[-1])
    columns = {name: [row[name][place] for place in kept] for name in ("passages", "titles")}
    return {**row, **columns, "gold": kept.index(row["gold"]) if row["answerable"] else -1}


def answers(llm: Any, name: str, prompts: Sequence[Prompt]) -> list[str]:
    """What the model says to each prompt."""
    path = CACHE / f"drafts-{hashlib.sha256(name.encode()).hexdigest()[:12]}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {line["prompt"]: line["text"] for line in map(json.loads, lines)}
    keys = [hashlib.sha256(json.dumps(prompt).encode()).hexdigest() for prompt in prompts]
    with path.open("a", encoding="utf-8") as stream:
        for number, (key, prompt) in enumerate(zip(keys, prompts, strict=True)):
            if number % 50 == 0:
                say(f"{name}: {number} of {len(prompts)}")
            if key not in known:
                known[key] = str(llm.invoke(messages(prompt)).text)
                stream.write(json.dumps({"prompt": key, "text": known[key]}, ensure_ascii=False) + "\n")
                stream.flush()
    return [known[key] for key in keys]


def speeds(asked: dict[str, tuple[Any, Sequence[Prompt]]]) -> dict[str, dict[str, float | None]]:
    """Of each model, over the same rows in turn: tokens per second of the answer from its first token on, and seconds
    of the whole answer.
    """
    streamed: dict[str, list[tuple[int, float, float]]] = {who: [] for who in asked}
    for number in range(min(TIMED, *(len(prompts) for _, prompts in asked.values()))):
        for who, (llm, prompts) in asked.items():
            streamed[who].append(_streamed(llm, prompts[number]))
    told = {}
    for who, found in streamed.items():
        tokens, writing, whole = (sum(column) for column in zip(*found, strict=True))
        told[who] = {
            "tokens_per_second": (tokens - len(found)) / writing if writing else None,
            "seconds": whole / len(found),
        }
    return told


def _streamed(llm: Any, prompt: Prompt) -> tuple[int, float, float]:
    """Tokens of the answer, seconds from its first token to its last, seconds in all."""
    tokens, first = 1, None
    begun = time.perf_counter()
    for chunk in llm.stream(messages(prompt)):
        if chunk.text and first is None:
            first = time.perf_counter()
        tokens = (chunk.usage_metadata or {}).get("output_tokens", 0) or tokens
    ended = time.perf_counter()
    return tokens, ended - (first or ended), ended - begun


def scores_of(rows: Sequence[Row], said: Sequence[str]) -> list[dict[str, Any]]:
    """Scores of the recipe; what `ask` takes for a refusal counts as an abstention, however it is put."""
    from ragloom.finetune.drafting import score_drafts
    from ragloom.graphs.common.saying import declines
    from ragloom.models.drafts import ABSTENTION, parse_draft

    return score_drafts(rows, [ABSTENTION if declines(parse_draft(text).answer) else text for text in said])


def summary(rows: Sequence[Row], scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means with what each is over."""
    told: dict[str, Any] = {"answerable": sum(bool(row["answerable"]) for row in rows)}
    told["unanswerable"] = len(rows) - told["answerable"]
    for name in QUALITY:
        told[name] = _mean([score[name] for score in scores if name in score])
    for name, wanted in zip(RIGHT, (True, False), strict=True):
        right = [s["right_abstention"] for s, row in zip(scores, rows, strict=True) if row["answerable"] == wanted]
        told[name] = _mean(right)
    return told


def gains_of(scores: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The drafter's measures less those of the untrained base, with paired 95 % intervals."""
    from ragloom.evals.statistics import paired_difference

    bases = [who for who in scores if who.startswith("base")]
    drafters = [who for who in scores if who not in bases]
    gains = {}
    for drafter, base, metric in itertools.product(drafters, bases, (*QUALITY, "right_abstention")):
        left, right = ({str(i): score.get(metric) for i, score in enumerate(scores[who])} for who in (drafter, base))
        gains[f"{drafter}: {metric} over {base}"] = paired_difference(left, right, seed=SEED)
    return gains


def main() -> None:
    """Means of each model over all rows and by set, and the drafter's gain with paired 95 % intervals."""
    given = options(__doc__, add_options)
    trained = None if given.drafter == "none" else opened(given.drafter, "drafter")
    names = [name for name in given.sets.split(",") if has(given.data, name)]
    if not names:
        return
    from ragloom.finetune.drafting import draft_prompt, reader_prompt
    from ragloom.models import load_chat_model

    base = load_chat_model(BASE, max_tokens=ANSWER)
    rows = [within(row, base, given.budget) for name in names for row in rows_of(given.data, name, given)]
    drafting = [draft_prompt(row) for row in rows]
    asked: dict[str, tuple[Any, list[Prompt]]] = {
        "base, drafter's prompt": (base, drafting),
        "base, short prompt": (base, [reader_prompt(row) for row in rows]),
    }
    kept = {who: f"{BASE}, {who}" for who in asked}
    if trained:
        for who, own in ((ALWAYS, {"abstain_below": None}), ("drafter", {})):
            if who == "drafter" or trained.manifest.thresholds:
                asked = {who: (load_chat_model(given.drafter, max_tokens=ANSWER, **own), drafting), **asked}
                kept[who] = f"{trained.fingerprint}{own or ''}"
    scores = {who: scores_of(rows, answers(llm, kept[who], prompts)) for who, (llm, prompts) in asked.items()}
    sets = {}
    for name in ("all", *names):
        at = [i for i, row in enumerate(rows) if name in ("all", row["origin"]["set"])]
        sets[name] = {who: summary([rows[i] for i in at], [each[i] for i in at]) for who, each in scores.items()}
    timed = {who: each for who, each in asked.items() if who != "drafter" or ALWAYS not in asked}
    report(given, sets, gains_of(scores) if trained else {}, speeds(timed))


def report(given: Any, sets: dict[str, Any], gains: dict[str, Any], speed: dict[str, Any]) -> None:
    head = ("set", "model", "answerable", "unanswerable", *QUALITY.values(), "answered rightly", "abstained rightly")
    shown = lambda value: "" if value is None else f"{value:.3f}"  # noqa: E731
    rows = [
        (name, who, told["answerable"], told["unanswerable"], *(shown(told[c]) for c in (*QUALITY, *RIGHT)))
        for name, each in sets.items()
        for who, told in each.items()
    ]
    timed = [(who, f"{each['tokens_per_second']:.0f}", f"{each['seconds']:.2f}") for who, each in speed.items()]
    parts = [
        f"{given.limit} rows of each set at most, prompts of at most {given.budget} tokens. F1, EM and containment are "
        "over the answerable rows.",
        table(head, rows),
        f"## Speed\n\nllama.cpp, the first {TIMED} prompts, the models in turn.\n\n"
        + table(("model", "tokens/s from the first token on", "seconds of an answer"), timed),
    ]
    targets: list[dict[str, Any]] = []
    if gains:
        lines = [(name, g["n"], f"{g['mean']:+.3f} [{g['low']:+.3f}, {g['high']:+.3f}]") for name, g in gains.items()]
        parts.append("## The drafter's gain\n\n" + table(("measure", "rows", "difference (95 %, paired)"), lines))
        for who in dict.fromkeys(name.partition(":")[0] for name in gains):
            least = min(gain["mean"] for name, gain in gains.items() if name.startswith(f"{who}: f1 "))
            targets.append(verdict(f"{who}: F1 over the better prompt of the untrained base", least, WANTED))
    if not gains or given.limit < LIMIT or given.easy:
        print("\n\n".join(parts))
        say("a part only: nothing is written to docs/results")
        return
    data = {"sets": sets, "gains": gains, "speed": speed}
    publish("finetune_drafter", "The drafter on documents it was not trained on", parts, data, targets)


def messages(prompt: Prompt) -> list[Any]:
    """As LangChain has them."""
    from langchain_core.messages import HumanMessage, SystemMessage

    kinds = {"system": SystemMessage, "user": HumanMessage}
    return [kinds[each["role"]](each["content"]) for each in prompt]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


if __name__ == "__main__":
    ended_well(main)
