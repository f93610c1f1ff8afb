"""What each strategy pays beside closed book and naive RAG: python bench/strategies.py [--part main] [--minutes 90]

Parts: `main`, all strategies with the bundled model on the mix (`strategy_mix`); `reading`, those that show passages
to one reader, with the shipped reader, as `ragloom ask` runs them; `evaluation`, some with a larger model on a quarter
of it (--eval-llm gguf:PATH); `false`, RGB's passages that state a false answer; `missing` and `noise`, curves against
gold passages taken away and irrelevant ones put in; `latency`, drafts beside each other against one read; `ablations`.
A trial (a strategy in a part) is measured once and goes on where it was cut off; what is done stands in
docs/results/strategies_rows.jsonl, of which the tables are made. With --minutes no trial begins after that time;
--fresh SYSTEM measures one again.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import strategy_rows as rows
import strategy_tables as tables
from common import CACHE, SEED, ended_well, options, publish, say
from strategy_mix import FALSE, TAKEN, false_answers, mix

BUNDLED, READER = "bundled:smollm2", "reader:bundled"
PARTS = ("main", "reading", "false", "latency", "evaluation", "missing", "noise", "ablations")
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
TOP_K = 5
QUICK = ("naive", "closed-book", "corrective")
QUARTER = 0.25
"""Share of the mix for what is slow: 63 questions, 50 of them answerable."""
SHORT = ("squad", "qed", "hotpotqa_100")
"""Sets for the curves: their right answers are a few words, so that an answer contains one or does not."""


@dataclass(frozen=True)
class Trial:
    """One strategy in one part."""

    part: str
    name: str
    strategy: str
    options: dict[str, Any] = field(default_factory=dict)
    llm: str = BUNDLED
    reader: str = ""
    """What reads the passages in the place of `llm`."""
    sets: tuple[str, ...] = tuple(TAKEN)
    share: float = 1.0
    answerable: bool = False
    drop_gold: float = 0.0
    irrelevant: float = 0.0
    second_corpus: bool = False
    top_k: int = TOP_K
    timed: bool = False
    """No output is taken from the cache, so that every call is made, and beside the others where it would be."""

    def told(self) -> str:
        """What decides its numbers, as a digest: a trial that was changed is measured again."""
        from ragloom import __version__
        from ragloom.models import open_artifact

        named = [self.llm.rpartition("/")[2], SEED, __version__]
        if self.reader:
            named.append(open_artifact(self.reader, "reader").fingerprint)
        usual = {each.name: each.default for each in fields(self) if each.name not in ("part", "name", "llm")}
        shown = {key: getattr(self, key) for key, value in usual.items() if getattr(self, key) != value}
        return hashlib.sha256(json.dumps([shown, named], sort_keys=True).encode()).hexdigest()[:12]


def scored(llm: str) -> dict[str, dict[str, Any]]:
    """What strategies take besides: the weights that give log-probabilities, and the shipped adapters."""
    drafter = {} if llm == BUNDLED else {"drafter": BUNDLED}
    return {
        "speculative": {"verifier": llm, "draft_scorer": BUNDLED, **drafter},
        "self-rag": {"scorer": llm},
    }


def main_trials() -> Iterator[Trial]:
    """The whole mix, every strategy that needs nothing which does not ship."""
    given = scored(BUNDLED)
    yield Trial("main", "naive", "naive")
    yield Trial("main", "closed-book", "closed-book")
    yield Trial("main", "naive + reranker", "naive", {"reranker": "reranker:bundled"})
    for name in ("corrective", "fusion", "self-rag", "speculative", "hierarchical", "vote"):
        yield Trial("main", name, name, given.get(name, {}))
    for name in ("multi-hop", "decompose", "summarise"):
        yield Trial("main", name, name)
    for name in ("hyde", "step-back", "diverse", "sub-questions"):
        yield Trial("main", f"naive + {name}", "naive", {"transform": name})


def reading_trials() -> Iterator[Trial]:
    """The whole mix by the shipped reader."""
    given: dict[str, Any] = {"prompt": "draft"}
    yield Trial("reading", "naive", "naive", given, reader=READER)
    yield Trial("reading", "naive + reranker", "naive", {**given, "reranker": "reranker:bundled"}, reader=READER)
    for name in ("corrective", "fusion", "hierarchical", "multi-hop", "decompose"):
        yield Trial("reading", name, name, given, reader=READER)
    for name in ("hyde", "step-back", "diverse", "sub-questions"):
        yield Trial("reading", f"naive + {name}", "naive", {**given, "transform": name}, reader=READER)


def false_trials() -> Iterator[Trial]:
    """RGB's counterfactual part."""
    for name in ("naive", "closed-book", "corrective", "fusion", "self-rag", "speculative", "vote"):
        yield Trial("false", name, name, scored(BUNDLED).get(name, {}), sets=(FALSE,))


