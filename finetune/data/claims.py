"""Rows for the support critic (Self-RAG's IsSup, Asai et al. 2023, arXiv 2310.11511): claim, passage, support.

Groundedness sets give rows as people labelled them. Of a question set, each question gives rows in balance:

    fully      a sentence of the passage, a long answer, the short answer beside its question
    none       the same made false (`perturb`), another answer of the same kind, or the right one with another passage
    partially  a true sentence joined with a false one

Copied sentences alone would teach word overlap: a false sentence differs from its true one in one word, and short
answers stand in no sentence of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...evals.answer_sets import share_of
from ...evals.counterfactual import answer_kind
from ...evals.text_metrics import f1, normalize
from ..options import Tell, no_tell
from .groundedness import Label, read_claims
from .mining import Mined, Piece, gold_pieces, hard_negatives, mine
from .parts import document_of
from .perturb import perturb
from .question_sets import Asked, QuestionSet, read_questions
from .rows import Origin, TrainingRow
from .sources import Sources
from .texts import answer_sentence, sentences_of, telling
from .traces import trace_rows

if TYPE_CHECKING:
    from ...models.protocols import Embedder

__all__ = ("select_evidence", "support_rows")

WORDS = 170
"""Words of a passage at most: with the claim, what fits into 256 tokens."""
LONG = 12
"""Words from which an answer is a claim of its own."""


def support_rows(
    sources: Sources,
    *,
    out: Path,
    constructed: bool = True,
    words: int | None = WORDS,
    limit: int | None = None,
    seed: int = 0,
    embedder: str | Embedder | None = None,
    tell: Tell = no_tell,
) -> Iterator[TrainingRow]:
    """{claim, passage, label, made}, with `question` where the claim needs it to be understood.

    `made` is labelled, or how the row was constructed. `constructed`: also rows out of question sets, of at most
    `limit` questions each. `words`: longer evidence is cut to the sentences nearest to the claim; None: nothing is.
    """
    for number, source in enumerate(sources.of("claims")):
        tell(f"claims of {source.name}", number, len(sources.of("claims")))
        for found in read_claims(source, []):
            origin = Origin(
                set=source.name,
                id=found.id,
                document=document_of(source.name, "", found.document),
                licence=source.licence,
            )
            passage = select_evidence(found.sentences, found.claim, key=found.key, words=words)
            yield _row(found.claim, found.question, passage, found.label, "labelled", origin)
    for source in sources.of("questions") if constructed else ():
        questions = read_questions(source, [])
        if questions.documents:
            yield from _constructed(questions, out, words, limit, seed, embedder, tell)
    yield from trace_rows("support", sources)
    yield from sources.rows("support")


def select_evidence(sentences: Sequence[str], claim: str, *, key: Sequence[int] = (), words: int | None = WORDS) -> str:
    """The evidence as one text; where it is longer than `words`, its sentences nearest to the claim in their order.

    Those of `key` are always among them. Nearness is the share of the claim's words: what is cut away is the same for
    supported and unsupported claims.
    """
    if words is None or sum(len(text.split()) for text in sentences) <= words:
        return " ".join(text.strip() for text in sentences if text.strip())
    if len(sentences) == 1:
        sentences = sentences_of(sentences[0])
    wanted = _words(claim)
    held = {index: _words(text) for index, text in enumerate(sentences)}
    order = sorted(
        held, key=lambda index: (index not in key, -len(held[index] & wanted) / (len(held[index]) + 5) ** 0.5, index)
    )
    chosen: list[int] = []
    total = 0
    for index in order:
        length = len(sentences[index].split())
        if chosen and total + length > words and index not in key:
            continue
        chosen.append(index)
        total += length
    return " ".join(sentences[index].strip() for index in sorted(chosen))


def _constructed(
    questions: QuestionSet,
    out: Path,
    words: int | None,
    limit: int | None,
    seed: int,
    embedder: str | Embedder | None,
    tell: Tell,
) -> Iterator[TrainingRow]:
    beside: dict[str, list[Asked]] = {}
    for item in questions.questions:
        for key in item.gold if item.answerable else ():
            beside.setdefault(key, []).append(item)
    asked = [item for item in questions.drawn(limit, seed=seed) if item.answerable and item.gold]
    pieces, found = mine(questions, asked, out=out, embedder=embedder, tell=tell)
    for mined in found:
        gold = gold_pieces(mined.asked, pieces, mined.ranking)
        if not gold:
            continue
        made = [
            *_of_sentence(mined.asked, questions, gold[0], words, seed),
            *_of_answer(mined, questions, gold, beside, seed),
        ]
        for number, (claim, question, passage, label, how) in enumerate(made):
            origin = questions.origin(f"{mined.asked.id}.{number}", mined.asked.document)
            yield _row(claim, question, passage, label, how, origin)


_Made = tuple[str, str, str, Label, str]
"""Claim, question, passage, label, made."""


def _of_sentence(asked: Asked, questions: QuestionSet, piece: Piece, words: int | None, seed: int) -> Iterator[_Made]:
    """A true sentence, the same made false, and both kinds joined; nothing where it cannot be made false."""
    long_answer = _long_answer(asked)
    whole = questions.documents[piece.passage][1]
    if long_answer:
        sentence, how = long_answer, "long answer"
        gold = _gold_sentences(asked)
        sentences = sentences_of(whole)
        key = [index for index, text in enumerate(sentences) if any(normalize(text) in item for item in gold)]
        passage = select_evidence(sentences, sentence, key=key, words=words)
    else:
        sentence, how, passage = _sentence(asked, piece), "sentence", piece.text
    if len(sentence.split()) < 4:
        return
    false = perturb(sentence, passage, seed=seed)
    if false is None:
        return
    yield sentence, "", passage, "fully", how
    yield false.text, "", passage, "none", false.change
    others = [
        text
        for text in sentences_of(passage)
        if len(text.split()) >= 4 and normalize(text) not in normalize(sentence) and text not in false.text
    ]
    if others:
        true = others[int(share_of(asked.id, seed=seed, salt="beside") * len(others))]
        first, second = (true, false.text) if share_of(asked.id, seed=seed, salt="order") < 0.5 else (false.text, true)
        yield f"{_closed(first)} {_closed(second)}", "", passage, "partially", "half false"


def _of_answer(
    mined: Mined, questions: QuestionSet, gold: Sequence[Piece], beside: dict[str, list[Asked]], seed: int
) -> Iterator[_Made]:
    """The short answer beside its question, and as its counterpart a wrong answer or a wrong passage, by turns."""
    asked = mined.asked
    answers = [answer for answer in telling(asked.answers) if len(answer.split()) < LONG]
    if not answers:
        return
    answer, passage = answers[0], gold[0].text
    wrong = _wrong_answer(asked, answer, passage, beside.get(gold[0].passage, []), seed)
    others = hard_negatives(mined, questions, gold, count=1, seed=seed)
    against: list[_Made] = []
    if wrong:
        against.append((wrong, asked.question, passage, "none", "wrong answer"))
    if others:
        against.append((answer, asked.question, others[0].text, "none", "other passage"))
    if against:
        yield answer, asked.question, passage, "fully", "answer"
        yield against[int(share_of(asked.id, seed=seed, salt="against") * len(against))]


def _wrong_answer(asked: Asked, answer: str, passage: str, beside: list[Asked], seed: int) -> str:
    """An answer of another question over the same passage, of the same kind as the right one, that shares no word."""
    kind, word = answer_kind(answer), _asks_with(asked.question)
    found = []
    for other in beside:
        if other.id == asked.id:
            continue
        for text in telling(other.answers)[:1]:
            alike = answer_kind(text) == kind if kind else _asks_with(other.question) == word
            if alike and len(text.split()) < LONG and f1(text, list(asked.answers)) == 0:
                found.append(text)
    # Of a name or a number there may be no other question, but others of the kind in the passage.
    if not found and kind and (changed := perturb(answer, passage, seed=seed)) and changed.in_passage and changed.new:
        found = [changed.text] if f1(changed.text, list(asked.answers)) == 0 else []
    return found[int(share_of(asked.id, seed=seed, salt="wrong") * len(found))] if found else ""


def _long_answer(asked: Asked) -> str:
    given = asked.fields.get("long_answer")
    texts = [given] if isinstance(given, str) else []
    # An answer that was copied out of a passage is a sentence of it; one that was written says it in other words.
    texts += [answer for answer in asked.answers if len(answer.split()) >= LONG]
    return " ".join(texts[0].split()) if texts else ""


def _gold_sentences(asked: Asked) -> list[str]:
    listed = asked.fields.get("gold_sentences")
    flat = [text for item in listed for text in (item if isinstance(item, list) else [item])] if listed else []
    return [normalize(str(text)) for text in flat]


def _sentence(asked: Asked, piece: Piece) -> str:
    rationale = asked.fields.get("rationale")
    if isinstance(rationale, str) and normalize(rationale) and normalize(rationale) in normalize(piece.text):
        return rationale
    starts = asked.fields.get("answer_starts")
    first = starts[0] - piece.start if isinstance(starts, list) and starts and isinstance(starts[0], int) else None
    inside = first if first is not None and 0 <= first < len(piece.text) else None
    return answer_sentence(piece.text, asked.answers, start=inside)


def _row(claim: str, question: str, passage: str, label: Label, made: str, origin: Origin) -> TrainingRow:
    row: TrainingRow = {"claim": claim.strip(), "passage": passage, "label": label, "made": made, "origin": origin}
    return {**row, "question": question} if question else row


def _asks_with(question: str) -> str:
    found = re.search(r"\b(who|where|when|which|what|why|how)\b", question.lower())
    return found[1] if found else ""


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 2}


def _closed(sentence: str) -> str:
    text = sentence.strip()
    return text if text.endswith((".", "!", "?", '"', "”")) else f"{text}."
