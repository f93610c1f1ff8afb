"""A corpus alone: texts without questions, or a knowledge base; and the questions that a chat model makes of it.

    passages.jsonl, documents.jsonl or corpus.jsonl [.gz]   {id, title, text}; the file, or a folder without questions
    .ragloom                                                a folder that `ragloom ingest` has filled

Of titles and texts the embedder learns as they are. All else that learns from questions gets an answer set, made by
`ragloom.evals.questions` (round-trip filter) and kept, so that a person can edit it before it is trained on.

>>> data, made = make_question_sets([Path(".ragloom")], Path("out"), 200, llm=load_chat_model)  # doctest: +SKIP
>>> data  # doctest: +SKIP
[PosixPath('out/questions/ragloom')]
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import StoreError, UsageError
from ...evals.datasets import Documents, RetrievalSet, load_documents
from ...evals.files import write_whole
from ...evals.jsonl import Problem, find_jsonl, scan_jsonl
from ...models.specs import TrainedRole
from ..options import Tell, no_tell
from .licences import licence_of
from .parts import document_of

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from ...evals.questions import MadeQuestions
    from ...models.protocols import Embedder
    from ...retrieval import KnowledgeBase

__all__ = (
    "QUESTIONS",
    "corpus_documents",
    "corpus_of",
    "is_knowledge_base",
    "knowledge_base_hash",
    "make_question_sets",
    "refuse_corpora",
)

QUESTIONS = "questions"
"""Folder of the made sets, one for each corpus, below that of the artifact."""
STATE = ".made.json"
"""How many questions were asked for, of which corpus: where it stands, a set is used as it is."""
UNANSWERABLE = 0.2
FILES = ("passages", "documents", "corpus")
_FROM_QUESTIONS: frozenset[TrainedRole] = frozenset(
    {"embedder", "reranker", "evaluator", "support", "utility", "drafter", "reflective"}
)
_FROM_CORPORA: frozenset[TrainedRole] = frozenset({"embedder", "injection"})
"""Titles and texts teach an embedder; to the injection classifier they are texts without an attack."""
_ANSWERABLE_ONLY: frozenset[TrainedRole] = frozenset({"embedder", "reranker", "evaluator"})
"""They learn from a question and its passage; a made question that nothing answers has none."""


def corpus_of(path: Path) -> Path | None:
    """The file of a corpus without questions, or the folder of a knowledge base; None for all other data."""
    if is_knowledge_base(path):
        return path
    if path.is_dir() and (find_jsonl(path, "questions") or _judged(path)):
        return None
    file = find_jsonl(path, *FILES) if path.is_dir() else path
    first = next(iter(scan_jsonl(file, [])), None) if file and ".jsonl" in file.name else None
    plain = first is not None and first.key is not None and "text" in first.fields
    return file if plain and first and not {"label", "intent", "question"} & first.fields.keys() else None


def is_knowledge_base(path: Path) -> bool:
    """Whether `ragloom ingest` has made this folder."""
    return (path / "kb.json").is_file() and (path / "ledger.sqlite").is_file()


def corpus_documents(corpus: Path, problems: list[Problem]) -> Documents:
    """Id to title and text: of a file its records, of a knowledge base its documents, by their source."""
    if not is_knowledge_base(corpus):
        return load_documents(corpus, problems)
    from ...evals.questions.passages import read_passages
    from ...retrieval import KnowledgeBase

    kb = KnowledgeBase.open(corpus)
    titles = {record.source: record.title for record in kb.documents()}
    texts: dict[str, list[str]] = {}
    for passage in read_passages(kb, ""):
        texts.setdefault(passage.source, []).append(passage.text)
    return {source: (titles.get(source, ""), "\n\n".join(parts)) for source, parts in texts.items()}


def knowledge_base_hash(folder: Path) -> str:
    """SHA-256 over its documents; the files themselves change with every compaction."""
    from ...retrieval import KnowledgeBase

    digest = hashlib.sha256((folder / "kb.json").read_bytes())
    records = KnowledgeBase.open(folder).documents(tenant=None)
    for told in sorted(f"{record.tenant}\0{record.source}\0{record.content_hash}" for record in records):
        digest.update(f"{told}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def refuse_corpora(role: TrainedRole, data: Sequence[Path]) -> None:
    """Raises `UsageError` where data is a corpus alone and the role does not learn from one."""
    if role in _FROM_CORPORA:
        return
    for path in data:
        if path.exists() and corpus_of(path) is not None:
            if role not in _FROM_QUESTIONS:
                raise UsageError(
                    f"{str(path)!r} is a corpus alone, which teaches a {role} nothing",
                    hint="see docs/finetune.md for the columns of its rows",
                )
            raise UsageError(
                f"{str(path)!r} is a corpus without questions, and {role!r} learns from questions",
                hint="add --make-questions N, or make a set with 'ragloom eval make-questions' and name its folder",
            )


def make_question_sets(
    data: Sequence[Path],
    out: Path,
    n: int,
    *,
    llm: Callable[[], BaseChatModel],
    llm_name: str = "",
    role: TrainedRole | None = None,
    embedder: str | Embedder | None = None,
    tenant: str = "",
    seed: int = 0,
    tell: Tell = no_tell,
) -> tuple[list[Path], list[MadeQuestions]]:
    """The data with each corpus replaced by the answer set that was made of it, in OUT/questions; and what is new.

    Args:
        data: as for `finetune`; what is no corpus stays.
        out: the folder of the artifact.
        n: questions wanted of each corpus.
        llm: loads the model that writes them; called only where questions are to be made.
        llm_name: as it stands beside each question.
        role: what for; None: a fifth of the questions is unanswerable.
        embedder: of the round trip; None: the knowledge base's own.
        tenant: of a knowledge base.
        seed: of the choice of passages.
        tell: progress.

    A set that is there, of the same corpus and for as many questions, is used as it is, whatever a person did to it; an
    unfinished one is gone on with. Raises `UsageError` where no data is a corpus, or the model made no question.
    """
    if n < 1:
        raise UsageError(f"{n} questions", hint="use 1 or more")
    for path in data:
        if not path.exists():
            raise UsageError(f"there is no {str(path)!r}", hint="--data names data folders or files of rows")
    corpora = {path: corpus for path in data if (corpus := corpus_of(path)) is not None}
    if not corpora:
        raise UsageError(
            "no data is a corpus without questions, so there is nothing to make questions of",
            hint="leave --make-questions out, or name a passages.jsonl or the folder of a knowledge base",
        )
    share = 0.0 if role in _ANSWERABLE_ONLY else UNANSWERABLE
    result: list[Path] = []
    made: list[MadeQuestions] = []
    taken: set[str] = set()
    for path in data:
        if path not in corpora:
            result.append(path)
            continue
        name = _name(corpora[path])
        while name in taken:
            name += "-2"
        taken.add(name)
        folder = out / QUESTIONS / name
        told = {"n": n, "corpus": _hash(corpora[path]), "unanswerable": share}
        if not _done(folder, told):
            with _locked(out / QUESTIONS):
                kb = _knowledge_base(corpora[path], name, embedder, tell)
                found = _make(kb, llm(), folder, told, llm_name=llm_name, tenant=tenant, seed=seed, tell=tell)
                _describe(folder, corpora[path])
                write_whole(folder / STATE, json.dumps(told))
            made.append(found)
        result.append(folder)
    return result, made


def _make(kb: KnowledgeBase, llm: Any, folder: Path, told: dict[str, Any], **given: Any) -> MadeQuestions:
    from ...evals.questions import make_questions

    found = make_questions(kb, llm, folder, n=told["n"], unanswerable=told["unanswerable"], **given)
    if not found.answerable:
        reason = ", ".join(f"{count} {reason}" for reason, count in found.rejected.most_common(3))
        raise UsageError(
            f"the model made no question of {found.documents} documents{f' ({reason})' if reason else ''}",
            hint="use a model that follows instructions (--llm)",
        )
    return found


def _done(folder: Path, told: dict[str, Any]) -> bool:
    try:
        kept = json.loads((folder / STATE).read_text(encoding="utf-8"))
        same = kept["corpus"] == told["corpus"] and kept["n"] >= told["n"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return same and (folder / "questions.jsonl").is_file()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "questions are made by one process",
            hint="run the same command once without accelerate or torchrun, or use 'ragloom eval make-questions'",
        )

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise StoreError(f"another process makes questions in {str(folder)!r}", hint="wait for it") from error


def _knowledge_base(corpus: Path, name: str, embedder: str | Embedder | None, tell: Tell) -> KnowledgeBase:
    from ...evals.indexing import index_set, set_base
    from ...retrieval import KnowledgeBase

    if is_knowledge_base(corpus):
        return KnowledgeBase.open(corpus, embedder=embedder)
    documents = {key: each for key, each in load_documents(corpus, []).items() if each[1].strip()}
    if not documents:
        raise UsageError(f"{str(corpus)!r} has no text", hint="a line has id, title and text")
    found = RetrievalSet(name, documents, {}, {})
    kb, _ = index_set(
        found,
        kb=set_base(found, embedder=embedder),
        progress=lambda done, total: tell(f"indexing {name}", done, total),
    )
    return kb


def _describe(folder: Path, corpus: Path) -> None:
    """Adds to the passages the document that they are split by, and to the set the corpus's licence."""
    titles = {} if is_knowledge_base(corpus) else {key: title for key, (title, _) in load_documents(corpus, []).items()}
    path = folder / "passages.jsonl"
    lines = []
    for row in scan_jsonl(path, []):
        source = str(row.fields.get("source", ""))
        title = titles.get(source, "").strip()
        document = document_of("", title, source) if title else source
        lines.append(json.dumps({**row.fields, "document": document}, ensure_ascii=False) + "\n")
    write_whole(path, lines)
    licence = licence_of(corpus)
    if licence:
        write_whole(folder / "dataset_info.json", json.dumps({"licence": licence}, ensure_ascii=False) + "\n")


def _judged(folder: Path) -> bool:
    qrels = find_jsonl(folder, "qrels") is not None or (folder / "qrels").is_dir()
    return qrels and find_jsonl(folder, "queries") is not None


def _name(corpus: Path) -> str:
    home = corpus if corpus.is_dir() or corpus.name.split(".")[0] not in FILES else corpus.parent
    stem = home.resolve().name if home.is_dir() else home.name.split(".")[0]
    return stem.strip(".") or "corpus"


def _hash(corpus: Path) -> str:
    if is_knowledge_base(corpus):
        return knowledge_base_hash(corpus)
    with corpus.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
