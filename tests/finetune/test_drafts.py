"""What a drafter writes, the rows that it learns from, and how its drafts are scored."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from draft_kit import town_rows
from hypothesis import given
from hypothesis import strategies as st

from ragloom.finetune.data.drafts import draft_rows, likely_quote, question_share, shortened
from ragloom.finetune.data.parts import part_of
from ragloom.finetune.data.rows import validate
from ragloom.finetune.data.sources import Source, Sources
from ragloom.finetune.drafting import right_draft, score_drafts
from ragloom.models.drafts import ABSTENTION, Draft, parse_draft, render_draft

WORDS = st.text(st.characters(codec="utf-8"), max_size=60)
ODD = ["[1]", "a [2] [3]", "Answer: x", "Rationale: y", "**z**", ABSTENTION, "I don't know"]
SOME = st.one_of(WORDS, st.sampled_from(ODD))
REFUSALS = [
    ABSTENTION,
    "I don't know.",
    f"Answer: {ABSTENTION}",
    f"Rationale: x\n{ABSTENTION}",
    f"Rationale: x\nAnswer: {ABSTENTION}",
    f"Rationale: x\n{ABSTENTION}\nAnswer: none",
    f"Rationale: {ABSTENTION}",
]


@given(st.builds(Draft, SOME, SOME, st.lists(st.integers(-1, 1200), max_size=3).map(tuple), st.booleans()))
def test_parse_is_the_inverse_of_render(draft: Draft) -> None:
    assert parse_draft(render_draft(draft)) == draft


@given(st.one_of(st.text(), st.lists(SOME).map("\n".join)))
def test_parse_never_raises_and_settles(text: str) -> None:
    draft = parse_draft(text)
    assert parse_draft(render_draft(draft)) == draft


@pytest.mark.parametrize(
    ("text", "answer", "cited"),
    [
        ("Rationale: A. [2]\nAnswer: B", "B", (2,)),
        ("**Rationale:** A.\n**Answer:** B\nQuestion: more", "B", ()),
        ("Rationale: A. Answer: B", "B", ()),
        ("rationale: A.\nanswer:\n\n  B [1] [3]", "B", (1, 3)),
        ("B", "B", ()),
        ("A.\nAnswer: B", "B", ()),
        ("", "", ()),
    ],
)
def test_parse_reads_what_models_write(text: str, answer: str, cited: tuple[int, ...]) -> None:
    draft = parse_draft(text)
    assert (draft.answer, draft.cited, draft.abstained) == (answer, cited, False)


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_abstentions(text: str) -> None:
    assert parse_draft(text) == Draft("x" if "x" in text else "", abstained=True)


def _question_set(folder: Path) -> Sources:
    folder.mkdir()
    with (folder / "passages.jsonl").open("w") as passages, (folder / "questions.jsonl").open("w") as questions:
        for number in range(60):
            text = f"Nothing stood there. Town {number} was founded by Duke Otto{number} in spring. Later it grew."
            passages.write(json.dumps({"id": f"p{number}", "title": f"T{number}", "text": text}) + "\n")
            record = {"question": f"Who founded town {number}?", "passage_ids": [f"p{number}"]}
            one = {**record, "id": f"q{number}", "answers": [f"Duke Otto{number}"], "answerable": True}
            none = {**record, "id": f"n{number}", "question": f"Who sold town {number}?", "answers": []}
            none["answerable"] = False
            questions.write(json.dumps(one) + "\n" + json.dumps(none) + "\n")
    return Sources((Source("towns", "questions", folder, "CC0", "0"),))


def test_rows_hold_the_evidence_or_no_answer(tmp_path: Path) -> None:
    sources = _question_set(tmp_path / "towns")
    rows = list(draft_rows(sources, out=tmp_path, seed=3, hard=False))
    again = list(draft_rows(sources, out=tmp_path, seed=3, hard=False))
    assert rows == again
    share = sum(not row["answerable"] for row in rows) / len(rows)
    assert 0.1 < share < 0.3
    for row in rows:
        assert validate("drafter", row) == ""
        assert 2 <= len(row["passages"]) <= 5
        assert len(set(row["passages"])) == len(row["passages"])
        if row["answerable"]:
            assert row["rationale"] in row["passages"][row["gold"]]
            assert row["answer"] in row["rationale"]
            continue
        assert row["rationale"] and any(row["rationale"] in text for text in row["passages"]), row
        assert parse_draft(render_draft(right_draft(row))) == right_draft(row) and right_draft(row).abstained
        if row["origin"]["id"].startswith("q"):  # robbed of its gold passage
            number = row["origin"]["id"][1:]
            assert not any(f"Town {number} was" in text for text in row["passages"])
    assert len({row["gold"] for row in rows if row["answerable"]}) > 2  # not always the same place


@given(st.lists(st.sampled_from(["the mill", "Otto", "sold", "burnt down", "in 1688"]), min_size=1).map(" ".join))
def test_what_is_quoted_without_an_answer_is_as_like_the_question_as_asked_for(question: str) -> None:
    texts = ["Otto sold it. The mill burnt down in 1688.", "Nothing is known."]
    sentences = ["Otto sold it.", "The mill burnt down in 1688.", "Nothing is known."]
    for wanted in (0.0, 0.5, 1.0):
        found = likely_quote(question, texts, wanted)
        off = abs(question_share(question, found) - wanted)
        assert found in sentences and off == min(abs(question_share(question, each) - wanted) for each in sentences)


def test_no_passage_is_in_two_parts(tmp_path: Path) -> None:
    sources = _question_set(tmp_path / "towns")
    seen: dict[str, set[str]] = {}
    for row in draft_rows(sources, out=tmp_path, seed=3, hard=False):
        for text in row["passages"]:
            town = text.split("Town ")[1].split()[0] if "Town " in text else ""
            if town:
                seen.setdefault(town, set()).add(part_of(row["origin"]["document"]))
    assert len(seen) > 20
    assert all(len(parts) == 1 for parts in seen.values())


@given(st.integers(5, 60), st.integers(0, 9), st.integers(0, 100))
def test_shortened_keeps_what_it_is_put_around(words: int, at: int, seed: int) -> None:
    sentences = [f"This is sentence number {number} of the text." for number in range(10)]
    text = " ".join(sentences)
    start = text.index(sentences[at])
    piece = shortened(text, words, random.Random(seed), (start, start + len(sentences[at])))
    assert sentences[at] in piece
    assert piece in text
    assert len(piece.split()) <= max(words, len(sentences[at].split()))


def test_scores() -> None:
    answerable, not_answerable = town_rows(5)[0], town_rows(5)[4]
    right = render_draft(right_draft(answerable))
    found = score_drafts(
        [answerable, answerable, answerable, not_answerable, not_answerable],
        [right, ABSTENTION, "the year 9999", ABSTENTION, "1203"],
    )
    assert [score["right_abstention"] for score in found] == [1, 0, 1, 1, 0]
    assert (found[0]["f1"], found[0]["em"], found[0]["valid"], found[0]["quoted"], found[0]["cited"]) == (1, 1, 1, 1, 1)
    assert (found[1]["f1"], found[2]["f1"], found[2]["valid"]) == (0, 0, 0)
    assert "f1" not in found[3]


def test_a_counterfactual_row_answers_what_its_passage_says(tmp_path: Path) -> None:
    sources = _question_set(tmp_path / "towns")
    plain = {row["origin"]["id"]: row for row in draft_rows(sources, out=tmp_path, seed=3, hard=False)}
    given_ = {"out": tmp_path, "seed": 3, "hard": False, "counterfactual": 0.5}
    rows = [row for row in draft_rows(sources, **given_) if row["answerable"]]
    changed = [row for row in rows if row["answer"] != plain[row["origin"]["id"]]["answer"]]
    assert 0.25 < len(changed) / len(rows) < 0.75
    for row in changed:
        right = plain[row["origin"]["id"]]["answer"]
        assert row["answers"] == [row["answer"]]
        assert row["answer"] in row["rationale"] and row["rationale"] in row["passages"][row["gold"]]
        assert not any(right in text for text in row["passages"])
        lender = row["answer"].removeprefix("Duke Otto")
        assert part_of(plain[f"q{lender}"]["origin"]["document"]) == part_of(row["origin"]["document"])
    same = [row for row in rows if row["answer"] == plain[row["origin"]["id"]]["answer"]]
    assert all(row == plain[row["origin"]["id"]] for row in same)
