"""Several samples of a model's answer beside each other, each with a seed of its own."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel

from ...graphs.common.asking import with_temperature

__all__ = ("sampling_options",)

TEMPERATURE = 0.8
"""The paper's, for every sample of a vote."""


def sampling_options(llm: BaseChatModel, samples: int, seed: int) -> list[dict[str, Any]]:
    """The call options of each sample. A single one is asked as the model is set up."""
    if samples == 1:
        return [{}]
    inner: Any = llm
    while hasattr(inner, "bound"):
        inner = inner.bound
    seeded = "seed" in type(inner).model_fields
    # A server gives the same answer to the same prompt and seed.
    return [{**with_temperature(llm, TEMPERATURE), **({"seed": seed + at} if seeded else {})} for at in range(samples)]
