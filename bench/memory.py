"""Peak memory of ingesting 100,000 chunks: `KnowledgeBase.ingest` of files, real embedder, in a process of its own.

Files are paragraphs of words of the data sets (drawn at random, with a fixed seed), cut into chunks of the embedder's
full length, 256 word pieces (most of an hour on 2 cores; `--chunk-tokens 16` takes a quarter of that). The knowledge
base is kept in bench/cache only while it is measured; the result stays there.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import CACHE, SEED, embedder, has, options, publish, read_jsonl, say, table, verdict

SETS = ("cisi", "cacm", "npl")


def write_files(data: Path, folder: Path, chunks: int, files: int, tokens: int) -> None:
    """`files` text files that give about `chunks` chunks together."""
    words: list[str] = []
    for name in SETS:
        if has(data, name):
            path = next((data / name).glob("corpus.jsonl*"))
            words += [word for row in read_jsonl(path) for word in str(row["text"]).split()]
    dice = random.Random(SEED)
    sample = words[:20_000]
    per_word = sum(embedder().count_tokens([" ".join(sample)])) / len(sample)
    each = int(chunks / files * (tokens - 2) / per_word) + 1
    for number in range(files):
        drawn = dice.choices(words, k=each)
        paragraphs = [" ".join(drawn[at : at + 80]) for at in range(0, len(drawn), 80)]
        (folder / f"{number:04d}.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")


def child(files: str, kb_folder: str, tokens: int) -> None:
    """Ingests and prints what it took; run in a fresh process."""
    from ragloom.retrieval import KnowledgeBase
    from ragloom.retrieval.chunkers import ChunkSettings

    settings = ChunkSettings(strategy="tokens", size=tokens, context=False)
    kb = KnowledgeBase(kb_folder, embedder=embedder(), chunking=settings)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    marks: list[tuple[int, int]] = []

    def mark(progress: Any) -> None:
        if not marks or progress.chunks - marks[-1][0] >= 10_000:
            marks.append((progress.chunks, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
            say(f"{progress.chunks} chunks, peak {marks[-1][1] / 2**20:.2f} GB")

    began = time.perf_counter()
    report = kb.ingest([files], progress=mark)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {
        "chunks": len(kb.table.snapshot()),
        "files": report.added,
        "seconds": time.perf_counter() - began,
        "model_loaded_gb": loaded / 2**20,
        "peak_gb": peak / 2**20,
        "peaks": [(count, round(peak / 2**20, 3)) for count, peak in marks],
    }
    print(json.dumps(found))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--chunk-tokens", type=int, default=256)
    parser.add_argument("--child", nargs=2, metavar=("FILES", "KB"), help=argparse.SUPPRESS)


def main() -> None:
    """Writes the files, runs the child, shows its peak."""
    given = options(__doc__, add_options)
    if given.child:
        child(*given.child, given.chunk_tokens)
        return
    kept = CACHE / f"memory-{given.chunks}-{given.chunk_tokens}.json"
    if not kept.exists():
        if not any(has(given.data, name) for name in SETS):
            return
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            files = Path(folder) / "files"
            files.mkdir()
            write_files(given.data, files, given.chunks, given.files, given.chunk_tokens)
            command = [sys.executable, __file__, "--chunk-tokens", str(given.chunk_tokens)]
            command += ["--child", str(files), str(Path(folder) / "kb")]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        kept.write_text(done.stdout.splitlines()[-1])
    found = json.loads(kept.read_text())
    rows = [("model loaded, nothing ingested", "", f"{found['model_loaded_gb']:.2f}")]
    rows += [(f"{count:,} chunks committed", "", f"{peak:.2f}") for count, peak in found["peaks"][1::2]]
    rows.append((f"{found['chunks']:,} chunks, indexed", f"{found['seconds']:.0f}", f"{found['peak_gb']:.2f}"))
    size = f"chunks of at most {given.chunk_tokens} tokens"
    note = f"{found['files']} files, {size}; peak resident memory of the whole process."
    parts = [f"{note}\n\n{table(('after', 'seconds', 'peak so far, GB'), rows)}"]
    targets = [verdict("peak memory of 100,000 chunks, GB", found["peak_gb"], 3.0, at_most=True)]
    publish("memory", "Memory of ingestion", parts, {"n": found["chunks"], **found}, targets)


if __name__ == "__main__":
    main()
