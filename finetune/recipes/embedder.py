"""Embedder: finds the passage that answers a question. Contrastive fine-tuning on questions of the user's own corpus.

    rows        question and gold passage, title and text; negatives are what our retriever finds beside the gold one
    training    InfoNCE with both directions and gradient caching (`embedding_training`), LoRA on every linear layer
    chosen by   nDCG@10 on dev documents: the checkpoint, and how much of the change is kept
    measured    nDCG@10 and recall@10 on unseen documents, among all passages of the set, beside the base

The base's prompts are kept. The result is an adapter on the base, or with `full` and `freeze` a sentence-transformers
folder; both load as `embedder:PATH`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ...evals.answer_sets import share_of
from ...evals.datasets import load_documents
from ...evals.jsonl import find_jsonl, scan_jsonl
from ...models.artifacts import DataSource, file_hash
from ...models.specs import TrainedRole
from ..data.licences import licence_of
from ..data.rows import TrainingRow, read_rows, write_rows
from ..embedding_measures import compare, judged, measure
from ..embedding_training import EmbedderOptions, train_embedding
from ..encoder_training import save_encoder, sentence_encoder
from ..options import Method, Tell, TrainOptions, own_options
from ..recipe import Built, Outcome

if TYPE_CHECKING:
    from ..data.sources import Sources

__all__ = ("DEFAULTS", "METHODS", "ROLE", "SUMMARY", "build", "train")

ROLE: TrainedRole = "embedder"
SUMMARY = "question and passage to near vectors: retrieval that knows your corpus"
METHODS: tuple[Method, ...] = ("lora", "full", "freeze")
DEFAULTS = EmbedderOptions(
    method="lora", epochs=3.0, batch_size=96, learning_rate=5e-4, rank=16, max_tokens=256, warmup=0.1, evaluations=6
)

PASSAGES = "passages.jsonl"
DEV_QUERIES, DEV_PASSAGES = 300, 3000
"""Looked at several times in a training, so that it must not take as long as the training itself."""


def build(data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
    """Questions with their passages and hard negatives of the same part; and the whole corpus, for the measuring."""
    from ..data.build import build_parts
    from ..data.pairs import embedding_rows

    given = own_options(options, EmbedderOptions)

    def rows(sources: Sources) -> Iterator[TrainingRow]:
        _write_passages(sources, out, given, tell)
        yield from embedding_rows(
            sources,
            out=out,
            negatives=given.negatives,
            limit=given.per_set,
            seed=given.seed,
            embedder=given.base,
            tell=tell,
        )

    return build_parts(ROLE, data, out, given, tell, rows, given.negatives, given.base)


def train(built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
    """Trains on the train part and measures the test part, base and trained, with paired bootstrap intervals."""
    from ..forgetting import general_change

    given = own_options(options, EmbedderOptions)
    corpus = _read_passages(out)
    rows = {part: _shown(path, corpus) for part, path in built.files.items() if path.is_file()}
    trained_on, held_out = rows.get("train", []), [*rows.get("dev", []), *rows.get("test", [])]
    asked = {part: [row for row in found if row.get("made") != "title"] for part, found in rows.items()}
    # A corpus alone gives titles only, each looked for among the texts without their titles.
    passages, measured = (list(corpus.values()), asked) if any(asked.values()) else ([], rows)
    every = [*passages, *(text for found in measured.values() for row in found for text in _texts(row))]
    test, dev = (judged(measured.get(part, []), every) for part in ("test", "dev"))
    replayed = _replay(given, len(trained_on), {row["positive"] for row in held_out})
    replay = [pair for _, pair in replayed]

    model = sentence_encoder(given)
    before = measure(model, test) if test.queries else {}
    trained = train_embedding(model, trained_on, replay, dev.limited(DEV_QUERIES, DEV_PASSAGES), out, given, tell)
    metrics: dict[str, Any] = {"test": compare(before, measure(model, test), seed=given.seed)} if before else {}
    metrics["passages"] = len(test.passages)
    base = sentence_encoder(given)
    metrics["general"] = general_change(
        lambda texts: base.encode(list(texts), show_progress_bar=False),
        lambda texts: model.encode(list(texts), show_progress_bar=False),
        retrieval=given.general,
    )
    return Outcome(
        inputs="a query, or a document, each with the base's prompt",
        metrics=metrics,
        settings={**trained.settings, "replayed": len(replay)},
        curves=trained.curves,
        files=save_encoder(model, out, given.base),
        data=_replay_sources(given, [folder for folder, _ in replayed]),
    )


def _write_passages(sources: Sources, out: Path, options: EmbedderOptions, tell: Tell) -> None:
    """OUT/rows/passages.jsonl: every chunk of the question sets with its title, for the measuring."""
    from ..data.mining import mine
    from ..data.question_sets import read_questions

    def rows() -> Iterator[TrainingRow]:
        for source in [*sources.of("questions"), *sources.of("retrieval"), *sources.of("corpus")]:
            questions = read_questions(source, [])
            if questions.documents:
                pieces, _ = mine(questions, [], out=out, embedder=options.base, tell=tell)
                yield from ({"text": piece.text, "title": piece.title} for piece in pieces.by_id.values())

    write_rows(out / "rows" / PASSAGES, rows())


def _read_passages(out: Path) -> dict[str, str]:
    """Text of each chunk to the text that is embedded at ingestion, its title in front; empty for files of rows."""
    path = out / "rows" / PASSAGES
    found = [row.fields for row in scan_jsonl(path, [])] if path.is_file() else []
    return {row["text"]: f"{row['title']}\n{row['text']}" if row["title"] else row["text"] for row in found}


def _shown(path: Path, corpus: Mapping[str, str]) -> list[TrainingRow]:
    """Rows of a file, with passages as they are embedded. Where the title is the query, it cannot be in the passage."""
    rows = []
    for row in read_rows(path, ROLE, []):
        if row.get("made") != "title":
            texts = [corpus.get(text, text) for text in row["negatives"]]
            row = {**row, "positive": corpus.get(row["positive"], row["positive"]), "negatives": texts}
        rows.append(row)
    return rows


def _texts(row: TrainingRow) -> list[str]:
    return [row["positive"], *row["negatives"]]


def _replay(options: EmbedderOptions, rows: int, held_out: set[str]) -> list[tuple[Path, tuple[str, str]]]:
    """General pairs, title to text, with their folder, drawn by hash; none whose text is measured on."""
    wanted = int(options.replay * rows)
    pairs: dict[str, tuple[Path, tuple[str, str]]] = {}
    for folder in options.replay_data if wanted else ():
        path = find_jsonl(Path(folder), "corpus", "passages", "documents")
        if path is None:
            raise UsageError(f"{str(folder)!r} has no corpus.jsonl to replay", hint="needed: id, title and text")
        for title, text in load_documents(path, []).values():
            if title.strip() and text.strip() and not any(shown in held_out for shown in (text, f"{title}\n{text}")):
                pairs.setdefault(text, (Path(folder), (title, text)))
    return sorted(pairs.values(), key=lambda found: share_of(found[1][1], seed=options.seed))[:wanted]


def _replay_sources(options: EmbedderOptions, folders: Sequence[Path]) -> tuple[DataSource, ...]:
    """The corpora of the replayed pairs, given the folder of each pair."""
    counts = Counter(folders)
    found = []
    for folder in map(Path, options.replay_data):
        corpus = find_jsonl(folder, "corpus", "passages", "documents")
        if counts[folder] and corpus:
            name = f"{folder.resolve().name} (replayed)"
            licence = licence_of(folder)
            found.append(DataSource(name=name, licence=licence, rows=counts[folder], sha256=file_hash(corpus)))
    return tuple(found)
