"""`table_qa`: questions over tables, by reading, by SQL, by both, or by a chain of operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from langgraph.graph import END, START, StateGraph

from ...errors import UsageError
from ...graphs.common.state import StrategyInput, StrategyOutput, begin
from ...types import Budget
from .nodes import TableNodes
from .parts import Way
from .state import TableState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph

    from ...models import Embedder
    from .tables import Tables

__all__ = ("table_qa",)

SAMPLES = {"direct": 1, "sql": 1, "mixed": 3, "chain": 1}
_ROADS: dict[str, tuple[str, ...]] = {
    "direct": ("choose", "read", "answer"),
    "sql": ("choose", "write", "answer"),
    "mixed": ("choose", "read", "write", "answer"),
    "chain": ("choose", "plan", "read", "answer"),
}


def table_qa(
    tables: Tables,
    llm: BaseChatModel,
    *,
    ways: Way = "sql",
    samples: int | None = None,
    table: str | None = None,
    embedder: Embedder | None = None,
    budget: Budget | None = None,
    max_answer_tokens: int = 256,
    schema_chars: int = 4000,
    seed: int = 0,
    checkpointer: Any = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Answers questions over tables.

    Ideas: `direct`: the table as text and chain of thought. `sql`: the model writes a statement, which is checked,
    run in a locked database, and written anew once where it fails. `mixed`: Mix-Self-Consistency (Liu, Wang and Chen,
    2023, https://arxiv.org/abs/2312.16702): as many samples of both, and a majority. `chain`: Chain-of-Table (Wang et
    al., 2024, https://arxiv.org/abs/2401.04398): operations chosen one by one make a smaller table, which is read.

    What differs from the papers: Mix-Self-Consistency's symbolic path is SQL behind two walls instead of Python in this
    process, failures are dropped instead of voted, a tie goes to what both paths lead to, and the transposition of
    tables is not mended. Chain-of-Table's operation and its arguments are one call, its `add_column` is left out (the
    model would type the values itself), and what cannot be done ends the chain instead of failing.

    Requires: any chat model; no tool calling, no log-probabilities.
    State: see `TableState`. Cost: direct `samples` calls; sql twice as many at most; mixed three times (3 samples of
    each path: 6, and one more for each statement that failed); chain up to 5.
    Good for: sql for large tables, counting, sums, order; direct for what stands in one cell of a small table and for
    cells that hold prose; mixed where both fail on different questions and calls are cheap.

    Args:
        tables: what may be asked; nothing outside of it can be read.
        llm: any LangChain chat model.
        ways: `direct`, `sql`, `mixed` or `chain`.
        samples: answers that vote, of each path; 1, for `mixed` 3. More than one are sampled at temperature 0.8.
        table: name of the table that is asked; None: the one that fits the question best.
        embedder: chooses the table by its schema; None: by the question's words.
        budget: what a run may cost. Rows that do not fit its tokens are left out, those with the fewest of the
            question's words first.
        max_answer_tokens: room for the reasoning and the answer of a reading.
        schema_chars: room for the tables' description in a prompt.
        seed: of the first sample; the next one has the next seed.
        checkpointer: LangGraph checkpointer, for threads.

    Example:
        >>> graph = table_qa(Tables.read("results.csv"), llm, ways="mixed")  # doctest: +SKIP
        >>> graph.invoke({"question": "How many riders scored more than 10 points?"})["answer"]  # doctest: +SKIP
        '7'
    """
    if ways not in get_args(Way):
        raise UsageError(f"there is no way {ways!r}", hint=f"use {', '.join(get_args(Way))}")
    if samples is not None and samples < 1:
        raise UsageError(f"{samples} samples are too few", hint="1 at least")
    nodes = TableNodes(
        tables=tables,
        llm=llm,
        way=ways,
        samples=samples or SAMPLES[ways],
        table=_named(table, tables),
        embedder=embedder,
        budget=budget or Budget(),
        max_answer_tokens=max_answer_tokens,
        schema_chars=schema_chars,
        seed=seed,
    )
    graph = StateGraph(TableState, input_schema=StrategyInput, output_schema=StrategyOutput)
    graph.add_node("begin", begin)
    graph.add_edge(START, "begin")
    road = _ROADS[ways]
    for name in road:
        graph.add_node(name, nodes.node(name))
    for before, name in zip(("begin", *road), road, strict=False):
        if before not in ("plan", "write"):
            graph.add_edge(before, name)
    if "plan" in road:
        graph.add_conditional_edges("plan", nodes.after_plan, ["plan", "read"])
    if "write" in road:
        graph.add_node("repair", nodes.node("repair"))
        graph.add_conditional_edges("write", nodes.after_write, ["repair", "answer"])
        graph.add_edge("repair", "answer")
    graph.add_edge("answer", END)
    return graph.compile(checkpointer=checkpointer, name=f"tables-{ways}")


def _named(given: str | None, tables: Tables) -> str | None:
    if given is None or given in tables:
        return given
    found = [name for name, table in tables.items() if table.title == given]
    if len(found) != 1:
        raise UsageError(f"there is no table {given!r}", hint=f"use {', '.join(tables)}")
    return found[0]
