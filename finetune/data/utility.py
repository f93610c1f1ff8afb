"""Rows for the utility critic (Self-RAG's IsUse), and for "must anything be looked up?" (Self-RAG's Retrieve).

Nobody rated these answers: the label is how an answer was made, on Self-RAG's scale of usefulness whatever the facts:

    5  a full sentence or a long answer that answers the question
    4  the right answer in as few words as it has
    3  right but incomplete: the first part of a long answer
    2  on the topic and no answer: the answer of another question over the same passage, or one that a model made up
    1  off the topic, or a refusal although there is an answer
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from ...evals.answer_sets import share_of
from ...evals.counterfactual import answer_kind
from ...evals.jsonl import scan_jsonl
from ...evals.text_metrics import f1, normalize
from ..options import Tell, no_tell
from .groundedness import read_claims
from .parts import PARTS, document_of, part_of
from .question_sets import Asked, QuestionSet, read_questions
from .routes import read_texts
from .rows import Origin, TrainingRow
from .sources import Sources
from .texts import answer_sentence, sentences_of, telling
from .traces import trace_rows

__all__ = ("NO_NEED", "retrieval_need_rows", "utility_rows")

_Item = TypeVar("_Item")
NO_NEED = frozenset({"no_retrieval", "small_talk", "meta"})
"""Labels and domains of labelled texts that need nothing looked up; every other label of a routing set does."""
FULL = 8
"""Words from which an answer is full."""
REFUSALS = (
    "I don't know.",
    "I cannot answer that.",
    "The passages do not say.",
    "I'm sorry, but I can't help with that question.",
    "There is not enough information to answer.",
    "I am not sure about this.",
)


def utility_rows(
    sources: Sources, *, limit: int | None = None, seed: int = 0, tell: Tell = no_tell
) -> Iterator[TrainingRow]:
    """{question, answer, label, made} out of question sets, HaluEval's answers and traces; `limit`: questions a set."""
    found = sources.of("questions")
    for number, source in enumerate(found):
        tell(f"answers of {source.name}", number, len(found))
        questions = read_questions(source, [])
        yield from _of_set(questions, questions.drawn(limit, seed=seed), seed)
    for source in sources.of("claims"):
        if any("hallucinated_answers" in row.fields for row in _first(scan_jsonl(source.path, []))):
            for claim in read_claims(source, []):
                document = document_of(source.name, "", claim.document)
                origin = Origin(set=source.name, id=claim.id, document=document, licence=source.licence)
                label = 2 if claim.label == "none" else 5 if len(claim.claim.split()) >= FULL else 4
                yield _row(claim.question, claim.claim, label, "made up" if label == 2 else "right", origin)
    yield from trace_rows("utility", sources)
    yield from sources.rows("utility")


def retrieval_need_rows(
    sources: Sources, *, limit: int | None = None, seed: int = 0, tell: Tell = no_tell
) -> Iterator[TrainingRow]:
    """{question, label yes|no}, in each part as many of one as of the other, drawn by seed.

    no: small talk and questions about the assistant (`no_retrieval` of a routing set, CLINC150's small_talk and meta).
    yes: the other labels of a set that has such a label, and the questions of question sets. `limit`: rows of each
    label in each part, over all sets.
    """
    yes: list[TrainingRow] = []
    no: list[TrainingRow] = []
    for source in sources.of("texts"):
        texts = list(read_texts(source, []))
        is_routing = any(item.label in NO_NEED for item in texts)
        for item in texts:
            if item.label in NO_NEED or item.domain in NO_NEED:
                no.append({"question": item.text, "label": "no", "origin": item.origin})
            elif is_routing:
                yes.append({"question": item.text, "label": "yes", "origin": item.origin})
    found = sources.of("questions")
    for number, source in enumerate(found):
        tell(f"questions of {source.name}", number, len(found))
        questions = read_questions(source, [])
        yes += [
            {"question": item.question, "label": "yes", "origin": questions.origin(item.id, item.document)}
            for item in questions.questions
        ]
    # A routing set is drawn from others: a question counts once, wherever it stands.
    yes, no = ([*{normalize(row["question"]): row for row in rows}.values()] for rows in (yes, no))
    for part in PARTS:
        of_yes, of_no = (_drawn(rows, part, seed) for rows in (yes, no))
        most = min(len(of_yes), len(of_no), *([limit] if limit else []))
        for left, right in zip(of_yes[:most], of_no[:most], strict=True):
            yield left
            yield right
    yield from sources.rows("retrieve")


