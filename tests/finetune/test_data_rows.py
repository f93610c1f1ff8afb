"""Builders: what rows are made of question sets, claims, texts and traces, and the laws of what is made false."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ragloom.evals.text_metrics import normalize
from ragloom.finetune.data.build import write_parts
from ragloom.finetune.data.claims import select_evidence, support_rows
from ragloom.finetune.data.made_queries import KINDS, made_queries
from ragloom.finetune.data.mining import gold_pieces, hard_negatives, mine
from ragloom.finetune.data.pairs import embedding_rows
from ragloom.finetune.data.parts import PARTS, document_of, part_of
from ragloom.finetune.data.perturb import change_number, negate, perturb, swap_antonym, swap_name
from ragloom.finetune.data.question_sets import read_questions
from ragloom.finetune.data.relevance import LIST, relevance_rows
from ragloom.finetune.data.rows import validate
from ragloom.finetune.data.sources import Sources, load_sources
from ragloom.finetune.data.texts import answer_sentence, holds_answer, near_duplicate
from ragloom.finetune.data.utility import retrieval_need_rows, utility_rows
from ragloom.finetune.options import TrainOptions, no_tell
from ragloom.testing import HashEmbedding

EMBEDDER = HashEmbedding(size=64)
TOWNS = ["Arlon", "Bergen", "Calais", "Dover", "Essen", "Faro", "Ghent", "Huesca", "Imola", "Jerez"]


@pytest.fixture(autouse=True)
def cache(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("RAGLOOM_CACHE", str(own_folder / "cache"))
    return own_folder / "cache"


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def towns(folder: Path, articles: int = 24) -> Path:
    """Articles of two passages, each with two answerable questions and one that the passage does not answer."""
    passages, questions = [], []
    for n in range(articles):
        town = f"{TOWNS[n % 10]}{n}"
        for side in ("north", "south"):
            key = f"{town}-{side}"
            year, cost = 1700 + 3 * n + (side == "south"), 200 + 7 * n + (side == "south")
            keeper, builder = f"Ann K{n}{side[0]}", f"Tom B{n}{side[0]}"
            text = (
                f"The {side} bridge of {town} was opened in {year} by Mayor {keeper} after a long delay. "
                f"It was built for {cost} crowns by {builder}, which was more than the council had allowed. "
                f"Many people of the old market crossed the river there every morning."
            )
            passages.append({"id": key, "title": f"Bridges of {town}", "text": text})
            about = f"the {side} bridge of {town}"
            asked = [
                (f"When was {about} opened?", str(year)),
                (f"Who opened {about}?", keeper),
                (f"Who built {about}?", builder),
            ]
            for number, (question, answer) in enumerate(asked):
                questions.append(
                    {
                        "id": f"{key}-{number}",
                        "question": question,
                        "answers": [answer],
                        "answer_starts": [text.index(answer)],
                        "passage_ids": [key],
                        "answerable": True,
                    }
                )
            closed = {"id": f"{key}-no", "question": f"When was {about} closed?", "answers": [], "answerable": False}
            questions.append({**closed, "passage_ids": [key]})
    write_jsonl(folder / "passages.jsonl", passages)
    write_jsonl(folder / "questions.jsonl", questions)
    return folder


@pytest.fixture
def sources(own_folder: Path) -> Sources:
    return load_sources([towns(own_folder / "towns")])


def passages_of(sources: Sources) -> dict[str, tuple[str, str]]:
    """Text to (passage id, document)."""
    found = read_questions(sources.found[0], [])
    return {text: (key, found.document(key)) for key, (_, text) in found.documents.items()}


def test_an_article_is_in_the_same_part_in_every_set() -> None:
    assert document_of("qed", "Amazon rainforest", "1") == document_of("nq_gold", " Amazon  Rainforest", "nq-7")
    assert document_of("qed", "", "1") != document_of("nq_gold", "", "1")


# -- mining


def test_negatives_are_found_of_the_questions_own_part_and_hold_no_answer(sources: Sources, own_folder: Path) -> None:
    found = read_questions(sources.found[0], [])
    asked = [item for item in found.questions if item.answerable]
    pieces, ranked = mine(found, asked, out=own_folder / "out", embedder=EMBEDDER)
    count = 0
    for mined in ranked:
        gold = gold_pieces(mined.asked, pieces, mined.ranking)
        assert [piece.passage for piece in gold] == list(mined.asked.gold)
        for piece in hard_negatives(mined, found, gold, count=3, seed=0):
            count += 1
            assert found.part(piece.passage) == mined.asked.part
            assert piece.passage not in mined.asked.gold
            assert not holds_answer(piece.text, mined.asked.answers)
    assert count > 2 * len(asked)


def test_what_was_retrieved_is_not_retrieved_again(sources: Sources, own_folder: Path) -> None:
    found = read_questions(sources.found[0], [])
    asked = list(found.questions[:70])
    embedder = HashEmbedding(size=64)
    _, ranked = mine(found, asked, out=own_folder / "out", embedder=embedder)
    first = [next(ranked) for _ in range(3)]
    done = embedder.queries
    assert 64 <= done < 70 * 2
    ranked.close()  # type: ignore[attr-defined]
    (kept,) = (own_folder / "out/rows").glob("mined-*.jsonl")
    whole = kept.read_bytes()
    kept.write_bytes(whole + b'{"question": "torn')
    _, ranked = mine(found, asked, out=own_folder / "out", embedder=embedder)
    again = list(ranked)
    assert [item.ranking for item in again[:3]] == [item.ranking for item in first] and len(again) == 70
    assert embedder.queries - done < done
    assert kept.read_bytes().startswith(whole) and len(kept.read_text().splitlines()) == 70


def test_the_gold_of_a_long_document_is_the_chunk_that_holds_the_answer(own_folder: Path) -> None:
    folder = own_folder / "long"
    parts = [f"Section {n} speaks of topic{n} at length. " + f"filler{n} words go on here. " * 40 for n in range(12)]
    text = "\n\n".join(parts)
    start = text.index("topic7")
    write_jsonl(folder / "documents.jsonl", [{"id": "d", "title": "T", "text": text}])
    question = {"id": "q", "question": "Which?", "answers": ["topic7"], "answer_starts": [start], "doc_ids": ["d"]}
    write_jsonl(folder / "questions.jsonl", [question])
    found = read_questions(load_sources([folder]).found[0], [])
    pieces, ranked = mine(found, found.questions, out=own_folder / "out", embedder=EMBEDDER)
    assert len(pieces.of_passage["d"]) > 5
    (mined,) = ranked
    (gold,) = gold_pieces(mined.asked, pieces, mined.ranking)
    assert "topic7" in gold.text and gold.start <= start < gold.end and len(gold.text) < len(text) / 4
    # Other chunks of the same document are negatives here: it is known where the answer stands.
    others = hard_negatives(mined, found, [gold], count=3, seed=0)
    assert others and all(piece.passage == "d" and "topic7" not in piece.text for piece in others)


# -- relevance and pairs


def test_relevance_rows_are_valid_balanced_as_asked_and_the_same_again(sources: Sources, own_folder: Path) -> None:
    make = lambda **more: list(relevance_rows(sources, out=own_folder / "out", embedder=EMBEDDER, **more))  # noqa: E731
    rows = make(negatives=2, random_negatives=1)
    assert not [validate("evaluator", row) for row in rows if validate("evaluator", row)]
    made = Counter(row["made"] for row in rows)
    assert made["gold"] == 144 >= made["random"] > 140 and made["unanswerable"] == 48 and made["hard"] > 250
    assert {(row["made"] == "gold", row["label"]) for row in rows} == {(True, 1.0), (False, 0.0)}
    held = passages_of(sources)
    foreign: Counter[str] = Counter()
    for row in rows:
        own, other = part_of(row["origin"]["document"]), part_of(held[row["passage"]][1])
        # Nothing of a measured document in training; where it is measured, what it is confused with is of any document.
        assert PARTS.index(other) <= PARTS.index(own)
        assert bool(row.get("distractor")) == (own != other) and (own == other or row["made"] == "hard")
        foreign[own] += own != other
    assert not foreign["train"] and foreign["dev"] and foreign["test"]
    assert {part_of(row["origin"]["document"]) for row in make(parts=("test",))} == {"test"}
    own, other = zip(
        *((row["origin"]["document"], held[row["passage"]][1]) for row in make(untrained=True)), strict=True
    )
    assert any(part_of(a) == "train" != part_of(b) for a, b in zip(own, other, strict=True))
    assert rows == make(negatives=2, random_negatives=1) != make(negatives=2, random_negatives=1, seed=1)
    fewer = make(negatives=0, random_negatives=0, unanswerable=False, limit=10)
    assert {row["made"] for row in fewer} == {"gold"} and len(fewer) <= 10


def test_a_gold_passage_of_another_part_is_no_distractor(own_folder: Path) -> None:
    folder = own_folder / "hops"
    titles = [f"T{n}" for n in range(80)]
    part = {title: part_of(document_of("hops", title, "")) for title in titles}
    first = next(title for title in titles if part[title] == "train")
    second = next(title for title in titles if part[title] == "test")
    passages = [
        {"id": title, "title": title, "text": f"{title} is a name of a thing number {title}."} for title in titles
    ]
    write_jsonl(folder / "passages.jsonl", passages)
    question = {"id": "q", "question": f"What of {first} and {second}?", "answers": [f"number {second}"]}
    write_jsonl(folder / "questions.jsonl", [{**question, "passage_ids": [first, second]}])
    rows = list(relevance_rows(load_sources([folder]), out=own_folder / "out", embedder=EMBEDDER))
    gold = [row for row in rows if row["label"] == 1]
    assert len(gold) == 2 and not any("distractor" in row for row in rows)  # the filter has to see it


def test_a_reranker_is_measured_on_the_lists_that_were_found(sources: Sources, own_folder: Path) -> None:
    rows = list(relevance_rows(sources, out=own_folder / "out", role="reranker", embedder=EMBEDDER))
    assert {row["made"] for row in rows} == {"gold", "hard", "random"}  # "unanswerable" is the best passage there is
    found = read_questions(sources.found[0], [])
    asked = [item for item in found.questions if item.answerable and item.part == "test"]
    _, ranked = mine(found, asked, out=own_folder / "out", embedder=EMBEDDER)
    for mined in ranked:
        own = [row for row in rows if row["query"] == f"towns:{mined.asked.id}"]
        scores = {piece.text: score for piece, score in mined.ranking}
        assert all(row["first_stage"] == scores[row["passage"]] for row in own)
        if own:
            assert {row["label"] for row in own} == {0.0, 1.0} and len(own) <= LIST
            # The best that were found and hold no answer, also those above the gold.
            negatives = [text for text in scores if not holds_answer(text, mined.asked.answers)]
            best = sorted(negatives, key=lambda text: -scores[text])[: LIST // 2]
            assert len(set(best) - {row["passage"] for row in own}) <= 2  # but for near duplicates of the gold
    train = [row for row in rows if part_of(row["origin"]["document"]) == "train"]
    assert {type(row["first_stage"]) for row in train} <= {float, type(None)} and "random" in {r["made"] for r in train}


@pytest.mark.parametrize("role", ["evaluator", "reranker"])
def test_made_queries_are_of_train_passages_and_teach_no_copying(sources: Sources, own_folder: Path, role: Any) -> None:
    rows = list(relevance_rows(sources, out=own_folder / "out", role=role, embedder=EMBEDDER, made=0.5))
    assert not [validate(role, row) for row in rows if validate(role, row)]
    assert all(("first_stage" in row) == (role == "reranker") for row in rows)
    held = passages_of(sources)
    made = [row for row in rows if row["made"] in KINDS]
    assert {row["made"] for row in made} == {*KINDS}
    assert {part_of(row["origin"]["document"]) for row in made} == {"train"}
    for query in {row["query"] for row in made}:
        own = [row for row in made if row["query"] == query]
        assert {row["label"] for row in own} == {0.0, 1.0} and len({row["made"] for row in own}) == 1
        for row in own:
            kind, right = row["made"], bool(row["label"])
            if kind == "title":
                assert row["title"] == "" and (row["question"] == sources_title(sources, row, held)) == right
            elif kind == "sentence":
                assert row["question"] not in row["passage"] and (row["passage"] in held) != right
            elif right:
                assert all(word in row["passage"].lower() for word in row["question"].split())
    found = read_questions(sources.found[0], [])
    assert made_queries(found, 9) == made_queries(found, 9) and len(made_queries(found, 9)) == 9
    assert made_queries(found, 9) != made_queries(found, 9, seed=1)
    assert {one.kind for one in made_queries(found, 3)} == {*KINDS}


def sources_title(sources: Sources, row: dict[str, Any], held: dict[str, tuple[str, str]]) -> str:
    """The title of the document that a row's passage is of."""
    return read_questions(sources.found[0], []).documents[held[row["passage"]][0]][0]


