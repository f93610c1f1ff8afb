"""Presidio as a detector: its recognisers and ours, with a named-entity model where one is installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import MissingExtraError, UsageError
from .detector import Span

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, RecognizerResult

__all__ = ("MODELS", "PresidioDetector")

MODELS = ("en_core_web_trf", "en_core_web_lg", "en_core_web_md", "en_core_web_sm")
"""spaCy's models with named entities, the best first."""


class PresidioDetector:
    """Personal data in English text, by Presidio (https://microsoft.github.io/presidio).

    Numbers with checksums, addresses, dates by Presidio's recognisers and ours. People, places and organisations by
    a spaCy model where one is installed (the first of `MODELS`), and by rules on the words around them; without a
    model by these alone, which find those that are announced ("Dr. ...", "my name is ...", "lives in ...") and those
    with a frequent first name. `name` says which it is. Nothing is ever downloaded, no text takes more than linear
    time (a spaCy model apart), and no value is logged.

    Args:
        model: an installed spaCy model, None for the first of `MODELS` that is, "" for none.
        analyzer: a Presidio engine of your own, used as it is. Its own context words are logged at DEBUG.

    Raises `MissingExtraError` without Presidio, `UsageError` for a model that is not installed.

        >>> PresidioDetector().detect(["Call +1 212 555 2368."])[0][0].type  # doctest: +SKIP
        'PHONE_NUMBER'
    """

    def __init__(self, *, model: str | None = None, analyzer: AnalyzerEngine | None = None) -> None:
        if analyzer is not None and model is not None:
            raise UsageError(f"the model {model!r} beside an analyzer of your own", hint="give the one or the other")
        if importlib.util.find_spec("presidio_analyzer") is None:
            raise MissingExtraError("finding personal data", "guardrails")
        if model and not _installed(model):
            raise UsageError(f"the spaCy model {model!r} is not installed", hint=f"python -m spacy download {model}")
        if analyzer is not None:
            self.name = "presidio, own analyzer"
            self._analyzer: Any = analyzer
        else:
            model = next(filter(_installed, MODELS), "") if model is None else model
            self.name = f"presidio {model}" if model else "presidio, no named-entity model"
            self._analyzer = _Recognizers(model)
        self._language: str = self._analyzer.supported_languages[0]
        self.types = frozenset(self._analyzer.get_supported_entities(self._language))

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        """See `Detector.detect`. Scores: 0.5 and more is likely, 1 has a valid checksum."""
        return [
            [
                Span(each.entity_type, each.start, each.end, float(each.score))
                for each in self._analyzer.analyze(text, language=self._language)
            ]
            for text in texts
        ]


def _installed(model: str) -> bool:
    """As spaCy asks before it would download one."""
    try:
        return bool(importlib.metadata.distribution(model))
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False


class _Recognizers:
    """The recognisers of Presidio and ours in a row, as its `AnalyzerEngine` runs them, but in linear time: that one
    goes through all findings anew for every recogniser, and compares them in pairs.
    """

    supported_languages = ("en",)

    def __init__(self, model: str) -> None:
        from presidio_analyzer.nlp_engine import NlpEngine, NoOpNlpEngine, SpacyNlpEngine
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer

        from .names import NameRecognizer
        from .numbers import number_recognizers
        from .places import place_recognizers

        languages = [{"lang_code": "en", "model_name": model}]
        self._nlp: NlpEngine = SpacyNlpEngine(languages) if model else NoOpNlpEngine(languages)
        self._nlp.load()
        self._recognizers = [*number_recognizers(), *place_recognizers(), NameRecognizer()]
        if model:
            self._recognizers.append(SpacyRecognizer(supported_entities=self._nlp.get_supported_entities()))

    def get_supported_entities(self, language: str) -> list[str]:
        return [kind for each in self._recognizers for kind in each.supported_entities]

    def analyze(self, text: str, language: str) -> Iterator[RecognizerResult]:
        from .recognizer import raised

        artifacts = self._nlp.process_text(text, language)
        for recognizer in self._recognizers:
            found = recognizer.analyze(text, recognizer.supported_entities, artifacts)
            for each, score in raised(text, found, recognizer.context or ()):
                each.score = score
                yield each
