"""Questions made from documents: which passages, which replies pass, what is certain to be unanswerable."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragloom.evals.answer_sets import load_answer_set
from ragloom.evals.questions import add_name, change_name, choose_passages, make_questions, read_reply
from ragloom.evals.tuning.sets import load_tuning_set
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import FakeChatModel, HashEmbedding

Cli = Callable[..., Any]
CITIES = ("Vienna", "Leeds", "Porto", "Graz", "Turin", "Ghent", "Malmo", "Basel")


@pytest.fixture(autouse=True)
def own_cache(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own."""
    monkeypatch.setenv("RAGLOOM_CACHE", str(own_folder / "cache"))


def write_documents(folder: Path) -> Path:
    folder.mkdir()
    for n, city in enumerate(CITIES):
        text = (
            f"# Hotels in {city}\n\nHotels in {city} are paid up to {150 + n} euros a night when staff travel there. "
            f"Bills are sent to the finance team within ten days of the journey by whoever made it.\n"
        )
        (folder / f"{city.lower()}.md").write_text(text)
    (folder / "scrap.md").write_text("# Scrap\n\nNothing here.\n")
    (folder / "contents.md").write_text("# Contents\n\n" + "".join(f"Chapter {n} ......... {n}\n" for n in range(20)))
    return folder


@pytest.fixture
def kb(own_folder: Path) -> KnowledgeBase:
    made = KnowledgeBase("kb", embedder=HashEmbedding(size=64))
    made.ingest([write_documents(own_folder / "docs")])
    return made


def reply(messages: list[Any]) -> str:
    """As a good model answers."""
    text = str(messages[-1].text)
    city = next(city for city in CITIES if city in text)
    return f"Question: How much is paid for hotels in {city}?\nAnswer: {150 + CITIES.index(city)} euros"


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]


def test_an_answer_set_is_made(kb: KnowledgeBase, own_folder: Path) -> None:
    out = own_folder / "made"
    made = make_questions(kb, FakeChatModel(replies=reply), out, n=8, unanswerable=0.25, llm_name="fake")
    assert (made.answerable, made.unanswerable, made.sources) == (6, 2, 6)
    found = load_answer_set(out)
    assert not found.problems and len(found.questions) == 8
    for row in rows(out):
        assert row.keys() >= {"id", "question", "answers", "passage_ids", "answerable", "source", "page", "made_by"}
        if row["answerable"]:
            (passage,) = [found.documents[key][1] for key in row["passage_ids"][:1]]
            assert row["answers"][0] in passage and row["answers"][0] in row["quote"]
        else:
            assert row["answers"] == [] and row["passage_ids"] == []
            # Whatever it asks about now stands in no document.
            new = set(row["question"].split()) - set(row["made_of"].split())
            texts = " ".join(text for _, text in found.documents.values())
            assert new and all(word.strip("?") not in texts for word in new)
    assert "made from your documents" in (out / "README.md").read_text()
    assert load_tuning_set(out).answers is not None


def test_every_document_takes_its_turn(kb: KnowledgeBase, own_folder: Path) -> None:
    out = own_folder / "made"
    make_questions(kb, FakeChatModel(replies=reply), out, n=len(CITIES), unanswerable=0)
    assert len({row["source"] for row in rows(out)}) == len(CITIES)
    assert not any("scrap" in row["source"] or "contents" in row["source"] for row in rows(out))


def test_clusters_take_turns_within_a_document() -> None:
    import numpy as np

    from ragloom.evals.questions import Passage

    def passage(n: int, axis: int) -> Passage:
        vector = np.zeros(4, dtype=np.float32)
        vector[axis] = 1 + n / 100
        words = " ".join(f"word{chr(97 + n)}{chr(97 + k)}" for k in range(20))
        return Passage(f"p{n}", "one.md", 1, "", words, vector)

    passages = [passage(n, 0) for n in range(8)] + [passage(8, 1), passage(9, 2)]
    first = choose_passages(passages, 3)[:3]
    assert {int(item.vector.argmax()) for item in first} == {0, 1, 2}
    assert len(choose_passages(passages, 3)) == 10


def test_a_second_run_goes_on(kb: KnowledgeBase, own_folder: Path) -> None:
    out = own_folder / "made"
    llm = FakeChatModel(replies=reply)
    make_questions(kb, llm, out, n=3, unanswerable=0)
    lines = (out / "questions.jsonl").read_text().splitlines()
    mine = json.loads(lines[0]) | {"question": "What do hotels in this city cost at most?"}
    (out / "questions.jsonl").write_text("\n".join([json.dumps(mine), *lines[1:]]))  # edited, last line feed left out
    asked = len(llm.calls)
    made = make_questions(kb, llm, out, n=5, unanswerable=0)
    assert (len(llm.calls) - asked, made.answerable) == (2, 5)
    assert rows(out)[0] == mine
    assert len({row["id"] for row in rows(out)}) == 5


