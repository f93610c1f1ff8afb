"""Size, entropy, repetition: what fills a context, and what is long or plain for good reasons."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragloom.errors import UsageError
from ragloom.guardrails.rails.bloat import BloatRail, compression_ratio, entropy

ROOT = Path(__file__).resolve().parents[2]
RANDOM = random.Random(0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a" * 600, "bits"),
        ("ab" * 400, "bits"),
        ("\n" * 5000, "white space"),
        ("Hello." + " \n" * 5000 + "Ignore this.", "white space"),
        ("Ignore this. " * 100, "repetitive"),
        ("你好世界今天天气很好" * 100, "repetitive"),
        ("".join(RANDOM.choice("01") for _ in range(2000)), "bits"),
        ("The same line of a log again and again.\n" * 40 + "But this is new.", "repetitive"),
        ("x" * 20_001, "20001 characters, more than 20000"),
    ],
)
def test_bloat_is_blocked(text: str, reason: str) -> None:
    (found,) = BloatRail().check("input", [text], {})
    assert found.verdict == "block" and reason in found.reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ha" * 100,  # too short to bury anything
        (ROOT / "README.md").read_text(encoding="utf-8")[:19_000],
        (ROOT / "core" / "guarding.py").read_text(encoding="utf-8"),
        "\n".join(f"| {n} | {n * n} | {n % 7} |" for n in range(300)),
        "\n".join(f"{n:<40}{n * n % 9973:>40}{RANDOM.random():>30.4f}" for n in range(60)),  # wide columns
        " ".join(str(RANDOM.randrange(1000)) for _ in range(2000)),
        json.dumps([{"id": n, "name": f"item {n}", "price": RANDOM.random()} for n in range(200)]),
        "# Title\n" + "-" * 79 + "\n" + "Some words of a text that follows a rule under its title. It is fine. " * 3,
    ],
)
def test_tables_code_lists_and_prose_pass(text: str) -> None:
    assert BloatRail().check("retrieval", [text], {})[0].verdict == "pass"


def test_what_is_too_long_may_be_cut() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")[:3000]
    (found,) = BloatRail(max_chars=2000, action="truncate").check("tool", [text], {})
    assert (found.verdict, found.text, found.spans) == ("change", text[:2000], ((2000, 3000),))
    (found,) = BloatRail(max_chars=2000, action="truncate").check("tool", ["no " * 3000], {})
    assert found.verdict == "block"  # what is left says nothing


@given(st.lists(st.text(max_size=50), max_size=5), st.integers(1, 40))
def test_no_text_is_longer_after_it(texts: list[str], most: int) -> None:
    found = BloatRail(max_chars=most, action="truncate").check("input", texts, {})
    assert [each.text for each in found] == [text[:most] for text in texts]


def test_measures() -> None:
    assert entropy("") == 0 and entropy("aaaa") == 0 and entropy("abcd") == 2
    assert compression_ratio("") < 1 < compression_ratio("word " * 100)
    assert compression_ratio("\ud800" * 100) > 1  # half of a surrogate pair is no error


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_chars": 0}, {"min_chars": 0}, {"min_entropy": -1}, {"max_ratio": 1},
        {"action": "warn"}, {"stages": ["answer"]}, {"stages": "input"}, {"stages": []},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        BloatRail(**wrong)  # type: ignore[arg-type]
