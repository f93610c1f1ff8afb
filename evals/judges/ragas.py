"""Metrics of ragas (0.4: `ragas.metrics.collections`), asked through a LangChain chat model.

The prompts and the arithmetic are ragas'; the model, the reading of its replies and the time limit are ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import ModelError, UsageError
from .library_judge import Case, LibraryJudge, Need, import_library
from .replies import Ask

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from pydantic import BaseModel

__all__ = ("RagasJudge",)

_CLASSES = {
    "faithfulness": "Faithfulness",
    "answer_relevancy": "AnswerRelevancy",
    "context_precision": "ContextPrecisionWithReference",
    "context_recall": "ContextRecall",
    "factual_correctness": "FactualCorrectness",
    "answer_correctness": "AnswerCorrectness",
}
_ARGUMENTS: dict[Need, str] = {"answer": "response", "reference": "reference", "passages": "retrieved_contexts"}
_WITHOUT_QUESTION = frozenset({"factual_correctness"})
_EMBEDDING = frozenset({"answer_relevancy", "answer_correctness"})


class RagasJudge(LibraryJudge):
    """Scores of ragas. Made by `load_judge`."""

    library: ClassVar[str] = "ragas"
    needs: ClassVar[Mapping[str, frozenset[Need]]] = {
        "faithfulness": frozenset({"answer", "passages"}),
        "answer_relevancy": frozenset({"answer"}),
        "context_precision": frozenset({"reference", "passages"}),
        "context_recall": frozenset({"reference", "passages"}),
        "factual_correctness": frozenset({"answer", "reference"}),
        "answer_correctness": frozenset({"answer", "reference"}),
    }

    def __init__(
        self, metrics: Sequence[str], llm: Runnable[Any, Any], embedder: BaseEmbedding | None, *, timeout: float
    ) -> None:
        super().__init__(metrics, llm, timeout=timeout)
        self._embedder = embedder
        without = sorted(_EMBEDDING.intersection(metrics)) if embedder is None else []
        if without:
            raise UsageError(f"ragas:{without[0]} needs an embedder", hint="pass one, such as load_embedder()")
        os.environ["RAGAS_DO_NOT_TRACK"] = "true"  # before the import: ragas reports its use by default
        import_library("ragas", _prepare)

    def _score(self, metric: str, case: Case, ask: Ask) -> float:
        from ragas.metrics import collections

        options: dict[str, Any] = {"llm": _model(ask)}
        if metric in _EMBEDDING:
            options["embeddings"] = _embeddings(self._embedder)
        values = {"response": case.answer, "reference": case.reference, "retrieved_contexts": case.passages}
        asked: dict[str, Any] = {name: values[name] for need in self.needs[metric] for name in [_ARGUMENTS[need]]}
        if metric not in _WITHOUT_QUESTION:
            asked["user_input"] = case.question
        scorer = getattr(collections, _CLASSES[metric])(**options)
        value = float(asyncio.run(scorer.ascore(**asked)).value)
        # A cosine may be below 0; NaN is not, and stays.
        return 0.0 if metric in _EMBEDDING and value < 0 else value


def _prepare() -> None:
    import ragas.embeddings.base
    import ragas.llms.base
    import ragas.metrics.collections  # noqa: F401

    with contextlib.suppress(ImportError, AttributeError):
        # It remembers the answer of the first time; ragas may have been imported before us.
        from ragas._analytics import do_not_track

        do_not_track.cache_clear()


def _model(ask: Ask) -> Any:
    """What ragas takes for a language model, for one metric of one record."""
    from ragas.llms.base import InstructorBaseRagasLLM

    class Model(InstructorBaseRagasLLM):
        named: int | None = None
        """Statements in the last list of them."""

        def generate(self, prompt: str, response_model: type[BaseModel]) -> BaseModel:
            reply = ask(prompt, response_model)
            _check_flags(reply.model_dump())
            fields = dict(reply)
            if response_model.__name__ == "NLIStatementOutput":
                _check_count(len(fields["statements"]), self.named)
            listed = fields.get("statements") or fields.get("claims")
            self.named = len(listed) if listed else None
            return reply

        async def agenerate(self, prompt: str, response_model: type[BaseModel]) -> BaseModel:
            return self.generate(prompt, response_model)

    return Model()


def _check_flags(value: Any, name: str = "") -> None:
    """Every number that these metrics ask for is a 0 or a 1; ragas adds up whatever it gets."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_flags(item, key)
    elif isinstance(value, list):
        for item in value:
            _check_flags(item, name)
    elif isinstance(value, int) and value not in (0, 1):
        raise ModelError(f"the judge gave {name} {value} where it was asked for 0 or 1")
    elif value == "" and name == "question":
        raise ModelError("the judge wrote no question")


def _check_count(verdicts: int, statements: int | None) -> None:
    if statements is not None and verdicts != statements:
        # ragas would take the mean over those that it got.
        raise ModelError(f"the judge gave {verdicts} verdicts on {statements} statements")


def _embeddings(embedder: Any) -> Any:
    """What ragas takes for an embedder."""
    from ragas.embeddings.base import BaseRagasEmbedding

    class Embeddings(BaseRagasEmbedding):
        def embed_text(self, text: str, **_: Any) -> list[float]:
            return list(embedder.get_text_embedding(text))

        async def aembed_text(self, text: str, **_: Any) -> list[float]:
            return self.embed_text(text)

    return Embeddings()
