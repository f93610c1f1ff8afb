"""`ragloom eval answers`."""

from __future__ import annotations

import hashlib
import json as jsonlib
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ModelError, UsageError
from .eval_output import progress_bar, set_base_of, tell_problems
from .options import CriticOption, ReaderOption, RerankerOption, RerankFromOption, TransformOption, WebOption
from .output import JsonOption, KbOption, console, download_progress, emit, note

if TYPE_CHECKING:
    from llama_index.core.base.base_retriever import BaseRetriever

    from ..evals.answer_sets import AnswerSet
    from ..evals.answers import Progress
    from ..evals.records import Summary
    from ..evals.stress import Stress
    from ..evals.systems import System
    from ..settings import Settings

__all__ = ("answers",)

GRADED = {"auto", "corrective", "fusion", "self-rag"}
"""Strategies that ask the evaluator of the settings."""
ON_THIS_MACHINE = ("bundled:", "drafter:", "gguf:", "ollama:", "reader:", "reflective:")
"""Models that gain nothing from several questions at a time, and would be timed waiting for each other."""


def answers(
    sets: Annotated[list[Path], typer.Argument(help="Folders with questions and passages; or question files (--kb).")],
    strategy: Annotated[
        list[str] | None, typer.Option(help="Strategies, also module:function (repeatable, or with commas).")
    ] = None,
    llm: Annotated[str | None, typer.Option(help="Chat model, e.g. bundled:smollm2, gguf:PATH, openai:NAME.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many questions of each set.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of questions, the bootstrap and the stress.")] = 0,
    part: Annotated[str | None, typer.Option(help="Only the dev or the test half of the questions.")] = None,
    kb: KbOption = None,
    mode: Annotated[str | None, typer.Option(help="Retrieval: bm25, dense, hybrid or default.")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="How many passages to read.")] = None,
    reader: ReaderOption = None,
    reranker: RerankerOption = None,
    rerank_from: RerankFromOption = None,
    critic: CriticOption = None,
    web: WebOption = None,
    transform: TransformOption = None,
    prompt: Annotated[
        str | None, typer.Option(help="Reader prompt: read, read-guarded, short, draft or a .jinja file.")
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Add the rows closed-book and naive.")] = True,
    support_by: Annotated[
        str, typer.Option(help="Judge of `support`: overlap, embedding, support:bundled or support:PATH.")
    ] = "overlap",
    drop_gold: Annotated[float, typer.Option(min=0, max=1, help="Share of questions without gold passages.")] = 0,
    irrelevant: Annotated[float, typer.Option(min=0, max=1, help="Share of passages from other questions.")] = 0,
    counterfactual: Annotated[float, typer.Option(min=0, max=1, help="Share of questions with false passages.")] = 0,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Passages in random order.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Questions at a time (1; 4 for hosted models).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (default: in the cache).")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again what is done; outputs stay cached.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask the failed questions again.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    previous: Annotated[Path | None, typer.Option(help="Folder of an earlier run, to compare in the report.")] = None,
    judge: Annotated[
        list[str] | None, typer.Option(help="Also ask a judge: ragas:METRIC,... or deepeval:METRIC,... (repeatable).")
    ] = None,
    judge_llm: Annotated[str | None, typer.Option(help="The judge's chat model (default: the same model).")] = None,
    json: JsonOption = False,
) -> None:
    """Score strategies on answer sets, with 95 % bootstrap intervals; --json prints a line per set and strategy.

    Every record is kept as it is done: the same command goes on where an interrupted run was.
    """
    from ..evals.answer_sets import load_answer_set
    from ..evals.answers import evaluate_answers
    from ..evals.stress import Stress
    from ..evals.systems import BASELINES
    from ..models import load_chat_model
    from ..settings import load_settings
    from .session import strategy_parts

    settings = load_settings(
        llm=llm,
        kb=kb,
        mode=mode,
        top_k=top_k,
        prompt=prompt,
        critic=critic,
        web=web,
        transform=transform,
        reader=reader,
        reranker=reranker,
        rerank_from=rerank_from,
    )
    if settings.critic == "embedding":
        raise UsageError("'embedding' judges answers, it does not check them", hint="use --support-by embedding")
    if support_by not in ("overlap", "embedding") and not support_by.startswith("support:"):
        hint = "use overlap, embedding, support:bundled or support:PATH"
        raise UsageError(f"unknown judge of support {support_by!r}", hint=hint)
    wanted = [name for item in strategy or ["naive"] for name in item.split(",") if name]
    names = list(dict.fromkeys([*BASELINES, *wanted] if baselines else wanted))
    parts = strategy_parts(settings)
    systems = [_system(name, settings, parts) for name in names]
    judge_of_support = _support_judge(support_by)
    loaded = [load_answer_set(folder) for folder in sets]
    tell_problems(loaded)
    chosen = [(each.part(part) if part else each).limited(limit, seed=seed) for each in loaded]
    empty = [each.name for each in chosen if not each.questions]
    if empty:
        raise UsageError(f"{empty[0]!r} has no question in part {part!r}")
    stress = Stress(drop_gold, irrelevant, shuffle, counterfactual, seed=seed)
    with download_progress("fetching the chat model") as fetching:
        model = load_chat_model(settings.llm, progress=fetching)
    for system in systems:
        system.check(model)
    judges, judge_name = _judges(judge, judge_llm or settings.llm)
    told = {
        "retrieval": settings.retriever_options(),
        "kb": _knowledge_base(settings) if kb else None,
        "embedder": _embedder_identity(settings.embedder),
        "chunking": [settings.chunk_strategy, settings.chunk_size, settings.chunk_overlap],
        "stress": repr(stress) if stress.active else None,
        "evaluator": _evaluator_identity(settings.evaluator) if GRADED & {system.kind for system in systems} else None,
    }
    if previous and not (previous / "summary.json").exists():
        raise UsageError(f"{str(previous)!r} holds no finished run", hint="--previous wants the folder of one")
    folder = out or _default_folder(chosen, systems, settings.llm, seed, {**told, "support_by": support_by})
    extra = {"command": _command(), "created": time.strftime("%Y-%m-%d %H:%M"), "versions": _versions()}
    extra["problems"] = [str(problem) for each in loaded for problem in each.problems][:100]
    with progress_bar() as bar:

        def tell(done: Progress) -> None:
            failed = f", {done.failed} failed" if done.failed else ""
            bar.show(f"{done.set} {done.strategy}{failed}", done.done, done.total)

        summaries = evaluate_answers(
            chosen,
            systems,
            model,
            retriever=lambda each: _retriever(each, settings, kb, stress, bar),
            folder=folder,
            llm_name=_short_name(settings.llm),
            settings={**told, **extra},
            baseline="naive" if "naive" in names else None,
            critic=judge_of_support,
            seed=seed,
            workers=workers or (1 if settings.llm.startswith(ON_THIS_MACHINE) else 4),
            retry_failed=retry_failed,
            fresh=fresh,
            progress=tell,
        )
    for summary in summaries:
        if json:
            emit(summary)
    if not json:
        _show(summaries)
    _tell_weaknesses(summaries)
    if judges:
        _judge(folder, judges, judge_name, seed, json)
    note(f"run kept in {folder}")
    if report:
        from ..evals.report import write_report

        note(f"report written to {write_report(folder, report, previous=previous)}")
    if all(row["failed"] == row["n"] for row in summaries):
        raise ModelError("every question failed", hint="records.jsonl has the reasons")


