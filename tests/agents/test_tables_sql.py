"""The two walls around SQL: what is allowed runs, and nothing else reads or writes anything."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables_kit import two_tables

from ragloom.agents.tables import CheckedQuery, QueryError, Tables, UnsafeQueryError, checked_sql, execute
from ragloom.agents.tables.allowed import FUNCTIONS, OTHER_FUNCTIONS, SYNTAX
from ragloom.errors import UsageError

SECRET = "canary-7319"
TABLES = two_tables()


def run(sql: str, tables: Tables = TABLES, **options: Any) -> list[tuple[Any, ...]]:
    return execute(checked_sql(sql, tables, **options), tables).rows


def past_the_check(sql: str, limit: int = 100) -> CheckedQuery:
    """What the second wall sees when the first one is not there."""
    return CheckedQuery(sql=sql, tables=(), limit=limit)


# -- what is allowed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT rider FROM riders_2019 ORDER BY points DESC LIMIT 1", [("Ann Berg",)]),
        ("select RIDER from Riders_2019 where POINTS > 90 order by 1;", [("Ann Berg",), ("Eve Fox",)]),
        ("SELECT rider -- the name\nFROM riders_2019 /* all */ WHERE row_id = 1", [("Ann Berg",)]),
        ('SELECT "Rider" FROM "Riders 2019" WHERE "Points" = 7', [("Bob Crane",)]),
        ("SELECT country, count(*) AS n FROM riders_2019 GROUP BY country ORDER BY n DESC LIMIT 1", [("Italy", 2)]),
        ("SELECT t.team FROM teams t JOIN riders_2019 r USING (country) WHERE r.points = 7", [("Bulls",)]),
        ("WITH best AS (SELECT max(points) AS p FROM riders_2019) SELECT rider FROM riders_2019, best WHERE points = p",
         [("Ann Berg",)]),
        ("SELECT country FROM teams EXCEPT SELECT country FROM riders_2019 WHERE points > 1000", [("Spain",)]),
        ("(SELECT team FROM teams) UNION ALL (SELECT rider FROM riders_2019 WHERE points = 7) ORDER BY 1 LIMIT 1",
         [("Bob Crane",)]),
        ("SELECT rider FROM riders_2019 r WHERE NOT EXISTS (SELECT 1 FROM teams t WHERE t.country = r.country)",
         [("Eve Fox",)]),
        ("SELECT rider FROM riders_2019 QUALIFY row_number() OVER (ORDER BY born) = 1", [("Eve Fox",)]),
        ("SELECT lead(rider) OVER (ORDER BY row_id) FROM riders_2019 LIMIT 1", [("Bob Crane",)]),
        ("SELECT (SELECT points FROM riders_2019 WHERE row_id = 1) - (SELECT points FROM riders_2019 WHERE row_id = 2)",
         [(1193,)]),
        ("SELECT year(born), extract(month FROM born), date_part('day', born), monthname(born) FROM riders_2019 "
         "LIMIT 1", [(1990, 3, 5, "March")]),
        ("SELECT date_diff('year', min(born), max(born)), max(born) - min(born) FROM riders_2019", [(3, 791)]),
        ("SELECT born + INTERVAL 1 DAY > DATE '1990-03-05' FROM riders_2019 LIMIT 1", [(True,)]),
        ("SELECT try_cast(note AS INTEGER), rider ILIKE '%berg', points::VARCHAR FROM riders_2019 LIMIT 1",
         [(None, True, "1200")]),
        ("SELECT split_part(rider, ' ', 2), upper(left(rider, 1)), length(rider), replace(rider, 'A', 'O') "
         "FROM riders_2019 LIMIT 1", [("Berg", "A", 8, "Onn Berg")]),
        ("SELECT count(*) FILTER (WHERE points IS NULL), round(avg(share), 2), median(points), arg_max(rider, points) "
         "FROM riders_2019", [(1, 5.38, 95.0, "Ann Berg")]),
        ("SELECT CASE WHEN count(*) > 1 THEN 'many' ELSE 'few' END FROM riders_2019 WHERE country IN ('Italy', 'x')",
         [("many",)]),
        ("SELECT string_agg(rider, '; ' ORDER BY rider) FROM riders_2019 WHERE country = 'Italy'",
         [("Ann Berg; Cid Dale",)]),
        ("SELECT points FROM riders_2019_text WHERE row_id = 3", [("n/a",)]),
        ("SELECT x * 2 FROM (VALUES (1), (2)) AS v(x) WHERE x > 1", [(4,)]),
        ("SELECT team FROM teams t SEMI JOIN riders_2019 r ON r.country = t.country WHERE team > 'C'", [("Lions",)]),
        ("SELECT r.rider, n FROM (riders_2019 r JOIN (SELECT country, count(*) AS n FROM teams GROUP BY 1) s USING "
         "(country)) WHERE row_id = 1", [("Ann Berg", 1)]),
        ("SELECT a AS b, b + 1 FROM (VALUES (1, 'x')) AS v(a, t)", [(1, 2)]),
        ("SELECT q FROM (SELECT team, country FROM teams) AS s(p, q) WHERE p = 'Lions'", [("Italy",)]),
        ("WITH x(k) AS (SELECT team FROM teams) SELECT a.k FROM x a JOIN x b ON a.k = b.k AND b.k > 'C'", [("Lions",)]),
        ("FROM teams SELECT team WHERE country = 'Spain'", [("Bulls",)]),
        ("SELECT * EXCLUDE (row_id) FROM teams ORDER BY ALL LIMIT 1", [("Bulls", "Spain")]),
        ("SELECT '1; DROP TABLE teams -- read_csv(''x'')' AS text", [("1; DROP TABLE teams -- read_csv('x')",)]),
    ],
)  # fmt: skip
def test_what_questions_need_runs(sql: str, expected: list[tuple[Any, ...]]) -> None:
    assert run(sql) == expected
    only_names_what_is_known(checked_sql(sql, TABLES).sql)


def test_the_lists_name_what_the_parser_has() -> None:
    from sqlglot import exp

    assert all(hasattr(exp, name) for name in SYNTAX | FUNCTIONS)
    assert not SYNTAX & FUNCTIONS
    assert not {"Insert", "Update", "Delete", "Create", "Into", "Command", "Copy", "Anonymous"} & (SYNTAX | FUNCTIONS)
    assert not any(name.startswith(("read", "query", "pragma")) for name in OTHER_FUNCTIONS)


@pytest.mark.parametrize(
    ("sql", "limit", "written", "n"),
    [
        ("SELECT rider FROM riders_2019", 3, "SELECT rider FROM riders_2019 LIMIT 4", 3),
        ("SELECT rider FROM riders_2019 LIMIT 1000000", 3, "SELECT rider FROM riders_2019 LIMIT 4", 3),
        ("SELECT rider FROM riders_2019 LIMIT 2", 3, "SELECT rider FROM riders_2019 LIMIT 2", 2),
        ("SELECT rider FROM riders_2019 LIMIT 4 OFFSET 3", 3, "SELECT rider FROM riders_2019 LIMIT 4 OFFSET 3", 1),
    ],
)
def test_rows_are_limited(sql: str, limit: int, written: str, n: int) -> None:
    query = checked_sql(sql, TABLES, limit=limit)
    result = execute(query, TABLES)
    assert len(result.rows) == n
    assert result.truncated == (sql.endswith(("2019", "1000000")))
    assert query.sql == written or "OFFSET" in sql


def test_the_query_says_which_tables_it_reads() -> None:
    sql = "WITH teams AS (SELECT rider FROM riders_2019_text) SELECT count(*) FROM teams"
    assert checked_sql(sql, TABLES).tables == ("riders_2019",)  # the name is the CTE's, not the table's
    assert run(sql) == [(4,)]


# -- what is refused ---------------------------------------------------------------------------------------------------

HOSTILE = [
    # other statements
    "DROP TABLE teams", "DELETE FROM teams", "TRUNCATE teams", "UPDATE teams SET team = 'x'", "VACUUM", "CHECKPOINT",
    "INSERT INTO teams VALUES (9, 'x', 'y')", "ALTER TABLE teams ADD COLUMN z INT", "CREATE TABLE z AS SELECT 1",
    "CREATE TEMP TABLE z AS SELECT 1", "CREATE OR REPLACE TABLE teams AS SELECT 1", "CREATE VIEW z AS SELECT 1",
    "CREATE MACRO f(a) AS a", "CREATE SEQUENCE s", "CREATE TYPE mood AS ENUM ('a')", "CREATE SCHEMA z",
    "CREATE SECRET (TYPE s3)", "MERGE INTO teams USING riders_2019 r ON true WHEN MATCHED THEN DELETE",
    "COMMENT ON TABLE teams IS 'x'", "ANALYZE teams", "USE memory", "BEGIN", "COMMIT", "ROLLBACK", "SHOW TABLES",
    "DESCRIBE teams", "SUMMARIZE teams", "EXPLAIN SELECT 1", "EXPLAIN ANALYZE INSERT INTO teams VALUES (9, 'x', 'y')",
    "PREPARE p AS SELECT 1", "EXECUTE p", "PIVOT teams ON team USING count(*)", "SELECT team INTO z FROM teams",
    # settings
    "SET threads = 8", "SET GLOBAL enable_external_access = true", "RESET threads", "SET VARIABLE x = 1",
    "PRAGMA version", "PRAGMA database_list", "PRAGMA enable_profiling", "CALL pragma_version()",
    "SELECT current_setting('secret_directory')", "SELECT getvariable('x')", "SELECT * FROM duckdb_settings()",
    "SELECT set_config('threads', '8', false)", "SELECT * FROM pragma_table_info('teams')",
    # files and network
    "COPY teams TO '{out}'", "COPY teams FROM '{file}'", "COPY (SELECT 1) TO '{out}' (FORMAT parquet)",
    "EXPORT DATABASE '{out}'", "IMPORT DATABASE '{out}'", "ATTACH '{out}' AS other", "ATTACH ':memory:' AS other",
    "DETACH memory", "INSTALL httpfs", "LOAD httpfs", "FORCE INSTALL spatial FROM 'http://localhost:1'",
    "SELECT * FROM '{file}'", 'SELECT * FROM "{file}"', "FROM '{file}'", "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_csv_auto('{file}')", "SELECT * FROM read_text('{file}')", "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_json('{file}')", "SELECT * FROM read_parquet('{file}')", "SELECT * FROM glob('{file}*')",
    "SELECT * FROM sniff_csv('{file}')", "SELECT * FROM read_csv('http://localhost:1/x')", "SELECT read_text('{file}')",
    "SELECT (SELECT content FROM read_text('{file}'))", "SELECT team FROM teams, read_text('{file}')",
    "SELECT team FROM teams WHERE team IN (SELECT content FROM read_text('{file}'))",
    "WITH x AS (SELECT * FROM read_text('{file}')) SELECT * FROM x", "SELECT * FROM parquet_scan('{file}')",
    "SELECT team FROM teams ORDER BY (SELECT content FROM read_text('{file}'))", "SELECT getenv('RAGLOOM_CANARY')",
    "SELECT * FROM read_duckdb('{file}')", "SELECT * FROM system.main.read_text('{file}')",
    # ways around
    "SELECT * FROM query('SELECT 1')", "SELECT * FROM query_table('teams')", "SELECT nextval('s')",
    "WITH x AS (INSERT INTO teams VALUES (9, 'x', 'y') RETURNING *) SELECT * FROM x",
    "WITH x AS (COPY teams TO '{out}') SELECT * FROM teams", "WITH x AS (CHECKPOINT) SELECT * FROM teams",
    "WITH x AS (DELETE FROM teams RETURNING *) SELECT * FROM x", "SELECT write_log('x')",
    "WITH x AS MATERIALIZED (UPDATE teams SET team = 'x' RETURNING *) SELECT * FROM x",
    "SELECT * FROM (DELETE FROM teams RETURNING *)", "SELECT * FROM (SHOW TABLES)", "SELECT * FROM (DESCRIBE teams)",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))", "SELECT * FROM checkpoint()",
    "SELECT * FROM enable_logging()", "SELECT * FROM duckdb_secrets()", "SELECT * FROM truncate_duckdb_logs()",
    "SELECT * FROM register_external_resource('a', 'b')", "SELECT * FROM which_secret('{file}', 's3')",
    "SELECT pg_sleep(0)", "SELECT sleep_ms(0)", "SELECT error('x')", "SELECT setseed(0.5)", "SELECT version()",
    "SELECT * FROM information_schema.tables", "SELECT * FROM duckdb_tables", "SELECT * FROM sqlite_master",
    "SELECT * FROM pg_catalog.pg_class", "SELECT * FROM memory.main.teams", "SELECT * FROM main.teams",
    "SELECT * FROM sqlite_master WHERE EXISTS (WITH sqlite_master AS (SELECT 1) SELECT * FROM sqlite_master)",
    "SELECT team FROM teams SEMI JOIN sqlite_master s ON true",
    "SELECT 1 FROM teams ANTI JOIN duckdb_secrets s ON true",
    "SELECT * FROM teams, sqlite_master AS teams", "SELECT * FROM (SELECT 1) AS x, sqlite_master AS x",
    "WITH x AS (SELECT 1) SELECT * FROM sqlite_master AS x", "SELECT * FROM (sqlite_master AS a) AS x",
    "WITH x AS (SELECT 1) SELECT * FROM x, sqlite_master AS x", "SELECT * FROM ((sqlite_master))",
    "SELECT * FROM (sqlite_master)", "SELECT * FROM teams JOIN (pg_class AS a) AS x ON true",
    "SELECT * FROM sqlite_master AS x, (SELECT 1) AS x", "SELECT * FROM teams AS x, sqlite_master AS X",
    "SELECT * FROM teams, memory.teams", "SELECT * FROM teams POSITIONAL JOIN sqlite_master",
    "SELECT * FROM (teams JOIN sqlite_master ON true)", "WITH x AS (SELECT 1) SELECT * FROM x, sqlite_master AS x2",
    "SELECT x.* FROM (WITH pg_class AS (SELECT 1) SELECT 1) AS x, pg_class", "SELECT teams FROM teams",
    "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", "SELECT (SELECT s.name FROM sqlite_master AS s)",
    "SELECT * FROM TABLES", "SELECT $1", "SELECT ?", "SELECT team FROM teams LIMIT (SELECT 1)", "SELECT #1 FROM teams",
    "SELECT team FROM teams LIMIT 50%", "SELECT * FROM teams USING SAMPLE 1", "SELECT COLUMNS('.*') FROM teams",
    "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT * FROM x", "SELECT rowid FROM teams",
    "SELECT * FROM range(1000000000)", "SELECT unnest(range(1000000000))", "SELECT repeat('x', 1000000000)",
    "SELECT lpad('x', 1000000000, 'x')", "SELECT printf('%1000000000d', 1)", "SELECT * FROM generate_series(1, 9)",
    "SELECT list_transform([1], x -> x)", "SELECT [x FOR x IN [1]]", "SELECT * FROM teams AT (VERSION => 1)",
    "SELECT nam FROM teams", "SELECT x.team FROM teams", "SELECT * FROM nothing", "SELECT team FROM teams FOR UPDATE",
    # no statement
    "", ";", "-- SELECT 1", "hello", "SELECT FROM WHERE", "SELECT 1 FROM (", "'", "\x00SELECT 1", "SELECT\u200b 1",
    "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE teams", "SELECT 1;;DELETE FROM teams", "DROP TABLE teams; SELECT 1",
    "SELECT " + "(" * 900 + "1" + ")" * 900, "SELECT " + " + ".join("1" * 900), "SELECT '" + "x" * 5000 + "'",
    "SELECT " + " || ".join(["team"] * 20) + " FROM teams",
]  # fmt: skip


@pytest.mark.parametrize("sql", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_statements_are_refused(sql: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeQueryError) as caught:
        checked_sql(sql.replace("{file}", str(tmp_path / "f.csv")).replace("{out}", str(tmp_path / "o")), TABLES)
    assert caught.value.message and caught.value.hint and isinstance(caught.value, UsageError)


def test_a_refusal_says_what_would_do() -> None:
    with pytest.raises(UnsafeQueryError, match=r"no column ridr .use rider"):
        checked_sql("SELECT ridr FROM riders_2019", TABLES)
    with pytest.raises(UnsafeQueryError, match=r"no table team \(use teams"):
        checked_sql("SELECT team FROM team", TABLES)
    with pytest.raises(UnsafeQueryError, match="DROP is not allowed"):
        checked_sql("drop table teams", TABLES)


def test_a_set_of_tables_sees_no_other_one() -> None:
    other = Tables.of({"salaries": (["name"], [[SECRET]])})
    with pytest.raises(UnsafeQueryError):
        checked_sql("SELECT * FROM salaries", TABLES)
    with pytest.raises(UnsafeQueryError):
        execute(past_the_check("SELECT * FROM salaries"), TABLES)
    with pytest.raises(duckdb.Error, match="does not exist"):
        TABLES.connection.cursor().execute("SELECT * FROM salaries")
    assert run("SELECT name FROM salaries", other) == [(SECRET,)]


# -- the property: whatever is tried, nothing gets out and nothing is changed ------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.csv").write_text(f"word\n{SECRET}\n")
    return folder


@pytest.fixture(autouse=True)
def canary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RAGLOOM_CANARY", SECRET)
    yield


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = whole_snapshot()
    yield
    assert whole_snapshot() == before


def snapshot() -> Any:
    """What is in the database: its tables, their cells, its settings, and other databases."""
    connection = TABLES.connection
    names = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
    cells = [connection.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in names]
    others = connection.execute("SELECT database_name FROM duckdb_databases() ORDER BY 1").fetchall()
    return names, cells, others, connection.execute("SELECT current_setting('threads')").fetchall()


def whole_snapshot() -> Any:
    """The same, and everything else that can be made in a database."""
    kinds = ("duckdb_functions", "duckdb_views", "duckdb_types", "duckdb_schemas", "duckdb_databases")
    count = TABLES.connection.execute
    made = [count(f"SELECT count(*) FROM {each}() WHERE NOT internal").fetchall() for each in kinds]
    return snapshot(), made, count("SELECT count(*) FROM duckdb_sequences()").fetchall()


def spaced(sql: str, dice: random.Random) -> str:
    blanks = [" ", "\t", "\n", "/**/", " /* ; */ ", "--\n", "  ", "/* SELECT */ "]
    return "".join(dice.choice(blanks) if sign == " " and dice.random() < 0.5 else sign for sign in sql)


def cased(sql: str, dice: random.Random) -> str:
    return "".join(sign.swapcase() if dice.random() < 0.3 else sign for sign in sql)


def disguised(sql: str, dice: random.Random) -> str:
    """Look-alikes: full-width signs, other blanks, signs that are not seen."""
    odd = {" ": "\u00a0\u2003\u3000\x0b\x0c", ";": ";\uff1b", "(": "\uff08(", "'": "’'´", ",": "，,"}
    return "".join(dice.choice(odd[sign]) if sign in odd and dice.random() < 0.2 else sign for sign in sql)


def sprinkled(sql: str, dice: random.Random) -> str:
    at = dice.randrange(len(sql) + 1)
    return (
        sql[:at]
        + dice.choice(["'", '"', ";", "--", "/*", "*/", "\u200b", "\x00", "$$", "\\", ")", "E'", "\ufeff"])
        + sql[at:]
    )


FRAMES = [
    "{sql}", "{sql};", ";{sql}", "SELECT 1; {sql}", "{sql}; SELECT 1", "SELECT team FROM teams; {sql}",
    "SELECT * FROM ({sql}) AS x", "WITH x AS ({sql}) SELECT * FROM x", "SELECT ({sql})", "EXPLAIN {sql}",
    "SELECT 1 WHERE EXISTS ({sql})", "SELECT team FROM teams UNION ALL {sql}", "(({sql}))", "COMMIT; {sql}",
    "SELECT team FROM teams WHERE team = ({sql})", "SELECT 1 /* {sql} */", "SELECT 1 -- \n; {sql}", "ROLLBACK; {sql}",
    "WITH teams AS ({sql}) SELECT * FROM teams", "PREPARE p AS {sql}; EXECUTE p", "BEGIN; {sql}; COMMIT",
    "SELECT * FROM query($${sql}$$)", "CREATE MACRO f() AS TABLE {sql}", "CREATE TABLE z AS {sql}",
    "COPY ({sql}) TO '{out}'",
    "SELECT (SELECT 1), ({sql})", "INSERT INTO teams {sql}", "FROM ({sql})", "SELECT 1 LIMIT ({sql})",
]  # fmt: skip


@st.composite
def hostile(draw: st.DrawFn) -> str:
    """A hostile statement, framed by another one, and changed in ways that may escape a check."""
    sql = draw(st.sampled_from([each for each in HOSTILE if each.strip() and len(each) < 300]))
    for _ in range(draw(st.integers(0, 2))):
        sql = draw(st.sampled_from(FRAMES)).replace("{sql}", sql)
    dice = random.Random(draw(st.integers(0, 2**32)))
    for change in draw(st.lists(st.sampled_from([spaced, cased, disguised, sprinkled]), max_size=2)):
        # The names of the files stay what they are.
        parts = re.split(r"(\{file\}|\{out\})", sql)
        sql = "".join(part if part in ("{file}", "{out}") else change(part, dice) for part in parts)
    return sql


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sql=hostile())
def test_nothing_gets_out_and_nothing_is_changed(place: Path, sql: str) -> None:
    sql = sql.replace("{file}", str(place / "secret.csv")).replace("{out}", str(place / "out"))
    try:
        query = checked_sql(sql, TABLES)
    except UnsafeQueryError:
        pass
    else:  # what a change made harmless may run
        only_names_what_is_known(query.sql)
        keeps_still(query, place)
    # The second wall, as if the first had a hole. Nothing stops a function that makes one gigantic value.
    keeps_still(past_the_check(sql.replace("1000000000", "1000")), place)


def only_names_what_is_known(sql: str) -> None:
    """By DuckDB's own parser, which is another one than that of the check."""
    tree = json.loads(duckdb.connect().execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0])
    nodes, names, made = [tree], set(), set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            assert node.get("type") != "TABLE_FUNCTION" and not node.get("schema_name") and not node.get("catalog_name")
            if node.get("type") == "BASE_TABLE":
                names.add(node["table_name"].lower())
            made |= {each["key"].lower() for each in (node.get("cte_map") or {}).get("map", [])}
        nodes += list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    assert not tree["error"] or "SELECT clause without" in tree["error_message"], tree
    assert names <= set(TABLES.columns()) | made


