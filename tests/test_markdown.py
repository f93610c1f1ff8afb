"""Tables as Markdown, and the row that a place in one lies in."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from ragloom.markdown import cell, pipe_table, table_row

CELLS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), max_size=8).filter(
    lambda text: "---" not in text  # what looks like the rule below a header
)


@given(st.integers(1, 5).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=2)))
def test_every_place_lies_in_its_row(rows: list[list[str]]) -> None:
    table = pipe_table(rows)
    assume(table)
    lines = table.split("\n")[2:]
    for text in (f"Before.\n\n{table}\n\nAfter.", " ".join(f"Before. {table} After.".split())):
        end = text.rindex("--- |") + len("--- |")
        for line in lines if "\n" in text else [" ".join(line.split()) for line in lines]:
            at = text.index(line, end)
            end = at + len(line)
            for place in (at, end - 1):
                assert table_row(text, place) == (at, end)
        assert table_row(text, len(text) - 1) is None
        assert table_row(text, 0) is None


@given(st.text())
def test_what_is_a_cell_already_stays(text: str) -> None:
    assert cell(cell(text)) == cell(text)
    rows = [["Name", "Sign"], ["this", f"a{text}"]]
    assert pipe_table([list(map(cell, row)) for row in rows]) == pipe_table(rows)