def _retriever(answer_set: AnswerSet, settings: Settings, kb: str | None, stress: Stress, bar: Any) -> BaseRetriever:
    """Over the set's own corpus, indexed once in the cache, or over the user's knowledge base."""
    from ..evals.indexing import index_set
    from ..evals.stress import StressedRetriever
    from ..retrieval import KnowledgeBase

    if kb:
        opened = KnowledgeBase.open(settings.kb, embedder=settings.embedder)
    elif answer_set.documents:
        found = answer_set.retrieval_set()
        base = set_base_of(found, settings)
        opened, _ = index_set(
            found, kb=base, progress=lambda done, all_: bar.show(f"indexing {found.name}", done, all_)
        )
    else:
        raise UsageError(f"{answer_set.name!r} has no passages", hint="name the knowledge base to ask with --kb")
    retriever: Any = opened.retriever(**settings.retriever_options())
    return StressedRetriever(retriever, stress, answer_set) if stress.active else retriever


def _knowledge_base(settings: Settings) -> str:
    """Where it lies, and which version: other documents give other answers."""
    from ..retrieval import KnowledgeBase

    opened = KnowledgeBase.open(settings.kb, embedder=settings.embedder)
    return f"{Path(settings.kb).resolve()} version {opened.table.snapshot().version}"