UNTOUCHED = snapshot()


def keeps_still(query: CheckedQuery, place: Path) -> None:
    try:
        found = str(execute(query, TABLES, seconds=0.5).rows)
    except (QueryError, UnsafeQueryError) as error:
        found = str(error)
    assert SECRET not in found
    assert snapshot() == UNTOUCHED
    assert sorted(each.name for each in place.iterdir()) == ["secret.csv"]


@settings(max_examples=150)
@given(st.text(max_size=60) | st.text("SELECT FROM teams*(),;'\"-/1=", max_size=60))
def test_any_text_is_a_query_or_a_refusal(text: str) -> None:
    try:
        query = checked_sql(text, TABLES)
    except UnsafeQueryError:
        return
    try:
        execute(query, TABLES)
    except QueryError as error:
        assert "\n" not in error.message


# -- the second wall alone ---------------------------------------------------------------------------------------------


def test_the_second_wall_alone(place: Path) -> None:
    for sql in HOSTILE:
        sql = sql.replace("{file}", str(place / "secret.csv")).replace("{out}", str(place / "out"))
        if len(sql) < 400:  # how deep a statement is nested is for the first wall
            keeps_still(past_the_check(sql.replace("1000000000", "1000")), place)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT 1; SELECT 2", "not one SELECT"),
        ("DROP TABLE teams", "not one SELECT"),
        ("SELECT * FROM read_text('x')", "something else than tables"),
        ("SELECT * FROM (SHOW TABLES)", "something else than tables"),
        ("SELECT * FROM main.teams", "something else than tables"),
        ("SELECT * FROM 'teams.csv'", "no table teams.csv"),
        ("SELECT 1 FROM teams SEMI JOIN sqlite_master ON true", "no table sqlite_master"),
        ("WITH x AS (DELETE FROM teams RETURNING *) SELECT * FROM x", "failed"),
    ],
)
def test_what_the_second_parser_says(sql: str, reason: str) -> None:
    with pytest.raises((UnsafeQueryError, QueryError), match=reason):
        execute(past_the_check(sql), TABLES)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("WITH x AS (INSERT INTO teams VALUES (9, 'x', 'y') RETURNING *) SELECT * FROM x", "read-only"),
        ("SELECT * FROM read_text('/etc/hostname')", "disabled by configuration"),
        ("SELECT * FROM 'teams.csv'", "disabled by configuration"),
        ("SELECT * FROM SECRET", "does not exist"),  # a variable of this module's
        ("SELECT * FROM enable_profiling()", "locked"),
        ("SET enable_external_access = true", "locked"),
        ("LOAD httpfs", "disabled through configuration"),
        ("SELECT list(a) FROM range(300000000) t(a)", "Out of Memory"),
    ],
)
def test_each_lock_of_the_database_alone(sql: str, reason: str) -> None:
    """Without either parser."""
    with TABLES.connection.cursor() as cursor:
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        with pytest.raises(duckdb.Error, match=reason):
            cursor.execute(sql).fetchall()


