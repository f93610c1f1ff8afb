"""Texts per second of ragloom's embedder beside `SentenceTransformer.encode`, same weights, dtype and device.

Run `python bench/embedders.py [--texts 128] [--rounds 3]`; the table of docs/models.md comes from it. The rounds of the
two alternate, so that a busy machine slows both, and the best round of each counts. Texts are made of English words,
with a fixed seed: `equal` are about 170 word pieces long each, `mixed` between 5 and 250.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable

WORDS = (  # noqa: SIM905 - easier to read
    "the of and a retrieval system answers questions from documents that were read before because every passage keeps "
    "its source page and heading so people can check what is claimed while models of different sizes share one index"
).split()

COLD = {
    "import torch": "import torch",
    "import sentence_transformers": "import sentence_transformers",
    "import llama_index embedding base": "import llama_index.core.base.embeddings.base",
    "ragloom: load_embedder and first query": (
        "from ragloom.models import load_embedder; load_embedder('bundled:minilm').embed_query('hello')"
    ),
    "SentenceTransformer: load and first query": (
        "from ragloom.models import ensure_weights; from sentence_transformers import SentenceTransformer; "
        "SentenceTransformer(str(ensure_weights('minilm')), device='cpu', local_files_only=True).encode(['hello'])"
    ),
}


def make_texts(count: int, shortest: int, longest: int) -> list[str]:
    """`count` texts of between `shortest` and `longest` words."""
    dice = random.Random(0)
    return [" ".join(dice.choices(WORDS, k=dice.randint(shortest, longest))) for _ in range(count)]


def rate(work: Callable[[list[str]], object], texts: list[str]) -> float:
    """Texts per second of one run."""
    start = time.perf_counter()
    work(texts)
    return len(texts) / (time.perf_counter() - start)


def compare(dtype: str, texts: list[str], rounds: int, device: str | None) -> tuple[float, float]:
    """Best rate of SentenceTransformer and of ragloom."""
    import torch
    from sentence_transformers import SentenceTransformer

    from ragloom.models import ensure_weights, load_embedder

    ours = load_embedder("bundled:minilm", dtype=dtype, device=device)  # type: ignore[arg-type]
    theirs = SentenceTransformer(
        str(ensure_weights("minilm")),
        device=ours.device,
        local_files_only=True,
        model_kwargs={"dtype": getattr(torch, dtype)},
    )

    def encode(batch: list[str]) -> object:
        return theirs.encode(batch, batch_size=32, convert_to_tensor=True, show_progress_bar=False).float().cpu()

    rate(encode, texts[:16]), rate(ours.embed, texts[:16])
    best = [0.0, 0.0]
    for _ in range(rounds):
        best[0] = max(best[0], rate(encode, texts))
        best[1] = max(best[1], rate(ours.embed, texts))
    return best[0], best[1]


def main() -> None:
    """Print the two tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default=None)
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--no-cold", action="store_true", help="leave out the cold start table")
    options = parser.parse_args()
    sets = {"equal": make_texts(options.texts, 166, 166), "mixed": make_texts(options.texts, 4, 245)}
    print(
        "| texts | dtype | SentenceTransformer.encode(batch_size=32) | ragloom embed | ratio |\n|---|---|---|---|---|"
    )
    for name, texts in sets.items():
        for dtype in options.dtypes.split(","):
            theirs, ours = compare(dtype, texts, options.rounds, options.device)
            print(f"| {name} | {dtype} | {theirs:.1f}/s | {ours:.1f}/s | {ours / theirs:.2f} |", flush=True)
    if options.no_cold:
        return
    print("\n| cold start of a process | seconds |\n|---|---|")
    for name, code in COLD.items():
        seconds = []
        for _ in range(options.rounds):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        print(f"| {name} | {min(seconds):.1f} |", flush=True)


if __name__ == "__main__":
    main()
