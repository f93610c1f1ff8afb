"""Sets that people wrote: both layouts, splits, and bad records that are named with file and line and left out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ragloom.errors import UsageError
from ragloom.evals.answer_sets import load_answer_set
from ragloom.evals.datasets import RetrievalSet, load_retrieval_set

CORPUS = [{"id": "d1", "title": "Leave", "text": "25 days."}, {"id": "d2", "title": "", "text": "Hotels in Vienna."}]
QUERIES = [{"id": "q1", "text": "days of leave"}, {"id": "q2", "text": "hotels"}]
QRELS = [{"query_id": "q1", "doc_id": "d1", "relevance": 1}, {"query_id": "q2", "doc_id": "d2", "relevance": 2}]
Files = dict[str, Iterable[Any]]


def jsonl(rows: Iterable[Any]) -> str:
    """A text is a line as it stands, anything else a line of JSON."""
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes a set: `corpus`, `queries` and `qrels` are lists of rows; None leaves a file out."""

    def write(**files: Iterable[Any] | None) -> Path:
        folder = tmp_path / "leave"
        folder.mkdir()
        for stem, rows in {"corpus": CORPUS, "queries": QUERIES, "qrels": QRELS, **files}.items():
            if rows is not None:
                (folder / f"{stem}.jsonl").write_text(jsonl(rows), encoding="utf-8")
        return folder

    return write


def told(found: RetrievalSet) -> list[str]:
    """Problems as FILE:LINE: REASON, the file without its folders."""
    return [str(problem).rsplit("/", 1)[-1] for problem in found.problems]


def test_our_layout(make: Callable[..., Path]) -> None:
    found = load_retrieval_set(make())
    assert found.name == "leave"
    assert found.documents == {"d1": ("Leave", "25 days."), "d2": ("", "Hotels in Vienna.")}
    assert found.queries == {"q1": "days of leave", "q2": "hotels"}
    assert found.qrels == {"q1": {"d1": 1}, "q2": {"d2": 2}}
    assert found.problems == ()


def test_gzipped(make: Callable[..., Path]) -> None:
    folder = make()
    for stem in ("corpus", "queries", "qrels"):
        plain = folder / f"{stem}.jsonl"
        (folder / f"{stem}.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    assert load_retrieval_set(folder).queries == {"q1": "days of leave", "q2": "hotels"}


def beir(folder: Path) -> Path:
    """BEIR's layout: `_id`, numbers as ids, a TSV of judgements for every split."""
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(jsonl({**row, "_id": row["id"], "metadata": {}} for row in CORPUS))
    (folder / "queries.jsonl").write_text(jsonl([{"_id": 1, "text": "leave"}, {"_id": 2, "text": "hotels"}]))
    head = "query-id\tcorpus-id\tscore\n"
    (folder / "qrels" / "test.tsv").write_text(f"{head}1\td1\t1\n1\td2\t0\n")
    (folder / "qrels" / "train.tsv").write_text(f"{head}2\td2\t2\n")
    return folder


def test_beir_layout(tmp_path: Path) -> None:
    folder = beir(tmp_path / "beir")
    assert load_retrieval_set(folder).qrels == {"1": {"d1": 1}}
    assert load_retrieval_set(folder, split="train").qrels == {"2": {"d2": 2}}
    with pytest.raises(UsageError, match=r"there is no .*dev\.tsv.*choose another --split"):
        load_retrieval_set(folder, split="dev")


def test_bad_rows_of_a_tsv_are_named(tmp_path: Path) -> None:
    folder = beir(tmp_path / "beir")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\td1\tone\n1\n1\td1\t1\n")
    found = load_retrieval_set(folder)
    assert found.qrels == {"1": {"d1": 1}}
    assert [text[: len("test.tsv:2")] for text in told(found)] == ["test.tsv:2", "test.tsv:3"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_split_in_rows_of_qrels(make: Callable[..., Path], split: str) -> None:
    """As in SciFact: the judgement says which half it belongs to."""
    qrels = [{**row, "split": name} for row, name in zip(QRELS, ("train", "test"), strict=True)]
    found = load_retrieval_set(make(qrels=qrels), split=split)
    assert list(found.queries) == [{"train": "q1", "test": "q2"}[split]]
    assert list(found.qrels) == list(found.queries)


def test_split_in_rows_of_queries(make: Callable[..., Path]) -> None:
    queries = [{**row, "split": name} for row, name in zip(QUERIES, ("train", "test"), strict=True)]
    folder = make(queries=queries)
    assert list(load_retrieval_set(folder).queries) == ["q1", "q2"]
    assert list(load_retrieval_set(folder, split="test").queries) == ["q2"]
    with pytest.raises(UsageError, match="has no judged queries in split 'dev'"):
        load_retrieval_set(folder, split="dev")


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        ({"corpus": [*CORPUS, '{"id": "d3", "text": "cut']}, ["corpus.jsonl:3: not JSON"]),
        ({"corpus": ["[1, 2]", "null", *CORPUS]}, ["corpus.jsonl:1: not a JSON object", "corpus.jsonl:2: not a JSON"]),
        ({"corpus": [*CORPUS, {"text": "whose?"}]}, ["corpus.jsonl:3: no 'id'"]),
        ({"corpus": [*CORPUS, {"id": "d1", "text": "other"}]}, ["corpus.jsonl:3: duplicate id 'd1': the first"]),
        ({"queries": [*QUERIES, {"id": "q1", "text": "other"}]}, ["queries.jsonl:3: duplicate id 'q1': the first"]),
        ({"queries": [*QUERIES, {"id": "q3", "text": " "}]}, ["queries.jsonl:3: no 'text'"]),
        ({"queries": [*QUERIES, {"text": "whose?"}]}, ["queries.jsonl:3: no 'id'"]),
        ({"qrels": [{"query_id": "q1"}, *QRELS]}, ["qrels.jsonl:1: needs query_id, doc_id and a whole number"]),
        ({"qrels": [*QRELS, {**QRELS[0], "relevance": "much"}]}, ["qrels.jsonl:3: needs query_id, doc_id and a whole"]),
        ({"qrels": [*QRELS, {**QRELS[0], "relevance": None}]}, ["qrels.jsonl:3: needs query_id, doc_id and a whole"]),
    ],
)
def test_bad_records_are_named_and_left_out(make: Callable[..., Path], files: Files, problems: list[str]) -> None:
    found = load_retrieval_set(make(**files))
    assert found.queries == {"q1": "days of leave", "q2": "hotels"}
    assert found.documents == {"d1": ("Leave", "25 days."), "d2": ("", "Hotels in Vienna.")}
    assert found.qrels == {"q1": {"d1": 1}, "q2": {"d2": 2}}
    assert len(found.problems) == len(problems)
    assert all(text.startswith(begins) for text, begins in zip(told(found), problems, strict=True))


