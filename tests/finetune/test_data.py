"""Data: what is recognised, what is refused and how it is named, licences, and the three parts on disk."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.errors import UsageError
from ragloom.finetune.data.build import reusable, write_parts
from ragloom.finetune.data.dedup import PartFilter, row_key, texts_of
from ragloom.finetune.data.groundedness import read_claims
from ragloom.finetune.data.licences import licence_of, permits_shipping
from ragloom.finetune.data.parts import PARTS, part_of
from ragloom.finetune.data.rows import read_rows
from ragloom.finetune.data.sources import Sources, load_sources
from ragloom.finetune.options import TrainOptions, no_tell
from ragloom.models.artifacts import DataSource

OPTIONS = TrainOptions()


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(number: int, label: object = 1, **more: Any) -> dict[str, Any]:
    origin = {"set": "made", "id": str(number), "document": f"made:{number}", "licence": "MIT"}
    return {
        "question": f"Question {number}?",
        "passage": f"Passage {number}.",
        "label": label,
        "origin": origin,
        **more,
    }


def build(rows: Iterable[dict[str, Any]], out: Path, role: Any = "evaluator", **options: Any) -> Any:
    sources = (DataSource(name="made", licence="MIT", rows=0, sha256="0"),)
    key = options.pop("key", "")
    chosen = OPTIONS.updated(**options)
    return write_parts(role, rows, out, sources=sources, options=chosen, tell=no_tell, key=key)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# -- licences: the wording of the development sets


@pytest.mark.parametrize(
    ("licence", "may"),
    [
        ("CC BY 4.0", True),
        ("CC BY 4.0 (wow, cmu-dog), CDLA-Sharing-1.0 (topicalchat)", True),
        ("MIT (NOTICE lists the sources of the contexts)", True),
        ("Apache-2.0 (text: Wikipedia CC BY-SA 3.0)", True),
        ("Apache-2.0 (articles: CC BY as in CORD-19)", True),
        ("CC BY-SA 3.0 (Wikipedia, NQ); annotations by Google", True),
        ("annotations ODC-BY 1.0; text CC BY-SA and Common Crawl terms", True),
        ("MIT (data; from ParlAI), Apache-2.0 (repository)", True),
        ("public domain", True),
        ("", False),
        ("CC BY-NC-SA 4.0", False),
        ("CC BY-ND 4.0", False),
        ("SciFact data: CC BY-NC 2.0 (AllenAI); the two carrying repositories state none", False),
        ("Quora dataset terms (non-commercial use); repository MIT", False),
        ("no licence in the repository (the published set says CC BY-NC 4.0); PDFs are public SEC filings", False),
        ("the repository states none; Wikipedia text CC BY-SA", False),
        ("no licence stated (research release; CNN/DailyMail and BBC text)", False),
        ("Microsoft Research Paraphrase Corpus licence (research use)", False),
        ("as the sets it is drawn from", False),
        (
            "Glasgow IR Group test collections, distributed free for research; the repository states no licence",
            False,
        ),
        ("none stated", False),
    ],
)
def test_a_licence_permits_shipping_or_not(licence: str, may: bool) -> None:
    assert permits_shipping(licence) is may


def test_the_licence_is_a_line_of_the_readme_or_a_field(own_folder: Path) -> None:
    folder = own_folder / "set"
    folder.mkdir()
    assert licence_of(folder) == ""
    (folder / "dataset_info.json").write_text('{"license": "Apache-2.0"}')
    assert licence_of(folder) == "Apache-2.0"
    (folder / "README.md").write_text(
        "# Set\n\nThe licence is below.\n\n**Licence:** CC BY 4.0 (x)\n\n**Split:** none\n"
    )
    assert licence_of(folder) == "CC BY 4.0 (x)"
    assert licence_of(write_jsonl(folder / "items.jsonl", [{"text": "a"}])) == "CC BY 4.0 (x)"
    (folder / "README.md").write_text("License: MIT\n")
    assert licence_of(folder) == "MIT"
    assert licence_of(write_jsonl(own_folder / "alone.jsonl", [{"text": "a", "licence": "CC0"}])) == "CC0"


# -- sources


def test_each_layout_is_recognised(own_folder: Path) -> None:
    data = own_folder / "data"
    write_jsonl(data / "qa/passages.jsonl", [{"id": "p", "title": "T", "text": "It is red."}])
    write_jsonl(
        data / "qa/questions.jsonl", [{"id": "q", "question": "What?", "answers": ["red"], "passage_ids": ["p"]}]
    )
    write_jsonl(data / "ir/corpus.jsonl", [{"id": "d", "title": "", "text": "A text."}])
    write_jsonl(data / "ir/queries.jsonl", [{"id": "q", "text": "text"}])
    write_jsonl(data / "ir/qrels.jsonl", [{"query_id": "q", "doc_id": "d", "relevance": 1}])
    write_jsonl(
        data / "begin/items.jsonl", [{"context": "c", "response": "r", "grounded": value} for value in (True, False)]
    )
    write_jsonl(
        data / "intents/items.jsonl", [{"text": "hi", "intent": "greeting"}, {"text": "pay", "intent": "money"}]
    )
    trace = {"question": "What?", "answer": "Red.", "citations": [], "documents": [{"id": "p", "text": "It is red."}]}
    write_jsonl(data / "log/asked.jsonl", [trace])
    write_jsonl(
        data / "own/rows.jsonl", [{"claim": "a", "passage": "b", "label": label} for label in ("fully", "none")]
    )
    write_jsonl(data / "strange/things.jsonl", [{"a": 1}])
    found = load_sources([data])
    assert {source.name: source.kind for source in found.found} == {
        "qa": "questions",
        "ir": "retrieval",
        "begin": "claims",
        "intents": "texts",
        "asked": "traces",
        "own": "rows",
    }
    assert any("strange" in str(problem) for problem in found.problems)
    assert {source.name for source in found.data_sources()} == {"qa", "ir", "begin", "intents", "asked", "own"}


def test_what_cannot_be_used_is_named_with_file_and_line(own_folder: Path) -> None:
    folder = own_folder / "qa"
    write_jsonl(
        folder / "passages.jsonl",
        [{"id": "p", "title": "T", "text": "It is red."}, {"id": "e", "title": "T", "text": "  "}, {"text": "no id"}],
    )
    lines = [
        b'{"id": "1", "question": "What?", "answers": ["red"], "passage_ids": ["p"]}',
        b'{"id": "2", "answers": ["red"], "passage_ids": ["p"]}',
        b'{"id": "3", "question": "Caf\xe9?", "answers": ["red"]}',
        b'{"id": "4", "question": "Who?", "answers": []}',
    ]
    (folder / "questions.jsonl").write_bytes(b"\n".join(lines))
    named = [str(problem) for problem in load_sources([folder]).problems]
    expected = {
        "passages.jsonl:2": "is empty",
        "passages.jsonl:3": "no 'id'",
        "questions.jsonl:2": "no 'question'",
        "questions.jsonl:3": "not JSON",
        "questions.jsonl:4": "no answers",
    }
    for where, what in expected.items():
        assert any(where in line and what in line for line in named), (where, named)
    assert len(named) == len(expected)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no records"),
        (b'{"other": 1}\n', "no layout"),
        ("\ufeff".encode("utf-16") + '{"claim": "a"}'.encode("utf-16"), "not JSON"),
        (b'{"claim": "a", "passage": "", "label": "fully"}\n', "rows.jsonl:1: 'passage' must be a text"),
        (b'{"query": "a", "positive": 3}\n', "rows.jsonl:1: 'positive' must be a text"),
        (b'{"text": "", "label": "x"}\n', "rows.jsonl:1: no 'text'"),
    ],
)
def test_data_of_which_nothing_can_be_used_is_refused(own_folder: Path, content: bytes, said: str) -> None:
    path = own_folder / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        load_sources([path])
    assert said in str(raised.value)


def test_missing_paths_and_no_data_are_refused(own_folder: Path) -> None:
    with pytest.raises(UsageError, match="there is no"):
        load_sources([own_folder / "nowhere"])
    with pytest.raises(UsageError, match="no data"):
        load_sources([])


def test_one_class_only_is_said_before_training(own_folder: Path) -> None:
    path = write_jsonl(own_folder / "mine.jsonl", [{"text": f"text {n}", "label": "x"} for n in range(3)])
    assert "all 3 records have the label 'x'" in str(load_sources([path]).problems[0])


def test_the_same_data_is_read_once_and_equal_names_are_told_apart(own_folder: Path) -> None:
    for folder, text in (("a", "one"), ("b", "two"), ("c", "one")):
        write_jsonl(own_folder / folder / "set/items.jsonl", [{"text": text, "label": "x"}])
    found = load_sources([own_folder / name / "set" for name in ("a", "b", "c")])
    assert [source.name for source in found.found] == ["set", "b-set"]
    assert any("twice" in problem.reason for problem in found.problems)


def test_the_key_follows_data_and_settings(own_folder: Path) -> None:
    path = write_jsonl(own_folder / "mine.jsonl", [{"text": "a", "label": "x"}])
    first = load_sources([path])
    assert first.key(3) == load_sources([path]).key(3) != first.key(4)
    write_jsonl(path, [{"text": "b", "label": "x"}])
    assert load_sources([path]).key(3) != first.key(3)


def test_rows_of_a_user_are_read_by_role_and_get_the_licence_of_their_folder(own_folder: Path) -> None:
    (own_folder / "README.md").write_text("**Licence:** MIT\n")
    path = write_jsonl(own_folder / "pairs.jsonl", [{"query": "a", "positive": "b"}])
    found = load_sources([path])
    assert list(found.rows("reranker")) == []
    (only,) = found.rows("embedder")
    assert only["negatives"] == [] and only["origin"]["licence"] == "MIT" and only["origin"]["set"] == "pairs"
    problems: list[Any] = []
    assert not list(read_rows(path, "support", problems)) and problems[0].line == 1


# -- claims in their layouts


CLAIMS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "context": ({"context": "c", "response": "r", "grounded": True}, ["fully"]),
    "qags": ({"context": "c", "claim": "r", "votes": [], "grounded": False}, ["none"]),
    "wice": (
        {
            "claim": "r",
            "label": "partially_supported",
            "evidence_sentences": ["a", "b"],
            "supporting_sentence_sets": [[1]],
        },
        ["partially"],
    ),
    "climate": (
        {
            "id": "1",
            "claim": "r",
            "label": "DISPUTED",
            "evidence": [{"text": "a", "label": "SUPPORTS"}, {"text": "b", "label": "REFUTES"}],
        },
        ["fully", "none"],
    ),
    "halueval": (
        {"question": "q", "context": "c", "right_answer": "r", "hallucinated_answers": ["x", "y"]},
        ["fully", "none", "none"],
    ),
    "mtrag": ({"question": "q", "contexts": [{"text": "c"}], "response": "r", "faithfulness_median": 3}, ["partially"]),
}


@pytest.mark.parametrize("layout", CLAIMS)
def test_claims_of_each_layout(own_folder: Path, layout: str) -> None:
    record, labels = CLAIMS[layout]
    broken = {name: value for name, value in record.items() if name not in ("response", "claim", "right_answer")}
    path = write_jsonl(own_folder / layout / "items.jsonl", [record, broken])
    sources = load_sources([path])
    claims = list(read_claims(sources.found[0], []))
    assert [claim.label for claim in claims if claim.claim.strip()][: len(labels)] == labels
    assert all(claim.document for claim in claims)
    if layout == "wice":
        assert claims[0].key == (1,)
    assert any(problem.line == 2 for problem in sources.problems)


def test_scifact_claims_find_their_abstracts(own_folder: Path) -> None:
    claim = {"claim": "It cures.", "label": "SUPPORT", "cited_doc_ids": ["7", "8"]}
    verdict = {"doc_id": "7", "label": "SUPPORT", "sentences": [1]}
    folder = own_folder / "scifact"
    path = write_jsonl(folder / "claims.jsonl", [{"id": "1", **claim, "evidence": [verdict]}])
    write_jsonl(folder / "abstract_sentences.jsonl", [{"id": key, "sentences": ["One.", "Two."]} for key in "78"])
    found = list(read_claims(load_sources([path]).found[0], []))
    assert [(item.label, item.document, item.key) for item in found] == [("fully", "7", (1,)), ("none", "8", ())]


def test_a_set_drawn_from_others_is_under_their_licences(own_folder: Path) -> None:
    from ragloom.finetune.data.routes import route_rows

    data = own_folder / "data"
    for name, licence in (("squad", "CC BY-SA 4.0"), ("cast2019", "MIT"), ("closed", "CC BY-NC 4.0")):
        (data / name).mkdir(parents=True)
        (data / name / "README.md").write_text(f"**Licence:** {licence}\n")
    records = [
        {"id": str(n), "text": f"t{n}", "label": "x", "source": name}
        for n, name in enumerate(["squad", "cast", "closed", "unknown", "squad(part)"])
    ]
    path = write_jsonl(data / "routing/items.jsonl", records)
    (data / "routing/README.md").write_text("**Licence:** as the sets it is drawn from\n")
    rows = list(route_rows(load_sources([path])))
    shipped = [permits_shipping(item["origin"]["licence"]) for item in rows]
    assert shipped == [True, True, False, False, True]


# -- parts on disk


def test_rows_go_to_the_part_of_their_document(own_folder: Path) -> None:
    built = build((row(n, label=n % 2) for n in range(200)), own_folder / "out")
    assert sum(built.counts.values()) == 200 and all(built.counts.values())
    for part in PARTS:
        assert {part_of(item["origin"]["document"]) for item in read(built.files[part])} == {part}
    assert built.sources[0].rows == 200 and built.notes == ()


def test_equal_rows_are_kept_once_and_shared_texts_leave_the_train_part(own_folder: Path) -> None:
    rows = [row(n, label=n % 2) for n in range(100)]
    of_test = next(item for item in rows if part_of(item["origin"]["document"]) == "test")
    of_train = [item for item in rows if part_of(item["origin"]["document"]) == "train"]
    copied = {**of_train[0], "question": "Another?", "passage": of_test["passage"].upper()}
    built = build([*rows, dict(of_train[1]), copied], own_folder / "out")
    assert any("1 duplicates" in note for note in built.notes)
    assert any("1 rows dropped because a text" in note for note in built.notes)
    assert "Another?" not in {item["question"] for item in read(built.files["train"])}


def test_an_edited_copy_of_a_test_passage_is_found_by_its_runs_of_words(own_folder: Path) -> None:
    words = [f"word{n}" for n in range(160)]
    rows = [row(n, label=n % 2) for n in range(60)]
    held = next(item for item in rows if part_of(item["origin"]["document"]) == "test")
    train = next(item for item in rows if part_of(item["origin"]["document"]) == "train")
    held["passage"] = " ".join(words)
    train["passage"] = "Edited: " + " ".join([*words[5:100], "changed", *words[101:]])
    built = build(rows, own_folder / "out")
    assert any("runs of 13 words" in note for note in built.notes)
    assert train["passage"] not in {item["passage"] for item in read(built.files["train"])}


def test_what_is_only_found_beside_the_right_passage_keeps_nothing_out_of_training(own_folder: Path) -> None:
    rows = [row(n, label=n % 2) for n in range(60)]
    held = next(item for item in rows if part_of(item["origin"]["document"]) == "test")
    train = next(item for item in rows if part_of(item["origin"]["document"]) == "train")
    beside = {**held, "passage": train["passage"], "label": 0}
    kept = read(build([*rows, {**beside, "distractor": True}], own_folder / "a").files["train"])
    assert train["passage"] in {item["passage"] for item in kept}
    kept = read(build([*rows, beside], own_folder / "b").files["train"])
    assert train["passage"] not in {item["passage"] for item in kept}


def test_shared_negatives_are_taken_out_of_a_row_that_stays(own_folder: Path) -> None:
    def pair(number: int) -> dict[str, Any]:
        origin = row(number)["origin"]
        return {"query": f"q{number}", "positive": f"p{number}", "negatives": [], "origin": origin}

    rows = [pair(n) for n in range(60)]
    held = next(item for item in rows if part_of(item["origin"]["document"]) == "test")
    train = next(item for item in rows if part_of(item["origin"]["document"]) == "train")
    train["negatives"] = [held["positive"], "its own"]
    built = build(rows, own_folder / "out", role="embedder")
    kept = {item["query"]: item["negatives"] for item in read(built.files["train"])}
    assert kept[train["query"]] == ["its own"]


def test_limit_takes_whole_questions_of_the_train_part_by_seed(own_folder: Path) -> None:
    rows = [row(n, label=label, passage=f"P {n} {label}.", query=f"q{n}") for n in range(200) for label in (0, 1)]
    of = lambda seed: read(build(rows, own_folder / f"out{seed}", limit=40, seed=seed).files["train"])  # noqa: E731
    first, again, other = of(1), of(1), of(2)
    assert first == again != other
    assert len(first) == len(other) == 40
    assert set(Counter(item["query"] for item in first).values()) == {2}


def test_rows_with_an_equal_key_are_used_again(own_folder: Path) -> None:
    out = own_folder / "out"
    first = build([row(n, label=n % 2) for n in range(50)], out, key="a")

    def never() -> Iterable[dict[str, Any]]:
        raise AssertionError("rows were built again")
        yield {}

    again = build(never(), out, key="a")
    assert again == first and reusable("evaluator", out, key="a") == first
    assert reusable("evaluator", out, key="b") is None and reusable("reranker", out, key="a") is None
    other = build([row(n, label=n % 2) for n in range(30)], out, key="b")
    assert sum(other.counts.values()) == 30
    other.files["train"].write_text("changed\n")
    assert reusable("evaluator", out, key="b") is None


def test_an_interrupted_build_is_not_taken_for_a_whole_one(own_folder: Path) -> None:
    def dies() -> Iterable[dict[str, Any]]:
        yield row(1)
        raise KeyboardInterrupt

    build([row(n, label=n % 2) for n in range(50)], own_folder / "out", key="a")
    with pytest.raises(KeyboardInterrupt):
        build(dies(), own_folder / "out", key="b")
    assert reusable("evaluator", own_folder / "out", key="a") is None
    assert sum(build([row(n, label=n % 2) for n in range(40)], own_folder / "out", key="b").counts.values()) == 40


def test_nothing_to_train_on_is_refused(own_folder: Path) -> None:
    with pytest.raises(UsageError, match="no rows for 'evaluator'"):
        build([], own_folder / "out")
    with pytest.raises(UsageError, match=r"have the label '1'"):
        build([row(n) for n in range(50)], own_folder / "out")
    held = [row(n, label=n % 2) for n in range(90) if part_of(f"made:{n}") == "test"]
    with pytest.raises(UsageError, match="no rows are left to train"):
        build(held, own_folder / "out")


def test_a_wrong_row_of_a_builder_is_named_and_left_out(own_folder: Path) -> None:
    rows = [row(n, label=n % 2) for n in range(50)]
    built = build([{**rows[0], "passage": " "}, *rows[1:]], own_folder / "out")
    assert sum(built.counts.values()) == 49 and "record 0: 'passage' must be a text" in str(built.problems[0])


def test_empty_parts_and_absent_classes_are_noted(own_folder: Path) -> None:
    documents = [n for n in range(200) if part_of(f"made:{n}") != "dev"]
    test = [n for n in documents if part_of(f"made:{n}") == "test"]
    built = build([row(n, label=1 if n in test else n % 2) for n in documents], own_folder / "out")
    assert "the dev part is empty: too few documents" in built.notes
    assert "the test part has no row with the label 0" in built.notes


_TEXTS = st.sampled_from(["a b", "A  B!", "c", "d e f", "g", "h i", "???", "!"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(_TEXTS, _TEXTS, st.lists(_TEXTS, max_size=2), st.integers(0, 9), st.sampled_from(PARTS)), max_size=25
    )
)
def test_no_document_and_no_text_is_in_two_parts(drawn: list[tuple[str, str, list[str], int, str]]) -> None:
    rows: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    for query, positive, negatives, document, part in drawn:
        origin = {"set": "s", "id": "", "document": f"s:{document}", "licence": ""}
        rows[part].append({"query": query, "positive": positive, "negatives": negatives, "origin": origin})
    kept = PartFilter()
    left = {part: list(kept.part(rows[part])) for part in ("test", "dev", "train")}
    plain = {
        part: {" ".join(filter(str.isalnum, text.lower())) or text for item in items for text in texts_of(item)}
        for part, items in left.items()
    }
    documents = {part: {item["origin"]["document"] for item in items} for part, items in left.items()}
    for first, second in (("test", "dev"), ("test", "train"), ("dev", "train")):
        assert not plain[first] & plain[second]
        assert not documents[first] & documents[second]
    # What is measured on loses nothing but its duplicates.
    assert [row_key(item) for item in left["test"]] == list(dict.fromkeys(map(row_key, rows["test"])))


def test_gzipped_files_are_read(own_folder: Path) -> None:
    path = own_folder / "mine.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.write(json.dumps({"text": "a", "label": "x"}) + "\n")
    found: Sources = load_sources([path])
    assert found.found[0].name == "mine" and found.found[0].kind == "texts"
