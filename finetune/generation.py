"""Greedy generation in batches: what a causal model answers to many prompts, while it is being trained or measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ..models.batching import batches
from .options import Tell, no_tell

__all__ = ("greedy",)


def greedy(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    pad_id: int,
    stop: Sequence[int],
    batch_tokens: int = 4096,
    tell: Tell = no_tell,
    task: str = "answering",
) -> list[list[int]]:
    """The token ids that the model puts after each prompt, the most likely one each time, in the order of `prompts`.

    An answer ends with the first token of `stop`, which is part of it, or after `max_new_tokens`. `batch_tokens` bounds
    prompts and answers of one batch, padding included.
    """
    import torch

    result: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
    training = model.training
    model.eval()
    done = 0
    # Vectors learnt in front of the input stand before the padding, and positions would go wrong behind it.
    learnt_prompt = getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False)
    groups = [list(same) for _, same in groupby(order, key=lambda i: len(prompts[i]) if learnt_prompt else 0)]
    chunks = (
        [group[at] for at in batch]
        for group in groups
        for batch in batches([len(prompts[i]) + max_new_tokens for i in group], batch_tokens)
    )
    try:
        for chosen in chunks:
            width = len(prompts[chosen[0]])
            ids = torch.full((len(chosen), width), pad_id)
            mask = torch.zeros_like(ids)
            for row, i in enumerate(chosen):  # padded on the left: what is generated stands at the same place in all
                ids[row, width - len(prompts[i]) :] = torch.tensor(list(prompts[i]))
                mask[row, width - len(prompts[i]) :] = 1
            with torch.inference_mode():
                output = model.generate(
                    input_ids=ids.to(model.device),
                    attention_mask=mask.to(model.device),
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    num_beams=1,
                    repetition_penalty=1.0,  # a base's own settings may have others
                    no_repeat_ngram_size=0,
                    min_length=0,
                    pad_token_id=pad_id,
                    eos_token_id=list(stop),
                )
            for i, said in zip(chosen, output[:, width:].tolist(), strict=True):
                result[i] = _until(said, stop)
            done += len(chosen)
            tell(task, done, len(prompts))
    finally:
        model.train(training)
    return result


def _until(said: list[int], stop: Sequence[int]) -> list[int]:
    ends = [at for at, token in enumerate(said) if token in stop]
    return said[: ends[0] + 1] if ends else said
