"""Peak memory of ingesting 100,000 chunks: `KnowledgeBase.ingest` of files, in a process of its own, in two ways.

Files are paragraphs of words of the data sets (drawn at random, with a fixed seed).

- `real`: the real embedder over chunks of 16 tokens, so that 100,000 are embedded in minutes. Batches of the embedder
  have the same number of tokens at any chunk size.
- `hashed`: chunks of the full 256 tokens, for what their text (about 1 kB each) costs in windows, commits and both
  indexes; vectors of the same size from the test kit's hash embedder, because the real one would take most of an hour.

`--way real --chunk-tokens 256` has both at once, for who has the hour. Knowledge bases are kept in bench/cache only
while they are measured; results stay there.
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
WAYS = {"real": 16, "hashed": 256}
"""Where vectors come from, and tokens of a chunk."""


def maker(way: str) -> Any:
    """The embedder of a way, with the dimension of the real one."""
    from ragloom.testing import HashEmbedding

    return embedder() if way == "real" else HashEmbedding(size=384)


def write_files(data: Path, folder: Path, chunks: int, files: int, tokens: int, way: str) -> None:
    """`files` text files that give about `chunks` chunks together."""
    words: list[str] = []
    for name in SETS:
        if has(data, name):
            path = next((data / name).glob("corpus.jsonl*"))
            words += [word for row in read_jsonl(path) for word in str(row["text"]).split()]
    dice = random.Random(SEED)
    sample = words[:20_000]
    per_word = sum(maker(way).count_tokens([" ".join(sample)])) / len(sample)
    each = int(chunks / files * (tokens - 2) / per_word) + 1
    for number in range(files):
        drawn = dice.choices(words, k=each)
        paragraphs = [" ".join(drawn[at : at + 80]) for at in range(0, len(drawn), 80)]
        (folder / f"{number:04d}.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")


def child(files: str, kb_folder: str, tokens: int, way: str) -> None:
    """Ingests and prints what it took; run in a fresh process."""
    from ragloom.retrieval import KnowledgeBase
    from ragloom.retrieval.chunkers import ChunkSettings

    settings = ChunkSettings(strategy="tokens", size=tokens, context=False)
    kb = KnowledgeBase(kb_folder, embedder=maker(way), chunking=settings)
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
    parser.add_argument("--way", choices=[*WAYS], help="only this one (default: both)")
    parser.add_argument("--chunk-tokens", type=int, help="another size of chunks")
    parser.add_argument("--child", nargs=2, metavar=("FILES", "KB"), help=argparse.SUPPRESS)


def measure(given: Any, way: str, tokens: int) -> dict[str, Any]:
    """Writes the files, runs the child, gives what it found; kept."""
    kept = CACHE / f"memory-{way}-{given.chunks}-{tokens}.json"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            files = Path(folder) / "files"
            files.mkdir()
            write_files(given.data, files, given.chunks, given.files, tokens, way)
            command = [sys.executable, __file__, "--way", way, "--chunk-tokens", str(tokens)]
            command += ["--child", str(files), str(Path(folder) / "kb")]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        kept.write_text(done.stdout.splitlines()[-1])
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


def main() -> None:
    """A table for each way."""
    given = options(__doc__, add_options)
    if given.child:
        child(*given.child, given.chunk_tokens, given.way)
        return
    if not any(has(given.data, name) for name in SETS):
        return
    parts, targets, data = [], [], {}
    for way in [given.way] if given.way else WAYS:
        tokens = given.chunk_tokens or WAYS[way]
        found = data[way] = measure(given, way, tokens)
        rows = [("nothing ingested yet", "", f"{found['model_loaded_gb']:.2f}")]
        rows += [(f"{count:,} chunks committed", "", f"{peak:.2f}") for count, peak in found["peaks"][1::2]]
        rows.append((f"{found['chunks']:,} chunks, indexed", f"{found['seconds']:.0f}", f"{found['peak_gb']:.2f}"))
        note = f"{found['files']} files; peak resident memory of the whole process."
        title = f"## {way.capitalize()} vectors, chunks of at most {tokens} tokens"
        parts.append(f"{title}\n\n{note}\n\n{table(('after', 'seconds', 'peak so far, GB'), rows)}")
        name = f"peak memory of 100,000 chunks ({way} vectors, {tokens} tokens each), GB"
        targets.append(verdict(name, found["peak_gb"], 3.0, at_most=True))
    publish("memory", "Memory of ingestion", parts, {"n": given.chunks, "ways": data}, targets)


if __name__ == "__main__":
    main()
