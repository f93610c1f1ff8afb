"""`task_rag`: a question goes to what serves its kind."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from langgraph.graph import END, StateGraph
from langgraph.pregel import Pregel

from ...errors import UsageError
from ...graphs.common.joining import Admitted, enter, finish
from ...graphs.common.state import StrategyInput, StrategyOutput
from ...types import Budget
from ..sources.route import NONE, UNKNOWN
from ..sources.router import BudgetedRouter, SourceRouter
from ..sources.source import GraphOfBudget, Source
from .comparison import comparison_rag
from .nodes import FALLBACK, TaskNodes
from .rules import TaskRules
from .state import TaskState
from .summary import Library, summary_rag
from .task import DESCRIPTIONS, TASKS, Task

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ...graphs.common.nodes import PartOptions
    from ..tables import Tables

__all__ = ("Path", "task_rag")

Path: TypeAlias = "CompiledStateGraph[Any, Any, Any, Any] | GraphOfBudget"
"""A strategy, or a function from a `Budget` to one."""
_OF_EVERY_PATH = ("reranker", "critic", "max_answer_tokens", "guard")


def task_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    strategy: str | Callable[..., CompiledStateGraph[Any, Any, Any, Any]] = "naive",
    tables: Tables | None = None,
    library: Library | None = None,
    paths: Mapping[Task, Path] | None = None,
    classifier: SourceRouter | BudgetedRouter | None = None,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Finds out which task a question is, and runs the path that serves it.

    Idea: a retriever and one prompt answer facts; a summary needs whole documents, a comparison needs each side, sums
    need a table, thanks need nothing. The tasks are a closed set, as sources are for `routed_rag`, and its routers
    serve here too:

    - *fact*: the given strategy over the retriever;
    - *summary*: `summary_rag` over the documents that the retriever sees;
    - *comparison*: `comparison_rag`;
    - *table*: `table_qa`, where tables are given; where they hold no answer, the documents are asked as for a fact;
    - *small_talk*: a fixed reply. No model is asked, so none can invent anything;
    - *out_of_scope*: an abstention that says so.

    What is unknown, and a task that has no path, is a fact. Which task, why and with which scores stands in the step
    `classify`; the steps of a path follow, named after it (`summary/choose`). The retriever's tenant, collection and
    filters hold in every path.

    Requires: nothing beside the chat model; the default classifier is rules for English.
    State: see `TaskState`. Cost: that of the path (fact: of the strategy), and 1 call of the language model where the
    classifier asks one. Every path keeps within what is left of the budget; one that is given compiled already keeps
    its own, is not asked where nothing is left, and is counted.
    Good for: assistants over documents that people ask anything.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        strategy: answers facts: the name of a strategy (`auto` and `agentic` too, "tasks" itself not), or a function
            such as `corrective_rag` (with options: `functools.partial`).
        tables: what table questions are asked of.
        library: the documents of summaries; None: those that the retriever of a knowledge base sees.
        paths: strategies in place of ours, by task: compiled without a checkpointer, or a function from a `Budget`.
        classifier: a router whose labels are tasks: `TaskRules`, `ExampleRouter`, `TaskLLMRouter`, a `LinearRouter` or
            `TrainedRouter`, a `CascadeRouter` of them, or any object with `labels`, `route` and `aroute`. None:
            `TaskRules` of these tables.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `guard`, as of every strategy; `prompt`, `reader`
            and `transform` are for facts alone (`Parts.of`). Under a guard what tables and `paths` of your own
            answer is checked when they have ended (`screened_answer`).

    Raises `UsageError` where a path, the classifier, the library or an option cannot be.

    Example:
        >>> graph = task_rag(kb.retriever(), llm, strategy="corrective")  # doctest: +SKIP
        >>> result = graph.invoke({"question": "Compare hotels in Vienna and in Leeds."})  # doctest: +SKIP
        >>> result["steps"][0]["decision"], result["steps"][0]["reason"]  # doctest: +SKIP
        ('comparison', 'by TaskRules; it compares hotels in Vienna | in Leeds')
    """
    if classifier is None:
        classifier = TaskRules(tables=tables)
    _check_classifier(classifier)
    if wrong := [task for task in paths or {} if task not in TASKS]:
        raise UsageError(f"there is no task {wrong[0]!r}", hint=f"tasks are {', '.join(TASKS)}")
    guard = parts.get("guard")
    if guard is not None:
        parts["guard"] = Admitted(guard)
    shared: dict[str, Any] = {name: value for name, value in parts.items() if name in _OF_EVERY_PATH}
    served: dict[Task, Path] = {
        "fact": _fact(strategy, retriever, llm, dict(parts)),
        "summary": lambda budget: summary_rag(retriever, llm, library=library, budget=budget, **shared),
        "comparison": lambda budget: comparison_rag(retriever, llm, budget=budget, **shared),
    }
    if tables is not None:
        served["table"] = _table(tables, llm, shared.get("max_answer_tokens"))
    sources = {task: _checked(task, path) for task, path in {**served, **(paths or {})}.items()}
    nodes = TaskNodes(
        paths=sources,
        classifier=classifier,
        budget=parts.get("budget") or Budget(),
        guard=guard,
        foreign=frozenset({"table", *(paths or {})}),
    )
    return finish(_joined(nodes), name="tasks", checkpointer=checkpointer, guard=guard)