def _system(name: str, settings: Settings, parts: dict[str, Any]) -> System:
    """A strategy with what the settings name for it.

    A function of the user's own has no such options: its retriever reranks for it.
    """
    from ..evals.systems import System, reranking
    from .session import own_parts

    settings = settings.model_copy(update={"strategy": name})
    if name == "closed-book":
        return System(name, settings.strategy_options(name))
    if ":" not in name:
        reads_with = settings.reads_with
        own = {**settings.strategy_options(name, llm=reads_with), **parts, **own_parts(name, settings)}
        if reads_with != settings.llm:
            own |= _other_reader(reads_with, drafts=name == "speculative")
        return System(name, own)
    return System(name, factory=reranking(name, parts["reranker"])) if "reranker" in parts else System(name)


def _other_reader(spec: str, *, drafts: bool) -> dict[str, Any]:
    """What reads beside the chat model; its outputs are kept and counted like those of the model itself."""
    from ..evals.cached_model import CachedChatModel
    from ..models import load_chat_model
    from ..settings import DRAFTING

    if not drafts:
        return {"reader": CachedChatModel.around(load_chat_model(spec))}
    # Scores choose among its drafts, not its own threshold.
    trained = {"abstain_below": None} if spec.startswith(DRAFTING) else {}
    return {"drafter": CachedChatModel.around(load_chat_model(spec, **trained))}


def _evaluator_identity(spec: str) -> str:
    """Its fingerprint: another one may stand in the same folder by now."""
    from ..models import open_artifact

    return open_artifact(spec, "evaluator").fingerprint


def _embedder_identity(spec: str | None) -> str | None:
    """Of a trained embedder its fingerprint: another one may stand in the same folder by now."""
    from ..models import embedder_fingerprint

    return embedder_fingerprint(spec) if spec and spec.startswith("embedder:") else spec


def _support_judge(name: str) -> Any:
    if name == "overlap":
        return None
    if name.startswith("support:"):
        from .session import load_critic

        return load_critic(name)
    from ..evals.embedding_critic import EmbeddingCritic
    from ..models import load_embedder

    return EmbeddingCritic(load_embedder("bundled:minilm"))


def _judges(specs: list[str] | None, llm: str) -> tuple[list[Any], str]:
    """The judges, and the identity of their model. Loaded before the run, so that a wrong name is told at once."""
    if not specs:
        return [], ""
    from ..evals.cached_model import CachedChatModel
    from ..evals.judges import load_judge
    from ..models import load_chat_model, load_embedder

    # Judges list every statement of a text: the 256 tokens of local models would cut the list off.
    model = CachedChatModel.around(load_chat_model(llm, max_tokens=2048))
    return [load_judge(spec, model, load_embedder("bundled:minilm")) for spec in specs], model.identity


def _judge(folder: Path, judges: list[Any], name: str, seed: int, json: bool) -> None:
    from ..evals.judging import judge_run

    with progress_bar() as bar:
        rows = judge_run(
            folder,
            judges,
            judge_name=name,
            seed=seed,
            progress=lambda done, total: bar.show("judging", done, total),
        )
    for row in rows:
        if json:
            emit({"judged": row})
            continue
        shown = "no score" if row["mean"] is None else f"{row['mean']:.3f} {row['ci95'][0]:.2f}–{row['ci95'][1]:.2f}"
        without = f", {row['without']} without a score" if row["without"] else ""
        console().print(f"{row['set']} {row['strategy']} {row['metric']}: {shown} (n = {row['n']}{without})")