def test_negatives_to_measure_on_may_stand_above_the_gold(own_folder: Path) -> None:
    folder = own_folder / "ir"
    corpus = [{"id": f"d{n}", "title": "", "text": f"word word{n} and text number{n} here"} for n in range(40)]
    write_jsonl(folder / "corpus.jsonl", corpus)
    write_jsonl(folder / "queries.jsonl", [{"id": "q", "text": "word word3 number3"}])
    write_jsonl(folder / "qrels.jsonl", [{"query_id": "q", "doc_id": "d30", "relevance": 1}])
    found = read_questions(load_sources([folder]).found[0], [])
    pieces, ranked = mine(found, found.questions, out=own_folder / "out", embedder=EMBEDDER)
    (mined,) = ranked
    gold = gold_pieces(mined.asked, pieces, mined.ranking)
    assert mined.ranking[0][0].passage == "d3"
    best = lambda **more: hard_negatives(mined, found, gold, count=1, seed=0, spread=1, **more)[0].passage  # noqa: E731
    assert best(margin=None) == "d3" != best()


def test_a_retrieval_set_gives_rows_of_queries_and_keeps_its_test_split_out(own_folder: Path) -> None:
    folder = own_folder / "ir"
    corpus = [{"id": f"d{n}", "title": f"Title {n}", "text": f"word{n} common text of a document"} for n in range(40)]
    write_jsonl(folder / "corpus.jsonl", corpus)
    write_jsonl(folder / "queries.jsonl", [{"id": f"q{n}", "text": f"word{n} common"} for n in range(8)])
    qrels = [
        {"query_id": f"q{n}", "doc_id": f"d{n}", "relevance": 1, "split": "test" if n > 5 else "train"}
        for n in range(8)
    ]
    write_jsonl(folder / "qrels.jsonl", qrels)
    sources = load_sources([folder])
    assert any("split test" in problem.reason for problem in sources.problems)
    rows = list(relevance_rows(sources, out=own_folder / "out", role="reranker", embedder=EMBEDDER, negatives=2))
    gold = [row for row in rows if row["label"] == 1]
    assert {row["question"] for row in gold} == {f"word{n} common" for n in range(6)}
    assert all(f"{row['question'].split()[0]} " in row["passage"] for row in gold)
    assert not [row for row in rows if row["label"] == 0 and f"{row['question'].split()[0]} " in row["passage"]]
    pairs = list(embedding_rows(sources, out=own_folder / "out", embedder=EMBEDDER, negatives=2))
    assert Counter(row["made"] for row in pairs) == {"question": 6}  # five words are no passage to be found by a title