def test_the_settings_hold() -> None:
    connection = TABLES.connection
    for name, value in (("enable_external_access", False), ("lock_configuration", True), ("threads", 1)):
        assert connection.execute(f"SELECT current_setting('{name}')").fetchall() == [(value,)]
    for name in ("autoload_known_extensions", "autoinstall_known_extensions", "python_enable_replacements"):
        assert connection.execute(f"SELECT current_setting('{name}')").fetchall() == [(False,)]


def test_a_query_without_end_is_ended() -> None:
    sql = "SELECT count(*) FROM " + ", ".join(f"riders_2019 a{at}" for at in range(30))
    began = time.perf_counter()
    with pytest.raises(QueryError, match=r"longer than 0\.2 seconds"):
        execute(checked_sql(sql, TABLES), TABLES, seconds=0.2)
    assert time.perf_counter() - began < 60
    assert run("SELECT 1") == [(1,)]  # and the next one runs


def ladder(first: str, step: str, levels: int = 30) -> str:
    """A WITH whose every part makes more of the one before it."""
    parts = [f"x0 AS ({first})"] + [f"x{at} AS ({step.replace('x', f'x{at - 1}')})" for at in range(1, levels)]
    return f"WITH {', '.join(parts)} SELECT * FROM x{levels - 1}"


