"""Metrics of DeepEval (4.3), asked through a LangChain chat model.

The prompts and the arithmetic are DeepEval's; the model, the reading of its replies and the time limit are ours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import ModelError
from .library_judge import Case, LibraryJudge, Need, import_library
from .replies import Ask

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable
    from pydantic import BaseModel

__all__ = ("DeepEvalJudge",)

_CLASSES = {
    "faithfulness": "FaithfulnessMetric",
    "answer_relevancy": "AnswerRelevancyMetric",
    "contextual_precision": "ContextualPrecisionMetric",
    "contextual_recall": "ContextualRecallMetric",
    "contextual_relevancy": "ContextualRelevancyMetric",
}


class DeepEvalJudge(LibraryJudge):
    """Scores of DeepEval. Made by `load_judge`."""

    library: ClassVar[str] = "deepeval"
    needs: ClassVar[Mapping[str, frozenset[Need]]] = {
        "faithfulness": frozenset({"answer", "passages"}),
        "answer_relevancy": frozenset({"answer"}),
        "contextual_precision": frozenset({"reference", "passages"}),
        "contextual_recall": frozenset({"reference", "passages"}),
        "contextual_relevancy": frozenset({"passages"}),
    }

    def __init__(self, metrics: Sequence[str], llm: Runnable[Any, Any], *, timeout: float) -> None:
        super().__init__(metrics, llm, timeout=timeout)
        # Before the import: DeepEval reports its use by default, and reads .env files into the environment.
        os.environ["DEEPEVAL_TELEMETRY_OPT_OUT"] = "1"
        os.environ.setdefault("DEEPEVAL_DISABLE_DOTENV", "1")
        import_library("deepeval", _prepare)

    def _score(self, metric: str, case: Case, ask: Ask) -> float:
        from deepeval import metrics
        from deepeval.test_case import LLMTestCase

        scorer = getattr(metrics, _CLASSES[metric])(
            model=_model(ask),
            eval_mode="llm",  # a user's DEEPEVAL_EVAL_MODE could send the record to another company's model
            include_reason=False,  # one call less
            async_mode=False,
        )
        test = LLMTestCase(
            input=case.question,
            actual_output=case.answer,
            expected_output=case.reference or None,
            retrieval_context=case.passages or None,
        )
        value = scorer.measure(test, _show_indicator=False)
        _check_count(metric, scorer, case)
        return float(value)


def _prepare() -> None:
    import deepeval.metrics
    import deepeval.test_case  # noqa: F401


def _model(ask: Ask) -> Any:
    """What DeepEval takes for a language model."""
    from deepeval.models import DeepEvalBaseLLM

    class Model(DeepEvalBaseLLM):
        def load_model(self) -> Any:
            return None

        def get_model_name(self) -> str:
            return "ragloom"

        # Not by `generate`: DeepEval traces that one, and asks a second time where it raises a TypeError.
        def generate_with_schema(self, prompt: str, schema: type[BaseModel]) -> BaseModel:
            return ask(prompt, schema, tidy=_tidy)

        async def a_generate_with_schema(self, prompt: str, schema: type[BaseModel]) -> BaseModel:
            return self.generate_with_schema(prompt, schema)

        def generate(self, *_: Any, **__: Any) -> str:
            raise NotImplementedError("these metrics ask with a schema")

        async def a_generate(self, *_: Any, **__: Any) -> str:
            raise NotImplementedError("these metrics ask with a schema")

    return Model()


def _tidy(found: dict[str, Any]) -> dict[str, Any]:
    """Verdicts in small letters: "Yes." is a yes."""
    verdicts = found.get("verdicts")
    if not isinstance(verdicts, list):
        return found
    tidied = [
        {**item, "verdict": item["verdict"].strip(" .!").lower()}
        if isinstance(item, dict) and isinstance(item.get("verdict"), str)
        else item
        for item in verdicts
    ]
    return {**found, "verdicts": tidied}


def _check_count(metric: str, scorer: Any, case: Case) -> None:
    """As many verdicts as things to judge: DeepEval would take the mean over those that it got."""
    if metric == "faithfulness":
        asked = len(scorer.claims)
    elif metric == "answer_relevancy":
        asked = len(scorer.statements)
    elif metric == "contextual_precision":
        asked = len(case.passages)
    else:
        return  # the judge itself cuts the texts into statements
    if len(scorer.verdicts) != asked:
        raise ModelError(f"the judge gave {len(scorer.verdicts)} verdicts on {asked} statements or passages")
