"""What every store must do: whoever asks, however and for what, sees what is theirs to see, and all of it.

A store runs it by a subclass of `ScopeSuite` with a fixture `open_base` that gives an empty `ScopedBase`. Cases are
drawn by dice; RAGLOOM_LAW_RUNS says how many (600 by default; 10000 takes minutes). A failure names its case, and
`RAGLOOM_LAW_CASE` runs that one alone. What may be seen is told by plain Python over the list of documents.
"""

from __future__ import annotations

import json
import os
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from ragloom.access import AccessScope
from ragloom.errors import UsageError

RUNS = int(os.environ.get("RAGLOOM_LAW_RUNS", "600"))
CASE = os.environ.get("RAGLOOM_LAW_CASE")

# Names that a quoting, a pattern or a comparison could take for something else.
NAMES = [
    "acme", "Acme", "acme ", "a", "a' OR '1'='1", "x') OR true --", "%", "_", "*", "\\", '"', "`tenant`", "['x']", "[]",
    "null", "true", "1", "ü", "u\u0308", "漢字", "\u202eemca", "a\nb", "a\tb", "tenant=acme", "acme/hr", "{}", "$x",
]  # fmt: skip
WORDS = ["notes", "leave", "travel", "garden", "roses", "hotel", "days", "soup"]
CANARY = re.compile(r"zq\d{4}k")
MANY = 500
"""More than there are documents."""


@dataclass(frozen=True)
class Planted:
    """A document. Its name, title, heading and text all hold its canary, a word that stands nowhere else."""

    number: int
    tenant: str
    groups: tuple[str, ...]
    collection: str
    words: str

    @property
    def canary(self) -> str:
        return f"zq{self.number:04}k"

    @property
    def file_name(self) -> str:
        return f"{self.canary}.md"

    @property
    def markdown(self) -> str:
        return f"# About {self.canary}\n\n## Part {self.canary}\n\nNotes {self.words} {self.canary}.\n"


@dataclass(frozen=True)
class Asked:
    """One query of somebody."""

    scope: AccessScope | None
    query: str
    filters: MetadataFilters | None = None
    collection: str | None = None
    top_k: int = MANY


Door = Callable[[Asked], Any]
"""A way to read a base: gives anything that `json` can write, with everything that the caller sees."""


class ScopedBase(Protocol):
    """A store with documents, as the suite knows it."""

    def ingest(self, documents: Sequence[Planted]) -> None:
        """Adds documents of one tenant, the same groups and one collection."""

    def replace_groups(self, document: Planted, groups: Sequence[str]) -> None:
        """Gives a document that is stored other groups."""

    def delete(self, documents: Sequence[Planted], scope: AccessScope | None) -> int:
        """Deletes in somebody's name; how many there were."""

    def require_scope(self) -> None:
        """From now on nobody reads without a scope."""

    @property
    def doors(self) -> Mapping[str, Door]:
        """Every way to read, by name. Those named "all ..." give all that may be seen, where nothing limits it."""


def may_see(scope: AccessScope | None, document: Planted) -> bool:
    """The rule, in words of its own."""
    if scope is None:
        return document.tenant == "" and document.groups == ()
    if document.tenant != scope.tenant:
        return False
    return len(document.groups) == 0 or any(group in list(scope.groups) for group in document.groups)


class ScopeSuite(ABC):
    """Inherit, give the fixture `open_base`, and pytest runs all of this on your store."""

    @pytest.fixture(scope="class")
    @abstractmethod
    def open_base(self) -> Callable[[], ScopedBase]:
        """Makes an empty base at every call."""

    @pytest.fixture(scope="class")
    def planted(self, open_base: Callable[[], ScopedBase]) -> list[tuple[ScopedBase, list[Planted]]]:
        """A few bases full of documents."""
        return [plant(open_base(), random.Random(seed)) for seed in range(2)]

    def test_nobody_sees_what_is_anothers(self, planted: list[tuple[ScopedBase, list[Planted]]]) -> None:
        seen = 0
        for case in [int(CASE)] if CASE else range(RUNS):
            dice = random.Random(case)
            base, documents = dice.choice(planted)
            seen += check_case(base, documents, dice, f"RAGLOOM_LAW_CASE={case}")
        assert CASE or seen > RUNS / 6  # answers, not only refusals

    def test_a_scope_is_asked_for(self, open_base: Callable[[], ScopedBase]) -> None:
        base, documents = plant(open_base(), random.Random(4), tenants=1)
        before = {name: look(Asked(None, "notes")) for name, look in base.doors.items()}
        assert any(canaries(each) for each in before.values())
        base.require_scope()
        for look in base.doors.values():
            with pytest.raises(UsageError, match="without a scope"):
                look(Asked(None, "notes"))
        with pytest.raises(UsageError, match="without a scope"):
            base.delete(documents, None)
        dice = random.Random(5)
        for case in range(20):
            scope = draw_scope(dice, documents)
            if scope is not None:
                check(base, documents, Asked(scope, "notes"), f"case {case}")

    def test_other_groups_take_effect(self, open_base: Callable[[], ScopedBase]) -> None:
        base, document = open_base(), Planted(1, "acme", (), "", "leave")
        base.ingest([document])
        everybody, staff = AccessScope("acme"), AccessScope("acme", "ana", ["staff"])
        for groups, seeing in (((), (True, True)), (("staff",), (False, True)), (("board",), (False, False))):
            base.replace_groups(document, groups)
            for look in base.doors.values():
                found = [bool(canaries(look(Asked(scope, "notes leave")))) for scope in (everybody, staff)]
                assert tuple(found) == seeing

    def test_nobody_deletes_what_is_anothers(self, open_base: Callable[[], ScopedBase]) -> None:
        base, documents = plant(open_base(), random.Random(6), tenants=1)
        dice = random.Random(7)
        for _ in range(3):
            scope = draw_scope(dice, documents)
            gone = [each for each in documents if may_see(scope, each)]
            assert base.delete(documents, scope) == len(gone)
            documents = [each for each in documents if each not in gone]
            for other in {(each.tenant, each.groups) for each in documents}:
                check(base, documents, Asked(AccessScope(other[0], "ana", other[1]), "notes"), "after a deletion")


