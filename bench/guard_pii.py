"""Personal data found by our detector and by Presidio as it comes: `python bench/guard_pii.py`.

The texts are Presidio's synthetic set (pii_presidio): sentences and letters of templates, filled with invented people.
Templates are halved by hash. Thresholds, one a type, are those with the best F1 on the one half; figures are of the
other. Our rules were written while the first half was looked at (and ten values of each type, of either half), so on
texts of your own expect less. A named-entity model is used where one is installed; the result says which. Presidio as
it comes has its recognisers for English and a blank spaCy pipeline, whose tokens have no lemmas: its context words find
nothing there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from common import ended_well, has, options, publish, read_jsonl, say, table

SET = "pii_presidio"
OURS = {
    "PERSON": "PERSON",
    "STREET_ADDRESS": "STREET_ADDRESS",
    "GPE": "LOCATION",
    "ORGANIZATION": "ORGANIZATION",
    "CREDIT_CARD": "CREDIT_CARD",
    "DATE_TIME": "DATE_TIME",
    "AGE": "AGE",
    "TITLE": "TITLE",
    "NRP": "NRP",
    "PHONE_NUMBER": "PHONE_NUMBER",
    "EMAIL_ADDRESS": "EMAIL_ADDRESS",
    "DOMAIN_NAME": "URL",
    "IP_ADDRESS": "IP_ADDRESS",
    "US_SSN": "US_SSN",
    "ZIP_CODE": "ZIP_CODE",
    "IBAN_CODE": "IBAN_CODE",
}
"""The set's types, and what detectors call them. Titles nobody looks for: they are no personal data by themselves."""
FORMED = ("CREDIT_CARD", "DATE_TIME", "PHONE_NUMBER", "EMAIL_ADDRESS", "URL", "IP_ADDRESS", "US_SSN", "IBAN_CODE")
"""What Presidio finds without a model: the like for like."""
GRID = [round(0.05 * step, 2) for step in range(1, 20)]


class Text(NamedTuple):
    text: str
    spans: list[Any]
    """What people are to find, under our types."""
    part: str


class Counts(NamedTuple):
    """Of one type: found and there, found, of these right, of those there found."""

    right: int
    found: int
    hit: int
    there: int

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        return self.hit / self.there if self.there else 0.0

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="installed spaCy model; by default the best that is, if any")


def read_texts(folder: Any) -> list[Text]:
    from ragloom.guardrails.pii import Span

    return [
        Text(
            row["text"],
            [Span(OURS[each["type"]], each["start"], each["end"]) for each in row["spans"]],
            "dev" if hashlib.sha256(str(row["template_id"]).encode()).digest()[0] % 2 == 0 else "test",
        )
        for row in read_jsonl(folder / "items.jsonl")
    ]


def presidio_as_it_comes() -> Any:
    """All its recognisers for English, on a blank pipeline."""
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    from ragloom.guardrails.pii import PresidioDetector

    class Blank(SpacyNlpEngine):
        def load(self) -> None:
            self.nlp = {"en": spacy.blank("en")}

    engine = Blank()
    engine.load()
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=engine)
    return PresidioDetector(analyzer=AnalyzerEngine(registry=registry, nlp_engine=engine))


def kept(found: Sequence[Sequence[Any]], thresholds: dict[str, float]) -> list[list[Any]]:
    """As the rail takes them: over the threshold, none overlapping."""
    from ragloom.guardrails.pii import resolved

    return [resolved(each for each in spans if each.score >= thresholds.get(each.type, 0.5)) for spans in found]


def counts(kind: str, texts: Sequence[Text], found: Sequence[Sequence[Any]], *, exact: bool = False) -> Counts:
    """A span is right where it overlaps (exact: is) one of the same type."""
    right = hit = n_found = n_there = 0
    for text, spans in zip(texts, found, strict=True):
        there = [(each.start, each.end) for each in text.spans if each.type == kind]
        given = [(each.start, each.end) for each in spans if each.type == kind]
        n_there, n_found = n_there + len(there), n_found + len(given)
        right += sum(any(_same(one, other, exact) for other in there) for one in given)
        hit += sum(any(_same(one, other, exact) for other in given) for one in there)
    return Counts(right, n_found, hit, n_there)


def _same(one: tuple[int, int], other: tuple[int, int], exact: bool) -> bool:
    return one == other if exact else one[0] < other[1] and other[0] < one[1]


def covered(texts: Sequence[Text], found: Sequence[Sequence[Any]]) -> float:
    """Share of the values of which no character is left, whatever type they were taken for."""
    whole = []
    for text, spans in zip(texts, found, strict=True):
        hidden = {at for each in spans for at in range(each.start, each.end)}
        whole += [all(at in hidden for at in range(each.start, each.end)) for each in text.spans]
    return float(np.mean(whole))


def best_thresholds(texts: Sequence[Text], found: Sequence[Sequence[Any]]) -> dict[str, float]:
    """Of each type the threshold with the best F1; of equal ones the nearest to 0.5."""
    chosen = {}
    for kind in OURS.values():
        scores = {limit: counts(kind, texts, _over(found, kind, limit)).f1 for limit in GRID}
        chosen[kind] = max(GRID, key=lambda limit: (scores[limit], -abs(limit - 0.5)))
    return chosen