def test_bytes_that_are_no_text_are_named(make: Callable[..., Path]) -> None:
    folder = make()
    with (folder / "corpus.jsonl").open("ab") as stream:
        stream.write(b'{"id": "d3", "text": "\xff\xfe"}\n\xef\xbb\xbf{"id": "d4", "text": "fine"}\n')
    found = load_retrieval_set(folder)
    assert list(found.documents) == ["d1", "d2", "d4"]
    assert [text.split(":")[1] for text in told(found)] == ["3"]


def test_other_line_separators_are_text(make: Callable[..., Path]) -> None:
    folder = make()
    text = "one\u2028two\u0085three"
    (folder / "corpus.jsonl").write_text(json.dumps({"id": "d1", "text": text}, ensure_ascii=False), encoding="utf-8")
    assert load_retrieval_set(folder).documents["d1"] == ("", text)


@pytest.mark.parametrize("stem", ["corpus", "queries", "qrels"])
def test_a_file_that_is_missing(make: Callable[..., Path], stem: str) -> None:
    with pytest.raises(UsageError, match=f"has no {stem}.jsonl .needed: corpus, queries and qrels"):
        load_retrieval_set(make(**{stem: None}))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"corpus": []}, "has no documents"),
        ({"queries": []}, "has no judged queries"),
        ({"qrels": []}, "has no judged queries"),
        ({"qrels": [{"query_id": "q9", "doc_id": "d1", "relevance": 1}]}, "has no judged queries"),
        ({"qrels": [{"query_id": "q1", "doc_id": "d1", "relevance": 0}]}, "has no judged queries"),
        ({"corpus": ["{"]}, r"has no documents .first problem: .*corpus\.jsonl:1: not JSON"),
    ],
)
def test_nothing_usable_left(make: Callable[..., Path], files: Files, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        load_retrieval_set(make(**files))


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"has no corpus\.jsonl"):
        load_retrieval_set(tmp_path / "empty")
    for name in ("nowhere", "file"):
        with pytest.raises(UsageError, match="there is no folder"):
            load_retrieval_set(tmp_path / name)


def damaged(how: str) -> bytes:
    whole = gzip.compress(jsonl({"id": f"d{n}", "text": f"{n * n} days"} for n in range(500)).encode(), mtime=0)
    if how == "cut":
        return whole[: len(whole) // 2]
    if how == "not gzip":
        return b"plain text"
    if how == "no deflate":
        return whole[:10] + b"\xff" * 40 + whole[50:]
    middle = len(whole) // 2
    return whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle : middle + 40]) + whole[middle + 40 :]