# -- the law -----------------------------------------------------------------------------------------------------------


def check_case(base: ScopedBase, documents: Sequence[Planted], dice: random.Random, case: str) -> bool:
    """One random question through one random door; whether anything was found."""
    asked = draw_asked(dice, documents)
    if asked.scope is not None and dice.random() < 0.3:
        fewer = [group for group in asked.scope.groups if dice.random() < 0.5]
        if fewer or asked.scope.tenant.strip() or asked.scope.user:
            narrowed = asked.scope.narrowed(groups=fewer)
            asked = Asked(narrowed, asked.query, asked.filters, asked.collection, asked.top_k)
    name = dice.choice(sorted(base.doors))
    try:
        found = canaries(base.doors[name](asked))
    except UsageError:
        assert asked.filters is not None, f"{case}, {name}: only a filter can be wrong here"
        return False
    allowed = {each.canary for each in documents if may_see(asked.scope, each)}
    assert found <= allowed, f"{case}, {name}: a leak"
    if name.startswith("all ") and (asked.filters, asked.collection, asked.top_k) == (None, None, MANY):
        assert found == allowed, f"{case}, {name}: something is hidden"
    return bool(found)


def check(base: ScopedBase, documents: Sequence[Planted], asked: Asked, case: str) -> None:
    """The same question through every door."""
    allowed = {each.canary for each in documents if may_see(asked.scope, each)}
    for name, look in base.doors.items():
        found = canaries(look(asked))
        assert found == allowed if name.startswith("all ") else found <= allowed, f"{case}, {name}"


def canaries(given: Any) -> set[str]:
    """Every canary in anything, wherever it stands."""
    return set(CANARY.findall(json.dumps(given, default=str, ensure_ascii=False)))


# -- dice --------------------------------------------------------------------------------------------------------------


def plant(base: ScopedBase, dice: random.Random, *, tenants: int = 4) -> tuple[ScopedBase, list[Planted]]:
    """Documents of nobody and of several tenants, of no group, one or more."""
    owners = ["", *dice.sample(NAMES, tenants)]
    groups = dice.sample(NAMES, 4)
    documents: list[Planted] = []
    for tenant in owners:
        for _ in range(3):
            # Half of the time, groups that are named like tenants: a name means what it stands for.
            named = dice.sample(groups + owners[1:], dice.choice([0, 1, 1, 2]))
            collection = dice.choice(["", "faq"])
            batch = [
                Planted(len(documents) + at, tenant, tuple(sorted(set(named))), collection, _words(dice))
                for at in range(3)
            ]
            base.ingest(batch)
            documents += batch
    return base, documents


def draw_scope(dice: random.Random, documents: Sequence[Planted]) -> AccessScope | None:
    """Mostly somebody for whom there is something; sometimes a stranger, sometimes nobody."""
    if dice.random() < 0.1:
        return None
    tenant = dice.choice([each.tenant for each in documents] + NAMES[:6] + [""])
    known = sorted(
        {group for each in documents if each.tenant == tenant or dice.random() < 0.2 for group in each.groups}
    )
    groups = dice.sample(known, min(len(known), dice.randrange(4))) + dice.sample(NAMES, dice.choice([0, 0, 2]))
    return AccessScope(tenant, dice.choice(["ana", "bo", "x' OR '1'='1"]), groups)


def draw_asked(dice: random.Random, documents: Sequence[Planted]) -> Asked:
    """A question that wants too much."""
    return Asked(
        scope=draw_scope(dice, documents),
        query=dice.choice(
            [_words(dice), f"notes {dice.choice(documents).canary}", dice.choice(NAMES), "notes", "", "   "]
        ),
        filters=_filters(dice, documents) if dice.random() < 0.6 else None,
        collection=dice.choice([None, None, None, "", "faq", dice.choice(NAMES)]),
        top_k=dice.choice([1, 5, MANY, MANY]),
    )


def _words(dice: random.Random) -> str:
    return " ".join(dice.choice(WORDS) for _ in range(dice.randrange(1, 8)))


_KEYS = [
    "tenant", "groups", "source", "title", "headings", "collection", "doc_id", "page", "start", "format", "id",
    "content", "metadata", "author", "x' OR '1'='1", "tenant = 'acme' OR tenant", "1=1) OR (tenant", '"tenant"',
]  # fmt: skip


def _filters(dice: random.Random, documents: Sequence[Planted], depth: int = 0) -> MetadataFilters:
    def one() -> Any:
        if depth < 2 and dice.random() < 0.25:
            return _filters(dice, documents, depth + 1)
        other = dice.choice(documents)
        value: Any = dice.choice(
            [
                *[*NAMES[:8], other.tenant, other.canary, other.file_name, "' OR 1=1 --", ""],
                *[1, 0, -1, 1.5, True, None, float("inf"), list(other.groups), [other.tenant, 1], []],
            ]
        )
        try:
            return MetadataFilter(key=dice.choice(_KEYS), value=value, operator=dice.choice(list(FilterOperator)))
        except ValueError:  # LlamaIndex takes no such value
            return MetadataFilter(key="page", value=1, operator=FilterOperator.NE)

    condition = dice.choice(list(FilterCondition))
    return MetadataFilters(filters=[one() for _ in range(dice.randrange(1, 4))], condition=condition)