def test_nothing_is_made_of_documents_that_queries_of_all_parts_share(own_folder: Path) -> None:
    folder = own_folder / "ir"
    text = "The word{n} of this document stands in a sentence of its own. " * 6
    corpus = [{"id": f"d{n}", "title": f"Title of {n}", "text": text.format(n=n)} for n in range(40)]
    write_jsonl(folder / "corpus.jsonl", corpus)
    write_jsonl(folder / "queries.jsonl", [{"id": f"q{n}", "text": f"word{n}"} for n in range(8)])
    write_jsonl(folder / "qrels.jsonl", [{"query_id": f"q{n}", "doc_id": f"d{n}", "relevance": 1} for n in range(8)])
    found = load_sources([folder])
    assert made_queries(read_questions(found.found[0], []), 5)  # there would be some
    rows = list(relevance_rows(found, out=own_folder / "out", role="reranker", embedder=EMBEDDER, made=2.0))
    assert rows and not [row for row in rows if row["made"] in KINDS]


def test_embedding_rows_of_questions_titles_and_made_questions(own_folder: Path) -> None:
    folder = towns(own_folder / "towns", 4)
    passages = [json.loads(line) for line in (folder / "passages.jsonl").read_text().splitlines()]
    passages[0]["title"] = "A title of its own"
    write_jsonl(folder / "passages.jsonl", passages)
    sources = load_sources([folder])
    ask = lambda title, text: f"What of {title}?" if "north" in text else None  # noqa: E731
    rows = list(embedding_rows(sources, out=own_folder / "out", embedder=EMBEDDER, ask=ask))
    assert not [validate("embedder", row) for row in rows if validate("embedder", row)]
    assert Counter(row["made"] for row in rows) == {"question": 24, "title": 2, "asked": 4}
    # Only a title that no other passage bears names its passage.
    assert {row["query"] for row in rows if row["made"] == "title"} == {"A title of its own", passages[1]["title"]}
    assert all(row["positive"] not in row["negatives"] for row in rows)


