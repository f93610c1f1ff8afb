"""Greedy answers of a trained chat model: transformers against llama.cpp, token by token, on 50 prompts.

    python bench/draft_equality.py drafter:out/drafter
    python bench/draft_equality.py --random          a random LoRA of visible size on bundled:smollm2

The reference is transformers in float32 with the PEFT adapter on the dequantised base. Under llama.cpp:
    f32        base and adapter merged into one float32 GGUF, float32 keys and values: must be equal
    f16, q8_0  merged and rounded
    served     what `drafter:PATH` runs: the 4-bit base with the LoRA beside it, activations in 8 bits
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ended_well, opened, options, publish, say, table, verdict

from ragloom.finetune.export.gguf_lora import export_lora, merge_and_export
from ragloom.models.adapter_gguf import served_files
from ragloom.models.artifacts import MANIFEST, Artifact, Manifest, base_of, file_hash, open_artifact
from ragloom.models.causal_model import causal_folder, open_causal_model
from ragloom.models.llama_server import LlamaServer

TOPICS = ("rivers", "the moon", "bread", "a library", "winter", "Paris", "an old ship", "honey bees", "chess", "copper")
ASKED = (
    "Tell me one fact about {}.",
    "Write a short poem about {}.",
    "Why do people like {}?",
    "Answer in one sentence: what should a child know about {}?",
    "Context: Nothing is known about it.\n\nQuestion: Who first wrote about {}?",
)
PROMPTS = [form.format(topic) for topic in TOPICS for form in ASKED]
FORMS = ("f32", "f16", "q8_0", "served")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", nargs="?", help="drafter:PATH, drafter:bundled or reflective:PATH")
    parser.add_argument("--random", action="store_true", help="a random LoRA instead")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--forms", default=",".join(FORMS), help=f"of {','.join(FORMS)}")


def random_artifact(folder: Path) -> Artifact:
    """A LoRA on every linear layer, large enough that most answers change."""
    import peft
    import torch

    torch.manual_seed(0)
    model = open_causal_model("bundled:smollm2", device="cpu").model.requires_grad_(True)
    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.03)
    adapted.save_pretrained(folder)
    files = {name: file_hash(folder / name) for name in ("adapter_config.json", "adapter_model.safetensors")}
    manifest = Manifest(role="drafter", name="random", base=base_of("bundled:smollm2")[1], method="lora", files=files)
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return open_artifact(f"drafter:{folder}", "drafter")


def by_transformers(spec: str, prompts: list[str], tokens: int) -> tuple[list[list[int]], list[list[int]]]:
    """Ids of the prompts, and of the greedy answers up to the end mark."""
    import torch

    loaded = open_causal_model(spec, device="cpu")
    tokenizer = loaded.tokenizer
    tokenizer.padding_side = "left"
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True)
        for text in prompts
    ]
    ids = [tokenizer(text).input_ids for text in texts]
    padded = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.inference_mode():
        out = loaded.model.generate(
            **padded, max_new_tokens=tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )
    answers = [row[padded.input_ids.shape[1] :].tolist() for row in out]
    end = tokenizer.eos_token_id
    return ids, [answer[: answer.index(end)] if end in answer else answer for answer in answers]


def by_llama_cpp(
    file: Path, adapter: Path | None, ids: list[list[int]], tokens: int, *, exact: bool
) -> tuple[list[list[int]], float]:
    """Ids of the greedy answers, and tokens a second of generation."""
    import httpx

    server = LlamaServer(file, adapter=adapter, exact=exact, context_length=1024)
    answers, seconds, count = [], 0.0, 0
    with contextlib.closing(server):
        headers = {"Authorization": f"Bearer {server.api_key}"}
        for prompt in ids:
            body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "return_tokens": True}
            answer = httpx.post(f"{server.url}/completion", json=body, headers=headers, timeout=600).json()
            answers.append(answer["tokens"])
            seconds += answer["timings"]["predicted_ms"] / 1000
            count += answer["timings"]["predicted_n"]
    return answers, count / seconds


def shared(left: list[int], right: list[int]) -> int:
    """Tokens up to the first difference."""
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def main() -> None:
    """Prints agreement of each form; writes docs/results/draft_equality.md for all of them on all prompts."""
    given = options(__doc__, add_options)
    if bool(given.artifact) == given.random:
        raise SystemExit("name an artifact, or --random")
    forms = given.forms.split(",")
    prompts = PROMPTS[: given.prompts]
    with tempfile.TemporaryDirectory() as scratch:
        if given.random:
            (Path(scratch) / "random").mkdir()
            artifact = random_artifact(Path(scratch) / "random")
        else:
            artifact = opened(given.artifact, given.artifact.partition(":")[0])
        spec = f"{artifact.manifest.role}:{artifact.folder}"
        began = time.perf_counter()
        ids, wanted = by_transformers(spec, prompts, given.tokens)
        say(f"transformers: {time.perf_counter() - began:.0f} s")
        _, base = by_transformers(f"hf:{causal_folder(artifact.manifest.base.spec)}", prompts, given.tokens)
        changed = sum(a != b for a, b in zip(wanted, base, strict=True))
        say(f"the adapter changes {changed} of {len(prompts)} answers")
        rows: list[tuple[Any, ...]] = []
        data: dict[str, dict[str, float]] = {}
        for form in forms:
            if form == "served" and given.random:  # not into the user's cache
                file = artifact.base_path()
                adapter = export_lora(artifact.folder, file, Path(scratch) / "lora.gguf")
            elif form == "served":
                file, adapter = served_files(artifact)
            else:
                file, adapter = Path(scratch) / f"{form}.gguf", None
                merge_and_export(artifact, file, dtype=form)
            answers, speed = by_llama_cpp(file, adapter, ids, given.tokens, exact=form == "f32")
            equal = sum(a == b for a, b in zip(wanted, answers, strict=True))
            part = sum(shared(a, b) for a, b in zip(wanted, answers, strict=True)) / sum(len(a) for a in wanted)
            size = (file.stat().st_size + (adapter.stat().st_size if adapter else 0)) / 1e6
            data[form] = {"equal": equal, "prefix": part, "tokens_per_second": speed, "megabytes": size}
            rows.append((form, f"{equal} of {len(prompts)}", f"{part:.3f}", f"{speed:.0f}", f"{size:.0f}"))
            say(f"{form}: {equal} of {len(prompts)} equal, {part:.3f} of the tokens before the first difference")
    head = ("form", "equal answers", "tokens before the first difference", "tokens/s", "MB")
    text = table(head, rows)
    if set(forms) != set(FORMS) or len(prompts) < len(PROMPTS):
        print(text)
        return
    note = (
        f"{artifact.manifest.name}; it changes {changed} of {len(prompts)} answers; {given.tokens} tokens each, greedy."
    )
    targets = [verdict("greedy answers equal to transformers (merged, f32)", data["f32"]["equal"], len(prompts))]
    facts: dict[str, Any] = {"n": len(prompts), "changed": changed, "forms": data}
    publish("draft_equality", "llama.cpp against transformers", [f"{note}\n\n{text}"], facts, targets)


if __name__ == "__main__":
    ended_well(main)
