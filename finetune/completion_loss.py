"""The loss of the tokens that are learnt, without the logits of all the others.

Of a drafter's row of 320 tokens some fifty are its completion. On GPUs TRL leaves the others out of the output layer;
on CPUs it computes every position's logits, twice, and their entropy: a third of a step with SmolLM2-135M.
"""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ("IGNORED", "completion_trainer")

IGNORED = -100
"""The label of a token that has no part in the loss."""


def completion_trainer(trainer: Any, model: Any, *, cpu: bool) -> Any:
    """A class of trainers for `model`: TRL's `SFTTrainer`, on a CPU with a loss that computes no more than it needs.

    The loss and its gradients are TRL's: the mean over the learnt tokens of all accumulated batches.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not cpu or "logits_to_keep" not in inspect.signature(base.forward).parameters:
        return trainer

    class CompletionTrainer(trainer):
        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            if return_outputs or self.aux_loss_enabled:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            import torch

            labels = inputs["labels"]
            wanted = labels[:, 1:] != IGNORED
            at = wanted.any(dim=0).nonzero()[:, 0]
            # Counted from the end: prompt tuning puts vectors of its own in front.
            kept = at - labels.shape[1]
            texts = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            logits = model(**texts, use_cache=False, logits_to_keep=kept).logits
            loss = torch.nn.functional.cross_entropy(
                logits.float().flatten(0, 1), labels[:, at + 1].flatten(), ignore_index=IGNORED, reduction="sum"
            )
            if num_items_in_batch is None:
                return loss / wanted.sum().clamp(min=1)
            # Gradients are averaged over the processes, and the tokens counted over all of them.
            shares = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
            return loss * shares / torch.as_tensor(num_items_in_batch).clamp(min=1)

    return CompletionTrainer