@pytest.mark.parametrize("how", ["cut", "not gzip", "flipped bits", "no deflate"])
def test_a_damaged_gzip_is_named(make: Callable[..., Path], how: str) -> None:
    folder = make(corpus=None)
    (folder / "corpus.jsonl.gz").write_bytes(damaged(how))
    with pytest.raises(UsageError, match=r"corpus\.jsonl\.gz' is damaged"):
        load_retrieval_set(folder)


def test_judgements_of_unknown_documents_are_named(make: Callable[..., Path]) -> None:
    """Such a document can never be found: it stays a miss, and the reader has to know."""
    found = load_retrieval_set(make(qrels=[*QRELS, {"query_id": "q1", "doc_id": "d9", "relevance": 1}]))
    assert [text for text in told(found) if text.startswith("qrels.jsonl:3:") and "d9" in text]


def test_an_endless_relevance_is_named(make: Callable[..., Path]) -> None:
    found = load_retrieval_set(make(qrels=[*QRELS, '{"query_id": "q1", "doc_id": "d2", "relevance": Infinity}']))
    assert told(found)[0].startswith("qrels.jsonl:3: needs query_id")


def test_bytes_in_a_tsv_that_are_no_text_are_named(tmp_path: Path) -> None:
    folder = beir(tmp_path / "beir")
    (folder / "qrels" / "test.tsv").write_bytes(b"query-id\tcorpus-id\tscore\n\xff\td1\t1\n1\td1\t1\n")
    assert load_retrieval_set(folder).qrels == {"1": {"d1": 1}}


def test_a_tsv_with_a_byte_order_mark(tmp_path: Path) -> None:
    folder = beir(tmp_path / "beir")
    path = folder / "qrels" / "test.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_retrieval_set(folder).qrels == {"1": {"d1": 1}}


def test_half_a_surrogate_as_id(make: Callable[..., Path]) -> None:
    odd = "q\ud800"
    queries, qrels = [*QUERIES, {"id": odd, "text": "leave"}], [*QRELS, {**QRELS[0], "query_id": odd}]
    assert len(load_retrieval_set(make(queries=queries, qrels=qrels)).limited(2).queries) == 2


def test_limits_are_always_the_same_queries(make: Callable[..., Path]) -> None:
    queries = [{"id": f"q{n}", "text": f"query {n}"} for n in range(50)]
    qrels = [{"query_id": f"q{n}", "doc_id": "d1", "relevance": 1} for n in range(50)]
    found = load_retrieval_set(make(queries=queries, qrels=qrels))
    few, more = found.limited(5), found.limited(20)
    assert list(few.queries) == list(more.queries)[:5]
    assert few.qrels.keys() == few.queries.keys()
    assert found.limited(50) is found
    assert found.limited(None) is found


def test_an_answer_set_is_a_retrieval_set_too(tmp_path: Path) -> None:
    passages = [{"id": "p1", "title": "", "text": "25 days."}, {"id": "p2", "title": "", "text": "Soup."}]
    questions: list[Any] = [
        {"id": "1", "question": "How many?", "answers": ["25"], "passage_ids": ["p1"]},
        {"id": "2", "question": "Why?", "answers": [], "passage_ids": ["p1"], "answerable": False},
        {"id": "1", "question": "Again?", "answers": ["25"], "passage_ids": ["p1"]},
        {"id": "3", "question": "Where?", "answers": ["here"], "passage_ids": ["p9"]},
        "{",
    ]
    (tmp_path / "passages.jsonl").write_text(jsonl(passages))
    (tmp_path / "questions.jsonl").write_text(jsonl(questions))
    found = load_answer_set(tmp_path)
    assert [(problem.line, problem.reason.split(":")[0]) for problem in found.problems] == [
        (3, "duplicate id '1'"),
        (4, "passage 'p9' is not in the corpus"),
        (5, "not JSON"),
    ]
    assert found.retrieval_set().qrels == {"1": {"p1": 1}}


def test_a_field_without_end_in_a_tsv_is_named(tmp_path: Path) -> None:
    folder = beir(tmp_path / "beir")
    path = folder / "qrels" / "test.tsv"
    path.write_text(path.read_text() + '"' + "1\td1\t1\n" * 30_000)
    with pytest.raises(UsageError, match=r"test\.tsv' is damaged at line \d+: field larger"):
        load_retrieval_set(folder)


def test_two_judgements_of_one_document(make: Callable[..., Path]) -> None:
    found = load_retrieval_set(make(qrels=[*QRELS, QRELS[0], {**QRELS[1], "relevance": 1}]))
    assert found.qrels == {"q1": {"d1": 1}, "q2": {"d2": 2}}
    assert told(found) == ["qrels.jsonl:4: relevance 1, but 2 before: the first one counts"]
