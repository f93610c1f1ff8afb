"""Filters as predicates, against plain Python on random rows; and filters as they are written on the command line."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from ragloom.errors import UsageError
from ragloom.retrieval import LanceVectorStore
from ragloom.retrieval.store.filters import parse_filter, to_predicate
from ragloom.testing.stores import ODD_TEXTS, text_node

_texts = st.sampled_from([*ODD_TEXTS, "a", "ab", "b"])
_ROWS = [
    {
        key: value
        for key, value in {
            "source": ODD_TEXTS[n % len(ODD_TEXTS)],
            "page": n % 4 + 1,
            "tag": [*ODD_TEXTS, "a", "ab", None][n % (len(ODD_TEXTS) + 3)],
            "year": [2019, 2020, 2021, None][n % 4 if n % 3 else 3],
        }.items()
        if value is not None
    }
    for n in range(60)
]
_COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def _is_empty(item: MetadataFilter | MetadataFilters) -> bool:
    return isinstance(item, MetadataFilters) and all(_is_empty(part) for part in item.filters)


def meets(row: dict[str, Any], item: MetadataFilter | MetadataFilters) -> bool:
    """What a filter means."""
    if isinstance(item, MetadataFilters):
        parts = [meets(row, part) for part in item.filters if not _is_empty(part)]
        if not parts:
            return True
        if item.condition == FilterCondition.NOT:
            return not any(parts)
        return any(parts) if item.condition == FilterCondition.OR else all(parts)
    value, name = row.get(item.key), item.operator.value
    if value is None:
        return name in ("!=", "nin", "is_empty")
    if name in _COMPARE:
        return bool(_COMPARE[name](value, item.value))
    if name in ("in", "nin"):
        return (value in item.value) == (name == "in")  # type: ignore[operator]
    if name == "is_empty":
        return value == ""
    return str(item.value) in str(value)


def _leaf(key: str, name: str, value: Any) -> MetadataFilter:
    return MetadataFilter(key=key, operator=FilterOperator(name), value=value)


_numbers = {"page": st.integers(0, 5), "year": st.integers(2018, 2022)}
_leaves = st.one_of(
    st.builds(_leaf, st.sampled_from(["source", "tag"]), st.sampled_from(["==", "!=", "contains"]), _texts),
    st.builds(_leaf, st.sampled_from(["source", "tag"]), st.sampled_from(["in", "nin"]), st.lists(_texts, max_size=3)),
    st.builds(_leaf, st.just("page"), st.sampled_from(list(_COMPARE)), _numbers["page"]),
    st.builds(_leaf, st.just("year"), st.sampled_from(list(_COMPARE)), _numbers["year"]),
    st.builds(_leaf, st.just("tag"), st.just("is_empty"), st.none()),
)
_trees = st.recursive(
    _leaves,
    lambda inner: st.builds(
        lambda parts, condition: MetadataFilters(filters=parts, condition=condition),
        st.lists(inner, max_size=3),
        st.sampled_from(list(FilterCondition)),
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LanceVectorStore:
    store = LanceVectorStore(tmp_path_factory.mktemp("filters"), dimension=6)
    store.add([text_node(str(n), f"row {n}", (1,), **row) for n, row in enumerate(_ROWS)])
    return store


@given(tree=_trees)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_predicates_mean_what_filters_mean(store: LanceVectorStore, tree: Any) -> None:
    filters = tree if isinstance(tree, MetadataFilters) else MetadataFilters(filters=[tree])
    found = {int(node.node_id) for node in store.get_nodes(filters=filters)}
    assert found == {n for n, row in enumerate(_ROWS) if meets(row, filters)}, to_predicate(filters)


@pytest.mark.parametrize(
    ("text", "key", "name", "value"),
    [
        ("format=pdf", "format", "==", "pdf"),
        ("format==pdf", "format", "==", "pdf"),
        (" page >= 3 ", "page", ">=", 3),
        ("price<2.5", "price", "<", 2.5),
        ("year!=-1", "year", "!=", -1),
        ("title=2024", "title", "==", "2024"),
        ("a.b-c=x=y", "a.b-c", "==", "x=y"),
        ("tag=", "tag", "==", ""),
    ],
)
def test_filters_of_the_command_line(text: str, key: str, name: str, value: Any) -> None:
    found = parse_filter(text)
    assert (found.key, found.operator.value, found.value) == (key, name, value)
    assert type(found.value) is type(value)


@pytest.mark.parametrize("text", ["", "format", "=pdf", "a b=c", "a'b=c", '"a"=c'])
def test_filters_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="cannot understand the filter"):
        parse_filter(text)


def test_keys_and_operators_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="a filter key may hold"):
        to_predicate(MetadataFilters(filters=[_leaf("a'b", "==", "x")]))
    with pytest.raises(UsageError, match=r"'all' .* is not supported"):
        to_predicate(MetadataFilters(filters=[_leaf("a", "all", ["x"])]))
    with pytest.raises(UsageError, match="takes a whole number, not 'three'"):
        to_predicate(MetadataFilters(filters=[_leaf("page", "==", "three")]))