def _default_folder(sets: list[AnswerSet], systems: list[System], llm: str, seed: int, told: dict[str, Any]) -> Path:
    from ..models import cache_folder

    parts = [each.fingerprint() for each in sets] + [str(each.identity()) for each in systems]
    key = jsonlib.dumps([parts, llm, seed, told], sort_keys=True, default=str)
    return cache_folder("runs") / hashlib.sha256(key.encode()).hexdigest()[:12]


def _short_name(spec: str) -> str:
    """A file's or folder's name is enough in a table; where it lies is nobody's business."""
    from ..models.specs import TRAINED_ROLES

    provider, _, path = spec.partition(":")
    if provider in ("gguf", *TRAINED_ROLES):
        return f"{provider}:{Path(path).name}"
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", spec)


def _command() -> str:
    return " ".join(["ragloom", *(_short_name(word) for word in sys.argv[1:])])


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("ragloom", "langgraph", "langchain-core", "lancedb", "torch")}


_TABLES = (
    {"em": "EM", "f1": "F1", "contains": "contains"},
    {"rouge_l": "ROUGE-L", "bleu": "BLEU", "support": "support"},
    {"gold_retrieved": "gold found", "citation_precision": "cited right", "citation_recall": "gold cited"},
)
"""Three metrics with their intervals fit 80 columns."""


def _show(summaries: list[Summary]) -> None:
    from rich.table import Table

    for columns in _TABLES:
        shown = Table("set", "strategy", "n", *columns.values(), box=None, pad_edge=False)
        for row in summaries:
            shown.add_row(row["set"], row["strategy"], str(row["n"]), *(_cell(row, name) for name in columns))
        console().print(shown)
        console().print()
    cost = Table("set", "strategy", "abst.", "abst. acc.", box=None, pad_edge=False)
    for name in ("calls", "tokens", "p50 s", "p95 s", "failed"):
        cost.add_column(name, justify="right")
    for row in summaries:
        numbers = (f"{row['calls']:.1f}", f"{row['tokens_in'] + row['tokens_out']:.0f}", f"{row['p50_s']:.1f}")
        right = "-" if row["abstain_accuracy"] is None else f"{row['abstain_accuracy']:.2f}"
        cost.add_row(
            row["set"],
            row["strategy"],
            f"{row['abstained']:.2f}",
            right,
            *numbers,
            f"{row['p95_s']:.1f}",
            str(row["failed"]),
        )
    console().print(cost)
    console().print()
    for row in summaries:
        found = row["versus_baseline"].get("f1")
        if found:
            sure = (found["low"] > 0 or found["high"] < 0) and found["low"] < found["high"]
            clear = "" if sure else " (not told apart from 0)"
            interval = f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
            console().print(f"{row['set']}: F1 of {row['strategy']} minus {row['baseline']}: {interval}{clear}")


def _cell(row: Any, name: str) -> str:
    if row[name] is None:
        return "-"
    low, high = row["ci95"][name]
    return f"{row[name]:.3f} {low:.2f}–{high:.2f}"


def _tell_weaknesses(summaries: list[Summary]) -> None:
    from ..evals.scoring import missing_metrics
    from ..evals.statistics import small_sample_note

    for name, n in {row["set"]: row["n"] for row in summaries}.items():
        if told := small_sample_note(n):
            note(f"{name}: {told}")
    for row in summaries:
        if row["failed"]:
            failed = f"{row['failed']} of {row['n']} failed and count as 0"
            note(f"{row['set']} {row['strategy']}: {failed}; --retry-failed asks them again")
    if missing := missing_metrics():
        note(f"not measured: {', '.join(missing)} (pip install 'ragloom[evals]')")
