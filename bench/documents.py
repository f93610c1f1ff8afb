"""Real documents: is the evidence in one chunk of the right page, and does retrieval bring it?

`documents` (14 files of many formats, 44 questions): per chunk strategy, and per retrieval mode, the evidence compared
by lower-case letters and digits. `financebench` (filings as PDF): whether a question's evidence page is among the pages
of the first chunks, over all filings together, beside LlamaIndex's SimpleDirectoryReader, its default splitter and a
VectorStoreIndex with the same embedder. Knowledge bases are kept in bench/cache.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import (
    CACHE,
    SEED,
    embedder,
    has,
    options,
    plain,
    publish,
    read_jsonl,
    say,
    table,
    their_embedder,
    timed,
    verdict,
)

from ragloom.evals.retrieval import bootstrap_interval
from ragloom.retrieval import KnowledgeBase
from ragloom.retrieval.chunkers import STRATEGIES, ChunkSettings
from ragloom.retrieval.search import MODES

EVIDENCE, DEPTH = "evidence", 20
FINANCE_SETTINGS = [ChunkSettings(size=size, context=context) for size in (0, 192, 128) for context in (True, False)]


def build(files: Path, settings: ChunkSettings) -> KnowledgeBase:
    """The files as a knowledge base; only what changed since the last run is read."""
    name = settings.fingerprint.replace(":", "-")
    kb = KnowledgeBase(CACHE / f"{files.parent.name}-{name}", embedder=embedder(), chunking=settings)
    seconds, report = timed(lambda: kb.ingest([files]))
    say(f"{files.parent.name} {name}: {report.chunks} chunks written in {seconds:.0f} s, {len(report.failed)} failed")
    return kb


def stands_in_one_chunk(kb: KnowledgeBase, questions: list[dict[str, Any]]) -> int:
    """Questions whose evidence is inside one chunk of the right file and page."""
    chunks: dict[tuple[str, int], list[str]] = {}
    for row in kb.table.snapshot().rows(columns=["source", "page", "content"]).to_pylist():
        chunks.setdefault((Path(row["source"]).name, row["page"]), []).append(plain(row["content"]))
    return sum(
        any(plain(each[EVIDENCE]) in text for text in chunks.get((each["file"], each["page"]), []))
        for each in questions
    )


def brings_it(kb: KnowledgeBase, mode: Any, questions: list[dict[str, Any]], top_k: int) -> int:
    """Questions for which a chunk with the evidence, from the right page, is among the first `top_k`."""
    retriever = kb.retriever(mode=mode, top_k=top_k)
    found = 0
    for each in questions:
        for item in retriever.retrieve(each["question"]):
            data = item.node.metadata
            right = (Path(data["source"]).name, data["page"]) == (each["file"], each["page"])
            if right and plain(each[EVIDENCE]) in plain(item.node.get_content()):
                found += 1
                break
    return found


def documents(folder: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """The table over `documents`."""
    questions = read_jsonl(folder / "questions.jsonl")
    data: dict[str, Any] = {"n": len(questions), "strategies": {}}
    rows = []
    for strategy in STRATEGIES:
        kb = build(folder / "files", ChunkSettings(strategy=strategy))
        whole = stands_in_one_chunk(kb, questions)
        hits = {f"{mode}@{top}": brings_it(kb, mode, questions, top) for mode in MODES for top in (5, 20)}
        chunks = len(kb.table.snapshot())
        data["strategies"][strategy] = {"chunks": chunks, "in_one_chunk": whole, **hits}
        rows.append((strategy, chunks, f"{whole}/{len(questions)}", *(hits[f"{mode}@5"] for mode in MODES)))
        rows[-1] += (hits["default@20"],)
    head = (
        "chunk strategy",
        "chunks",
        "evidence in one chunk",
        *(f"{mode}, top 5" for mode in MODES),
        "default, top 20",
    )
    ours = data["strategies"]["structure"]
    targets = [
        verdict("evidence in one chunk of the right page (of 44)", ours["in_one_chunk"], 42),
        verdict("and that chunk in the top 5 (of 44)", ours["default@5"], 37),
    ]
    return f"## documents: {len(questions)} questions\n\n{table(head, rows)}", data, targets


def page_shares(
    questions: list[dict[str, Any]], pages: Callable[[str], list[tuple[str, int]]]
) -> tuple[float, float, list[int]]:
    """Shares of questions with an evidence page among the pages of the first 5 and the first 20 chunks; the ranks."""
    ranks = []
    for each in questions:
        wanted = {(evidence["doc_name"], evidence["page"]) for evidence in each["evidence"]}
        found = pages(each["question"])
        ranks.append(next((rank for rank, page in enumerate(found, start=1) if page in wanted), 0))
    shares = [sum(0 < rank <= depth for rank in ranks) / len(ranks) for depth in (5, DEPTH)]
    return shares[0], shares[1], ranks


def ours(kb: KnowledgeBase, mode: Any = "default") -> Callable[[str], list[tuple[str, int]]]:
    """(document, page) of each chunk found."""
    retriever = kb.retriever(mode=mode, top_k=DEPTH)
    return lambda query: [
        (Path(item.node.metadata["source"]).stem, item.node.metadata["page"]) for item in retriever.retrieve(query)
    ]


def theirs(pdfs: Path) -> tuple[int, Callable[[str], list[tuple[str, int]]]]:
    """LlamaIndex as its starter tutorial sets it up, with the same embedder."""
    from llama_index.core import SimpleDirectoryReader, StorageContext, VectorStoreIndex, load_index_from_storage

    model, stored = their_embedder(), CACHE / "financebench-llamaindex"
    if (stored / "docstore.json").exists():
        index: Any = load_index_from_storage(StorageContext.from_defaults(persist_dir=str(stored)), embed_model=model)
    else:
        files = SimpleDirectoryReader(str(pdfs)).load_data()
        index = VectorStoreIndex.from_documents(files, embed_model=model)
        index.storage_context.persist(str(stored))
    retriever = index.as_retriever(similarity_top_k=DEPTH)
    return len(index.docstore.docs), lambda query: [
        (Path(item.node.metadata["file_name"]).stem, int(item.node.metadata["page_label"]))
        for item in retriever.retrieve(query)
    ]


def financebench(folder: Path) -> tuple[str, dict[str, Any]]:
    """The table over the filings."""
    questions = [each for each in read_jsonl(folder / "questions.jsonl") if each["pdf_included"]]
    data: dict[str, Any] = {"n": len(questions), "systems": {}}
    rows = []

    def add(name: str, chunks: int, pages: Callable[[str], list[tuple[str, int]]]) -> None:
        top5, top20, ranks = page_shares(questions, pages)
        data["systems"][name] = {"chunks": chunks, "top5": top5, "top20": top20, "first_rank": ranks}
        cells = []
        for depth in (5, DEPTH):
            low, high = bootstrap_interval([0 < rank <= depth for rank in ranks], seed=SEED)
            cells.append(f"{top5 if depth == 5 else top20:.2f} [{low:.2f}, {high:.2f}]")
        rows.append((name, chunks, *cells))
        say(f"financebench {name}: {top5:.2f} {top20:.2f}")

    for settings in FINANCE_SETTINGS:
        kb = build(folder / "pdfs", settings)
        size = f"{settings.size or kb.embedder.max_tokens} tokens{'' if settings.context else ', no context line'}"
        for mode in MODES if settings == ChunkSettings() else ("default",):
            add(f"ragloom {mode}, {size}", len(kb.table.snapshot()), ours(kb, mode))
    chunks, pages = theirs(folder / "pdfs")
    add("LlamaIndex default (1,024 tokens, dense; the embedder reads 256)", chunks, pages)
    head = ("system", "chunks", "evidence page in top 5", "in top 20")
    return f"## financebench: {len(questions)} questions over four filings\n\n{table(head, rows)}", data


def main() -> None:
    """Both tables."""
    data_folder = options(__doc__).data
    parts, data, targets = [], {}, []
    if has(data_folder, "documents"):
        part, data["documents"], targets = documents(data_folder / "documents")
        parts.append(part)
    if has(data_folder, "financebench"):
        part, data["financebench"] = financebench(data_folder / "financebench")
        note = "A page counts when any chunk of it is among the first k. Each share is over few questions: one is "
        parts.append(f"{part}\n\n{note}{1 / data['financebench']['n']:.3f}.")
    if parts:
        publish("documents", "Real documents", parts, data, targets)


if __name__ == "__main__":
    main()
