"""What the benchmarks share: where data and results lie, facts about the machine, Markdown tables, small statistics."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "bench" / "cache"
RESULTS = ROOT / "docs" / "results"
SEED = 0
DTYPE = "float32"
PACKAGES = (
    "ragloom",
    "torch",
    "transformers",
    "sentence-transformers",
    "lancedb",
    "numpy",
    "llama-index-core",
    "llama-index-embeddings-huggingface",
    "llama-index-retrievers-bm25",
    "llama-index-readers-file",
)


def options(description: str | None, add: Callable[[argparse.ArgumentParser], None] | None = None) -> Any:
    """The command line: `--data`, and what `add` adds."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("RAGLOOM_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of the data sets")
    if add:
        add(parser)
    CACHE.mkdir(parents=True, exist_ok=True)
    return parser.parse_args()


def has(data: Path, name: str) -> bool:
    """Whether a data set is there; says so where it is not."""
    name = name.partition(":")[0]  # SET:SPLIT
    if (data / name).is_dir():
        return True
    say(f"SKIPPED {name}: there is no such folder in the data folder (--data or RAGLOOM_DATA)")
    return False


def opened(spec: str, role: Any) -> Any:
    """A trained model, opened before anything is measured; ends the benchmark with one line where there is none."""
    from ragloom.errors import RagloomError
    from ragloom.models import open_artifact

    try:
        return open_artifact(spec, role)
    except RagloomError as error:
        sys.exit(f"cannot measure {spec}: {error}")


def ended_well(main: Callable[[], None]) -> None:
    """Runs a benchmark; what a user can mend is one line, no traceback."""
    from ragloom.errors import RagloomError

    try:
        main()
    except RagloomError as error:
        sys.exit(str(error))


def say(line: str) -> None:
    """A line on stderr, at once."""
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All objects of a JSON Lines file, gzipped or not."""
    from ragloom.evals.jsonl import Problem, scan_jsonl

    problems: list[Problem] = []
    rows = [row.fields for row in scan_jsonl(path, problems)]
    if problems:
        raise ValueError(str(problems[0]))
    return rows


def judged(data: Path, name: str) -> Any:
    """A retrieval set in any of the layouts of the data folder; of SciFact the half that the caller may look at."""
    from ragloom.evals.answer_sets import load_judged_set
    from ragloom.evals.datasets import RetrievalSet

    folder, _, split = name.partition(":")
    if pairs := next((data / folder).glob("pairs.jsonl*"), None):  # find the other question of the pair
        rows = read_jsonl(pairs)
        ids = {text: f"d{number}" for number, text in enumerate(dict.fromkeys(row["b"] for row in rows))}
        same = [row for row in rows if row["same"]]
        queries = {row["id"]: row["a"] for row in same}
        qrels = {row["id"]: {ids[row["b"]]: 1} for row in same}
        return RetrievalSet(folder, {key: ("", text) for text, key in ids.items()}, queries, qrels)
    return load_judged_set(data / folder, split=split or None)


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    import torch

    words: set[str] = set()
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
        words = set(text.split())
        named = re.search(r"model name\s*:\s*(.+)", text)
        model = named[1] if named else model
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    flags = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile")
    return {
        "cpu": model,
        "cores": cores,
        "cpu_flags": [flag for flag in flags if flag in words],
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "torch_threads": torch.get_num_threads(),
        "dtype": DTYPE,
        "seed": SEED,
        "python": platform.python_version(),
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
        "load_at_end": round(os.getloadavg()[0], 1),
    }


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def verdict(name: str, value: float, target: float, *, at_most: bool = False) -> dict[str, Any]:
    """A target and whether it was met."""
    met = value <= target if at_most else value >= target
    return {
        "target": name,
        "wanted": f"{'<=' if at_most else '>='} {target:g}",
        "value": float(value),
        "met": bool(met),
    }


def publish(
    name: str, title: str, parts: Sequence[str], data: dict[str, Any], targets: Sequence[dict[str, Any]]
) -> None:
    """Prints the tables and writes `docs/results/NAME.md` and `.json`."""
    facts = machine()
    shown = [
        (each["target"], each["wanted"], f"{each['value']:.4g}", "met" if each["met"] else "MISSED") for each in targets
    ]
    body = [f"# {title}", *parts]
    if shown:
        body.append("## Targets\n\n" + table(("target", "wanted", "measured", ""), shown))
    versions = ", ".join(f"{package} {version}" for package, version in facts["versions"].items() if version)
    body.append(
        f"Measured {facts['date']} by `{command()}` on {facts['cores']} cores ({facts['cpu']}: "
        f"{', '.join(facts['cpu_flags'])}), {facts['dtype']}, seed {facts['seed']}; {versions}."
    )
    text = "\n\n".join(body) + "\n"
    print(text, flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    values = {"machine": facts, "targets": list(targets), **data}
    (RESULTS / f"{name}.json").write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def command() -> str:
    """How this was run, without the places of the data and of models, nor for how long."""
    given = [re.sub(r"^(gguf|hf|st):.*/", r"\1:", word) for word in sys.argv[1:]]
    for name in ("--data", "--minutes"):
        if name in given:
            at = given.index(name)
            del given[at : at + 2]
    return " ".join(["python", f"bench/{Path(sys.argv[0]).name}", *given])


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what `work` returned."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def paired_interval(left: Sequence[float], right: Sequence[float]) -> tuple[float, float, float]:
    """Mean of left minus right over the same queries, with its 95 % bootstrap interval."""
    from ragloom.evals.retrieval import bootstrap_interval

    gains = np.asarray(left) - np.asarray(right)
    low, high = bootstrap_interval(gains, seed=SEED)
    return float(gains.mean()), low, high


def plain(text: str) -> str:
    """Lower-case letters and digits alone."""
    return re.sub(r"[\W_]+", "", text.lower())


def embedder() -> Any:
    """The bundled embedder, in the number format of all benchmarks."""
    from ragloom.models import load_embedder

    return load_embedder("bundled:minilm", dtype=DTYPE)


def their_embedder(**settings: Any) -> Any:
    """LlamaIndex's HuggingFaceEmbedding over the same weights, number format and device."""
    import torch
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    from ragloom.models import ensure_weights

    folder = str(ensure_weights("minilm"))
    model = HuggingFaceEmbedding(
        folder, device=embedder().device, model_kwargs={"dtype": getattr(torch, DTYPE)}, **settings
    )
    found = str(next(model._model.parameters()).dtype)
    assert found == f"torch.{DTYPE}", found
    return model
