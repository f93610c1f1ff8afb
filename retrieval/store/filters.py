"""LlamaIndex `MetadataFilters` as a LanceDB predicate.

Every value is quoted here and nowhere else, and filters given together are joined, never overwritten (both go wrong in
the published adapters). A built-in column is compared as such, any other key through the JSON `metadata` column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from .schema import BUILT_IN, COLUMNS, EVERYONE

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

    from ...access import AccessScope

__all__ = ("all_of", "parse_filter", "quote", "to_predicate", "visible_to", "where_in")

_COMPARISONS = {"==": "=", "!=": "!=", ">": ">", ">=": ">=", "<": "<", "<=": "<="}
_TEXTUAL = ("contains", "text_match", "text_match_insensitive", "is_empty")
_NO_TEXT = re.compile("[\ud800-\udfff]")
_CLI_FILTER = re.compile(r"^\s*([\w.-]+)\s*(!=|>=|<=|==|=|>|<)\s*(.*)$", re.DOTALL)


def quote(value: object) -> str:
    """A value as an SQL literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise UsageError(f"a filter cannot compare with {value!r}", hint="give a finite number")
        return repr(value)
    text = str(value)
    if _NO_TEXT.search(text):
        raise UsageError("a filter, a tenant or a group holds what is no text", hint="give valid Unicode")
    return "'" + text.replace("'", "''") + "'"


def visible_to(scope: AccessScope | None) -> str:
    """What a scope may see: its tenant's documents that are for everyone, or for a group of it.

    Without a scope: what belongs to no tenant and is for everyone.
    """
    tenant, groups = (scope.tenant, scope.groups) if scope else ("", ())
    return f"tenant = {quote(tenant)} AND {_in_groups([EVERYONE, *groups])}"


def _in_groups(groups: Iterable[object]) -> str:
    names = ", ".join(quote(str(group)) for group in groups)
    return f"array_has_any(groups, [{names}])" if names else "false"


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
    if COLUMNS[key][0] == "string":
        return str(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1 or abs(value) >= 2**31:
        raise UsageError(f"a filter on {key!r} takes a whole number, not {value!r}")
    return int(value)


def _leaf(item: MetadataFilter) -> str:
    operator = item.operator.value
    given: list[Any] = list(item.value) if isinstance(item.value, (list, tuple)) else [item.value]
    values = [value for value in given if value is not None]
    if item.key == "groups":
        return _of_groups(operator, values)
    if operator in _TEXTUAL:
        return _of_text(item.key, operator, values)
    if item.key in BUILT_IN:
        values = [_of_column(item.key, value) for value in values]
    operand = _operand(item.key, values)
    if operator in _COMPARISONS:
        literal = quote(_one(item.key, values))
        if operator == "!=":  # a chunk without the key differs from every value
            return f"{operand} IS NULL OR {operand} != {literal}"
        return f"{operand} {_COMPARISONS[operator]} {literal}"
    if operator in ("in", "any"):
        return where_in(operand, values)
    if operator == "nin":
        return f"{operand} IS NULL OR NOT ({where_in(operand, values)})"
    raise UsageError(
        f"the filter operator {operator!r} (on {item.key!r}) is not supported",
        hint="use ==, !=, >, >=, <, <=, in, nin, contains, text_match or is_empty",
    )


def _of_text(key: str, operator: str, values: Sequence[object]) -> str:
    """A filter on the words of a value."""
    if COLUMNS.get(key, ("string", ""))[0] != "string":
        raise UsageError(f"the filter operator {operator!r} does not go with {key!r}, a number", hint="use == or >=")
    operand = _operand(key, [])
    if operator == "is_empty":
        return f"{operand} IS NULL OR {operand} = ''"
    literal = quote(str(_one(key, values)))
    if operator == "text_match_insensitive":
        return f"contains(lower({operand}), lower({literal}))"
    return f"contains({operand}, {literal})"


def _one(key: str, values: Sequence[object]) -> object:
    if not values:
        raise UsageError(f"the filter on {key!r} compares with nothing", hint="give a value")
    return values[0]


def _of_groups(operator: str, values: Sequence[object]) -> str:
    """A filter on the list of a document's groups. It narrows what the scope lets through, as every filter does."""
    if operator in ("==", "contains", "in", "any"):
        return _in_groups(values)
    if operator in ("!=", "nin"):
        return f"NOT ({_in_groups(values)})"
    if operator == "is_empty":
        return _in_groups([EVERYONE])
    raise UsageError(
        f"the filter operator {operator!r} does not go with groups", hint="use ==, !=, in, nin or is_empty"
    )
