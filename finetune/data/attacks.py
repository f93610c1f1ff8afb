"""Attacks and texts without any, out of labelled texts, sets of attacks with contexts, question sets and corpora.

texts       `label` injection, jailbreak or attack; benign or safe; a set that knows none of the former has texts
            without attacks, whatever its labels mean (intents). Other labels beside them are left out: a harmful
            request without a trick orders nobody to drop a rule
attacks     BIPIA (Yi et al., 2023, https://arxiv.org/abs/2312.14197): instructions to plant in passages, by category
others      their questions are messages without attacks, their passages too
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...evals.jsonl import Problem, Row, find_jsonl, scan_jsonl
from ...models.injection import Kind
from .families import family_names
from .parts import Part, part_of
from .question_sets import read_questions
from .rows import Origin
from .sources import Source, Sources

__all__ = ("Sample", "collected_sets", "read_attacks", "read_samples")

ATTACKS = frozenset({"injection", "jailbreak", "attack", "prompt_injection"})
BENIGN = frozenset({"benign", "safe"})
LICENCES = {
    "deepset/prompt-injections": "Apache-2.0",
    "in-the-wild-jailbreaks": "MIT",
    "CyberSecEval-prompt-injection": "MIT",
    "NotInject": "MIT",
    "JailbreakBench": "MIT",
    "HarmBench": "MIT",
    "XSTest": "CC BY 4.0",
    "WildGuardTest-benign": "ODC-BY",
}
"""Of published sets, by the name that a collection gives them in `source`: its own licence is not theirs."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A text as it was published."""

    text: str
    attack: bool
    kind: Kind
    """An attack that is a passage is never said by a user: it is planted only."""
    origin: Origin
    """Its document is its family."""
    beside_attacks: bool = False
    """Without an attack, out of a set that has some: likely chosen to look like one."""

    @property
    def part(self) -> Part:
        """Its part."""
        return part_of(self.origin["document"])


def read_samples(sources: Sources) -> list[Sample]:
    """All samples; nearly equal ones of a kind are one document."""
    found = [sample for source in sources.of("texts") for sample in _labelled(source, sources.problems)]
    for source in sources.of("attacks"):
        found += [*read_attacks(source, []), *_contexts(source)]
    found = _in_families(found)
    for source in (*sources.of("questions"), *sources.of("retrieval"), *sources.of("corpus")):
        found += _of_questions(source)
    for source in (*sources.of("questions"), *sources.of("claims")):
        found += _beside(source)
    return found


def read_attacks(source: Source, problems: list[Problem]) -> Iterator[Sample]:
    """The attacks of a set with contexts; a category is a family. What cannot be used is added to `problems`."""
    for row in _records(source, "attacks", problems):
        text, category = row.text("text"), row.text("category")
        if not text.strip() or not category.strip():
            problems.append(row.problem("no text or no category: left out"))
            continue
        yield Sample(text, True, "passage", _origin(source.name, row, f"{source.name}:{category}", source.licence))


def collected_sets(source: Source) -> dict[str, str]:
    """Name to licence of the sets that labelled texts were collected from (their column `source`)."""
    return {sample.origin["set"]: sample.origin["licence"] for sample in _labelled(source, [])}


def _labelled(source: Source, problems: list[Problem]) -> Iterator[Sample]:
    rows = [row for row in scan_jsonl(source.path, []) if row.text("text").strip()]
    labels = {_label(row) for row in rows}
    knows = bool(labels & ATTACKS)
    left_out: Counter[str] = Counter()
    for row in rows:
        label = _label(row)
        if knows and label not in ATTACKS | BENIGN:
            left_out[label] += 1
            continue
        name = row.text("source") or source.name
        licence = row.text("licence") or LICENCES.get(name) or source.licence
        yield Sample(row.text("text"), label in ATTACKS, "message", _origin(name, row, "", licence), knows)
    for label, count in sorted(left_out.items()):
        problems.append(Problem(str(source.path), 0, f"{count} texts are labelled {label!r}, neither: left out"))


def _contexts(source: Source) -> Iterator[Sample]:
    for row in _records(source, "contexts", []):
        if row.text("context").strip():
            yield Sample(row.text("context"), False, "passage", _origin(source.name, row, "", source.licence), True)


def _of_questions(source: Source) -> Iterator[Sample]:
    found = read_questions(source, [])
    for asked in found.questions:
        yield Sample(asked.question, False, "message", found.origin(asked.id, asked.document))
    for key, (_, text) in found.documents.items():
        yield Sample(text, False, "passage", found.origin(key, found.document(key)))


def _beside(source: Source) -> Iterator[Sample]:
    """Passages that stand beside a question in its own record (MTRAG: `contexts`)."""
    if source.path.is_dir():
        return
    for row in scan_jsonl(source.path, []):
        for each in listed if isinstance(listed := row.fields.get("contexts"), list) else ():
            text = each.get("text") if isinstance(each, dict) else None
            if isinstance(text, str) and text.strip():
                document = f"{source.name}:{str(each.get('id', '')).split('-')[0] or row.key or row.line}"
                yield Sample(text, False, "passage", _origin(source.name, row, document, source.licence))


def _in_families(samples: list[Sample]) -> list[Sample]:
    """Those without a document get their family's; attacks and others apart: a family lies in one part."""
    found = list(samples)
    for attack in (True, False):
        chosen = [at for at, sample in enumerate(found) if sample.attack is attack and not sample.origin["document"]]
        for at, name in zip(chosen, family_names([found[at].text for at in chosen]), strict=True):
            sample = found[at]
            found[at] = replace(sample, origin={**sample.origin, "document": f"family:{name}"})
    return found


def _origin(name: str, row: Row, document: str, licence: str) -> Origin:
    return Origin(set=name, id=row.key or str(row.line), document=document, licence=licence)


def _label(row: Row) -> str:
    return (row.text("label") or row.text("intent")).strip().lower()


def _records(source: Source, stem: str, problems: list[Problem]) -> Iterator[Row]:
    path = find_jsonl(source.path, stem)
    return scan_jsonl(path, problems) if path else iter(())
