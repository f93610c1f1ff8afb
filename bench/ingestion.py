"""Ingestion beside LlamaIndex: the same chunks, weights, number format and device; and a re-run over unchanged files.

Chunks are cut once from real files (the documents and filings of the data folder). Timed, in turn, so that a busy
machine slows all alike: ragloom's embedding, rows, LanceDB commits and index upkeep; LlamaIndex's `VectorStoreIndex`
over nodes of the same texts (simple in-memory store) with `HuggingFaceEmbedding` as it comes (batches of 10) and with
batches of 64. Models are loaded before. The ratio is that of the same round; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import CACHE, SEED, embedder, has, options, publish, say, table, their_embedder, timed, verdict

from ragloom.retrieval import KnowledgeBase
from ragloom.retrieval.chunkers import chunk_document
from ragloom.retrieval.ingest import WINDOW_CHUNKS, PendingDocument, build_rows
from ragloom.retrieval.ledger import DocumentRecord
from ragloom.retrieval.readers import read_document


def real_files(data: Path) -> list[Path]:
    """Documents of many formats and annual reports."""
    folders = [
        data / name / inner for name, inner in (("documents", "files"), ("financebench", "pdfs")) if has(data, name)
    ]
    return [path for folder in folders for path in sorted(folder.iterdir())]


def pending(path: Path, model: Any, most: int, dice: random.Random) -> PendingDocument:
    """A file, read and cut; `most` of its chunks."""
    chunks = chunk_document(read_document(path), model)
    if len(chunks) > most:
        chunks = [chunks[at] for at in sorted(dice.sample(range(len(chunks)), most))]
    texts = dict.fromkeys(("tenant", "collection", "content_hash", "fingerprint", "format", "title", "warnings"), "")
    numbers = {"version": 1, "chunks": len(chunks), "bytes": 0, "ingested_at": 0.0}
    record = DocumentRecord(doc_id=path.name, path=path.name, source=path.name, **texts, **numbers)  # type: ignore[arg-type]
    return PendingDocument(record, chunks, "{}", False, False)


def ingest_chunks(documents: list[PendingDocument], model: Any) -> int:
    """From chunks to a committed, indexed table, as `ingest` does it."""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        kb = KnowledgeBase(folder, embedder=model)
        with kb.writing():
            kb.prepare()
            window: list[PendingDocument] = []
            for document in documents:
                window.append(document)
                if sum(len(item.chunks) for item in window) >= WINDOW_CHUNKS or document is documents[-1]:
                    rows, _ = build_rows(kb, window, {})
                    kb.table.append(rows)
                    window = []
            kb.table.maintain()
        return len(kb.table.snapshot())


def spent(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock, and of processor time, which other programs of a busy machine do not lengthen."""
    processor = time.process_time()
    seconds, _ = timed(work)
    return seconds, time.process_time() - processor


def compare(documents: list[PendingDocument], rounds: int) -> dict[str, list[list[float]]]:
    """Seconds of each system in each round, by the clock and of processor time."""
    from llama_index.core import VectorStoreIndex
    from llama_index.core.schema import TextNode

    model, default, larger = embedder(), their_embedder(), their_embedder(embed_batch_size=64)
    texts = [chunk.content for item in documents for chunk in item.chunks]
    for each in (default, larger):
        each.get_text_embedding_batch(texts[:8])
    model.embed(texts[:8])

    def llama(embed_model: Any) -> tuple[float, float]:
        nodes = [TextNode(text=text) for text in texts]
        return spent(lambda: VectorStoreIndex(nodes, embed_model=embed_model))

    systems = {
        "ragloom": lambda: spent(lambda: ingest_chunks(documents, model)),
        "LlamaIndex, defaults": lambda: llama(default),
        "LlamaIndex, batches of 64": lambda: llama(larger),
    }
    kept = CACHE / f"ingestion-{len(texts)}.json"
    seconds: dict[str, list[list[float]]] = (
        json.loads(kept.read_text()) if kept.exists() else {name: [] for name in systems}
    )
    for number in range(len(seconds["ragloom"]), rounds):
        for name, pair in {name: work() for name, work in systems.items()}.items():
            seconds[name].append(list(pair))
            say(f"round {number + 1}: {name} {pair[0]:.1f} s, processor {pair[1]:.1f} s")
        kept.write_text(json.dumps(seconds))
    return seconds


