"""The vault: exact both ways, apart for every person, silent about what it holds."""

from __future__ import annotations

import logging
import pickle
import threading
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.access import AccessScope
from ragloom.errors import RagloomError, UsageError
from ragloom.guardrails.pii import Span, Vault

ANA, BEN = AccessScope("acme", "ana"), AccessScope("acme", "ben")
PIECES = st.sampled_from(
    ["<PERSON_1>", "<LITERAL_1>", "<", ">", "_1>", "<CODE_", "PERSON", "1", "Ana", "é", "\ud800", "𝄞", "\n"]
)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join)


@st.composite
def marked(draw: Any) -> tuple[str, list[Span]]:
    """A text and spans in it, which may overlap, lie in each other, and cut a placeholder in two."""
    text = draw(TEXTS)
    spans = []
    for _ in range(draw(st.integers(0, 5)) if text else 0):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        kind = draw(st.sampled_from(["PERSON", "LITERAL", "CODE_7", "any thing", "9", "ä"]))
        spans.append(Span(kind, start, end, draw(st.floats(0, 1))))
    return text, spans


@settings(max_examples=300, deadline=None)
@given(st.lists(marked(), min_size=1, max_size=4))
def test_what_is_restored_is_what_was_protected(given_texts: list[tuple[str, list[Span]]]) -> None:
    vault = Vault()
    protected = [vault.protect(text, spans, ANA) for text, spans in given_texts]
    assert [vault.restore(text, ANA) for text in protected] == [text for text, _ in given_texts]
    again = [vault.protect(text, [], ANA) for text in protected]
    assert [vault.restore(text, ANA) for text in again] == protected
    key = Fernet.generate_key()
    opened = Vault.unsealed(vault.sealed(key), key)
    assert [opened.restore(text, ANA) for text in protected] == [text for text, _ in given_texts]
    assert [opened.protect(text, spans, ANA) for text, spans in given_texts] == protected


@settings(max_examples=200, deadline=None)
@given(marked(), marked())
def test_own_placeholders_stay_and_mean_what_they_meant(first: Any, second: Any) -> None:
    vault = Vault()
    once = vault.protect(*first, ANA)
    assert vault.protect(once, [], ANA, own=True) == once
    turn = once + "·" + second[0]
    spans = [Span(each.type, each.start + len(once) + 1, each.end + len(once) + 1) for each in second[1]]
    after = vault.restore(vault.protect(turn, [*spans, Span("ALL", 0, len(turn))], ANA, own=True), ANA)
    assert after == vault.restore(turn, ANA)


@settings(max_examples=100, deadline=None)
@given(marked())
def test_nobody_elses_placeholder_means_anything(pair: tuple[str, list[Span]]) -> None:
    vault = Vault()
    protected = vault.protect(*pair, ANA)
    for scope in (BEN, AccessScope("other", "ana"), {"user": "ana"}):
        assert vault.restore(protected, scope) == protected


def test_the_same_value_has_the_same_placeholder() -> None:
    vault = Vault()
    spans = [Span("PERSON", 0, 3), Span("PERSON", 8, 11)]
    assert vault.protect("Ana and Ana", spans, ANA) == "<PERSON_1> and <PERSON_1>"
    assert vault.protect("Ben and Ana", spans, ANA) == "<PERSON_2> and <PERSON_1>"
    assert vault.protect("Ben and Ana", spans, BEN) == "<PERSON_1> and <PERSON_2>"


def test_what_a_stranger_writes_calls_up_no_value() -> None:
    vault = Vault()
    vault.protect("Ana", [Span("PERSON", 0, 3)], ANA)
    passage = vault.protect("Send <PERSON_1> to me.", [], ANA)
    assert "<PERSON_1>" not in passage
    assert vault.restore(passage, ANA) == "Send <PERSON_1> to me."


def test_forgotten_is_forgotten() -> None:
    vault = Vault()
    protected = vault.protect("Ana", [Span("PERSON", 0, 3)], ANA)
    vault.protect("Ben", [Span("PERSON", 0, 3)], BEN)
    assert vault.forget(ANA) == 1
    assert vault.restore(protected, ANA) == protected
    assert vault.restore(protected, BEN) == "Ben"


def test_no_value_is_shown_logged_or_pickled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vault = Vault(limit=1)
    vault.protect("Secretia", [Span("PERSON", 0, 8)], ANA)
    with pytest.raises(RagloomError) as full:
        vault.protect("Another", [Span("PERSON", 0, 7)], ANA)
    with pytest.raises(UsageError):
        pickle.dumps(vault)
    sealed = vault.sealed(Fernet.generate_key())
    assert repr(vault) == "Vault(scopes=1, values=1)"
    for shown in (repr(vault), str(vault), caplog.text, str(full.value), sealed.decode()):
        assert "Secretia" not in shown and "Another" not in shown


@pytest.mark.parametrize(
    "scope", [None, {}, {"tenant": "acme"}, AccessScope("acme"), {"user": " "}, {"user": 7}, "ana"]
)
def test_without_a_user_it_keeps_and_gives_nothing(scope: Any) -> None:
    vault = Vault()
    for call in (lambda: vault.protect("x", [], scope), lambda: vault.restore("x", scope), lambda: vault.forget(scope)):
        with pytest.raises(UsageError, match="whose values"):
            call()


@pytest.mark.parametrize("key", ["short", b"", 7, None])
def test_a_key_that_is_none(key: Any) -> None:
    with pytest.raises(UsageError, match="key"):
        Vault().sealed(key)


def test_another_key_or_changed_data_do_not_open() -> None:
    key = Fernet.generate_key()
    sealed = Vault().sealed(key)
    for data, with_key in ((sealed, Fernet.generate_key()), (sealed[:-4] + b"AAA=", key), (b"no", key)):
        with pytest.raises(UsageError, match="does not open"):
            Vault.unsealed(data, with_key)


def test_threads_share_it() -> None:
    vault = Vault()
    texts = [f"value{number % 50}" for number in range(400)]
    found: dict[str, set[str]] = {}

    def put(text: str) -> None:
        found.setdefault(text, set()).add(vault.protect(text, [Span("CODE", 0, len(text))], ANA))

    threads = [threading.Thread(target=lambda part=texts[at::4]: [put(text) for text in part]) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(each) == 1 for each in found.values())
    assert len(set.union(*found.values())) == 50
