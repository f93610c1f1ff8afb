"""`default_auto`: what `--strategy auto` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...graphs import build_strategy, corrective_rag, multi_hop_rag
from ...graphs.common.joining import Admitted
from ...models import open_artifact
from ...models.evaluator import UPPER
from ...types import Budget
from .graph import auto_rag
from .question_class import QuestionClass
from .retrieval_signals import WeakRetrieval
from .signals import Abstained, BudgetLeft, Signal, Uncited, Unsupported
from .strategy import Strategy
from .weakness import Rule, Weakness

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ...graphs.adaptive.routing import Decide, Routes, Way
    from ...graphs.common.nodes import PartOptions
    from ...models.evaluator import RetrievalEvaluator

__all__ = ("default_auto",)


def default_auto(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    cheap: str = "naive",
    evaluator: RetrievalEvaluator | str | None = "evaluator:bundled",
    web: BaseRetriever | None = None,
    router: str | Routes | Decide | None = None,
    labels: Mapping[str, Way] | None = None,
    rules: Sequence[Rule] | None = None,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """`auto_rag` over the strategies that ship: `cheap` first, then `corrective` or `multi-hop` where it is weak.

    Without `rules`, in this order: a question that the router finds to need several steps goes to `multi-hop`; where no
    passage has a grade of the evaluator's `upper`, to `corrective`, if there is a second source; an abstention to
    `multi-hop`, which searches anew; where no passage has that grade, to `corrective`, which leaves out what is wrong.
    These are starting-points: fit rules of your own with `fit_thresholds`. Their signals: `abstained`, `uncited`,
    `unsupported`, `budget_left`; `weak_retrieval` with an evaluator; `class_multi` with a router.

    Requires: no key, and no model but those that ship.
    Cost: 1 call of the language model for the cheap path, one batch of the evaluator; then what the chosen one takes.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        cheap: name of a strategy.
        evaluator: grades passages, for the signal and for `corrective`. None: neither is there, and no model is loaded.
        web: the second source of `corrective`; nobody is asked before it is searched. For that, `corrective_rag` has
            `approve_web`.
        router: of `QuestionClass`; none ships.
        labels: what its labels mean.
        rules: as `load_policy(path).rules` gives them.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`, `reader`, `transform`, `guard`, as of
            every strategy (`Parts.of`), for all paths; the budget is what they may cost together.

    Raises as the strategies do; `UsageError` for a rule that asks for a signal or a strategy that is not there.

    Example:
        >>> graph = default_auto(kb.retriever(), llm)  # doctest: +SKIP
        >>> graph.invoke({"question": "Who is the ombudsperson?"})["steps"][-1]["decision"]  # doctest: +SKIP
        'the answer of cheap'
    """
    budget = parts.get("budget") or Budget()
    guard = parts.get("guard")
    common: dict[str, Any] = {name: part for name, part in parts.items() if name not in ("budget", "guard")}
    common |= {"guard": Admitted(guard)} if guard else {}
    grading: dict[str, Any] = {} if evaluator is None else {"evaluator": evaluator}
    own = {"corrective": {**grading, "web": web}, "fusion": grading}.get(cheap, {})

    def first(left: Budget) -> Any:
        return build_strategy(cheap, retriever, llm, budget=left, **own, **common)

    def corrective(left: Budget) -> Any:
        return corrective_rag(retriever, llm, web=web, budget=left, **grading, **common)

    def multi_hop(left: Budget) -> Any:
        return multi_hop_rag(retriever, llm, budget=left, **common)

    expensive: dict[str, Strategy] = {"multi-hop": multi_hop}
    if evaluator is not None:
        expensive["corrective"] = corrective
    expensive.pop(cheap, None)  # it ran already
    signals: list[Signal] = [Abstained(), Uncited(), Unsupported(), BudgetLeft()]
    if evaluator is not None:
        signals.append(WeakRetrieval(evaluator))
    if router is not None:
        signals.append(QuestionClass(router, labels=labels))
    if rules is None:
        rules = [rule for rule in _rules(evaluator, router, web) if rule.to in expensive]
    weakness = Weakness(signals, rules)
    return auto_rag(first, expensive, weakness=weakness, budget=budget, guard=guard, checkpointer=checkpointer)


def _rules(evaluator: RetrievalEvaluator | str | None, router: Any, web: Any) -> list[Rule]:
    several = [Rule("multi-hop", {"class_multi": 0.5})] if router is not None else []
    abstained = [Rule("multi-hop", {"abstained": 1.0})]
    if evaluator is None:
        return [*several, *abstained]
    weak = [Rule("corrective", {"weak_retrieval": 1.0 - _upper(evaluator)})]
    return [*several, *weak, *abstained] if web is not None else [*several, *abstained, *weak]


def _upper(evaluator: RetrievalEvaluator | str) -> float:
    """From which grade on a passage is right. Of an artifact the manifest alone is read, the weights wait."""
    if isinstance(evaluator, str):
        return open_artifact(evaluator, "evaluator").manifest.thresholds.get("upper", UPPER)
    return evaluator.upper
