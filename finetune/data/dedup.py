"""Equal rows once, and no text in two parts: a model is not measured on what it was trained on.

Law: after `PartFilter`, no document and no identical normalised text is in two parts. Beyond the law, a passage of the
train part that shares many runs of 13 words with the test or the dev part (the length that GPT-3 was checked with,
Brown et al. 2020, arXiv 2005.14165) counts as the same text under another name: an edited article, another cut.

What is kept of a text is a few numbers, so that memory does not grow with the length of the texts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

__all__ = ("Counts", "PartFilter", "passages_of", "row_key", "shingles", "texts_of")

RUN = 13
"""Words of a shingle."""
EVERY = 4
"""Of all shingles, those whose hash is divisible by this are kept: the same ones in every text."""
SHARE = 0.3
"""A passage of which so many shingles were seen elsewhere is the same text."""
FEWEST = 3
"""Shingles that must be shared at least: one may be a quotation."""
_WORD = re.compile(r"\w+")


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.lower())) or " ".join(text.split())


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def passages_of(row: Mapping[str, Any]) -> Iterator[str]:
    """The passages of a row of any role; not one that stands there only to be found beside the right one, and that
    training may have (`distractor`).
    """
    if row.get("distractor") is True:
        return
    for name in ("passage", "positive"):
        if isinstance(row.get(name), str):
            yield row[name]
    for name in ("passages", "negatives"):
        yield from row.get(name) or ()
    for segment in row.get("segments") or ():
        if isinstance(segment, dict) and isinstance(segment.get("passage"), str) and segment["passage"]:
            yield segment["passage"]


def texts_of(row: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a row that may stand in one part only: its passages, and what is asked or claimed.

    Answers and labels are not among them: "1894" may answer many questions.
    """
    yield from passages_of(row)
    question = next((row[name] for name in ("question", "query", "text") if isinstance(row.get(name), str)), "")
    claim = row.get("claim")
    if isinstance(claim, str):
        yield f"{question} {claim}".strip()
    elif question:
        yield question


def row_key(row: Mapping[str, Any]) -> int:
    """Equal for rows that teach the same: all columns of the role, in normal form, without origin and remarks."""
    told = ("question", "query", "text", "claim", "passage", "positive", "passages", "answer", "segments")
    columns = [f"{name}={_plain(str(row[name]))}" for name in told if name in row]
    return _hash("\0".join([*columns, str(row.get("label"))]))


def shingles(text: str) -> set[int]:
    """Hashes of runs of 13 words, a fixed quarter of them."""
    words = [_word(word) for word in _WORD.findall(text.lower())]
    runs = (hash(tuple(words[at : at + RUN])) for at in range(len(words) - RUN + 1))
    return {run for run in runs if run % EVERY == 0}


@lru_cache(maxsize=1 << 16)
def _word(word: str) -> int:
    # Python's own hash of numbers is the same in every process, unlike that of texts.
    return _hash(word)


@dataclass(slots=True)
class Counts:
    """What was dropped."""

    duplicates: int = 0
    shared_texts: int = 0
    """Rows with a text that stands in another part."""
    shared_runs: int = 0
    """Rows with a passage that shares many runs of words with another part."""

    def notes(self) -> list[str]:
        """In words, for the card; nothing is said of what did not happen."""
        said = [
            (self.duplicates, "duplicates dropped"),
            (self.shared_texts, "rows dropped because a text of theirs stands in another part"),
            (self.shared_runs, f"rows dropped because a passage shares runs of {RUN} words with another part"),
        ]
        return [f"{count:,} {what}" for count, what in said if count]


@dataclass(slots=True)
class PartFilter:
    """Rows of one part after the other, the one to measure on first: what a later part shares with it is dropped.

    >>> kept = PartFilter()
    >>> test = list(kept.part([{"text": "A b.", "label": "x"}]))
    >>> list(kept.part([{"text": "a B", "label": "x"}, {"text": "c", "label": "x"}]))
    [{'text': 'c', 'label': 'x'}]
    """

    counts: Counts = field(default_factory=Counts)
    _texts: set[int] = field(default_factory=set)
    _documents: set[int] = field(default_factory=set)
    _runs: set[int] = field(default_factory=set)

    def part(self, rows: Iterable[dict[str, Any]], *, remember: bool = True) -> Iterator[dict[str, Any]]:
        """The rows of a part that may stay, equal ones once. Without `remember`, for the last part, texts are not kept.

        Negatives that another part has are taken out of a row; it stays while its other texts are its own.
        """
        texts: set[int] = set()
        documents: set[int] = set()
        runs: set[int] = set()
        seen: set[int] = set()
        for given in rows:
            row = self._without_shared_negatives(given)
            key = row_key(row)
            if key in seen:
                self.counts.duplicates += 1
                continue
            own = {_hash(_plain(text)) for text in texts_of(row)}
            document = _hash(str(row.get("origin", {}).get("document", "")))
            if own & self._texts or (row.get("origin") and document in self._documents):
                self.counts.shared_texts += 1
                continue
            found = [shingles(text) for text in passages_of(row)]
            if any(self._shares(one) for one in found):
                self.counts.shared_runs += 1
                continue
            seen.add(key)
            if remember:
                texts |= own
                documents.add(document)
                runs.update(*found)
            yield row
        self._texts |= texts
        self._documents |= documents
        self._runs |= runs

    def _without_shared_negatives(self, row: dict[str, Any]) -> dict[str, Any]:
        negatives = row.get("negatives")
        if not negatives:
            return row
        kept = [
            text for text in negatives if _hash(_plain(text)) not in self._texts and not self._shares(shingles(text))
        ]
        return row if len(kept) == len(negatives) else {**row, "negatives": kept}

    def _shares(self, found: set[int]) -> bool:
        shared = len(found & self._runs)
        return shared >= FEWEST and shared >= SHARE * len(found)