# -- claims


def test_support_rows_of_a_question_set_are_balanced_and_say_what_they_are(sources: Sources, own_folder: Path) -> None:
    rows = list(support_rows(sources, out=own_folder / "out", embedder=EMBEDDER))
    assert not [validate("support", row) for row in rows if validate("support", row)]
    labels = Counter(row["label"] for row in rows)
    assert labels["fully"] == labels["none"] > 100 and 0 < labels["partially"] <= labels["none"] / 2
    for row in rows:
        told = normalize(row["claim"]) in normalize(row["passage"])
        if row["made"] in ("sentence", "answer"):
            assert told and row["label"] == "fully"
        elif row["made"] not in ("wrong answer", "two: sentence"):
            assert not told and row["label"] != "fully"
    assert {"number", "name", "wrong answer", "other passage", "half false"} <= {row["made"] for row in rows}
    assert all(row["question"] for row in rows if row["made"] in ("answer", "wrong answer"))
    labelled = list(support_rows(sources, out=own_folder / "out", embedder=EMBEDDER, constructed=False))
    assert labelled == []


def test_what_says_nothing_of_the_truth_is_as_frequent_with_each_label(sources: Sources, own_folder: Path) -> None:
    rows = list(support_rows(sources, out=own_folder / "out", embedder=EMBEDDER))
    traits: dict[str, Any] = {
        "a question": lambda row: "question" in row,
        "a title": lambda row: "title" in row,
        "two sentences": lambda row: row["claim"].count(". ") > 0,
        "a long claim": lambda row: len(row["claim"].split()) > 8,
        "a sentence after its question": lambda row: "question" in row and len(row["claim"].split()) > 8,
    }
    for name, has in traits.items():
        share = {
            label: sum(map(has, own)) / len(own)
            for label in ("fully", "none")
            if (own := [row for row in rows if row["label"] == label])
        }
        assert share["fully"] == pytest.approx(share["none"], abs=0.05), name
        assert 0.05 < share["fully"] < 0.99, name
    two = Counter(row["label"] for row in rows if row["claim"].count(". ") > 0)
    assert two["fully"] == two["none"] == two["partially"] > 20


