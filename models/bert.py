"""A plain BERT encoder for inference, with the parameter names of Hugging Face's `BertModel`.

Why our own: importing `transformers`' model code takes 4 s on two cores, importing torch 1.4 s; the first answer of a
command should not wait for the difference. Weights and PEFT adapters made for `BertModel` load unchanged, because the
names are the same. Architecture: Devlin et al., 2019, "BERT", https://arxiv.org/abs/1810.04805 (post-norm, learned
absolute positions, exact GELU).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ("BertEncoder", "supported")


def supported(config: dict[str, Any]) -> bool:
    """Whether a `config.json` describes exactly what `BertEncoder` computes."""
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act", "gelu") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder", False)
    )


class BertEncoder(nn.Module):
    """Token ids `(batch, length)` to hidden states `(batch, length, hidden)`."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Build the layers that `config` (a `config.json`) describes; weights are loaded afterwards."""
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(_Layer(config) for _ in range(config["num_hidden_layers"]))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Encode. `attention_mask` is True at real tokens, shape `(batch, length)`; None when there is no padding.

        `token_type_ids` is 1 at the tokens of the second text of a pair; None when all are of the first.
        """
        mask = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        hidden: Tensor = self.embeddings(input_ids, token_type_ids)
        for layer in self.encoder.layer:
            hidden = layer(hidden, mask)
        return hidden


class _Embeddings(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        size = config["hidden_size"]
        self.word_embeddings = nn.Embedding(config["vocab_size"], size)
        self.position_embeddings = nn.Embedding(config["max_position_embeddings"], size)
        self.token_type_embeddings = nn.Embedding(config["type_vocab_size"], size)
        self.LayerNorm = nn.LayerNorm(size, eps=config["layer_norm_eps"])

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        positions = self.position_embeddings.weight[: input_ids.shape[1]]
        kinds = self.token_type_embeddings.weight
        kind = kinds[0] if token_type_ids is None else kinds[token_type_ids]
        hidden: Tensor = self.word_embeddings(input_ids) + positions + kind
        result: Tensor = self.LayerNorm(hidden)
        return result


class _SelfAttention(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        size = config["hidden_size"]
        self.heads: int = config["num_attention_heads"]
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, size = hidden.shape
        query, key, value = (
            project(hidden).view(batch, length, self.heads, -1).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return mixed.transpose(1, 2).reshape(batch, length, size)


class _Output(nn.Module):
    """Project back to the hidden size, add the residual, normalise."""

    def __init__(self, inner: int, config: dict[str, Any]) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, config["hidden_size"])
        self.LayerNorm = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])

    def forward(self, inner: Tensor, residual: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(self.dense(inner) + residual)
        return result


class _Attention(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.self = _SelfAttention(config)
        self.output = _Output(config["hidden_size"], config)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        result: Tensor = self.output(self.self(hidden, mask), hidden)
        return result


class _Layer(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.attention = _Attention(config)
        self.intermediate = nn.Module()
        self.intermediate.dense = nn.Linear(config["hidden_size"], config["intermediate_size"])
        self.output = _Output(config["intermediate_size"], config)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self.attention(hidden, mask)
        widened = functional.gelu(self.intermediate.dense(hidden))
        result: Tensor = self.output(widened, hidden)
        return result


def load_weights(model: nn.Module, path: str, *, dtype: torch.dtype, device: str) -> None:
    """Fill `model` from a safetensors file, prefix `bert.` allowed, pooler ignored. Raises on a missing weight."""
    from safetensors.torch import load_file

    weights = {name.removeprefix("bert."): value.to(dtype) for name, value in load_file(path, device=device).items()}
    wanted = model.state_dict().keys()
    model.load_state_dict({name: value for name, value in weights.items() if name in wanted}, assign=True)
