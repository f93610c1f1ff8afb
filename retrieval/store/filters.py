"""LlamaIndex `MetadataFilters` as a LanceDB predicate.

Every value is quoted here and nowhere else, and filters given together are joined, never overwritten (both go wrong in
the published adapters). A built-in column is compared as such, any other key through the JSON `metadata` column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from .schema import BUILT_IN, COLUMNS

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

__all__ = ("all_of", "parse_filter", "quote", "to_predicate", "where_in")

_COMPARISONS = {"==": "=", "!=": "!=", ">": ">", ">=": ">=", "<": "<", "<=": "<="}
_CLI_FILTER = re.compile(r"^\s*([\w.-]+)\s*(!=|>=|<=|==|=|>|<)\s*(.*)$", re.DOTALL)


def quote(value: object) -> str:
    """A value as an SQL literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def where_in(column: str, values: Iterable[object]) -> str:
    """`column IN (...)`; of no values, a predicate that nothing meets."""
    quoted = ", ".join(quote(value) for value in values)
    return f"{column} IN ({quoted})" if quoted else "false"


def all_of(predicates: Iterable[str | None]) -> str | None:
    """The conjunction of all predicates that are not empty."""
    parts = [f"({predicate})" for predicate in predicates if predicate]
    return " AND ".join(parts) or None


def parse_filter(text: str) -> MetadataFilter:
    """`key=value` (or `!=`, `>`, `>=`, `<`, `<=`) from the command line. Numbers become numbers.

    >>> parse_filter("page>=3").operator.value
    '>='
    """
    from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter

    found = _CLI_FILTER.match(text)
    if not found:
        raise UsageError(f"cannot understand the filter {text!r}", hint="write key=value, e.g. --filter format=pdf")
    key, operator, raw = found.groups()
    value: Any = raw.strip()
    textual = COLUMNS.get(key, ("", ""))[0] == "string"
    if not textual and re.fullmatch(r"-?\d+", value):
        value = int(value)
    elif not textual and re.fullmatch(r"-?\d+\.\d+", value):
        value = float(value)
    return MetadataFilter(key=key, value=value, operator=FilterOperator("==" if operator == "=" else operator))


def to_predicate(filters: MetadataFilters | None) -> str | None:
    """The whole tree of filters as one predicate, or None where there are none."""
    from llama_index.core.vector_stores.types import FilterCondition, MetadataFilters

    if filters is None or not filters.filters:
        return None
    wanted = [to_predicate(item) if isinstance(item, MetadataFilters) else _leaf(item) for item in filters.filters]
    parts = [f"({predicate})" for predicate in wanted if predicate]
    if not parts:
        return None
    if filters.condition == FilterCondition.NOT:
        return f"({' OR '.join(parts)}) IS NOT TRUE"  # NOT of an unknown is unknown: a missing key would drop the row
    return (" OR " if filters.condition == FilterCondition.OR else " AND ").join(parts)


def _operand(key: str, values: Sequence[object]) -> str:
    if key in BUILT_IN:
        return f'"{key}"'
    if not re.fullmatch(r"[\w.-]+", key):
        raise UsageError(f"a filter key may hold letters, digits, '_', '.' and '-' only, not {key!r}")
    if any(isinstance(value, bool) for value in values):
        return f"json_get_bool(metadata, {quote(key)})"
    if values and all(isinstance(value, (int, float)) for value in values):
        return f"json_get_float(metadata, {quote(key)})"
    return f"json_get_string(metadata, {quote(key)})"


def _of_column(key: str, value: Any) -> Any:
    """The value in the type of a built-in column."""
    if value is None:
        return None
    if COLUMNS[key][0] == "string":
        return str(value)
    if not isinstance(value, (int, float)):
        raise UsageError(f"a filter on {key!r} takes a number, not {value!r}")
    return value


def _leaf(item: MetadataFilter) -> str:
    operator = item.operator.value
    values: list[Any] = list(item.value) if isinstance(item.value, (list, tuple)) else [item.value]
    if item.key in BUILT_IN:
        values = [_of_column(item.key, value) for value in values]
    operand = _operand(item.key, [value for value in values if value is not None])
    if operator in _COMPARISONS:
        literal = quote(values[0])
        if operator == "!=":  # a chunk without the key differs from every value
            return f"{operand} IS NULL OR {operand} != {literal}"
        return f"{operand} {_COMPARISONS[operator]} {literal}"
    if operator in ("in", "any"):
        return where_in(operand, values)
    if operator == "nin":
        return f"{operand} IS NULL OR NOT ({where_in(operand, values)})"
    if operator in ("contains", "text_match"):
        return f"contains({operand}, {quote(values[0])})"
    if operator == "text_match_insensitive":
        return f"contains(lower({operand}), lower({quote(values[0])}))"
    if operator == "is_empty":
        return f"{operand} IS NULL OR {operand} = ''"
    raise UsageError(
        f"the filter operator {operator!r} (on {item.key!r}) is not supported",
        hint="use ==, !=, >, >=, <, <=, in, nin, contains, text_match or is_empty",
    )
