"""A critic of sentences that speak of several things: what is said of one must not stand in a passage on another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from langchain_core.documents import Document

from ....graphs.common.reading import MAX_CITATIONS
from ....graphs.common.support import AlsoAsked, Support, SupportCritic, added_terms, held_share, held_terms
from ....sentences import sentence_spans

__all__ = ("SideCritic", "clauses_of", "identity_of", "own_terms")

_CONTRAST = r"(?:while|whereas|but|although|though|however|and|in contrast)\b"
_BETWEEN = re.compile(rf"(?:[,;]\s*|\s+){_CONTRAST},?\s*|;\s*", re.IGNORECASE)
_FIRST = re.compile(rf"^{_CONTRAST}\s*([^,]+),\s*(.+)$", re.IGNORECASE)
"""While it is so here, it is otherwise there."""
ENOUGH = 0.5
"""Share of a clause's words that the part of a quote on its own sides must hold."""


class SideCritic:
    """Supported means: each clause of the sentence is supported by a quote that speaks of the sides that it names.

    Why: any critic that knows the question alone finds "Leeds pays 165 euros" supported by a passage on Vienna, since
    both names stand in the question; and none finds "Vienna pays 165 euros, Leeds 120" supported, since that stands in
    two passages.

    A sentence that names several sides is cut at contrasts and "and"; a clause that names no side speaks of those of
    the clause before it. What names no side at all ("The limit there is 165 euros.") may be meant of any, so that no
    passage supports it. A quote speaks of a side where the quote or what stands above it (title, headings, source)
    holds one of the side's own words (`own_terms`), or where it names no side and its passage names this one. Of a
    quote that names other sides too, only the part on these counts. A judgement that no passage makes ("more than in
    Leeds") is not supported.

    Args:
        critic: judges each clause.
        sides: names of what is compared.
        about: the side that a sentence speaks of which names none, where all are about one side. One that names others
            only is not supported then.

    Example:
        >>> from ragloom.graphs.common.support import OverlapCritic
        >>> passages = [Document("Hotels in Vienna cost 165 euros."), Document("Hotels in Leeds cost 120 euros.")]
        >>> critic = SideCritic(OverlapCritic(), ["Vienna", "Leeds"])
        >>> said = ["Vienna costs 165 euros, while Leeds costs 120 euros.", "Hotels in Leeds cost 165 euros."]
        >>> [[each.passage for each in critic.support(sentence, "", passages)] for sentence in said]
        [[0, 1], []]
    """

    def __init__(self, critic: SupportCritic, sides: Sequence[str], *, about: str | None = None) -> None:
        self.threshold = critic.threshold
        self._critic = critic
        self._about = frozenset[str]() if about is None else frozenset({about})
        self._own = own_terms(sides)

    def support(self, sentence: str, question: str, passages: Sequence[Document]) -> list[Support]:
        """The best quote of each clause, all with the score of the worst; the question itself does not count."""
        named = self._named(sentence) or self._about
        if not self._about <= named:
            return []
        clauses = clauses_of(sentence) if len(named) > 1 else []
        if len(clauses) < 2:
            found = self._supported(sentence, named, passages)
            return found if len(named) < 2 else [each for each in found if self._says_all(sentence, each, passages)]
        if len(clauses) > MAX_CITATIONS:
            return []  # what could not be cited could not be checked by a reader
        best: list[Support] = []
        for clause, sides in zip(clauses, self._sides_of(clauses), strict=True):
            found = self._supported(clause, sides, passages)
            if not found:
                return []
            best.append(found[0])
        worst = min(each.score for each in best)
        return [replace(each, score=worst) for each in best]

    def _says_all(self, sentence: str, support: Support, passages: Sequence[Document]) -> bool:
        """Of a relation between sides the one word that is missing is the relation."""
        quote = passages[support.passage].page_content[support.start : support.end]
        return set(added_terms(sentence, " ".join(self._own))) <= held_terms(quote)

    def _supported(self, clause: str, named: frozenset[str], passages: Sequence[Document]) -> list[Support]:
        """What supports the clause and speaks of all that it names; nothing where it names no side."""
        if not named:
            return []
        critic = AlsoAsked(self._critic, [" ".join(sorted(named))])
        found = [each for each in critic.support(clause, "", passages) if each.score >= self.threshold]
        return [each for each in found if self._speaks_of(named, clause, each, passages[each.passage])]

    def _speaks_of(self, named: frozenset[str], clause: str, support: Support, passage: Document) -> bool:
        above, quote = identity_of(passage), passage.page_content[support.start : support.end]
        spoken_of = self._named(f"{above} {quote}") or self._named(passage.page_content)
        if not named <= spoken_of:
            return False
        if self._named(quote) <= named:
            return True
        own = self._part_on(named, quote)
        names = " ".join(named)
        hard = {term for term, is_hard in added_terms(clause, names).items() if is_hard}
        return hard <= held_terms(own) and held_share(clause, names, own) >= ENOUGH

    def _part_on(self, named: frozenset[str], quote: str) -> str:
        """The clauses of a quote that speak of these sides."""
        clauses = [clause for start, end in sentence_spans(quote) for clause in clauses_of(quote[start:end])]
        return " ".join(clause for clause, sides in zip(clauses, self._sides_of(clauses), strict=True) if sides & named)

    def _sides_of(self, clauses: Sequence[str]) -> list[frozenset[str]]:
        """The sides that each clause speaks of: those that it names, else those of the clause before it. A clause that
        is a name and nothing else ("Vienna and Leeds pay it") hands it on to the next one.
        """
        every = frozenset().union(*self._own.values())
        found: list[frozenset[str]] = []
        last: frozenset[str] = frozenset()
        handed: frozenset[str] = frozenset()
        for clause in clauses:
            own = self._named(clause) | handed
            handed = own if held_terms(clause) <= every else frozenset()
            last = own or last
            found.append(last)
        return found

    def _named(self, text: str) -> frozenset[str]:
        held = held_terms(text)
        return frozenset(side for side, terms in self._own.items() if terms & held)


def clauses_of(sentence: str) -> list[str]:
    """The parts of a sentence between contrasts; those without a content word do not count.

    >>> clauses_of("While Vienna pays 165 euros, Leeds pays 120.")
    ['Vienna pays 165 euros', 'Leeds pays 120.']
    """
    first = _FIRST.match(sentence)
    parts = list(first.groups()) if first else _BETWEEN.split(sentence)
    return [part for part in parts if held_terms(part)]


def own_terms(sides: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """The words by which each side is known: those that no other side has; all of its words where it has no such.

    >>> {side: sorted(terms) for side, terms in own_terms(["annual leave", "sick leave"]).items()}
    {'annual leave': ['annual'], 'sick leave': ['sick']}
    """
    terms = {side: held_terms(side) for side in sides}
    return {
        side: own - frozenset().union(*(other for name, other in terms.items() if name != side)) or own
        for side, own in terms.items()
    }


def identity_of(passage: Document) -> str:
    """What stands above a passage: title, headings and source."""
    return " ".join(str(passage.metadata.get(key) or "") for key in ("title", "headings", "source"))
