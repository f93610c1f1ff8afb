"""Questions about tables: what is looked up becomes rows, and what is not does not."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ragloom.errors import UsageError
from ragloom.evals.text_metrics import contains
from ragloom.finetune.data.drafts import draft_rows
from ragloom.finetune.data.parts import part_of
from ragloom.finetune.data.rows import validate
from ragloom.finetune.data.sources import load_sources
from ragloom.finetune.data.table_rows import MADE_ID, find_lookup, made_lookups
from ragloom.finetune.data.tables import Table, TableQuestion, read_tables
from ragloom.finetune.span_training import answer_span

ROOMS = Table(
    "rooms",
    "Meeting rooms",
    ("Room", "Office", "Seats", "Booked by"),
    (("Barometer", "Leeds", "12", "app"), ("Föhn", "Graz", "10", "app"), ("Nortada", "Lisbon", "8", "reception")),
)


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def town_tables(folder: Path, count: int = 40) -> Path:
    """Tables of towns, each with four rows and two questions, one of which must be counted."""
    dice = random.Random(1)
    tables, questions = [], []
    for number in range(count):
        rows = [[f"Town{number}{at}", str(dice.randint(10000, 99999)), f"Mayor {dice.random():.6f}"] for at in range(4)]
        header = ["Town", "Inhabitants", "Led by"]
        tables.append({"id": f"t{number}", "title": f"Towns of county {number}", "header": header, "rows": rows})
        questions += [
            {
                "id": f"a{number}",
                "question": f"who leads {rows[2][0]}?",
                "answers": [rows[2][2]],
                "table_id": f"t{number}",
            },
            {"id": f"b{number}", "question": "how many towns are there?", "answers": ["4"], "table_id": f"t{number}"},
        ]
    write(folder, "tables.jsonl", tables)
    write(folder, "train.jsonl", questions)
    write(folder, "dev.jsonl", [{**row, "id": f"dev-{row['id']}"} for row in questions])
    return folder


def looked_up(folder: Path) -> dict[str, str]:
    """Id of every question that may be made of the folder of `town_tables`, and the cell that answers it."""
    found = {}
    for line in (folder / "tables.jsonl").read_text(encoding="utf-8").splitlines():
        table = json.loads(line)
        found["a" + table["id"][1:]] = table["rows"][2][2]
        places = [(row, column) for row in range(len(table["rows"])) for column in range(len(table["header"]))]
        found |= {f"{MADE_ID}{table['id']}:{row}:{column}": table["rows"][row][column] for row, column in places}
    return found


@pytest.mark.parametrize(
    ("question", "answer", "place"),
    [
        ("How many seats has Nortada?", "8", (2, 2)),
        ("Who books the room in Lisbon?", "reception", (2, 3)),
        ("Which room is in Graz?", "Föhn", (1, 0)),
        ("Which room has the most seats?", "Barometer", None),  # compared: no other cell of the row is named
        ("What is the difference in seats between Barometer and Föhn?", "2", None),
        ("How many rooms does the app book in all?", "2", None),
        ("What colour is Nortada?", "red", None),
        ("How many of the rooms are like Barometer?", "12", None),  # a count, which stands in a cell by chance
    ],
)
def test_only_what_is_looked_up_is_found(question: str, answer: str, place: tuple[int, int] | None) -> None:
    found = find_lookup(ROOMS, TableQuestion("q", question, (answer,), "rooms"))
    assert (found and (found.row, found.column)) == place


def test_a_question_with_two_answers_is_left_out() -> None:
    assert (
        find_lookup(ROOMS, TableQuestion("q", "Who works in Leeds and Graz?", ("Barometer", "Föhn"), "rooms")) is None
    )


def test_made_questions_name_a_row_and_a_column() -> None:
    made = made_lookups(ROOMS, seed=3)
    assert made
    assert made == made_lookups(ROOMS, seed=3)
    for each in made:
        row = ROOMS.rows[each.row]
        assert each.answers == (row[each.column],)
        assert any(cell in each.question for at, cell in enumerate(row) if at != each.column)
    numbers = Table("n", "", ("Year", "Sum"), (("2019", "5"), ("2020", "6")))
    assert made_lookups(numbers, seed=3) == []  # nothing names its rows


def test_rows_point_at_the_cell(tmp_path: Path) -> None:
    sources = load_sources([town_tables(tmp_path / "towns")])
    rows = list(draft_rows(sources, out=tmp_path, seed=0, unanswerable=0.25))
    assert rows == list(draft_rows(sources, out=tmp_path, seed=0, unanswerable=0.25))
    people = [row for row in rows if not row["origin"]["id"].startswith("made")]
    assert len(people) == 40
    assert len(rows) > 200
    assert 0.1 < sum(not row["answerable"] for row in rows) / len(rows) < 0.4
    cells = looked_up(tmp_path / "towns")
    for row in rows:
        assert not validate("reader", row)
        gold = row["passages"][row["gold"]] if row["answerable"] else ""
        beside = [text for number, text in enumerate(row["passages"]) if number != row["gold"]]
        assert not any(contains(text, [cells[row["origin"]["id"]]]) for text in beside)
        span = answer_span(row)
        if row["answerable"]:
            assert span is not None
            assert gold[span[0] - 2 : span[1] + 2] == f"| {row['answer']} |"
            assert row["rationale"] in gold
            assert "| Town | Inhabitants | Led by | | --- | --- | --- |" in gold
    parts: dict[str, set[str]] = {}
    for row in rows:
        for title in row["titles"]:  # what stands beside the gold is of the same part
            parts.setdefault(title, set()).add(part_of(row["origin"]["document"]))
    assert all(len(found) == 1 for found in parts.values())


def test_a_row_that_answers_by_one_letter_stands_in_no_passage_beside(tmp_path: Path) -> None:
    towns = [f"{first}{second}ham" for first in ("Ba", "Do", "Ki") for second in "bdfgklmnpr"]
    tables, asked = [], []
    for number, town in enumerate(towns):
        rows = [
            [f"{pupil} {town}", "ABCDEF"[at % 6]] for at, pupil in enumerate(("Ada", "Bo", "Cleo", "Dan", "Eve", "Hal"))
        ]
        tables.append({"id": f"t{number}", "header": ["Pupil", "Grade"], "rows": rows})
        asked.append({"question": f"What grade has Eve {town}?", "answer": "E", "table_id": f"t{number}"})
    write(tmp_path / "grades", "tables.jsonl", tables)
    write(tmp_path / "grades", "questions.jsonl", asked)
    made = draft_rows(load_sources([tmp_path / "grades"]), out=tmp_path, seed=0, unanswerable=0.5)
    people = [row for row in made if row["question"].startswith("What grade has Eve")]
    assert {row["answerable"] for row in people} == {True, False}
    for row in people:
        line = f"| {row['question'].removeprefix('What grade has ').strip('?')} | E |"
        assert sum(line in text for text in row["passages"]) == row["answerable"]


def test_a_cell_with_a_bar_is_a_cell(tmp_path: Path) -> None:
    rows = [[f"A|{n}", f"{n}{n}|x"] for n in range(20)]
    write(tmp_path / "bars", "tables.jsonl", [{"id": "t", "header": ["Pair", "Code"], "rows": rows}])
    asked = [{"question": f"What code has A|{n}?", "answer": f"{n}{n}|x", "table_id": "t"} for n in range(20)]
    write(tmp_path / "bars", "questions.jsonl", asked)
    found = list(draft_rows(load_sources([tmp_path / "bars"]), out=tmp_path, seed=0, unanswerable=0.0))
    assert "11\\|x" in {row["answer"] for row in found}
    assert all(row["rationale"] in row["passages"][row["gold"]] for row in found)


def test_tables_that_are_left_for_measuring_are_in_no_row(tmp_path: Path) -> None:
    folder = town_tables(tmp_path / "towns")
    lines = (folder / "train.jsonl").read_text().splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines[20:]))  # the first ten tables are asked about in dev.jsonl alone
    rows = list(draft_rows(load_sources([folder]), out=tmp_path, seed=0))
    assert len(rows) > 100
    left = {f"Towns of county {number}" for number in range(10)}
    assert not left & {title for row in rows for title in row["titles"]}


def test_people_s_questions_come_before_made_ones(tmp_path: Path) -> None:
    sources = load_sources([town_tables(tmp_path / "towns")])
    rows = list(draft_rows(sources, out=tmp_path, seed=0, limit=30))
    assert len(rows) == 30
    assert not any(row["origin"]["id"].startswith("made") for row in rows)


def test_long_tables_are_cut_around_the_row_and_keep_their_header(tmp_path: Path) -> None:
    rows = [[f"Item{at}", f"{at * 7919 % 100003} euros", "a remark of some words that is long"] for at in range(200)]
    write(tmp_path / "long", "tables.jsonl", [{"id": "1", "header": ["Item", "Price", "Remark"], "rows": rows}])
    asked = [
        {"question": f"price of {row[0]}?", "answers": [row[1]], "table_id": "1", "id": str(at)}
        for at, row in enumerate(rows)
    ]
    write(tmp_path / "long", "questions.jsonl", asked)
    rows_made = list(draft_rows(load_sources([tmp_path / "long"]), out=tmp_path, seed=0, unanswerable=0))
    assert len(rows_made) > 100
    for row in rows_made:
        gold = row["passages"][row["gold"]]
        assert gold.startswith("| Item | Price | Remark | | --- |")
        assert len(gold.split()) < 300
        assert row["rationale"] in gold


def test_the_other_layout(tmp_path: Path) -> None:
    table = [["", "2019", "2018"], ["Sales", "$ 5,686", "6,092"], ["Service cost", "914", "918"], ["", "", ""]]
    context = {"id": "c", "table": table, "paragraphs": [{"order": 1, "text": "In millions of dollars."}]}
    write(tmp_path / "money", "contexts.jsonl", [context])
    question = {"id": "q", "question": "What was the service cost in 2018?", "answer": ["918"], "context_id": "c"}
    write(tmp_path / "money", "questions.jsonl", [question])
    tables, questions = read_tables(tmp_path / "money", [])
    assert tables["c"].rows == (("Sales", "$ 5,686", "6,092"), ("Service cost", "914", "918"))
    assert tables["c"].around == ("In millions of dollars.",)
    found = find_lookup(tables["c"], questions[0])
    assert found is not None
    assert (found.row, found.column) == (1, 2)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    folder = town_tables(tmp_path / "towns", 3)
    with (folder / "tables.jsonl").open("a") as stream:
        stream.write('{"id": "empty", "header": ["a"], "rows": []}\nno json\n')
        stream.write('{"id": "t1", "header": ["a"], "rows": [["b"]]}\n')
    with (folder / "train.jsonl").open("a") as stream:
        stream.write('{"id": "x", "question": "who?", "answers": ["y"], "table_id": "t99"}\n')
        stream.write('{"id": "z", "question": "", "answers": ["y"], "table_id": "t1"}\n')
        stream.write('{"id": "a0", "question": "who leads Town02?", "answers": ["y"], "table_id": "t0"}\n')
    problems = [str(problem) for problem in load_sources([folder]).problems]
    for told in (
        "tables.jsonl:4: no table",
        "tables.jsonl:5: ",
        "train.jsonl:7: there is no table 't99'",
        "train.jsonl:8: no q",
        "train.jsonl:9: a second question 'a0'",
        "tables.jsonl:6: a second table 't1'",
    ):
        assert any(told in problem for problem in problems), (told, problems)
    assert any("dev.jsonl" in problem and "left for measuring" in problem for problem in problems)
    write(tmp_path / "none", "tables.jsonl", [{"id": "1", "header": ["a"], "rows": [["b"]]}])
    write(tmp_path / "none", "train.jsonl", [{"question": "who?", "answers": ["b"], "table_id": "2"}])
    with pytest.raises(UsageError, match="nothing that can be used"):
        load_sources([tmp_path / "none"])


def test_a_folder_of_tables_may_hold_other_data(tmp_path: Path) -> None:
    folder = town_tables(tmp_path / "towns", 3)
    (folder / "tables.jsonl").write_text('{"no": "table"}\n' + (folder / "tables.jsonl").read_text())
    write(folder, "records.jsonl", [{"context": "It rains.", "claim": "It is wet.", "grounded": True}])
    found = load_sources([folder]).found
    assert {(source.kind, source.path.name) for source in found} == {("tables", "towns"), ("claims", "records.jsonl")}
