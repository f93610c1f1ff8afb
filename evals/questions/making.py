"""The run: passages are chosen, the model is asked, and what passes is kept; then some are made unanswerable."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ModelError, UsageError
from ...sentences import sentence_spans
from ..answer_sets import share_of
from ..text_metrics import contains, normalize
from .names import add_name, change_name, words_of
from .passages import Passage, choose_passages, read_passages
from .replies import read_reply
from .set_folder import KEPT, SetFolder
from .writing import QuestionWriter

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from llama_index.core.schema import NodeWithScore

    from ...retrieval import KnowledgeBase
    from ...retrieval.retriever import KnowledgeBaseRetriever

__all__ = ("MadeQuestions", "make_questions")

ROUND_TRIP = 5
"""The passage must be among so many: what `ragloom ask` reads by default."""
TRIES_EACH = 4
"""Passages tried for every question wanted, at most, so that a run ends whatever the model writes."""
FAILURES = 3
"""So many failed calls in a row mean that the model is not there."""


@dataclass(slots=True)
class MadeQuestions:
    """What was made, in this run and before."""

    folder: Path
    answerable: int = 0
    unanswerable: int = 0
    asked: int = 0
    """Passages that the model was asked about in this run."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Reason to how often, in this run and before."""
    sources: int = 0
    """Documents that the answerable questions are about."""
    documents: int = 0
    """Documents with a passage that a question can be made of."""

    def to_dict(self) -> dict[str, Any]:
        """As `ragloom eval make-questions --json` prints it."""
        told = {name: getattr(self, name) for name in ("answerable", "unanswerable", "asked", "sources", "documents")}
        return {"folder": str(self.folder), **told, "rejected": dict(self.rejected.most_common())}


def make_questions(
    kb: KnowledgeBase,
    llm: BaseChatModel,
    folder: Path,
    *,
    n: int = 50,
    unanswerable: float = 0.2,
    llm_name: str = "",
    tenant: str = "",
    seed: int = 0,
    tell: Callable[[str, int, int | None], None] = lambda text, done, total: None,
) -> MadeQuestions:
    """Makes an answer set in `folder`, or goes on with the one that is there; questions that stand there stay.

    Args:
        kb: what the questions are about.
        llm: writes them.
        folder: gets questions.jsonl, passages.jsonl, tried.jsonl (what was rejected, and why) and a README.
        n: questions wanted, unanswerable ones among them.
        unanswerable: their share.
        llm_name: as it stands in `made_by`.
        tenant: whose passages.
        seed: of the choice of passages and names.
        tell: progress.

    Raises `UsageError` where the knowledge base has no usable passage, `ModelError` where the model does not answer.
    """
    passages = read_passages(kb, tenant)
    queue = choose_passages(passages, n, seed=seed)
    if not queue:
        raise UsageError("there is no passage to make questions of", hint="ingest documents with running text")
    made_by = llm_name or type(llm).__name__
    made_set = SetFolder(folder)
    made_set.write_passages(passages)
    sieve = _Sieve(kb.retriever(top_k=ROUND_TRIP, tenant=tenant), made_set, made_by)
    writer = QuestionWriter(llm, seed=seed)
    made = MadeQuestions(folder, documents=len({item.source for item in queue}))
    wanted = n - round(n * unanswerable)
    failures = 0
    try:
        for passage in queue:
            if len(made_set.of_kind(answerable=True)) >= wanted or made.asked >= TRIES_EACH * n:
                break
            if passage.id in made_set.tried:
                continue
            try:
                reply = writer.ask(passage)
                failures = 0
            except ModelError:
                failures += 1
                if failures >= FAILURES:
                    raise
                continue
            made.asked += 1
            sieve.take_reply(passage, reply)
            tell("questions", len(made_set.of_kind(answerable=True)), wanted)
        sieve.make_unanswerable(n - wanted, passages, seed=seed)
    finally:  # an interrupt leaves a whole set too
        answerable = made_set.of_kind(answerable=True)
        made.answerable, made.unanswerable = len(answerable), len(made_set.of_kind(answerable=False))
        made.rejected = Counter(outcome for outcome in made_set.tried.values() if outcome != KEPT)
        made.sources = len({str(row.get("source", "")) for row in answerable})
        made_set.write_readme(made=made, made_by=made_by)
    return made


