"""The cost-quality curve, fitted thresholds, and the file that keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from auto_kit import BAD, QUESTION, decision_of, naive
from hypothesis import given
from hypothesis import strategies as st
from strategy_kit import GOOD

from ragloom.agents.auto import (
    Abstained,
    BudgetLeft,
    Figures,
    Row,
    Rule,
    Unsupported,
    Weakness,
    auto_rag,
    cost_curve,
    fit_thresholds,
    load_policy,
    point_of,
    row_of,
    save_policy,
)
from ragloom.errors import ArtifactError, UsageError

ONE = [Rule("dear", {"doubt": 0.0})]
TWO = [Rule("dear", {"doubt": 0.0}), Rule("dearest", {"class": 0.0})]

share = st.floats(0, 1)
cost = st.floats(0, 20)


figures = st.builds(Figures, quality=share, calls=cost, tokens=cost, seconds=cost, stands=st.booleans())
row = st.builds(
    Row,
    signals=st.fixed_dictionaries({"doubt": share, "class": st.one_of(st.none(), share)}),
    cheap=figures,
    expensive=st.fixed_dictionaries({"dear": figures, "dearest": figures}),
)
some_rows = st.lists(row, min_size=1, max_size=8)


def near(value: float) -> Any:
    return pytest.approx(value, abs=1e-9)


@given(some_rows, st.sampled_from(["calls", "tokens", "seconds"]))
def test_the_ends_of_the_curve_are_never_and_always(rows: list[Row], unit: Any) -> None:
    curve = cost_curve(rows, ONE, unit=unit)
    n = len(rows)
    never = next(point for point in curve.points if not point.rules)
    assert never == curve.cheap
    assert never.cost == near(sum(getattr(each.cheap, unit) for each in rows) / n)
    assert never.quality == near(sum(each.cheap.quality for each in rows) / n)
    always = next(point for point in curve.points if point.share == 1.0)
    assert always.cost == near(curve.cheap.cost + curve.always["dear"].cost)
    stays = [(each.expensive["dear"] if each.expensive["dear"].stands else each.cheap).quality for each in rows]
    assert always.quality == near(sum(stays) / n)
    assert curve.always["dear"].quality == near(sum(each.expensive["dear"].quality for each in rows) / n)
    assert len(curve.points) == len({each.signals["doubt"] for each in rows}) + 1


@given(some_rows)
def test_no_policy_beats_the_oracle(rows: list[Row]) -> None:
    curve = cost_curve(rows, TWO)
    best = max(point.quality for point in (*curve.points, curve.cheap, *curve.always.values()))
    assert best <= curve.oracle.quality + 1e-9


@given(st.lists(row, min_size=1, max_size=6), st.integers(1, 3))
def test_where_answers_are_right_or_wrong_the_oracle_is_the_cheapest_of_the_best(rows: list[Row], levels: int) -> None:
    def rounded(given: Figures) -> Figures:
        return Figures(round(given.quality * levels), given.calls, given.tokens, given.seconds, given.stands)

    coarse = [
        Row(each.signals, rounded(each.cheap), {name: rounded(f) for name, f in each.expensive.items()})
        for each in rows
    ]
    curve = cost_curve(coarse, TWO)
    for point in (*curve.points, curve.cheap, *curve.always.values()):
        assert point.quality < curve.oracle.quality or point.cost >= curve.oracle.cost - 1e-9


@given(some_rows, st.floats(-5, 60))
def test_a_random_mix_lies_on_the_line_between(rows: list[Row], at: float) -> None:
    curve = cost_curve(rows, ONE)
    low, high = curve.cheap, curve.always["dear"]
    mixed = curve.random_mix("dear", at)
    assert min(low.quality, high.quality) - 1e-9 <= mixed <= max(low.quality, high.quality) + 1e-9
    if abs(high.cost - low.cost) > 1e-3:
        assert curve.random_mix("dear", low.cost) == near(low.quality)
        assert curve.random_mix("dear", high.cost) == near(high.quality)
        middle = curve.random_mix("dear", (low.cost + high.cost) / 2)
        assert middle == near((low.quality + high.quality) / 2)


@given(some_rows)
def test_the_best_points_rise_and_no_point_beats_them(rows: list[Row]) -> None:
    curve = cost_curve(rows, TWO)
    best = curve.best()
    assert all(a.cost < b.cost and a.quality < b.quality for a, b in zip(best, best[1:], strict=False))
    for point in curve.points:
        assert any(each.cost <= point.cost and each.quality >= point.quality for each in best)


@given(some_rows)
def test_a_point_is_what_the_rules_would_have_done(rows: list[Row]) -> None:
    for point in cost_curve(rows, TWO).points[::5]:
        policy = Weakness([Abstained("doubt"), Abstained("class")], point.rules)
        quality, calls, went = [], [], 0
        for each in rows:
            rule = policy.decide({name: score for name, score in each.signals.items() if score is not None})
            other = each.expensive[rule.to] if rule else None
            quality.append(other.quality if other and other.stands else each.cheap.quality)
            calls.append(each.cheap.calls + (other.calls if other else 0.0))
            went += other is not None
        n = len(rows)
        assert (point.quality, point.cost, point.share) == (
            near(sum(quality) / n),
            near(sum(calls) / n),
            near(went / n),
        )
        assert point_of(rows, point.rules) == point


@given(some_rows, st.floats(0, 30), share)
def test_fitted_thresholds_keep_what_was_asked_and_nothing_on_the_curve_is_better(
    rows: list[Row], most: float, harm: float
) -> None:
    curve = cost_curve(rows, TWO)
    if most >= curve.cheap.cost:
        fitted = fit_thresholds(rows, TWO, max_cost=most)
        assert fitted.cost <= most + 1e-9
        assert all(point.quality <= fitted.quality for point in curve.points if point.cost <= most)
        assert point_of(rows, fitted.rules).quality == fitted.quality
    wanted = max(point.quality for point in (curve.cheap, *curve.always.values())) - harm
    if any(point.quality >= wanted for point in curve.points):
        fitted = fit_thresholds(rows, TWO, harm=harm)
        assert fitted.quality >= wanted - 1e-9
        assert all(point.cost >= fitted.cost for point in curve.points if point.quality >= wanted)


def rows_where_doubt_tells(n: int = 40) -> list[Row]:
    """Three of four cheap answers are right; the doubt is high where one is wrong."""
    return [
        Row(
            {"doubt": 0.5 + at / 100 if at % 4 == 0 else at / 100, "class": None},
            Figures(float(at % 4 != 0), calls=1, tokens=500, seconds=1),
            {"dear": Figures(1.0, calls=4, tokens=2000, seconds=5), "dearest": Figures(1.0, 8, 4000, 9)},
        )
        for at in range(n)
    ]


def test_a_signal_that_tells_beats_the_dice() -> None:
    rows = rows_where_doubt_tells()
    fitted = fit_thresholds(rows, TWO, harm=0.0)
    assert (fitted.quality, fitted.share, fitted.cost) == (1.0, 0.25, 2.0)
    assert fitted.rules == (Rule("dear", {"doubt": 0.5}),)  # the class is never known: its rule is left out
    curve = cost_curve(rows, TWO)
    assert curve.random_mix("dear", fitted.cost) == pytest.approx(0.75 + 0.25 / 3)
    assert (curve.oracle.quality, curve.oracle.cost) == (1.0, 1.75)
    assert fit_thresholds(rows, TWO, max_cost=1.0).rules == ()
    assert fit_thresholds(rows, TWO, max_cost=1500, unit="tokens").quality == 1.0


def test_many_scores_and_several_thresholds_are_thinned_out_and_keep_their_ends() -> None:
    rows = [
        Row(
            {"doubt": at / 999, "class": (at * 7 % 1000) / 999, "third": (at * 13 % 1000) / 999},
            Figures(0.0, 1, 0, 0),
            {"dear": Figures(1.0, 4, 0, 0)},
        )
        for at in range(1000)
    ]
    rules = [Rule("dear", {name: 0.5}) for name in ("doubt", "class", "third")]
    points = cost_curve(rows, rules).points
    assert len(points) == 21**3
    assert (points[0].share, points[-1].share) == (0.0, 1.0)


def test_rows_and_questions_that_cannot_be_are_refused() -> None:
    rows = rows_where_doubt_tells(4)
    other = Row({"doubt": 0.0}, rows[0].cheap, rows[0].expensive)
    unmeasured = Row(rows[0].signals, Figures(float("nan"), 1, 1, 1), rows[0].expensive)
    for call, why in [
        (lambda: cost_curve([], ONE), "there are no rows"),
        (lambda: cost_curve([*rows, other], ONE), "row 4 has other strategies or signals"),
        (lambda: cost_curve([*rows, unmeasured], ONE), "quality of a row is no finite number"),
        (lambda: cost_curve(rows, ONE, unit="euros"), "unknown unit 'euros'"),  # type: ignore[arg-type]
        (lambda: point_of(rows, [Rule("web", {"doubt": 0.5})]), "'web' was not measured"),
        (lambda: cost_curve(rows, [Rule("dear", {"mood": 0.5})]), "'mood' was not measured"),
        (lambda: cost_curve(rows, ONE).random_mix("web", 1), "'web' was not measured"),
        (lambda: fit_thresholds(rows, ONE), "either max_cost or harm"),
        (lambda: fit_thresholds(rows, ONE, max_cost=1, harm=1), "either max_cost or harm"),
        (lambda: fit_thresholds(rows, ONE, max_cost=0.5), "nothing costs 0.5 calls or less"),
        (lambda: fit_thresholds(rows, [Rule("dear", {"class": 0})], harm=0.1), "no thresholds lose 0.1 or less"),
    ]:
        with pytest.raises(UsageError, match=why):
            call()


def test_a_row_of_what_strategies_gave() -> None:
    cheap, dear = naive(BAD).invoke({"question": QUESTION}), naive(GOOD).invoke({"question": QUESTION})

    def right(result: Any) -> float:
        return float("25 days" in result["answer"])

    def measured(first: Any, second: Any) -> Row:
        signals = [Abstained(), Unsupported(), BudgetLeft()]
        return row_of(QUESTION, first, {"dear": second}, quality=right, signals=signals)

    weak, good = measured(cheap, dear), measured(dear, cheap)
    assert weak.signals == {"abstained": 1.0, "unsupported": 1.0, "budget_left": 7 / 8}
    assert (weak.cheap.quality, weak.expensive["dear"].quality, weak.expensive["dear"].stands) == (0.0, 1.0, True)
    assert (good.cheap.quality, good.expensive["dear"].stands, good.cheap.calls) == (1.0, False, 1)
    assert weak.cheap.tokens == cheap["usage"]["tokens_in"] + cheap["usage"]["tokens_out"]
    fitted = fit_thresholds([weak, good], [Rule("dear", {"abstained": 0})], max_cost=1.5)
    assert fitted.rules == (Rule("dear", {"abstained": 1.0}),)
    graph = auto_rag(naive(BAD), {"dear": naive(GOOD)}, weakness=Weakness([Abstained()], fitted.rules))
    assert decision_of(graph.invoke({"question": QUESTION}))["decision"] == "dear"


# -- the file ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.builds(Rule, st.text(), st.dictionaries(st.text(), st.floats(-1, 1), min_size=1)), max_size=3))
def test_what_is_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, rules: list[Rule]) -> None:
    from dataclasses import replace

    path = tmp_path_factory.mktemp("policy") / "policy.json"
    fitted = replace(fit_thresholds(rows_where_doubt_tells(4), TWO, harm=0.0), rules=tuple(rules))
    save_policy(fitted, path)
    assert load_policy(path) == fitted
    assert [each.name for each in path.parent.iterdir()] == ["policy.json"]


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    save_policy(fit_thresholds(rows_where_doubt_tells(), TWO, harm=0.0), path)
    whole = path.read_text()
    good = json.loads(whole)
    rule = good["rules"][0]
    for text, why in [
        (whole[: len(whole) // 2], "Invalid JSON"),
        ("", "Invalid JSON"),
        ("[]", "object"),
        (json.dumps({**good, "format": 2}), "format"),
        (json.dumps({**good, "rules": [{**rule, "when": {"doubt": "high"}}]}), "rules.0.when.doubt"),
        (json.dumps({**good, "rules": [{**rule, "when": {}}]}), "has no signal"),
        (json.dumps({**good, "rules": [{"to": "dear"}]}), "rules.0.when"),
        (whole.replace("0.5", "Infinity"), "threshold of 'doubt' is inf|finite"),
        (json.dumps({**good, "model": "x"}), "model"),
    ]:
        path.write_text(text)
        with pytest.raises(ArtifactError, match=why) as caught:
            load_policy(path)
        assert "fit it anew" in str(caught.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ArtifactError):
        load_policy(path)
    for missing in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UsageError, match="cannot read the policy"):
            load_policy(missing)
    with pytest.raises(UsageError, match="cannot write"):
        save_policy(fit_thresholds(rows_where_doubt_tells(), TWO, harm=0.0), tmp_path / "no" / "policy.json")
