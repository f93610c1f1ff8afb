"""Rows for the support critic (Self-RAG's IsSup, Asai et al. 2023, arXiv 2310.11511): claim, passage, support.

Groundedness sets give rows as people labelled them. Of a question set, each question gives rows in balance:

    fully      a sentence of the passage, two of them, a long answer, the short answer beside its question
    none       the same made false (`perturb`), another answer of the same kind, or the right one with another passage
    partially  a true sentence joined with a false one

Copied sentences alone would teach word overlap: a false sentence differs from its true one in one word, and short
answers stand in no sentence of their own. What says nothing of the truth must not tell the label: whether there are two
sentences, a question or a title, and whether the claim is long, is as frequent with each label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...evals.answer_sets import share_of
from ...evals.counterfactual import answer_kind
from ...evals.text_metrics import f1, normalize
from ..options import Tell, no_tell
from .groundedness import Label, LabelledClaim, read_claims
from .mining import Mined, Piece, gold_pieces, hard_negatives, mine
from .parts import document_of
from .perturb import change_number, perturb, swap_name
from .question_sets import Asked, QuestionSet, read_questions
from .rows import Origin, TrainingRow
from .sources import Sources
from .texts import answer_sentence, holds_answer, sentences_of, telling
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
    `limit` questions each, and counterparts of short answers. `words`: longer evidence is cut to the sentences nearest
    to the claim; None: nothing is.
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
            yield _row(_Made(found.claim, found.question, passage, found.label, "labelled"), origin)
            for number, made in enumerate(_counterparts(found, passage) if constructed else ()):
                yield _row(made, Origin(**{**origin, "id": f"{found.id}.{number}"}))
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
            *_of_sentence(mined, questions, gold, words, seed),
            *_of_answer(mined, questions, gold, beside, words, seed),
        ]
        # Passages are read with their title or without: all rows of a question alike.
        titled = share_of(mined.asked.id, seed=seed, salt="title") < 0.5
        for number, row in enumerate(made):
            origin = questions.origin(f"{mined.asked.id}.{number}", mined.asked.document)
            yield _row(row if titled else row._replace(title=""), origin)


class _Made(NamedTuple):
    claim: str
    question: str
    passage: str
    label: Label
    made: str
    title: str = ""


def _counterparts(claim: LabelledClaim, passage: str) -> Iterator[_Made]:
    """Of a right answer in few words that stands beside wrong ones in whole sentences (HaluEval): the sentence that it
    stands in, which is supported, and another name or number of the passage, which is not. Length would tell else.
    """
    if claim.label != "fully" or not claim.question or len(claim.claim.split()) >= LONG:
        return
    sentence = answer_sentence(passage, [claim.claim])
    if len(sentence.split()) >= 4:
        yield _Made(sentence, claim.question, passage, "fully", "sentence")
    if wrong := _other_answer(claim.claim, passage):
        yield _Made(wrong, claim.question, passage, "none", "wrong answer")


def _of_sentence(
    mined: Mined, questions: QuestionSet, gold: Sequence[Piece], words: int | None, seed: int
) -> Iterator[_Made]:
    """A true sentence and the same made false (by turns: with another passage), or, for every other question, two true
    ones, two false ones, and one of each; nothing where it cannot be made false.
    """
    asked, piece = mined.asked, gold[0]
    whole = questions.documents[piece.passage][1]
    long_answer = _long_answer(asked)
    if long_answer:
        sentence, how = long_answer, "long answer"
        wanted = _gold_sentences(asked)
        sentences = sentences_of(whole)
        key = [index for index, text in enumerate(sentences) if any(normalize(text) in item for item in wanted)]
        passage = select_evidence(sentences, sentence, key=key, words=words)
    else:
        sentence, how, passage = _sentence(asked, piece), "sentence", piece.text
    if len(sentence.split()) < 4:
        return
    false = perturb(sentence, passage, seed=seed)
    # Nearly every sentence can be negated: half of those that nothing else changes are left out, or "not" would tell.
    if false is None or (false.new == "not" and share_of(asked.id, seed=seed, salt="not") < 0.5):
        return
    # In use a sentence is read after its question; what answers a question may be no sentence without it.
    question = asked.question if long_answer or share_of(asked.id, seed=seed, salt="asked") < 0.6 else ""
    others = [
        text
        for text in sentences_of(passage)
        if len(text.split()) >= 4 and normalize(text) not in normalize(sentence) and text not in false.text
    ]
    if others and share_of(asked.id, seed=seed, salt="two") < 0.5:
        true = others[int(share_of(asked.id, seed=seed, salt="beside") * len(others))]
        untrue = perturb(true, passage, seed=seed)
        if untrue:
            swapped = share_of(asked.id, seed=seed, salt="order") < 0.5
            mixed = (true, false.text) if share_of(asked.id, seed=seed, salt="which") < 0.5 else (untrue.text, sentence)
            yield _Made(_two(true, sentence, swapped), question, passage, "fully", f"two: {how}", piece.title)
            yield _Made(_two(*mixed, swapped), question, passage, "partially", "half false", piece.title)
            yield _Made(_two(untrue.text, false.text, swapped), question, passage, "none", "both false", piece.title)
            return
    yield _Made(sentence, question, passage, "fully", how, piece.title)
    elsewhere = hard_negatives(mined, questions, gold, count=1, seed=seed)
    if elsewhere and share_of(asked.id, seed=seed, salt="elsewhere") < 0.25:
        yield _Made(sentence, question, elsewhere[0].text, "none", "other passage", elsewhere[0].title)
    else:
        yield _Made(false.text, question, passage, "none", false.change, piece.title)


def _two(first: str, second: str, swapped: bool) -> str:
    return f"{_closed(second)} {_closed(first)}" if swapped else f"{_closed(first)} {_closed(second)}"


def _of_answer(
    mined: Mined,
    questions: QuestionSet,
    gold: Sequence[Piece],
    beside: dict[str, list[Asked]],
    words: int | None,
    seed: int,
) -> Iterator[_Made]:
    """The short answer beside its question, and as its counterpart a wrong answer or a wrong passage, by turns."""
    asked = mined.asked
    answers = [answer for answer in telling(asked.answers) if len(answer.split()) < LONG]
    if not answers:
        return
    # What needs several passages is supported by all of them together.
    answer, passage, title = answers[0], " ".join(piece.text for piece in gold), gold[0].title if len(gold) == 1 else ""
    if len(gold) > 1 and (not holds_answer(passage, answers) or (words and len(passage.split()) > words)):
        return
    wrong = _wrong_answer(asked, answer, passage, beside.get(gold[0].passage, []), seed)
    others = hard_negatives(mined, questions, gold, count=1, seed=seed)
    against: list[_Made] = []
    if wrong:
        against.append(_Made(wrong, asked.question, passage, "none", "wrong answer", title))
    if others:
        other = others[0]
        against.append(_Made(answer, asked.question, other.text, "none", "other passage", title and other.title))
    if against:
        yield _Made(answer, asked.question, passage, "fully", "answer", title)
        # Oftener the wrong answer: it stands in the passage as the right one does, the right one not in other passages.
        yield against[0 if share_of(asked.id, seed=seed, salt="against") < 0.7 else -1]


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
    if not found:
        named = _other_answer(answer, passage, seed=seed)
        found = [named] if named and f1(named, list(asked.answers)) == 0 else []
    return found[int(share_of(asked.id, seed=seed, salt="wrong") * len(found))] if found else ""


def _other_answer(answer: str, passage: str, *, seed: int = 0) -> str:
    """Another name or number of the passage, or no for yes; empty where there is none."""
    opposite = {"yes": "no", "no": "yes"}.get(normalize(answer))
    if opposite:
        return opposite
    # In a sentence of its own: alone, a capital letter makes no name.
    for change in (change_number, swap_name):
        changed = change(f"It is {answer}.", passage, seed=seed)
        if changed and changed.in_passage:
            text = changed.text.removeprefix("It is ").removesuffix(".")
            return text if f1(text, [answer]) == 0 else ""
    return ""


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


def _row(made: _Made, origin: Origin) -> TrainingRow:
    row: TrainingRow = {**made._asdict(), "claim": made.claim.strip(), "origin": origin}
    return {name: value for name, value in row.items() if value or name not in ("question", "title")}


def _asks_with(question: str) -> str:
    found = re.search(r"\b(who|where|when|which|what|why|how)\b", question.lower())
    return found[1] if found else ""


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 2}


def _closed(sentence: str) -> str:
    text = sentence.strip()
    return text if text.endswith((".", "!", "?", '"', "”")) else f"{text}."