def test_short_right_answers_get_counterparts_of_the_length_of_the_wrong_ones(own_folder: Path) -> None:
    row = {
        "id": "1",
        "question": "Who opened the bridge that Ann Lee built?",
        "context": "The old bridge of Calais was opened by Tom Hall in May. It was built by Ann Lee for the council.",
        "right_answer": "Tom Hall",
        "hallucinated_answers": ["The bridge that Ann Lee built was opened by Queen Mary of Dover."],
    }
    sources = load_sources([write_jsonl(own_folder / "made.jsonl", [row])])
    rows = [(item["claim"], item["label"]) for item in support_rows(sources, out=own_folder / "out")]
    assert ("Tom Hall", "fully") in rows and (
        "The old bridge of Calais was opened by Tom Hall in May.",
        "fully",
    ) in rows
    labelled = list(support_rows(sources, out=own_folder / "out", constructed=False))
    assert [item["made"] for item in labelled] == ["labelled"] * 2


def test_what_needs_two_passages_is_claimed_of_both(own_folder: Path) -> None:
    folder = own_folder / "hops"
    passages = [
        {"id": "a", "title": "Ann Lee", "text": "Ann Lee was the mayor who opened the old bridge of Calais in spring."},
        {
            "id": "b",
            "title": "Bridge",
            "text": "The old bridge of Calais was built in 1894 for the council.",
        },
        *({"id": f"c{n}", "title": f"C{n}", "text": f"Some other bridge {n} of a mayor."} for n in range(60)),
    ]
    question = {"id": "q", "question": "When was the bridge built that Ann Lee opened?", "answers": ["1894"]}
    write_jsonl(folder / "passages.jsonl", passages)
    write_jsonl(folder / "questions.jsonl", [{**question, "passage_ids": ["a", "b"]}])
    rows = list(support_rows(load_sources([folder]), out=own_folder / "out", embedder=EMBEDDER))
    (right,) = [row for row in rows if row["made"] == "answer"]
    assert passages[0]["text"] in right["passage"] and passages[1]["text"] in right["passage"]


