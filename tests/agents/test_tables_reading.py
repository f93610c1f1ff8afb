"""Tables of files and rows: names, types, what is broken, and what a prompt shows."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import openpyxl
import pytest
from hypothesis import example, settings
from hypothesis import given as for_any
from hypothesis import strategies as st
from tables_kit import two_tables

from ragloom.agents.tables import Tables, checked_sql, execute
from ragloom.agents.tables.cells import read_number, typed_column
from ragloom.agents.tables.identifiers import identifiers
from ragloom.errors import ReaderError, UsageError


def rows(tables: Tables, sql: str) -> list[tuple[object, ...]]:
    return execute(checked_sql(sql, tables), tables).rows


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        ["a", "A", "a ", "á", "a_2"],
        ["", " ", "!!!", "\n"],
        ["order", "select", "group", "from", "drop", "insert", "grant", "row_id"],
        ["2019", "1st", "_", "__x__"],
        ["年", "сумма", "Größe (m²)", "naïve", "İ", "ﬁ", "x" * 300],
        ['"; DROP TABLE t; --', "a'b", "a;b", "read_csv('/etc/passwd')", "*"],
    ],
)
def test_any_header_gives_names_that_need_no_quotes(headers: list[str]) -> None:
    tables = Tables.of({"given": (headers, [[str(at) for at in range(len(headers))]])})
    columns = tables["given"].columns
    assert [column.header for column in columns] == headers
    names = [column.name for column in columns]
    assert len(set(names)) == len(names)
    assert rows(tables, f"SELECT {', '.join(names)} FROM given ORDER BY {names[0]}") == [tuple(range(len(names)))]


@settings(max_examples=30)
@for_any(st.lists(st.text(max_size=12), min_size=1, max_size=6), st.text(max_size=12))
@example(headers=["\u13a1"], title="\u13a0")  # Cherokee, whose letters `casefold` makes capitals
def test_names_of_every_text(headers: list[str], title: str) -> None:
    names = identifiers(headers)
    assert len(set(names)) == len(headers)
    assert all(re.fullmatch(r"[^\W\d]\w*", name) for name in names)
    tables = Tables.of({title: (headers, [["x"] * len(headers)])})
    (name,) = tables
    columns = [column.name for column in tables[name].columns]
    assert rows(tables, f"SELECT {', '.join(columns)} FROM {name}") == [("x",) * len(headers)]


def test_every_keyword_may_be_a_header() -> None:
    import duckdb

    words = [word for (word,) in duckdb.connect().execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()]
    tables = Tables.of({"words": (words, [["1"] * len(words)])})
    names = [column.name for column in tables["words"].columns]
    for at in range(0, len(names), 12):
        some = names[at : at + 12]
        listed, filled = ", ".join(some), " AND ".join(f"{name} > 0" for name in some)
        sql = f"SELECT {listed}, max({some[0]}) AS most FROM words WHERE {filled} GROUP BY {listed} ORDER BY {listed}"
        assert rows(tables, sql) == [(1,) * (len(some) + 1)], some


def test_tables_of_one_name_are_told_apart() -> None:
    tables = Tables.of({"a b": (["x"], [["1"]]), "a_b": (["x"], [["2"]]), "a b text": (["x"], [["3"]])})
    assert list(tables) == ["a_b", "a_b_2", "a_b_text"]
    assert [rows(tables, f"SELECT x FROM {name}") for name in tables] == [[(1,)], [(2,)], [(3,)]]
    assert rows(tables, f"SELECT x FROM {tables['a_b'].text_name}") == [("1",)]


# -- types -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "kind", "unit", "values"),
    [
        (["1", "2"], "BIGINT", "", [1, 2]),
        (["1,200", "−5", "+3", "(12)"], "BIGINT", "", [1200, -5, 3, -12]),
        (["1.5", "2", ".5", "1e3"], "DOUBLE", "", [1.5, 2.0, 0.5, 1000.0]),
        (["$1.50", "2", "$ 3"], "DOUBLE", "$", [1.5, 2.0, 3.0]),
        (["3 €", "4€"], "BIGINT", "€", [3, 4]),
        (["5%", "7.5 %"], "DOUBLE", "%", [5.0, 7.5]),
        (["1", "", "n/a", "–", "?"], "BIGINT", "", [1, None, None, None, None]),
        (["2019-02-28", "March 5, 1990"], "DATE", "", [dt.date(2019, 2, 28), dt.date(1990, 3, 5)]),
        (["2019-02-28 12:30", "2019-02-28T01:02:03"], "TIMESTAMP", "", None),
        # what stays text
        (["5%", "7"], "VARCHAR", "", ["5%", "7"]),
        (["$5", "€7"], "VARCHAR", "", ["$5", "€7"]),
        (["1", "DNF"], "VARCHAR", "", ["1", "DNF"]),
        (["007", "8"], "VARCHAR", "", ["007", "8"]),
        (["1,5", "2,5"], "VARCHAR", "", ["1,5", "2,5"]),
        (["99999999999999999999"], "VARCHAR", "", ["99999999999999999999"]),
        (["2019-02-30"], "VARCHAR", "", ["2019-02-30"]),
        (["03/04/2019"], "VARCHAR", "", ["03/04/2019"]),
        (["2019-02-28", "2019-02-28 12:30"], "VARCHAR", "", None),
        (["", "-"], "VARCHAR", "", [None, "-"]),
        (["", ""], "VARCHAR", "", [None, None]),
        ([], "VARCHAR", "", []),
        (["$5$"], "VARCHAR", "", ["$5$"]),
        (["(-5)"], "VARCHAR", "", ["(-5)"]),
        (["(5"], "VARCHAR", "", ["(5"]),
        (["1e999"], "VARCHAR", "", ["1e999"]),
    ],
)
def test_types(cells: list[str], kind: str, unit: str, values: list[object] | None) -> None:
    column = typed_column(cells)
    assert (column.kind, column.unit) == (kind, unit)
    assert values is None or column.values == values


@for_any(st.integers(-(2**63) + 1, 2**63 - 1))
def test_whole_numbers_are_read_as_they_are_written(number: int) -> None:
    assert read_number(str(number)) == read_number(f"{number:,}") == (number, "")


@settings(max_examples=30)
@for_any(st.lists(st.text(max_size=10), min_size=1, max_size=5))
def test_the_original_text_is_never_lost(cells: list[str]) -> None:
    tables = Tables.of({"t": (["x"], [[cell] for cell in cells])})
    written = [row[0] for row in rows(tables, "SELECT x FROM t_text ORDER BY row_id")]
    assert written == cells == [row[0] for row in tables["t"].rows]


def test_typed_and_written_columns_stand_beside_each_other() -> None:
    tables = two_tables()
    assert rows(tables, "SELECT sum(points), min(born), max(share) FROM riders_2019") == [
        (1302, dt.date(1989, 12, 1), 12.0)
    ]
    assert rows(tables, "SELECT points, born FROM riders_2019_text WHERE row_id = 2") == [("7", "March 7, 1991")]
    assert rows(tables, "SELECT rider FROM riders_2019 WHERE row_id = 2 + 1") == [("Cid Dale",)]


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Name,Points\nAnn,9\nBob,7\n")
    (tmp_path / "b.tsv").write_text("Name\tPoints\nAnn\t9\n")
    (tmp_path / "c.jsonl").write_text('{"Name": "Ann", "Points": 9, "at": null}\n\n{"Name": "Bob", "More": [1, {}]}\n')
    book = openpyxl.Workbook()
    book.active.title = "one"
    for row in (["A title", None], [], ["Name", "Points", "Day"], ["Ann", 9, dt.datetime(2019, 2, 28)], ["Bob", 7.5]):
        book.active.append(row)
    book.create_sheet("empty")
    book.create_sheet("two").append(["x", "y"])
    book.save(tmp_path / "d.xlsx")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "e.csv").write_text("x;y\n1;2\n")
    (tmp_path / "notes.txt").write_text("no table")
    tables = Tables.read(tmp_path)
    assert list(tables) == ["a", "b", "c", "d_one", "d_two", "e"]
    assert tables["e"].source == "deep/e.csv" and tables["d_one"].source == "d.xlsx#one"
    assert rows(tables, "SELECT name FROM a WHERE points > 8") == [("Ann",)]
    assert rows(tables, "SELECT points, day FROM d_one") == [(9.0, dt.date(2019, 2, 28)), (7.5, None)]
    assert rows(tables, "SELECT name, points, more FROM c") == [("Ann", 9, None), ("Bob", None, "[1, {}]")]
    assert rows(tables, "SELECT count(*) FROM d_two") == [(0,)]
    assert [str(problem) for problem in tables.problems] == [
        "d.xlsx#one, line 1: stands above the header; left out",
        "d.xlsx#one, line 5: has 2 cells, the header has 3; filled up",
    ]
    assert list(Tables.read(str(tmp_path / "a.csv"))) == ["a"]


def test_broken_rows_are_told_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text('a,b\n1,2\n3\n4,5,6\n7,"8\n9,10\n')
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\n{"a":\n[1]\n{"a": 2}\n')
    (tmp_path / "bad.xlsx").write_bytes(b"PK no workbook")
    (tmp_path / "empty.csv").write_text("")
    tables = Tables.read(tmp_path)
    told = {(problem.source, problem.line): problem.reason for problem in tables.problems}
    assert set(told) == {
        ("bad.csv", 3), ("bad.csv", 4), ("bad.csv", 5), ("bad.jsonl", 2), ("bad.jsonl", 3), ("bad.xlsx", 0),
        ("empty.csv", 0),
    }  # fmt: skip
    assert "not read" in told["bad.csv", 5]
    # A cell beyond the header is kept, in a column without a name.
    assert rows(tables, "SELECT a, b, column_3 FROM bad ORDER BY row_id") == [(1, 2, None), (3, None, None), (4, 5, 6)]
    assert rows(tables, "SELECT a FROM bad_2") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.csv", b"\n\n"),
        ("a.jsonl", b"{\n"),
        ("a.jsonl", b"[1]\n"),
        ("a.xlsx", b"no zip"),
        ("a.csv", b'"' + b"x" * 200_000),
    ],
)
def test_a_file_without_a_table_is_an_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReaderError, match=name) as caught:
        Tables.read(tmp_path / name)
    assert str(tmp_path) not in str(caught.value)


def test_what_is_no_table_is_misuse(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_text("x")
    for path in (tmp_path / "a.pdf", tmp_path / "nothing.csv", tmp_path):
        with pytest.raises(UsageError):
            Tables.read(path)
    for given in ({}, {"t": ([], [])}, {"t": (["a"], [["1", "2"]])}):
        with pytest.raises(UsageError):
            Tables.of(given)  # type: ignore[arg-type]


def test_problems_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + "1\n" * 500)
    problems = Tables.read(tmp_path / "a.csv").problems
    assert len(problems) == 21 and "480 more" in problems[-1].reason


# -- what prompts show -------------------------------------------------------------------------------------------------


def test_the_schema() -> None:
    text = two_tables().schema()
    assert "CREATE TABLE riders_2019 (  -- 4 rows" in text
    assert "  share DOUBLE,  -- in %, such as 12, 5.5, 1" in text
    assert "  note VARCHAR  -- such as 'first | of all', 'did not finish', '95 laps'" in text
    assert "riders_2019_text: the same columns as they were written" in text and "teams_text" not in text


@settings(max_examples=25)
@for_any(st.lists(st.text(max_size=80), min_size=1, max_size=30), st.integers(60, 3000))
def test_the_schema_is_bounded_and_every_cell_stays_on_its_line(headers: list[str], most: int) -> None:
    tables = Tables.of({"t\nDROP": (headers, [[f"{at}\n'; DROP TABLE t" for at in range(len(headers))]])})
    text = tables.schema(most_chars=most)
    assert len(text) <= most
    allowed = ("CREATE TABLE", "  ", ");", "-- ")
    assert all(line.startswith(allowed) for line in text.split("\n"))


def test_ids_are_stable_and_tell_tables_apart() -> None:
    first, second = two_tables(), two_tables()
    assert first["teams"].id == second["teams"].id != first["riders_2019"].id
    assert json.dumps(first["teams"].document(["a"], [(1, ["x|y\nz"])]).page_content).count("\\n") == 2
