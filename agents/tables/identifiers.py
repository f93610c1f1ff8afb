"""SQL identifiers that need no quotes, made of whatever stands in a header."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

__all__ = ("identifiers",)

MOST_CHARACTERS = 48
_SEPARATORS = re.compile(r"[\W_]+")


def identifiers(headers: Sequence[str], *, empty: str = "column", taken: Iterable[str] = ()) -> list[str]:
    """One identifier a header, in their order: lower case, no two the same, none of `taken`, no reserved word.

    Letters of every script stay; accents, signs and spaces go. A header without a letter or digit is named `empty`
    and its place, counted from 1.

    >>> identifiers(["Year dissolved", "Order", "Größe (m²)", "2019", "", "year-dissolved"])
    ['year_dissolved', 'order_', 'grosse_m2', 'n_2019', 'column_5', 'year_dissolved_2']
    """
    used = set(taken)
    made = []
    for place, header in enumerate(headers, start=1):
        name = _identifier(header) or f"{empty}_{place}"
        unique, copy = name, 2
        while unique in used:
            unique, copy = f"{name}_{copy}", copy + 1
        used.add(unique)
        made.append(unique)
    return made


def _identifier(header: str) -> str:
    # Compatibility forms first, so that "²" is a digit; then letters without their marks.
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", header).casefold().lower())
    bare = "".join(sign for sign in folded if not unicodedata.combining(sign))
    name = _SEPARATORS.sub("_", bare)[:MOST_CHARACTERS].strip("_")
    if name and not name[0].isalpha():
        name = f"n_{name}"
    return f"{name}_" if name in _reserved() else name


@cache
def _reserved() -> frozenset[str]:
    """Words that DuckDB, or the parser that checks statements, does not take as a bare column name."""
    import duckdb

    words = duckdb.connect(":memory:").execute(
        "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
    )
    return frozenset(word for (word,) in words.fetchall()) | _PARSER_WORDS


_PARSER_WORDS = frozenset(
    {"alter", "cube", "drop", "force", "grant", "if", "insert", "install", "lock", "revoke", "rollback", "rollup"}
)