def evaluation_trials(llm: str) -> Iterator[Trial]:
    """A quarter of the mix with a larger model; the bundled one drafts for it."""
    for name in ("naive", "closed-book", "corrective", "fusion", "self-rag", "speculative"):
        yield Trial("evaluation", name, name, scored(llm).get(name, {}), llm=llm, share=QUARTER)


def latency_trials(llm: str) -> Iterator[Trial]:
    """Drafts of two passages each beside each other, and one read of all ten, timed without any cache."""
    spec = scored(llm)["speculative"]
    given: dict[str, Any] = {"llm": llm, "share": 0.1, "top_k": 10, "timed": True}
    yield Trial("latency", "naive", "naive", **given)
    for drafts in (2, 5):
        told = {**spec, "drafts": drafts}
        yield Trial(
            "latency", f"speculative: {drafts} drafts, not scored", "speculative", {**told, "select": "first"}, **given
        )
        yield Trial("latency", f"speculative: {drafts} drafts", "speculative", told, **given)


def curve_trials(part: str, llm: str) -> Iterator[Trial]:
    """One damage at five levels. The second corpus of Corrective RAG is the undamaged one."""
    systems = [("naive", "naive", False), ("corrective", "corrective", False)]
    if part == "missing":
        systems.append(("corrective + second corpus", "corrective", True))
    if llm == BUNDLED:
        systems += [(name, name, False) for name in ("fusion", "self-rag", "speculative")]
    for name, strategy, second in systems:
        for level in LEVELS:
            damage: dict[str, Any] = {"drop_gold" if part == "missing" else "irrelevant": level}
            common = {"llm": llm, "sets": SHORT, "answerable": True, "second_corpus": second}
            given = scored(llm).get(strategy, {})
            yield Trial(part, f"{name} at {level:.0%}", strategy, given, **damage, **common)


def ablation_trials() -> Iterator[Trial]:
    """What each piece of a strategy is worth, on a quarter of the mix."""
    spec, critics = scored(BUNDLED)["speculative"], scored(BUNDLED)["self-rag"]
    pieces: list[tuple[str, str, dict[str, Any]]] = [
        ("naive", "naive", {}),
        ("corrective", "corrective", {}),
        ("corrective: without refinement", "corrective", {"refine": False}),
        ("corrective: without actions", "corrective", {"trigger": "never"}),
        ("corrective: as the notebook acts", "corrective", {"trigger": "any_irrelevant"}),
        ("speculative", "speculative", spec),
        ("speculative: drafter alone", "speculative", {**spec, "subset_size": None}),
        ("speculative: random draft", "speculative", {"select": "random"}),
        ("speculative: vote", "speculative", {"select": "vote"}),
        ("self-rag", "self-rag", critics),
        ("self-rag: without IsRel", "self-rag", {**critics, "relevance": None}),
        ("self-rag: without IsSup in the score", "self-rag", {**critics, "weights": {"support": 0.0}}),
        ("self-rag: without p(segment)", "self-rag", {}),
        ("self-rag: trained IsSup", "self-rag", {**critics, "critic": "support:bundled"}),
        ("self-rag: hard constraint", "self-rag", {**critics, "hard": True}),
        ("fusion", "fusion", {}),
        ("fusion: ungated", "fusion", {"gate": "always"}),
        ("fusion: ungated, vectors alone", "fusion", {"gate": "always", "vector_only": True}),
    ]
    for name, strategy, given in pieces:
        yield Trial("ablations", name, strategy, given, share=QUARTER)


def built(options: dict[str, Any]) -> dict[str, Any]:
    """Options as the strategy takes them: what is named by a spec is loaded."""
    from ragloom.graphs import load_transform
    from ragloom.graphs.common.segment_score import SegmentWeights
    from ragloom.graphs.common.trained_support import load_support_critic
    from ragloom.models import load_scorer
    from ragloom.models.reranker import load_reranker

    scorer = functools.cache(functools.partial(load_scorer, dtype="bfloat16"))  # three times as fast as float32
    made: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(("verifier", "draft_scorer", "scorer"), scorer),
        "reranker": lambda spec: load_reranker(spec, top_n=TOP_K),
        "transform": load_transform,
        "critic": load_support_critic,
        "weights": lambda given: SegmentWeights(**given),
    }
    return {name: made[name](value) if name in made else value for name, value in options.items()}


def with_second_corpus(retriever: Any, llm: Any, **options: Any) -> Any:
    """Corrective RAG whose second source is the undamaged corpus."""
    from ragloom.graphs import corrective_rag

    return corrective_rag(retriever, llm, web=getattr(retriever, "retriever", retriever), **options)


