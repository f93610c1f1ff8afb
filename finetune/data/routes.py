"""Rows for the router: texts with the class that they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...evals.answer_sets import share_of
from ...evals.jsonl import Problem, scan_jsonl
from ..options import Tell, no_tell
from .licences import licence_of, permits_shipping
from .parts import document_of
from .rows import Origin, TrainingRow
from .sources import Source, Sources

__all__ = ("LabelledText", "read_texts", "route_rows")


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and its class."""

    id: str
    text: str
    label: str
    domain: str
    """What its classes are grouped by (CLINC150: domains of intents); empty where they are not."""
    origin: Origin


def route_rows(
    sources: Sources, *, limit: int | None = None, seed: int = 0, tell: Tell = no_tell
) -> Iterator[TrainingRow]:
    """{text, label} out of labelled texts; the label is the column `label`, else `intent`.

    `limit`: texts a set, drawn by seed. Sets with classes of different kinds belong into different routers: give one.
    """
    found = sources.of("texts")
    for number, source in enumerate(found):
        tell(f"texts of {source.name}", number, len(found))
        texts = list(read_texts(source, []))
        if limit is not None:
            texts = sorted(texts, key=lambda item: share_of(item.id, seed=seed))[:limit]
        for item in texts:
            yield {"text": item.text, "label": item.label, "origin": item.origin}


def read_texts(source: Source, problems: list[Problem]) -> Iterator[LabelledText]:
    """The usable texts of a file; what cannot be used is added to `problems`, with its line."""
    known: dict[str, str] = {}
    for row in scan_jsonl(source.path, problems):
        text, label = row.text("text"), row.text("label") or row.text("intent")
        if not text.strip() or not label.strip():
            problems.append(row.problem(f"no {'text' if not text.strip() else 'label'!r}: left out"))
            continue
        key = row.key or str(row.line)
        given = row.fields.get("origin")
        if isinstance(given, dict) and given.get("document"):
            origin = Origin(
                set=str(given.get("set") or source.name),
                id=str(given.get("id") or key),
                document=str(given["document"]),
                licence=str(given.get("licence") or source.licence),
            )
        else:
            licence = _licence(source, row.text("source"), known)
            # A text is its own document: what is split is wordings, and equal ones land in one part.
            document = document_of(source.name, "", row.text("document") or " ".join(text.lower().split()))
            origin = Origin(set=source.name, id=key, document=document, licence=licence)
        yield LabelledText(key, text, label, row.text("domain"), origin)


def _licence(source: Source, drawn_from: str, known: dict[str, str]) -> str:
    """A set that was drawn from others (query_routing) is under theirs: those of the folders beside it, by name."""
    if permits_shipping(source.licence) or not drawn_from:
        return source.licence
    if drawn_from not in known:
        home = source.path.parent.parent
        names = re.sub(r"\(.*?\)", "", drawn_from).split("/")
        known[drawn_from] = _of_all(home, names) or source.licence
    return known[drawn_from]


def _of_all(home: Path, names: list[str]) -> str:
    licences: dict[str, None] = {}
    for name in names:
        plain = name.strip()
        folders = [home / plain] if (home / plain).is_dir() else sorted(home.glob(f"{plain}*")) if plain else []
        stated = [licence_of(folder) for folder in folders if folder.is_dir()]
        if not stated or not all(stated):
            return ""
        licences.update(dict.fromkeys(stated))
    return "; ".join(licences)