def _drawn(rows: list[TrainingRow], part: str, seed: int) -> list[TrainingRow]:
    own = [row for row in rows if part_of(row["origin"]["document"]) == part]
    return sorted(own, key=lambda row: share_of(row["question"], seed=seed, salt="need"))


def _of_set(questions: QuestionSet, asked: Sequence[Asked], seed: int) -> Iterator[TrainingRow]:
    beside: dict[str, list[Asked]] = {}
    pools: dict[str, list[Asked]] = {part: [] for part in PARTS}
    for item in questions.questions:
        if _right(item):
            pools[item.part].append(item)
            for key in item.gold:
                beside.setdefault(key, []).append(item)
    for item in asked:
        if not _right(item):
            continue
        for number, (answer, label, made) in enumerate(_answers(item, questions, beside, pools[item.part], seed)):
            yield _row(item.question, answer, label, made, questions.origin(f"{item.id}.{number}", item.document))


def _answers(
    asked: Asked, questions: QuestionSet, beside: dict[str, list[Asked]], pool: list[Asked], seed: int
) -> Iterator[tuple[str, int, str]]:
    """One answer of each kind that the question allows; of wrong ones one kind, drawn by hash."""
    answer = _right(asked)
    full = _full(asked, questions)
    parts = sentences_of(full)
    if full:
        yield full, 5, "full"
    if len(parts) > 1:
        yield parts[0], 3, "incomplete"
    elif first := _first_part(answer):
        yield first, 3, "incomplete"
    if len(answer.split()) < FULL:
        yield answer, 4, "terse"
    elif asked.answers and not telling(asked.answers):
        yield asked.answers[0].strip().capitalize() + ".", 3, "yes or no alone"
    others = [
        other
        for key in asked.gold
        for other in beside.get(key, [])
        if other.id != asked.id and f1(_right(other), [answer, *asked.answers]) == 0
    ]
    if others:
        other = _draw(asked, "beside", others, seed)
        yield _full_or_terse(other, questions, seed), 2, "beside the question"
    far = [_draw(asked, f"far{number}", pool, seed) for number in range(3)] if pool else []
    far = [other for other in far if other.document != asked.document and not set(other.gold) & set(asked.gold)]
    if far and share_of(asked.id, seed=seed, salt="which") < 0.6:
        yield _full_or_terse(far[0], questions, seed), 1, "off the topic"
    else:
        yield _draw(asked, "refusal", REFUSALS, seed), 1, "refusal"


def _draw(asked: Asked, salt: str, items: Sequence[_Item], seed: int) -> _Item:
    return items[int(share_of(asked.id, seed=seed, salt=salt) * len(items))]


def _full_or_terse(asked: Asked, questions: QuestionSet, seed: int) -> str:
    full = _full(asked, questions)
    return full if full and share_of(asked.id, seed=seed, salt="full") < 0.5 else _right(asked)


def _right(asked: Asked) -> str:
    """The right answer: the first that says something, else the long one; empty where there is none."""
    long_answer = asked.fields.get("long_answer")
    known = [*telling(asked.answers), *([long_answer] if isinstance(long_answer, str) else [])]
    return known[0].strip() if asked.answerable and known else ""


def _first_part(answer: str) -> str:
    """The first of several things that an answer names; empty where it names one.

    >>> _first_part("hydrogen, helium and methane"), _first_part("May 5, 1850"), _first_part("Bread")
    ('hydrogen', '', '')
    """
    parts = [part.strip() for part in re.split(r",\s+(?:and\s+|or\s+)?|\s+and\s+", answer) if part.strip()]
    several = len(parts) > 1 and answer_kind(answer) != "date" and len(answer.split()) < 3 * FULL
    return parts[0] if several and telling(parts[:1]) and not parts[0][-1].isdigit() else ""


def _full(asked: Asked, questions: QuestionSet) -> str:
    """A whole sentence that answers: written as one, named as the rationale, or the one that holds the answer."""
    long_answers: list[Any] = [asked.fields.get("long_answer"), *asked.answers, asked.fields.get("rationale")]
    for text in long_answers:
        if isinstance(text, str) and len(text.split()) >= FULL:
            return " ".join(text.split())
    text = questions.documents[asked.gold[0]][1] if asked.gold else ""
    found = answer_sentence(text, asked.answers)
    return found if len(found.split()) >= FULL else ""


def _row(question: str, answer: str, label: int, made: str, origin: Origin) -> TrainingRow:
    return {"question": question, "answer": answer, "label": label, "made": made, "origin": origin}


def _first(rows: Iterator[Any]) -> list[Any]:
    found = next(rows, None)
    return [] if found is None else [found]