def measure(trial: Trial, data: Path, *, fresh: bool = False) -> list[rows.Line]:
    """The lines of a trial, a set each; with `fresh` anew, from the model's outputs that are kept."""
    sets, records, timings = answered(trial, data, fresh=fresh)
    lines = []
    for each in sets:
        at = [place for place, record in enumerate(records) if record["set"] == each.name]
        found = rows.columns([records[place] for place in at], [timings[place] for place in at])
        named = {"part": trial.part, "llm": told_model(trial), "system": trial.name, "told": trial.told()}
        lines.append({**named, "set": each.name, **found})
    return lines


def answered(trial: Trial, data: Path, *, fresh: bool = False) -> tuple[list[Any], list[Any], list[Any]]:
    """The sets of a trial, and a record and a timing of every question; kept in a folder of the trial's own."""
    from ragloom.evals.answers import evaluate_answers
    from ragloom.evals.cached_model import CachedChatModel
    from ragloom.evals.indexing import index_set
    from ragloom.evals.output_cache import OutputCache
    from ragloom.evals.run_folder import read_run
    from ragloom.evals.stress import Stress, StressedRetriever
    from ragloom.evals.systems import System
    from ragloom.models import load_chat_model

    stress = Stress(drop_gold=trial.drop_gold, irrelevant=trial.irrelevant, seed=SEED)
    false = false_answers(data) if FALSE in trial.sets else {}

    def retriever(answer_set: Any) -> Any:
        kb, _ = index_set(answer_set.retrieval_set())
        found: Any = kb.retriever(top_k=trial.top_k * (10 if "reranker" in trial.options else 1))
        if stress.active:
            found = StressedRetriever(found, stress, answer_set)
        if false:
            found.stressed_answer = lambda question: false[question.id]
        return found

    factory = with_second_corpus if trial.second_corpus else None
    given = built(trial.options)
    if trial.reader:
        given["reader"] = CachedChatModel.around(load_chat_model(trial.reader))
    system = System(trial.strategy, given, factory=factory, label=trial.name)
    sets = mix(data, trial.sets, share=trial.share, answerable=trial.answerable)
    folder = CACHE / "strategies" / f"{trial.part}-{trial.name}-{trial.told()}".replace(" ", "-").replace(":", "")
    last = [time.monotonic()]

    def tell(done: Any) -> None:
        if time.monotonic() - last[0] > 60:
            last[0] = time.monotonic()
            say(f"{trial.part}, {trial.name}: {done.done} of {done.total}, {done.failed} failed")

    llm = load_chat_model(trial.llm)
    kept = {"folder": folder, "baseline": None, "seed": SEED, "fresh": fresh, "progress": tell}
    with tempfile.TemporaryDirectory() as empty:
        outputs = OutputCache(Path(empty) / "outputs.sqlite") if trial.timed else None
        evaluate_answers(sets, [system], llm, retriever=retriever, outputs=outputs, **kept)
    _, records, timings, _ = read_run(folder)
    return sets, records, timings


def told_model(trial: Trial) -> str:
    """The chat model, and what reads for it."""
    return tables.short(trial.llm) + (f", read by {trial.reader}" if trial.reader else "")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable (default: all)")
    parser.add_argument("--system", action="append", help="only the trials of this name; repeatable")
    parser.add_argument("--eval-llm", help="chat model of the part `evaluation`, which is left out without")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no trial after so many minutes")
    parser.add_argument("--fresh", action="append", default=[], help="measure this system again; repeatable")


def trials(given: Any) -> list[Trial]:
    """What was asked for; first what takes seconds a question and tells most."""
    found = [*main_trials(), *reading_trials(), *false_trials()]
    found += latency_trials(BUNDLED)
    if given.eval_llm:
        found += [*evaluation_trials(given.eval_llm), *latency_trials(given.eval_llm)]
        found += curve_trials("missing", given.eval_llm)
    found += [*curve_trials("missing", BUNDLED), *ablation_trials(), *curve_trials("noise", BUNDLED)]
    found.sort(key=lambda each: (each.llm != BUNDLED, each.part == "noise", each.strategy not in QUICK, each.timed))
    parts, systems = given.part or PARTS, given.system
    return [each for each in found if each.part in parts and (not systems or each.name in systems)]


def main() -> None:
    """Measures what is not measured yet, and writes the tables of all that is."""
    given = options(__doc__, add_options)
    began, lines, left = time.monotonic(), rows.load(), []
    for trial in trials(given):
        found = rows.of(lines, trial.part, told_model(trial)).get(trial.name, [])
        fresh = trial.name in given.fresh
        if found and found[0]["told"] == trial.told() and not fresh:
            continue
        if time.monotonic() - began > given.minutes * 60:
            left.append(f"{trial.part}, {trial.name}")
            continue
        say(f"{trial.part}, {trial.name}")
        lines = rows.replace(lines, measure(trial, given.data, fresh=fresh))
    if left:
        say(f"not measured for want of time: {len(left)} trials, the first is {left[0]!r}")
    parts, values, targets = tables.report(lines)
    publish("strategies", "What the strategies pay", parts, values, targets)


if __name__ == "__main__":
    ended_well(main)