def test_long_answers_are_claims_of_their_own(own_folder: Path) -> None:
    folder = own_folder / "long"
    sentences = [f"Fact {n} of the report says that item{n} was moved to hall {n + 20} before noon." for n in range(40)]
    answer = "In short, item3 was moved to hall 23 and item4 was moved to hall 24 before noon on that day."
    write_jsonl(folder / "passages.jsonl", [{"id": "p", "title": "", "text": " ".join(sentences)}])
    question = {"id": "q", "question": "What moved?", "answers": [answer], "passage_ids": ["p"]}
    write_jsonl(folder / "questions.jsonl", [{**question, "gold_sentences": [[sentences[3]]]}])
    rows = list(support_rows(load_sources([folder]), out=own_folder / "out", embedder=EMBEDDER))
    assert (rows[0]["made"], rows[0]["label"]) == ("long answer", "fully")
    assert rows[0]["claim"] == answer and sentences[3] in rows[0]["passage"]
    assert len(rows[0]["passage"].split()) <= 170
    assert rows[1]["label"] == "none" and rows[1]["claim"] != answer


def test_evidence_is_cut_to_what_is_near_the_claim_and_keeps_the_key() -> None:
    sentences = [f"Sentence {n} is about topic{n} and nothing else at all." for n in range(50)]
    cut = select_evidence(sentences, "topic31 was raised", key=[4], words=40)
    assert sentences[4] in cut and sentences[31] in cut and len(cut.split()) <= 40
    assert cut.index(sentences[4]) < cut.index(sentences[31])
    assert select_evidence(sentences, "topic31", words=None) == " ".join(sentences)
    assert select_evidence([" ".join(sentences)], "topic31", words=20) == " ".join(sentences[i] for i in (0, 31))


_WORD = st.sampled_from(
    [
        *("The", "bridge", "of", "Calais", "Dover", "was", "opened", "in", "1894", "1,200", "2.5", "7", "King", "Ann"),
        *("Lee", "not", "increased", "is", "has", "been", "May", "before.", "and"),
    ]
)
_SENTENCE = st.lists(_WORD, min_size=1, max_size=14).map(" ".join)


