"""Hard negatives: what our own retriever finds for a question and what does not answer it.

The passages of a question set are indexed in the cache folder as `ragloom eval retrieval` does it, and each question is
put to the mode `default`. What is found is kept in OUT/rows, so that an interrupted run goes on where it stopped, and a
run with another number of negatives retrieves nothing again.

Likely false negatives are dropped (cf. NV-Retriever, Moreira et al. 2024, arXiv 2407.15831, for the score margin):

- the gold chunk, near duplicates of it, and what holds one of the answers;
- where there is no answer to look for (yes/no questions, answers in other words, retrieval sets): what scores nearly as
  well as the gold.

Negatives come from documents of the question's own part, so that no text is trained on and measured on. Of a set whose
documents are about different things, those of so small a part are easy: where rows are measured, they are also of
documents that are trained on (beside other questions). Nothing of a measured document is in training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...evals.answer_sets import share_of
from ...evals.indexing import index_set, set_base
from ...evals.text_metrics import normalize
from ..options import Tell, no_tell
from .parts import Part
from .question_sets import Asked, QuestionSet
from .texts import holds_answer, near_duplicate, telling

if TYPE_CHECKING:
    from ...models.protocols import Embedder
    from ...retrieval.knowledge_base import KnowledgeBase

__all__ = ("DEPTH", "Mined", "Piece", "Pieces", "gold_pieces", "hard_negatives", "mine")

DEPTH = 50
"""Chunks that are retrieved for a question."""
GOLD = 8
"""Relevant passages of one question at most: a judged query may have a hundred."""
MARGIN = 0.95
"""Where no answer can be looked for, a negative scores at most this share of what the best gold chunk scores."""
SUSPECT = 3
"""Where the gold was not found either: so many of the first are passed over."""
BATCH = 64
"""Questions embedded, then searched side by side; the embedder remembers as many."""
THREADS = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk of a passage, as the retriever finds it: short passages are one piece."""

    id: str
    passage: str
    """Id of the passage or document."""
    title: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Pieces:
    """All chunks of a set, cut by our chunkers."""

    by_id: dict[str, Piece] = field(repr=False)
    of_passage: dict[str, list[Piece]] = field(repr=False)
    """In the order of the text."""


@dataclass(frozen=True, slots=True)
class Mined:
    """A question and what was found for it, best first."""

    asked: Asked
    ranking: tuple[tuple[Piece, float], ...]


def mine(
    questions: QuestionSet,
    asked: Sequence[Asked],
    *,
    out: Path,
    embedder: str | Embedder | None = None,
    depth: int = DEPTH,
    tell: Tell = no_tell,
) -> tuple[Pieces, Iterator[Mined]]:
    """The chunks of a set, and for each of these questions the best `depth` of them, in the order of `asked`.

    Retrieval goes on while the iterator is read. Raises `UsageError` where the set has no passages.
    """
    if not questions.documents:
        raise UsageError(f"{questions.name!r} has no passages to mine", hint="add passages.jsonl or documents.jsonl")
    corpus = questions.corpus()
    kb = set_base(corpus, embedder=embedder)
    index_set(corpus, kb=kb, progress=lambda done, total: tell(f"indexing {questions.name}", done, total))
    pieces = _pieces(kb, questions)
    # The folder's name holds a hash of documents, embedder and chunking: what was found under another is not reused.
    name = hashlib.sha256(f"{kb.folder.name}|{depth}".encode()).hexdigest()[:12]
    kept = out / "rows" / f"mined-{questions.name}-{name}.jsonl"
    return pieces, _retrieved(kb, questions.name, pieces, asked, kept, depth, tell)


def gold_pieces(asked: Asked, pieces: Pieces, ranking: Sequence[tuple[Piece, float]] = ()) -> list[Piece]:
    """The chunk of each gold passage that holds the answer.

    It is found by `answer_starts`, by the rationale, or by the answer's own words; where none of them tells (an answer
    in other words), the chunk that the retriever prefers, else the first. Of a query with many relevant documents,
    `GOLD` of them, drawn by hash.
    """
    starts = asked.fields.get("answer_starts")
    rationale = normalize(str(asked.fields.get("rationale") or ""))
    found = []
    chosen = sorted(asked.gold, key=lambda key: share_of(f"{asked.id}\0{key}", salt="gold"))[:GOLD]
    for number, key in enumerate(asked.gold):
        if key not in chosen:
            continue
        chunks = pieces.of_passage.get(key, [])
        if not chunks:
            continue
        offsets = [at for at in starts if isinstance(at, int)] if isinstance(starts, list) and number == 0 else []
        by_offset = [chunk for at in offsets for chunk in chunks if chunk.start <= at < chunk.end]
        by_rationale = [chunk for chunk in chunks if rationale and rationale in normalize(chunk.text)]
        by_answer = [chunk for chunk in chunks if holds_answer(chunk.text, asked.answers)]
        by_rank = [piece for piece, _ in ranking if piece.passage == key]
        found.append((by_offset or by_rationale or by_answer or by_rank or chunks)[0])
    return found


