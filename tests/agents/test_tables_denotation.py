"""Denotations: the cases of the official evaluator, and what stands in for its annotations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragloom.agents.tables import denotation, same_denotation
from ragloom.agents.tables.voting import Ballot, counted

SAME = [
    (["Yes"], ["yes"]),
    (["0"], ["0.0"]),
    (["1,538"], ["1538"]),
    (["1538"], [1538]),
    (["4"], [4.0000001]),
    (["-5"], ["−5"]),
    (["Marcellino Lucchi"], ["  marcellino   lucchi. "]),
    (["Peñarol"], ["Penarol"]),
    (["Cheers"], ["“Cheers”"]),
    (["Linz"], ["Linz (Austria)"]),
    (["Linz"], ["Linz[3]"]),
    (["Ann"], ["Ann†*"]),
    (["two", "one"], ["one", "two"]),
    (["one", "one"], ["one"]),  # sets
    (["1990"], ["1990-xx-xx"]),
    (["1990-03-05"], ["March 5, 1990"]),
    (["xx-03-05"], ["xxxx-03-05"]),
    (["Jones Stadium • Lubbock, TX"], ["jones stadium • lubbock, tx"]),
]
DIFFERENT = [
    (["4"], ["5"]),
    (["4"], ["4", "5"]),
    (["4", "5"], ["4"]),
    (["4 years"], ["4"]),  # the official evaluator keeps units
    (["1990-03-05"], ["1990-03-06"]),
    (["1990-03-05"], ["1990"]),
    (["1,5"], ["15"]),  # no thousands separator
    (["[1]"], ["Ann"]),
    (["12"], ["1 2"]),
    (["nan"], ["0"]),
    (["1990-13-05"], ["1990-05-13"]),
    ([], ["0"]),
]


@pytest.mark.parametrize(("expected", "given"), SAME)
def test_the_same(expected: list[object], given: list[object]) -> None:
    assert same_denotation(expected, given) and same_denotation(given, expected)
    assert {value.key for value in denotation(expected)} == {value.key for value in denotation(given)}


@pytest.mark.parametrize(("expected", "given"), DIFFERENT)
def test_different(expected: list[object], given: list[object]) -> None:
    assert not same_denotation(expected, given) and not same_denotation(given, expected)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("4 years", "4"),
        ("$1,496.5", "1496.5"),
        ("5 %", "5%"),
        ("2 million", "2000000"),
        ("$ 1.5 billion", "1500000000"),
        ("12 km", 12),
    ],
)
def test_units_are_left_out_of_votes_alone(left: object, right: object) -> None:
    assert {each.key for each in denotation([left], units=True)} == {
        each.key for each in denotation([right], units=True)
    }
    assert left == right or not same_denotation([left], [right])


def test_what_looks_like_a_unit_but_is_a_name_stays() -> None:
    names = ["7 Eleven", "4 July", "Apollo 13", "U2", "1. FC"]
    assert len(denotation(names, units=True)) == len(names)
    assert all(value.number is None for value in denotation(names, units=True))


@given(st.lists(st.text(max_size=30), max_size=5), st.randoms())
def test_laws(values: list[str], dice: object) -> None:
    shuffled = list(values)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert same_denotation(values, shuffled)
    assert denotation(values) == denotation([*values, *values])
    assert {value.key for value in denotation(values)} == {value.key for value in denotation(shuffled)}


@given(st.floats(-1e7, 1e7))
def test_numbers_are_themselves(number: float) -> None:
    number = round(number, 4)
    assert same_denotation([number], [f"{number:,.4f}"])


def ballot(path: str, *values: str) -> Ballot:
    return Ballot(path=path, values=list(values), document=None, trouble="")  # type: ignore[arg-type, typeddict-item]


@pytest.mark.parametrize(
    ("ballots", "winner"),
    [
        ([ballot("direct", "4 years"), ballot("sql", "4"), ballot("direct", "5")], ["4 years"]),
        ([ballot("direct", "5"), ballot("direct", "5"), ballot("direct", "4"), ballot("sql", "4")], ["4"]),
        ([ballot("direct", "5"), ballot("sql", "4")], ["5"]),  # nothing breaks the tie: the first one said
        ([ballot("direct"), ballot("sql"), ballot("direct", "A", "B"), ballot("sql", "b", "a")], ["A", "B"]),
        ([ballot("direct", "None"), ballot("sql", "x"), ballot("sql", "x")], ["x"]),
    ],
)
def test_votes(ballots: list[Ballot], winner: list[str]) -> None:
    assert counted(ballots)[0].ballots[0]["values"] == winner


def test_nobody_votes_for_nothing() -> None:
    assert counted([ballot("direct"), ballot("sql")]) == []