def rerun(files: list[Path]) -> dict[str, float]:
    """Seconds of a first ingestion of files, of more over unchanged ones, and of the command line's."""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        kb = KnowledgeBase(Path(folder) / "kb", embedder="bundled:minilm")
        kb.embedder.embed(["loaded before the clock starts"])
        first, report = timed(lambda: kb.ingest(files))
        again = min(timed(lambda: kb.ingest(files))[0] for _ in range(5))
        fresh = timed(lambda: KnowledgeBase(Path(folder) / "kb").ingest(files))[0]
        say(f"re-run: first {first:.1f} s, again {again:.3f} s, reopened {fresh:.3f} s")
        command = [sys.executable, "-m", "ragloom.cli", "ingest", *map(str, files), "--json", "--kb"]
        times = []
        for name in ("cli", "cli", "cli", "cli"):
            began = time.perf_counter()
            subprocess.run([*command, str(Path(folder) / name)], check=True, capture_output=True)
            times.append(time.perf_counter() - began)
            say(f"re-run: process {times[-1]:.2f} s")
        shutil.rmtree(Path(folder) / "cli")
    return {
        "files": len(files),
        "chunks": report.chunks,
        "first": first,
        "again": again,
        "reopened": fresh,
        "process_first": times[0],
        "process_again": min(times[1:]),
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rerun-mb", type=float, default=16, help="the re-run leaves out files larger than this")
    parser.add_argument("--per-file", type=int, default=60, help="at most so many chunks of one file")


def main() -> None:
    """Both tables."""
    given = options(__doc__, add_options)
    files = real_files(given.data)
    if not files:
        return
    dice, model = random.Random(SEED), embedder()
    documents = [pending(path, model, given.per_file, dice) for path in files]
    count = sum(len(item.chunks) for item in documents)
    counts = model.count_tokens([chunk.content for item in documents for chunk in item.chunks])
    say(f"{count} chunks of {len(files)} files, {statistics.mean(counts):.0f} tokens each")
    seconds = compare(documents, given.rounds)
    rows, ratios, processor = [], {}, {}
    for name, pairs in seconds.items():
        mine = seconds["ragloom"]
        ratios[name] = [theirs[0] / ours[0] for theirs, ours in zip(pairs, mine, strict=True)]
        processor[name] = [theirs[1] / ours[1] for theirs, ours in zip(pairs, mine, strict=True)]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios[name])
        cells = (f"{statistics.median(ratios[name]):.2f} ({shown})", f"{statistics.median(processor[name]):.2f}")
        rate = count / statistics.median(pair[0] for pair in pairs)
        rows.append((name, f"{rate:.1f}", *(cells if name != "ragloom" else ("", ""))))
    head = ("system", "chunks/s (median)", "ragloom is faster by: median (each round)", "by processor time: median")
    chunk_note = f"{count} chunks, {statistics.mean(counts):.0f} tokens on average, {given.rounds} rounds in turn."
    again = rerun([path for path in files if path.stat().st_size < given.rerun_mb * 2**20])
    inside, process = again["first"] / again["again"], again["process_first"] / again["process_again"]
    rerun_rows = [
        ("`KnowledgeBase.ingest` in one process", f"{again['first']:.1f}", f"{again['again']:.3f}", f"{inside:.0f}"),
        (
            "the same, knowledge base opened anew",
            "",
            f"{again['reopened']:.3f}",
            f"{again['first'] / again['reopened']:.0f}",
        ),
        (
            "`ragloom ingest`, whole process with imports",
            f"{again['process_first']:.1f}",
            f"{again['process_again']:.2f}",
            f"{process:.0f}",
        ),
    ]
    parts = [
        f"## Same chunks\n\n{chunk_note}\n\n{table(head, rows)}",
        f"## Unchanged files\n\n{again['files']} files under {given.rerun_mb:g} MB, {again['chunks']} chunks: read, "
        "cut, embedded and stored the first time; their hashes compared the next.\n\n"
        + table(("", "first run, s", "next run, s", "ratio"), rerun_rows),
    ]
    targets = [
        verdict(f"times as fast as {name}", statistics.median(ratios[name]), 1.2)
        for name in ratios
        if name != "ragloom"
    ]
    targets += [
        verdict("re-run faster by, in one process", inside, 50),
        verdict("re-run faster by, command line", process, 50),
    ]
    data = {
        "n": count,
        "mean_tokens": statistics.mean(counts),
        "seconds": seconds,
        "ratios": ratios,
        "processor_ratios": processor,
        "rerun": again,
    }
    publish("ingestion", "Ingestion", parts, data, targets)


if __name__ == "__main__":
    main()