def _joined(nodes: TaskNodes) -> StateGraph[Any, Any, Any, Any]:
    graph = StateGraph(TaskState, input_schema=StrategyInput, output_schema=StrategyOutput)
    enter(graph, "classify", nodes.guard)
    graph.add_node("classify", nodes.classifying())
    for task in nodes.tasks:
        graph.add_node(task, nodes.node(task))
        if task != "table":
            graph.add_edge(task, END)
    ways: dict[Hashable, str] = {task: task for task in nodes.tasks}
    graph.add_conditional_edges("classify", nodes.after_classification, ways)
    if "table" in nodes.tasks:
        ends: dict[Hashable, str] = {FALLBACK: FALLBACK, "end": END}
        graph.add_conditional_edges("table", nodes.after_table, ends)
    return graph


def _fact(
    strategy: str | Callable[..., CompiledStateGraph[Any, Any, Any, Any]],
    retriever: BaseRetriever,
    llm: BaseChatModel,
    parts: dict[str, Any],
) -> GraphOfBudget:
    if not (isinstance(strategy, str) or callable(strategy)):
        raise UsageError(f"{strategy!r} is no strategy", hint="use a name, or a function such as corrective_rag")
    if strategy == "tasks":
        raise UsageError("facts cannot be answered by 'tasks' itself", hint="use another strategy, such as 'auto'")
    from ..registry import build_strategy  # it knows this module

    build = partial(build_strategy, strategy) if isinstance(strategy, str) else strategy
    return lambda budget: build(retriever, llm, **{**parts, "budget": budget})


def _table(tables: Tables, llm: BaseChatModel, max_answer_tokens: int | None) -> GraphOfBudget:
    from ..tables import table_qa

    options: dict[str, Any] = {} if max_answer_tokens is None else {"max_answer_tokens": max_answer_tokens}
    return lambda budget: table_qa(tables, llm, budget=budget, **options)


def _checked(task: Task, path: Path) -> Source:
    """The path as a source. It is built once now: what cannot be is refused with the graph."""
    source = Source(task, DESCRIPTIONS[task], path)
    if source.kind != "graph":
        hint = "give a strategy, or a function from a Budget to one"
        raise UsageError(f"the path of {task!r} is a {source.kind}", hint=hint)
    if not isinstance(path, Pregel):
        built = source.graph(Budget())
        if not isinstance(built, Pregel):
            raise UsageError(f"the path of {task!r} gives a {type(built).__name__}, which is no strategy")
        Source(task, DESCRIPTIONS[task], cast("Path", built))
    return source


def _check_classifier(classifier: Any) -> None:
    if not isinstance(classifier, (SourceRouter, BudgetedRouter)):
        hint = "it has `labels`, `route(question)` and `aroute(question)`"
        raise UsageError(f"{type(classifier).__name__} is no classifier of tasks", hint=hint)
    if wrong := [label for label in classifier.labels if label not in (*TASKS, NONE, UNKNOWN)]:
        hint = f"tasks are {', '.join(TASKS)}; a TrainedRouter takes labels={{'its label': 'task'}}"
        raise UsageError(f"the classifier knows a task {wrong[0]!r} that there is not", hint=hint)