def _over(found: Iterable[Sequence[Any]], kind: str, limit: float) -> list[list[Any]]:
    return [[each for each in spans if each.type == kind and each.score >= limit] for spans in found]


def summed(each: Iterable[Counts]) -> Counts:
    return Counts(*map(sum, zip(*each, strict=True)))


def measured(texts: Sequence[Text], found: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Rows by type, micro and macro, overlapping and exact, and what is covered."""
    rows = []
    kinds = [kind for kind in OURS.values() if any(span.type == kind for text in texts for span in text.spans)]
    by_kind = {kind: counts(kind, texts, found) for kind in kinds}
    exact = {kind: counts(kind, texts, found, exact=True) for kind in kinds}
    for kind in kinds:
        one = by_kind[kind]
        rows.append({"type": kind, "n": one.there, **_figures(one), "exact f1": exact[kind].f1})
    per_type = list(rows)
    for name, some in (("micro, types with a form", [kind for kind in kinds if kind in FORMED]), ("micro", kinds)):
        micro, micro_exact = summed(by_kind[kind] for kind in some), summed(exact[kind] for kind in some)
        rows.append({"type": name, "n": micro.there, **_figures(micro), "exact f1": micro_exact.f1})
    macro = {
        name: float(np.mean([row[name] for row in per_type])) for name in ("precision", "recall", "f1", "exact f1")
    }
    rows.append({"type": "macro", "n": micro.there, **macro})
    others = sum(each.type not in OURS.values() for spans in found for each in spans)
    return {"rows": rows, "covered": covered(texts, found), "other types": others}


def _figures(one: Counts) -> dict[str, float]:
    return {"precision": one.precision, "recall": one.recall, "f1": one.f1}


def timed_detection(detector: Any, texts: Sequence[Text]) -> tuple[list[list[Any]], float]:
    """Spans, and the median milliseconds of a text."""
    detector.detect([texts[0].text])
    found, times = [], []
    for each in texts:
        began = time.perf_counter()
        found += detector.detect([each.text])
        times.append(1000 * (time.perf_counter() - began))
    return found, float(np.median(times))


def main() -> None:
    """Precision, recall and F1 of each type, of ours and of Presidio as it comes."""
    given = options(__doc__, add_options)
    if not has(given.data, SET):
        return
    # Presidio's recogniser of e-mail addresses would fetch a list, from where this says when it is first imported.
    os.environ["TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS"] = ""
    from ragloom.guardrails.pii import PresidioDetector

    texts = read_texts(given.data / SET)
    dev, test = ([each for each in texts if each.part == part] for part in ("dev", "test"))
    say(f"{len(dev)} texts to choose thresholds on, {len(test)} to measure on")
    ours = PresidioDetector(model=given.model)
    found: dict[str, Any] = {}
    for name, detector in (("ours", ours), ("presidio as it comes", presidio_as_it_comes())):
        on_dev, _ = timed_detection(detector, dev)
        on_test, ms = timed_detection(detector, test)
        limits = best_thresholds(dev, on_dev)
        found[name] = {
            "ms": ms,
            "thresholds": limits,
            "chosen": measured(test, kept(on_test, limits)),
            "at 0.5": measured(test, kept(on_test, {})),
        }
        say(f"{name}: F1 {found[name]['chosen']['rows'][-2]['f1']:.3f}")
    publish("guard_pii", f"Personal data: {ours.name}", parts(found), {"detector": ours.name, **found}, [])


def parts(found: dict[str, Any]) -> list[str]:
    shown = [
        "Of the texts of Presidio's synthetic set, the half on whose templates no threshold was chosen. A span is "
        "right where it overlaps one of the same type; *exact*: where its edges are the same as well."
    ]
    for name, title in (("chosen", "Thresholds chosen on the other half"), ("at 0.5", "As shipped: 0.5 for all types")):
        head = ["type", "values", *(f"{whose}: {what}" for whose in found for what in ("P", "R", "F1", "exact F1"))]
        rows = []
        for at, row in enumerate(next(iter(found.values()))[name]["rows"]):
            each = [one[name]["rows"][at] for one in found.values()]
            cells = [f"{one[what]:.2f}" for one in each for what in ("precision", "recall", "f1", "exact f1")]
            rows.append((row["type"], row["n"], *cells))
        shown.append(f"## {title}\n\n{table(head, rows)}")
    facts = [
        (
            whose,
            f"{one['chosen']['covered']:.2f}",
            f"{one['at 0.5']['covered']:.2f}",
            one["at 0.5"]["other types"],
            f"{one['ms']:.2f}",
        )
        for whose, one in found.items()
    ]
    head = (
        "",
        "values wholly covered, chosen",
        "at 0.5",
        "spans of other types, at 0.5",
        "ms a text",
    )
    shown.append(f"## Whatever the type\n\n{table(head, facts)}")
    names = "\n".join(f"- {theirs}: {ours}" for theirs, ours in OURS.items() if theirs != ours)
    shown.append(
        "TITLE is in the set, and nobody looks for it. Milliseconds are medians. Under other names in the set:"
        f"\n\n{names}"
    )
    return shown


if __name__ == "__main__":
    ended_well(main)