def hard_negatives(
    mined: Mined,
    questions: QuestionSet,
    gold: Sequence[Piece],
    *,
    count: int,
    seed: int,
    spread: int = 3,
    margin: float | None = MARGIN,
    parts: Collection[Part] | None = None,
) -> list[Piece]:
    """At most `count` chunks that were found and are no answer, drawn by seed from the best `spread` times `count`.

    `parts`: of documents of these parts; None: of the question's own.
    `margin` is for training. To measure it must be None: with it no negative is above the best gold, and the order in
    which they were found looks right by construction.
    """
    asked = mined.asked
    answers = telling(asked.answers)
    texts = {normalize(piece.text) for piece in gold}
    scores = {piece.id: score for piece, score in mined.ranking}
    known = [scores[piece.id] for piece in gold if piece.id in scores]
    # The answer in other words may stand in any piece of its passage, and in other passages.
    blind = not any(holds_answer(item.text, answers) for item in gold)
    allowed = parts or (asked.part,)
    usable: list[Piece] = []
    for rank, (piece, score) in enumerate(mined.ranking):
        if len(usable) >= spread * count:
            break
        if not questions.judged and questions.part(piece.passage) not in allowed:
            continue
        if normalize(piece.text) in texts or not piece.text.strip():
            continue
        if holds_answer(piece.text, answers):
            continue
        if blind:
            near = margin is not None and (score > margin * max(known) if known else rank < SUSPECT)
            if near or piece.passage in asked.gold:
                continue
        if any(near_duplicate(piece.text, item.text) for item in gold):
            continue
        usable.append(piece)
    return sorted(usable, key=lambda piece: share_of(f"{asked.id}\0{piece.id}", seed=seed, salt="negative"))[:count]


def _pieces(kb: KnowledgeBase, questions: QuestionSet) -> Pieces:
    columns = ["id", "doc_id", "start", "end", "body_at", "content"]
    by_id: dict[str, Piece] = {}
    of_passage: dict[str, list[Piece]] = {}
    for row in kb.table.snapshot().rows(columns=columns).to_pylist():
        key = row["doc_id"]
        if key not in questions.documents:
            continue
        title = questions.documents[key][0]
        piece = Piece(row["id"], key, title, row["content"][row["body_at"] :], row["start"], row["end"])
        by_id[piece.id] = piece
        of_passage.setdefault(key, []).append(piece)
    for chunks in of_passage.values():
        chunks.sort(key=lambda piece: (piece.start, piece.id))
    return Pieces(by_id, of_passage)


def _retrieved(
    kb: KnowledgeBase, name: str, pieces: Pieces, asked: Sequence[Asked], kept: Path, depth: int, tell: Tell
) -> Iterator[Mined]:
    known = _read(kept)
    retriever = kb.retriever(mode="default", top_k=depth)
    kept.parent.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(asked), BATCH):
        batch = asked[first : first + BATCH]
        missing = [item for item in batch if _mark(item) not in known]
        if missing:
            tell(f"mining {name}", first, len(asked))
            for item in missing:
                kb.embedder.embed_query(item.question)  # remembered by the embedder, which is not for many threads
            with ThreadPoolExecutor(THREADS) as pool:
                found = list(pool.map(lambda item: retriever.search(item.question, depth), missing))
            lines = []
            for item, nodes in zip(missing, found, strict=True):
                ranking = [(node.node.node_id, round(float(node.score or 0.0), 6)) for node in nodes]
                known[_mark(item)] = ranking
                lines.append(json.dumps({"question": _mark(item), "ranking": ranking}) + "\n")
            with kept.open("a", encoding="utf-8") as stream:
                stream.writelines(lines)
        for item in batch:
            ranking = known.pop(_mark(item), [])
            yield Mined(item, tuple((pieces.by_id[key], score) for key, score in ranking if key in pieces.by_id))
    tell(f"mining {name}", len(asked), len(asked))


def _mark(asked: Asked) -> str:
    return hashlib.sha256(f"{asked.id}\0{asked.question}".encode("utf-8", "replace")).hexdigest()[:20]


def _read(path: Path) -> dict[str, list[tuple[str, float]]]:
    """What an earlier run found; a last line that was cut off is left out."""
    known: dict[str, list[tuple[str, float]]] = {}
    if not path.exists():
        return known
    whole = path.read_bytes()
    if whole and not whole.endswith(b"\n"):
        path.write_bytes(whole[: whole.rfind(b"\n") + 1])
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            try:
                found = json.loads(line)
                known[found["question"]] = [(str(key), float(score)) for key, score in found["ranking"]]
            except (ValueError, KeyError, TypeError):
                continue
    return known