def stands(words: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None


@settings(max_examples=150, deadline=None)
@given(_SENTENCE, _SENTENCE, st.integers(0, 3))
def test_what_is_made_false_differs_and_is_described_truly(text: str, passage: str, seed: int) -> None:
    for change in (change_number, swap_name, negate, swap_antonym):
        changed = change(text, passage, seed=seed)
        if changed is None:
            continue
        assert changed == change(text, passage, seed=seed)
        assert normalize(changed.text) != normalize(text)
        assert changed.in_passage == (bool(changed.new) and stands(changed.new, passage))
        assert not changed.new or stands(changed.new, changed.text)
        if changed.change == "name":
            assert changed.in_passage and not stands(normalize(changed.new), normalize(text))
        if changed.change == "number":
            numbers = re.findall(r"\d[\d,.]*\d|\d", text)
            assert changed.new not in numbers and changed.old in numbers
        if changed.change == "negation":
            assert abs(changed.text.split().count("not") - text.split().count("not")) == 1
    chosen = perturb(text, passage, seed=seed)
    assume(chosen)
    assert chosen and normalize(chosen.text) not in normalize(passage)


def test_numbers_and_names_come_from_the_passage_where_it_has_others() -> None:
    passage = "The hall was opened in 1894 by Ann Lee. It was sold in 1911 to Tom Hall for 40 crowns in May."
    for seed in range(10):
        number = change_number("The hall was opened in 1894.", passage, seed=seed)
        assert number and number.new == "1911"
        name = swap_name("The hall was opened by Ann Lee.", passage, seed=seed)
        assert name and name.new == "Tom Hall"
    alone = change_number("It has 25 rooms.", "It has 25 rooms.")
    assert alone and not alone.in_passage and alone.new != "25"
    assert change_number("It has rooms.", passage) is None and swap_name("it has rooms.", passage) is None
    assert negate("They arrived.") is None and negate("It may help.") is None


# -- small questions about texts


def test_answers_are_found_as_whole_words_and_yes_tells_nothing() -> None:
    assert holds_answer("It has nine rooms.", ["Nine"]) and not holds_answer("It has ninety rooms.", ["nine"])
    assert not holds_answer("Yes, it has.", ["yes"])
    text = "It opened in 1894. It closed in 1894 too."
    assert answer_sentence(text, ["1894"], start=text.rindex("1894")) == "It closed in 1894 too."
    assert answer_sentence(text, ["1900"]) == ""
    assert near_duplicate("The hall was sold in 1911.", "the hall was sold in 1911, they say")
    assert not near_duplicate("The hall was sold in 1911.", "Another house entirely was never sold.")


# -- utility and need


def test_utility_rows_have_every_grade(own_folder: Path, sources: Sources) -> None:
    folder = towns(own_folder / "many")
    questions = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    questions[0]["answers"] = ["salt, cloth and wine"]
    write_jsonl(folder / "questions.jsonl", questions)
    rows = list(utility_rows(load_sources([folder])))
    assert not [validate("utility", row) for row in rows if validate("utility", row)]
    grades = Counter(row["label"] for row in rows)
    assert grades[4] == grades[2] == grades[1] == 144 and grades[5] == 143 and grades[3] == 1
    by = {(row["question"], row["made"]): row["answer"] for row in rows}
    question = questions[0]["question"]
    assert by[question, "incomplete"] == "salt"
    assert by[question, "beside the question"] != by[question, "terse"]
    assert not [row for row in rows if "closed" in row["question"]]  # unanswerable


def test_yes_and_no_are_of_use_only_with_a_reason(own_folder: Path) -> None:
    folder = own_folder / "pub"
    long_answer = "The trial found that the drug lowered the risk of stroke."
    write_jsonl(folder / "passages.jsonl", [{"id": "p", "title": "", "text": "A trial of a drug."}])
    asked = {"id": "q", "question": "Does it?", "answer": "yes", "long_answer": long_answer, "passage_ids": ["p"]}
    write_jsonl(folder / "questions.jsonl", [asked])
    grades = {row["answer"]: row["label"] for row in utility_rows(load_sources([folder]))}
    assert grades[long_answer] == 5 and grades["Yes."] == 3


def test_need_rows_are_balanced_in_each_part(own_folder: Path, sources: Sources) -> None:
    small = [{"text": f"hello number {n}", "intent": "greeting", "domain": "small_talk"} for n in range(60)]
    small += [{"text": f"book a flight {n}", "intent": "book", "domain": "travel"} for n in range(60)]
    routing = [{"id": str(n), "text": f"who won cup {n}?", "label": "single_hop"} for n in range(30)]
    routing += [{"id": f"n{n}", "text": f"tell joke {n}", "label": "no_retrieval"} for n in range(30)]
    given = [
        write_jsonl(own_folder / "clinc/items.jsonl", small),
        write_jsonl(own_folder / "routing/items.jsonl", routing),
        own_folder / "towns",
    ]
    rows = list(retrieval_need_rows(load_sources(given)))
    assert not [row for row in rows if "flight" in row["question"]]
    for part in ("train", "dev", "test"):
        labels = Counter(row["label"] for row in rows if part_of(row["origin"]["document"]) == part)
        assert labels["yes"] == labels["no"] > 0
    assert sum(1 for row in rows if row["label"] == "no") > 70
    assert {row["label"] for row in rows if row["question"].startswith(("hello", "tell"))} == {"no"}


# -- files of rows


def test_rows_without_origin_stay_together_by_question(own_folder: Path) -> None:
    rows = [
        {"question": f"What is {n}?", "passage": f"It is {n} {k}.", "label": float(not k), "title": f"t{n}{k}"}
        for n in range(80)
        for k in range(4)
    ]
    sources = load_sources([write_jsonl(own_folder / "mine" / "rows.jsonl", rows)])
    made = list(sources.rows("reranker"))
    assert {row["origin"]["set"] for row in made} == {"mine"}  # as the manifest counts them
    parts: dict[str, set[str]] = {}
    for row in made:
        parts.setdefault(row["question"], set()).add(part_of(row["origin"]["document"]))
    assert all(len(each) == 1 for each in parts.values()) and set().union(*parts.values()) == {"train", "dev", "test"}


def test_a_document_is_in_the_same_part_whatever_its_file_is_called(own_folder: Path) -> None:
    rows = [{"question": f"Is it {n}?", "label": "yes", "document": f"manual{n}.pdf"} for n in range(60)]
    more = [{"question": f"Was it {n}?", "label": "no", "document": f"manual{n}.pdf"} for n in range(60)]
    without = [{"question": f"Will it be {n}?", "label": "yes"} for n in range(60)]
    parts: dict[str, set[str]] = {}
    for name, given_ in (("jan", rows + without), ("feb", rows + without), ("mar", more)):
        for row in load_sources([write_jsonl(own_folder / "mine" / f"{name}.jsonl", given_)]).rows("retrieve"):
            key = row.get("document") or row["question"]
            parts.setdefault(key, set()).add(part_of(row["origin"]["document"]))
    assert len(parts) == 120
    assert all(len(each) == 1 for each in parts.values())
    assert set().union(*parts.values()) == {"train", "dev", "test"}


@pytest.mark.parametrize("role", ["evaluator", "embedder"])
def test_many_questions_about_few_passages_leave_rows_to_train_on(own_folder: Path, role: Any) -> None:
    passages = [f"{town} has {n} mills, and was founded by Saint {town}." for n, town in enumerate(TOWNS * 3)]
    rows: list[dict[str, Any]] = []
    for n in range(300):
        gold, other = passages[n % 30], passages[(n * 7 + 1) % 30]
        asked = f"Who founded what has {n % 30} mills, asked {n}?"
        if role == "embedder":
            rows.append({"query": asked, "positive": gold, "negatives": [other]})
        else:
            rows += [
                {"question": asked, "passage": gold, "label": 1},
                {"question": asked, "passage": other, "label": 0},
            ]
    sources = load_sources([write_jsonl(own_folder / "mine" / "rows.jsonl", rows)])
    options = TrainOptions()
    built = write_parts(role, sources.rows(role), own_folder / "out", sources=(), options=options, tell=no_tell)
    assert built.counts["train"] > 0.4 * len(rows)
    assert all(built.counts.values())


def test_whole_numbers_may_be_written_as_pandas_writes_them(own_folder: Path) -> None:
    rows = [{"question": f"Why {n}?", "answer": f"Since {n}.", "label": float(n % 5 + 1)} for n in range(20)]
    sources = load_sources([write_jsonl(own_folder / "mine" / "rows.jsonl", rows)])
    labels = [row["label"] for row in sources.rows("utility")]
    assert labels == [n % 5 + 1 for n in range(20)]
    assert all(isinstance(label, int) for label in labels)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"answers": "4 kilograms"}, "'answers' must be a list of texts"),
        ({"answers": [7, None]}, "'answers' must be a list of texts"),
        ({"answer": " "}, "'answer' is empty, though 'answerable' is true"),
    ],
)
def test_drafts_that_teach_nonsense_are_named(changed: dict[str, Any], says: str) -> None:
    row = {
        "question": "How heavy?",
        "passages": ["It weighs 4 kg."],
        "rationale": "",
        "answer": "4 kg",
        "answerable": True,
    }
    assert validate("drafter", {**row, "answers": ["4 kg"]}) == validate("drafter", {**row, "answers": None}) == ""
    assert says in validate("drafter", {**row, **changed})


def test_a_set_with_a_label_of_no_need_is_a_routing_set(own_folder: Path) -> None:
    texts = [{"text": f"Hello {n}", "label": "no_retrieval"} for n in range(40)]
    texts += [{"text": f"Where is {n}?", "label": "lookup"} for n in range(40)]
    sources = load_sources([write_jsonl(own_folder / "mine" / "texts.jsonl", texts)])
    assert {row["label"] for row in retrieval_need_rows(sources)} == {"yes", "no"}