@dataclass(frozen=True, slots=True)
class _Sieve:
    """Keeps a question that passes, and notes why another one did not."""

    retriever: KnowledgeBaseRetriever
    made_set: SetFolder
    made_by: str

    def take_reply(self, passage: Passage, reply: str) -> None:
        """Keeps the question of a reply that passes the round trip."""
        found = read_reply(reply, passage.text, passage.context)
        if isinstance(found, str):
            self.made_set.note(passage.id, found, reply)
            return
        question, answer = found
        if normalize(question) in {normalize(str(row.get("question", ""))) for row in self.made_set.questions}:
            self.made_set.note(passage.id, "asked before", reply)
            return
        nodes = self.retriever.retrieve(question)
        if passage.id not in _ids(nodes):
            self.made_set.note(passage.id, f"passage not among the first {ROUND_TRIP} found", reply)
            return
        quote = _sentence_with(passage.text, answer)
        # An overlapping chunk that holds the same sentence answers as well.
        others = _ids(item for item in nodes if quote and quote in item.node.get_content())
        row = {
            "id": _question_id(passage),
            "question": question,
            "answers": [answer],
            "passage_ids": list(dict.fromkeys([passage.id, *others])),
            "answerable": True,
            "source": passage.source,
            "page": passage.page,
            "quote": " ".join(quote.split()),
            "made_by": self.made_by,
        }
        self.made_set.keep(row, passage.id)

    def make_unanswerable(self, wanted: int, passages: Iterable[Passage], *, seed: int) -> None:
        """Asks answerable questions about a name that occurs nowhere, in an order that the seed decides."""
        by_id = {item.id: item for item in passages}
        known = set().union(*(words_of(f"{item.context} {item.text}") for item in by_id.values()))
        rows = self.made_set.of_kind(answerable=True)
        for row in sorted(rows, key=lambda row: share_of(str(row.get("id")), seed=seed, salt="swap")):
            if len(self.made_set.of_kind(answerable=False)) >= wanted:
                return
            key = f"changed {row.get('id')}"
            of = by_id.get(str(next(iter(row.get("passage_ids", [])), "")))
            if key in self.made_set.tried or of is None or self.made_set.holds(f"{_question_id(of)}-u"):
                continue
            asked = str(row["question"])
            question = change_name(asked, f"{of.context} {of.text}", known, seed=seed)
            question = question or add_name(asked, known, seed=seed)
            if question is None:
                self.made_set.note(key, "unanswerable: no name is free", asked)
                continue
            if of.id not in _ids(self.retriever.retrieve(question)):  # too easy: an empty search would tell
                self.made_set.note(key, "unanswerable: nothing near is found", question)
                continue
            changed = {
                "id": f"{_question_id(of)}-u",
                "question": question,
                "answers": [],
                "passage_ids": [],
                "answerable": False,
                "source": of.source,
                "page": of.page,
                "made_of": asked,
                "made_by": f"{self.made_by}, about a name that occurs nowhere",
            }
            self.made_set.keep(changed, key)


def _ids(nodes: Iterable[NodeWithScore]) -> list[str]:
    return [item.node.node_id for item in nodes]


def _question_id(passage: Passage) -> str:
    """One question a passage, so its id is the passage's in short."""
    return f"mq-{hashlib.sha256(passage.id.encode()).hexdigest()[:10]}"


def _sentence_with(text: str, answer: str) -> str:
    """The sentence that the answer stands in; the whole text where none holds all of it."""
    sentences = (text[start:end] for start, end in sentence_spans(text))
    return next((sentence for sentence in sentences if contains(sentence, [answer])), text)
