"""What is found without a named-entity model, and that no text makes it slow, talkative or go out to a network."""

from __future__ import annotations

import importlib.util
import logging
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import grows_linearly
from pii_kit import LETTER, PLANTED, detector, planted_in

from ragloom.errors import MissingExtraError, UsageError
from ragloom.guardrails.pii import PresidioDetector, Span, resolved


def found(text: str, threshold: float = 0.5) -> set[tuple[str, str]]:
    spans = resolved(span for span in detector().detect([text])[0] if span.score >= threshold)
    return {(span.type, text[span.start : span.end]) for span in spans}


def test_every_planted_value_is_found_whole() -> None:
    assert set(PLANTED.items()) <= found(LETTER)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Dr. Imogen Szabó will see you.", "PERSON", "Imogen Szabó"),
        ("Thanks,\nBertil Quist", "PERSON", "Bertil Quist"),
        ("When Maria Lopez called, nobody answered.", "PERSON", "Maria Lopez"),
        ("Patient: Zbigniew K. Nowak", "PERSON", "Zbigniew K. Nowak"),
        ("I moved to Utrecht last year.", "LOCATION", "Utrecht"),
        ("It rains in New Zealand.", "LOCATION", "New Zealand"),
        ("She works for Initech.", "ORGANIZATION", "Initech"),
        ("Acme Widgets, Inc. is here.", "ORGANIZATION", "Acme Widgets"),
        ("Ship it to 12 Elm Street, Springfield.", "STREET_ADDRESS", "12 Elm Street, Springfield"),
        ("PSC 4719 Box 7394, APO AE 09012", "STREET_ADDRESS", "PSC 4719 Box 7394, APO AE 09012"),
        ("Goethestraße 12 in Kassel", "STREET_ADDRESS", "Goethestraße 12"),
        ("my cell is 780 6326", "PHONE_NUMBER", "780 6326"),
        ("ring +44 20 7946 0958 now", "PHONE_NUMBER", "+44 20 7946 0958"),
        ("3782 822463 10005", "CREDIT_CARD", "3782 822463 10005"),
        ("host 2001:db8::8a2e:370:7334 is down", "IP_ADDRESS", "2001:db8::8a2e:370:7334"),
        ("pay 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "CRYPTO", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("ana@intranet.local", "EMAIL_ADDRESS", "ana@intranet.local"),
        ("see https://a.example/x?u=1 there", "URL", "https://a.example/x?u=1"),
        ("born on 3 March 1987", "DATE_TIME", "3 March 1987"),
        ("a 43-year-old man", "AGE", "43"),
        ("his driver's license D1234567", "US_DRIVER_LICENSE", "D1234567"),
        ("passport 123456789", "US_PASSPORT", "123456789"),
        ("the bank account 12345678901", "US_BANK_NUMBER", "12345678901"),
    ],
)
def test_found(text: str, kind: str, value: str) -> None:
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # Luhn
        "GB83WEST12345698765432",  # mod 97
        "000-12-3456",  # an area that was never given
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",  # base58 check
        "Version 1.22.333 of 1234567 rows in 12:34:56",
        "Full-time employees get 25 days of annual leave.",
        "The <PERSON_1> and <EMAIL_ADDRESS_2> of <CREDIT_CARD_3>",
        "",
    ],
)
def test_not_found(text: str) -> None:
    assert found(text) == set()


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from([*PLANTED.values(), " ", "\n", ",", "Dr. ", "\x00", "é"])).map("".join)
)
def test_any_text_gives_spans_inside_of_it(text: str) -> None:
    (spans,) = detector().detect([text])
    assert all(0 <= span.start < span.end <= len(text) and 0 <= span.score <= 1 for span in spans)
    assert {span.type for span in spans} <= detector().types


HOSTILE = [
    "a.",
    "Ab ",
    "1",
    "1 ",
    "a@",
    "1 Ab ",
    "http://",
    "my name is ",
    "(1",
    "1:",
    " ",
    "\n",
    "x-",
    "Ab\n1\n",
    "12 Ab Str., ",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_time_is_linear(unit: str) -> None:
    assert grows_linearly(lambda size: detector().detect([(unit * size)[:size]]), 1_000)


def test_nothing_is_logged_and_no_network_is_touched(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any, **options: Any) -> Any:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    caplog.set_level(logging.DEBUG)
    assert PresidioDetector(model="").detect([LETTER])[0]
    assert planted_in(LETTER) and planted_in(caplog.text) == []


def test_the_name_says_which_detector_is_at_work() -> None:
    assert detector().name == "presidio, no named-entity model"


def test_an_analyzer_of_ones_own() -> None:
    class Analyzer:
        supported_languages = ("en",)

        def get_supported_entities(self, language: str) -> list[str]:
            return ["X"]

        def analyze(self, text: str, language: str) -> list[Any]:
            from presidio_analyzer import RecognizerResult

            return [RecognizerResult("X", 0, 1, 0.7)]

    own: Any = Analyzer()
    assert PresidioDetector(analyzer=own).detect(["ab"]) == [[Span("X", 0, 1, 0.7)]]
    with pytest.raises(UsageError, match="analyzer"):
        PresidioDetector(analyzer=own, model="en_core_web_sm")


def test_presidios_own_registry_finds_its_own_recognisers_beside_ours() -> None:
    from presidio_analyzer import LocalRecognizer, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    assert detector().name  # ours are loaded
    ours = {each.__name__ for each in LocalRecognizer.__subclasses__() if each.__module__.startswith("ragloom.")}
    registry = RecognizerRegistry()
    nlp = NoOpNlpEngine([{"lang_code": "en", "model_name": ""}])
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=nlp)
    assert len(ours) == 3
    assert not ours & {type(each).__name__ for each in registry.recognizers}


def test_a_spacy_model_that_is_installed_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, about = tmp_path / "en_fake_ner", tmp_path / "en_fake_ner-1.0.dist-info"
    package.mkdir()
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: en_fake_ner\nVersion: 1.0\n")
    (package / "__init__.py").write_text(
        "import spacy\n"
        "def load(**given):\n"
        "    nlp = spacy.blank('en')\n"
        "    nlp.add_pipe('entity_ruler').add_patterns([{'label': 'PERSON', 'pattern': 'zorblax'}])\n"
        "    return nlp\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = "so zorblax wrote to ana@corp.local"
    assert found(text) == {("EMAIL_ADDRESS", "ana@corp.local")}
    monkeypatch.setattr("ragloom.guardrails.pii.presidio.MODELS", ("en_no_such_model", "en_fake_ner"))
    with_model = PresidioDetector()
    assert with_model.name == "presidio en_fake_ner"
    assert {(each.type, text[each.start : each.end]) for each in with_model.detect([text])[0]} == {
        ("PERSON", "zorblax"),
        ("EMAIL_ADDRESS", "ana@corp.local"),
    }


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no_such_model"):
        PresidioDetector(model="no_such_model")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=re.escape("ragloom[guardrails]")):
        PresidioDetector()
