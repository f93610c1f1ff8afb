"""What a summary is asked of: documents, a collection, or a topic that stands in some passages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ....graphs.common.support import held_terms
from .library import LibraryEntry

__all__ = ("Meant", "Scope", "label_of", "meant", "subject_of", "topic_of")

Scope = Literal["documents", "collection", "topic", "unclear"]

_ASKING = """
summarise summarize summarised summarized summary summaries summing sum overview outline synopsis digest abstract gist
recap recapitulate tldr tl dr boil down essence main key central important point points idea ideas message messages
takeaway takeaways highlight highlights about cover covers content contents give provide write show tell make create
get want need like please let see know short brief quick concise detailed briefly shortly quickly sentence sentences
word words paragraph paragraphs bullet bullets say says said bring line lines can could what whole entire complete full
one two three four five
"""
_HOLDING = """
document documents file files doc docs text texts collection collections corpus library knowledge base folder everything
all every each content contents material materials source sources thing things
"""
"""Words for what holds a text, whatever it is called."""
_KINDS = """
rule rules policy policies guideline guidelines regulation regulations procedure procedures process processes
information details instructions provisions terms conditions plan plans report reports
"""
"""Words for kinds of texts: a text that has one of them in common with a request is not about the same."""


@dataclass(frozen=True, slots=True)
class Meant:
    """What is meant, and why."""

    scope: Scope
    entries: tuple[LibraryEntry, ...] = ()
    """The documents; of an unclear request those between which it does not decide; of a topic none."""
    reason: str = ""


def meant(request: str, entries: Sequence[LibraryEntry]) -> Meant:
    """By titles and sources, the first that holds:

    1. names that stand whole in the request and are more than half of what it is about: these documents, or the
       collection of that name. A name within a longer one that stands there too does not count, nor does one made only
       of words that ask ("Overview"). Of documents with the same name, the one of whose path more stands in the
       request; else it is unclear;
    2. all that the request is about stands in the names of one document: that one; of several: it is unclear;
    3. the request is about nothing but documents: all of them;
    4. a topic.

    >>> shelf = [LibraryEntry("1", "hr/leave.md", "Leave policy"), LibraryEntry("2", "travel.md", "Travel policy")]
    >>> meant("Summarise the leave policy.", shelf).entries[0].source, meant("Summarise the policy.", shelf).scope
    ('hr/leave.md', 'unclear')
    >>> meant("Give me an overview of all documents.", shelf).scope, meant("Sum up the rules for pets.", shelf).scope
    ('collection', 'topic')
    """
    asked = held_terms(request)
    about = asked - _terms_of(_ASKING) - _terms_of(_HOLDING)
    if found := _named(asked, about, entries):
        return found
    inside = [entry for entry in entries if about and about <= _all_terms(entry)]
    if len(inside) == 1:
        return Meant("documents", tuple(inside), "the only one whose title or source holds what is asked for")
    if inside:
        return Meant("unclear", tuple(inside), f"{len(inside)} titles or sources hold what is asked for")
    if not about:
        return Meant("collection", tuple(entries), "no title, source or topic is named")
    return Meant("topic", (), "no title or source is named")


def subject_of(request: str) -> str:
    """The words that say what a summary is to be about; the request itself where there are none.

    >>> subject_of("Please give me a short summary of the rules for parental leave.")
    'rules parental leave'
    """
    known = _terms_of(_ASKING) | _terms_of(_HOLDING)
    words = re.findall(r"\w+(?:[-'’.]\w+)*", request)
    return " ".join(word for word in words if held_terms(word) - known) or request


def topic_of(request: str) -> str:
    """The words of the subject that a sentence has to be about: those for kinds of texts tell nothing.

    >>> topic_of("Please give me a short summary of the rules for parental leave."), topic_of("Sum up the rules.")
    ('parental leave', 'rules')
    """
    subject = subject_of(request)
    return " ".join(word for word in subject.split() if held_terms(word) - _terms_of(_KINDS)) or subject


def label_of(entry: LibraryEntry, among: Iterable[LibraryEntry] = ()) -> str:
    """What to call a document among others: its title, else its source, else its source with a part of its id."""
    others = [each for each in among if each.doc_id != entry.doc_id]
    if entry.title and not any(each.title == entry.title for each in others):
        return entry.title
    same = any(each.source == entry.source for each in others)
    return f"{entry.source} ({entry.doc_id[:8]})" if same else entry.source


def _named(asked: frozenset[str], about: frozenset[str], entries: Sequence[LibraryEntry]) -> Meant | None:
    by_name: dict[frozenset[str], list[LibraryEntry]] = {}
    for entry in entries:
        for name in {held_terms(each) for each in (entry.title, _file(entry.source), _stem(entry.source))}:
            if name <= asked and name & about:  # "an overview of all" names no document that is titled Overview
                by_name.setdefault(name, []).append(entry)
    names = [name for name in by_name if not any(name < other for other in by_name)]
    if names and 2 * len(about & frozenset().union(*names)) > len(about):
        groups = [_nearest(by_name[name], asked) for name in names]
        if unclear := next((group for group in groups if len(group) > 1), None):
            return Meant("unclear", tuple(unclear), f"{len(unclear)} documents are called so")
        chosen = {group[0].doc_id: group[0] for group in groups}
        return Meant("documents", tuple(chosen.values()), "by title or source")
    collections = {entry.collection for entry in entries if entry.collection}
    called = [each for each in sorted(collections) if about and about == held_terms(each) - _terms_of(_HOLDING)]
    if len(called) == 1:
        own = tuple(entry for entry in entries if entry.collection == called[0])
        return Meant("collection", own, f"the collection {called[0]!r}")
    return None


def _nearest(entries: Sequence[LibraryEntry], asked: frozenset[str]) -> list[LibraryEntry]:
    """Those of whose path and title most stands in the request."""
    held = [len(asked & _all_terms(entry)) for entry in entries]
    return [entry for entry, count in zip(entries, held, strict=True) if count == max(held)]


def _all_terms(entry: LibraryEntry) -> frozenset[str]:
    return held_terms(f"{entry.title} {entry.source} {entry.collection}")


def _file(source: str) -> str:
    """The file's name without folders."""
    return re.split(r"[/\\]", source)[-1]


def _stem(source: str) -> str:
    """The file's name without folders and ending."""
    return re.sub(r"\.\w{1,5}$", "", _file(source))


@cache
def _terms_of(words: str) -> frozenset[str]:
    return held_terms(words)