@pytest.mark.parametrize(
    "sql",
    [
        ladder("SELECT rider AS s FROM riders_2019", "SELECT s || s AS s FROM x"),
        ladder("SELECT rider AS s FROM riders_2019", "SELECT concat(s, s, s, s) AS s FROM x", 5),
        ladder("SELECT rider AS s FROM riders_2019", "SELECT replace(s, 'A', s) AS s FROM x", 5),
        ladder("SELECT rider AS s FROM riders_2019", "SELECT regexp_replace(s, '.', 'AAAAAAAAA', 'g') AS s FROM x", 5),
        ladder("SELECT rider AS s FROM riders_2019", "SELECT CAST(string_split(s, '') AS VARCHAR) AS s FROM x", 9),
        ladder("SELECT rider AS s FROM riders_2019", "SELECT string_agg(s, s) AS s FROM x", 3),
        ladder("SELECT rider FROM riders_2019", "SELECT *, * FROM x"),
        ladder("SELECT rider FROM riders_2019", "SELECT * FROM x AS a, x AS b"),
        ladder("SELECT 1 AS n", "SELECT a.n FROM x AS a, x AS b"),
        ladder("SELECT rider FROM riders_2019", "SELECT rider FROM x UNION ALL SELECT rider FROM x"),
        ladder("SELECT 1 AS n", "SELECT (n, n) AS n FROM x"),
        ladder("SELECT 1 AS n", "SELECT [n, n] AS n FROM x"),
        "SELECT 1 AS a0, " + ", ".join(f"a{at} + a{at} AS a{at + 1}" for at in range(40)),
        "SELECT count(*) FROM " + ", ".join(f"teams a{at}" for at in range(100)),
    ],
    ids=range(14),
)
def test_nothing_swells(sql: str) -> None:
    began = time.perf_counter()
    with pytest.raises((UnsafeQueryError, QueryError)):
        execute(checked_sql(sql, TABLES), TABLES, seconds=1)
    assert time.perf_counter() - began < 60


def test_a_failing_query_says_why_in_one_line() -> None:
    with pytest.raises(QueryError, match="Conversion Error") as caught:
        run("SELECT CAST(rider AS INTEGER) FROM riders_2019")
    assert "\n" not in str(caught.value)


def test_values_as_they_are_shown() -> None:
    result = execute(
        checked_sql("SELECT 1 = 1, 2.50, sum(share), max(born), NULL, avg(points) FROM riders_2019", TABLES), TABLES
    )
    assert result.texts() == [["yes", "2.5", "21.5", "1992-01-31", "", "434"]]
    assert result.rows[0][3] == dt.date(1992, 1, 31)


def test_queries_run_beside_each_other() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: run(f"SELECT {at} + count(*) FROM teams"), range(40)))
    assert found == [[(at + 2,)] for at in range(40)]