def test_an_interrupt_leaves_a_whole_set(kb: KnowledgeBase, own_folder: Path) -> None:
    llm = FakeChatModel(replies=reply)

    def tell(text: str, done: int, total: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_questions(kb, llm, own_folder / "made", n=6, tell=tell)
    assert len(load_answer_set(own_folder / "made").questions) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Question: How many days?\nAnswer: 25 days", ("How many days?", "25 days")),
        ("Sure!\n\n1. **Question:** How many days?\n   **Answer:** 25 days.", ("How many days?", "25 days")),
        ("Q: How many days?\nA: 25", ("How many days?", "25")),
        ('```json\n{"question": "How many days?", "answer": "25"}\n```', ("How many days?", "25")),
        ("Question: How many days\nAnswer: 25", "does not end in a question mark"),
        ("Question: How many days does the passage name?\nAnswer: 25", "speaks of the text"),
        ("Question: How many days?\nAnswer: 26", "answer not in the passage"),
        ("Question: Is it 25 days?\nAnswer: 25 days", "answer stands in the question"),
        ("Question: Is it so?\nAnswer: Yes", "answered by yes or no"),
        ("Question: How is it?\nAnswer: 25", "does not say what it is about"),
        ("Question: Days?\nAnswer: 25", "question too short or too long"),
        ("Question: How many days?\nAnswer: ?", "no answer, or too long"),
        ("Question: How many goats eat clover?\nAnswer: 25", "is about something else"),
        ("I cannot do that.", "no question with an answer"),
        ("", "no question with an answer"),
    ],
)
def test_replies_are_read_leniently_and_checked_strictly(text: str, expected: object) -> None:
    assert read_reply(text, "Staff get 25 days of leave.") == expected


def test_names_that_occur_nowhere() -> None:
    passage = "Hotels in Vienna are paid up to 165 euros. Use form HR-12 by March."
    changed = change_name("What is paid in Vienna?", passage, {"vienna", "lima"})
    assert changed is not None and changed.startswith("What is paid in ") and "Vienna" not in changed
    changed = change_name("What is form HR-12 for?", passage, {"hr-12"})
    assert changed is not None and changed.startswith("What is form HR-") and "HR-12" not in changed
    assert change_name("What is due in March?", passage, set()) is None
    assert change_name("What is paid after 3 days?", passage, set()) is None
    assert change_name("What does Oslo say?", passage, set()) is None  # not from the passage
    added = add_name("What is paid?", {"velmora"})
    assert added is not None and added.startswith("What is paid at ") and added.endswith("?")


@pytest.mark.parametrize("mode", ["empty", "garbage", "repeat", "malformed_json"])
def test_a_model_that_babbles(kb: KnowledgeBase, own_folder: Path, mode: Any) -> None:
    made = make_questions(kb, FakeChatModel(replies=["{}"], mode=mode), own_folder / "made", n=3)
    assert made.answerable == 0 and made.rejected.total() == made.asked > 0


def test_a_model_that_can_only_ask_gets_the_answer(kb: KnowledgeBase, own_folder: Path) -> None:
    def small(messages: list[Any]) -> str:
        if "turn a sentence" not in str(messages[0].text):
            return "The answer is: euros."
        assert [message.type for message in messages[:4]] == ["system", "human", "ai", "human"]
        city = next(city for city in CITIES if city in str(messages[-1].text))
        return f"How much is paid for hotels in {city}?\nAnd so on"

    llm = FakeChatModel(replies=small)
    made = make_questions(kb, llm, own_folder / "made", n=6, unanswerable=0)
    assert made.answerable >= 3
    assert all(row["answers"][0] in row["quote"] for row in rows(own_folder / "made"))
    # After three replies that help nobody it is no longer asked for both.
    assert sum("turn a sentence" not in prompt for prompt in llm.prompts()) == 3


def test_round_trip(kb: KnowledgeBase, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragloom.evals.questions.making.ROUND_TRIP", 1)
    llm = FakeChatModel(replies=["Question: How much is paid for hotels in Vienna?\nAnswer: euros"])
    made = make_questions(kb, llm, own_folder / "made", n=8, unanswerable=0)
    assert made.rejected["passage not among the first 1 found"] > 0
    assert all("vienna" in row["source"] for row in rows(own_folder / "made"))


# -- the command -------------------------------------------------------------------------------------------------------


def test_command(cli: Cli, own_folder: Path) -> None:
    cli.llm = FakeChatModel(replies=reply)  # type: ignore[attr-defined]
    assert cli("ingest", write_documents(own_folder / "docs")).code == 0
    told = cli("eval", "make-questions", "--out", "made", "--n", 5, "--json").json
    assert (told["answerable"], told["unanswerable"]) == (4, 1)
    assert told.keys() == {"folder", "answerable", "unanswerable", "asked", "sources", "documents", "rejected"}
    again = cli("eval", "make-questions", "--out", "made", "--n", 5)
    assert "4 answerable and 1 unanswerable" in again.out and "made/README.md" in again.err
    assert rows(Path("made"))[0]["made_by"] == "bundled:smollm2"
    # The way on: what was made is tuned on at once.
    assert cli("tune", "made", "--no-answers", "--trials", 1).code in (0, 2)


def test_bad_requests(cli: Cli, own_folder: Path) -> None:
    none = cli("eval", "make-questions", "--out", "made")
    assert none.code == 1 and "there is no knowledge base" in none.err
    Path("scrap.txt").write_text("Too little.")
    cli("ingest", "scrap.txt")
    scrap = cli("eval", "make-questions", "--out", "made")
    assert scrap.code == 2 and "no passage to make questions of" in scrap.err
    cli("ingest", write_documents(own_folder / "docs"))
    cli.llm = FakeChatModel(mode="error")  # type: ignore[attr-defined]
    gone = cli("eval", "make-questions", "--out", "made")
    assert gone.code == 1 and "Traceback" not in gone.err
    Path("made/questions.jsonl").write_text("nonsense\n")
    broken = cli("eval", "make-questions", "--out", "made")
    assert broken.code == 2 and "questions.jsonl:1" in broken.err
