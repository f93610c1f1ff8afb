"""A chat model asked yes or no, as a rival of trained critics: P(yes) from the first token's log-probabilities.

Answers are kept in bench/cache by model and prompt, since a model of 1.5 B takes seconds for each on 2 cores.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from common import CACHE, say

__all__ = ("RELEVANCE", "SUPPORT", "ask", "model_name")

RELEVANCE = (
    "Question: {question}\n\nPassage: {passage}\n\nDoes the passage hold the answer to the question? Answer yes or no."
)
SUPPORT = (
    "Passage: {passage}\n\nQuestion: {question}\nClaim: {claim}\n\n"
    "Is everything that the claim says supported by the passage? Answer yes or no."
)


def ask(llm: str, prompts: list[str]) -> list[float]:
    """P(yes) of each prompt: yes / (yes + no) over the first token's 20 likeliest; 0.5 where neither is among them."""
    from ragloom.models import load_chat_model

    kept = CACHE / f"prompted-{hashlib.sha256(model_name(llm).encode()).hexdigest()[:12]}.jsonl"
    known: dict[str, float] = {}
    if kept.exists():
        for line in kept.read_text(encoding="utf-8").splitlines():
            found = json.loads(line)
            known[found["prompt"]] = found["yes"]
    model = load_chat_model(llm, max_tokens=1).bind(logprobs=True, top_logprobs=20)
    with kept.open("a", encoding="utf-8") as stream:
        for number, prompt in enumerate(prompts):
            if number % 50 == 0:
                say(f"{model_name(llm)}: {number} of {len(prompts)} prompts")
            if _key(prompt) not in known:
                known[_key(prompt)] = _yes(model.invoke(prompt).response_metadata)
                stream.write(json.dumps({"prompt": _key(prompt), "yes": known[_key(prompt)]}) + "\n")
                stream.flush()
    return [known[_key(prompt)] for prompt in prompts]


def model_name(llm: str) -> str:
    """A file's name is enough in a table; where it lies is nobody's business."""
    return Path(llm.removeprefix("gguf:")).stem if llm.startswith("gguf:") else llm


def _key(prompt: str) -> str:
    return hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()


def _yes(metadata: dict[str, Any]) -> float:
    mass = {"yes": 0.0, "no": 0.0}
    for each in metadata["logprobs"]["content"][0]["top_logprobs"]:
        word = each["token"].strip().lower()
        if word in mass:
            mass[word] += math.exp(each["logprob"])
    total = sum(mass.values())
    return mass["yes"] / total if total else 0.5
