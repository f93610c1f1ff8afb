"""A chat model of two random layers as a GGUF file, and artifacts on it: small enough to be served in a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import peft
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ragloom.models.artifacts import MANIFEST, Manifest, base_of, file_hash
from ragloom.models.causal_model import causal_folder

HEADS, GROUPS, SIZE, LAYERS = 4, 2, 64, 2
TEXTS = [
    "The cat sat on the mat and looked at the dog.",
    "Who wrote the letter that was found in 1912?",
    "A short answer, then a longer one with reasons.",
    "Water boils at 100 degrees; ice melts at 0.",
]


def make_gguf(folder: Path) -> Path:
    """A Llama of two layers with large random weights, so that no two tokens are nearly as likely, as a GGUF."""
    torch.manual_seed(1)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    )
    vocabulary = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=SIZE,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=GROUPS,
        max_position_embeddings=512,
        initializer_range=0.3,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    weights = transformers.LlamaForCausalLM(config).state_dict()
    path = folder / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(SIZE)
    writer.add_feed_forward_length(96)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(SIZE // HEADS)
    writer.add_vocab_size(len(vocabulary))
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3, 3, 3] + [1] * (len(vocabulary) - 3))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    parts = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"].numpy())
    for layer in range(LAYERS):
        for theirs, ours in parts.items():
            value = weights[f"model.layers.{layer}.{theirs}.weight"].numpy()
            if ours in ("attn_q", "attn_k"):
                value = interleaved(value, HEADS if ours == "attn_q" else GROUPS)
            writer.add_tensor(f"blk.{layer}.{ours}.weight", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    """GGUF's row order, row by row: of each head, row i of the first half, then row i of the second."""
    size = len(rows) // heads
    order = [head * size + half * size // 2 + i for head in range(heads) for i in range(size // 2) for half in (0, 1)]
    return np.ascontiguousarray(rows[order])


def make_artifact(
    base: Path, folder: Path, *, role: str = "drafter", tokens: tuple[str, ...] = (), **settings: Any
) -> str:
    """An artifact whose adapter is random and large enough to change what is said."""
    torch.manual_seed(2)
    source = causal_folder(f"gguf:{base}")
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    model = transformers.AutoModelForCausalLM.from_pretrained(source)
    if tokens:
        tokenizer.add_special_tokens({"additional_special_tokens": list(tokens)})
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        settings["trainable_token_indices"] = {"embed_tokens": tokenizer.convert_tokens_to_ids(list(tokens))}
    whole = settings.pop("whole", False)
    config = settings.pop("config", None) or peft.LoraConfig(
        task_type="CAUSAL_LM", target_modules="all-linear", **{"r": 4, "lora_alpha": 8, **settings}
    )
    model = peft.get_peft_model(model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.15)
    folder.mkdir()
    if whole:
        model.merge_and_unload().save_pretrained(folder)
    else:
        model.save_pretrained(folder, save_embedding_layers=False)
    if tokens or whole:
        tokenizer.save_pretrained(folder)
    kept = (".json", ".safetensors", ".jinja")
    files = {path.name: file_hash(path) for path in folder.iterdir() if path.suffix in kept}
    manifest = Manifest(
        role=role, name="tiny", base=base_of(f"gguf:{base}")[1], method="full" if whole else "lora", files=files
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return f"{role}:{folder}"
