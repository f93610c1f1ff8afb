"""Routers over a closed set, beside each other on the same texts: python bench/source_routing.py

Three sets, each class a source: kinds of need (query_routing, whose small talk needs none), intents with out-of-scope
texts (CLINC150), intents of one domain (BANKING77). Texts are split by their hash, as `ragloom finetune router` splits
them; examples and fits are of the train and the dev part; the embedding router has its default threshold. With
`--eval-llm gguf:PATH` also our LLM router, a cascade that asks it only where the linear router knows nothing, and
LlamaIndex's selector with the same model, on a sample of each set, where every router is measured again.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from common import CACHE, SEED, ended_well, has, options, paired_interval, publish, read_jsonl, say, table, verdict
from finetune_router import train
from prompted import model_name

SETS = "query_routing,clinc150,banking77"
NO_SOURCE = {"oos": "unknown", "no_retrieval": "none"}
"""What no intent of CLINC150 serves, and what needs no document: routers have labels of their own for both."""
OUTSIDE = 0.2
"""Share of a sample that is out of scope, where a set has such texts."""
LINEAR = "linear on the embedder"
EXAMPLES = 8
"""Texts of the train part by which the embedding router knows a source."""
NEEDS = {
    "followup": "Only makes sense after earlier turns: it says it, that, they, or leaves out what it is about.",
    "multi_hop": "Needs facts of several documents: compares two things, or goes from one fact to another.",
    "single_hop": "One fact that stands in one passage of a document.",
    "table": "Asks about the rows of a table: how many, the most, the last, a total, a difference, who is listed.",
}


@dataclass(frozen=True)
class Texts:
    """A set, by part: texts and the names of their sources."""

    name: str
    parts: dict[str, list[tuple[str, str]]]
    sources: list[Any]
    nothing: list[str]
    """Examples of what needs no source."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--method", default="lora", help="of the trained router, as bench/finetune_router.py keeps it")
    parser.add_argument("--eval-llm", help="spec of a chat model that follows instructions, gguf:PATH")
    parser.add_argument("--sample", type=int, default=60, help="texts of each set that the chat model routes")


def source_name(label: str) -> str:
    """A class as the name of a source: letters, digits, _ and -."""
    return NO_SOURCE.get(label) or re.sub(r"[^\w-]", "", label)


def texts_of(data: Path, name: str) -> Texts:
    """The set in three parts, and a source for each class but the out-of-scope one."""
    from langchain_core.runnables import RunnableLambda

    from ragloom.agents.sources import NONE, UNKNOWN, Source
    from ragloom.finetune.data.parts import part_of

    parts: dict[str, list[tuple[str, str]]] = {"train": [], "dev": [], "test": []}
    for row in read_jsonl(data / name / "items.jsonl"):
        text = " ".join(str(row["text"]).split())
        label = source_name(str(row.get("label") or row["intent"]))
        parts[part_of(f"{name}:{text.lower()}")].append((text, label))
    known: dict[str, list[str]] = defaultdict(list)
    for text, label in random.Random(SEED).sample(parts["train"], len(parts["train"])):
        known[label].append(text)
    nobody = RunnableLambda(lambda question: "")  # nothing is asked here, only routed
    sources = [
        Source(label, NEEDS.get(label, label.replace("_", " ")), nobody, examples=known[label][:EXAMPLES])
        for label in sorted(known)
        if label not in (NONE, UNKNOWN)
    ]
    return Texts(name, parts, sources, known.get(NONE, [])[:EXAMPLES])


def local_routers(data: Path, texts: Texts, method: str) -> dict[str, Any]:
    """Those that need no chat model."""
    from ragloom.agents.sources import EmbeddingRouter, LinearRouter, TrainedRouter

    fitted = [*texts.parts["train"], *texts.parts["dev"]]
    linear = LinearRouter.fit([text for text, _ in fitted], [label for _, label in fitted], seed=SEED)
    given = SimpleNamespace(method=method, limit=None, steps=None)
    artifact = train([data / texts.name], texts.name, given)  # at once where it was trained before
    spec = f"router:{CACHE / f'finetune-router-{texts.name}-{method}'}"
    meaning = {label: source_name(label) for label in artifact.manifest.labels}
    return {
        LINEAR: linear,
        "embedding, 8 examples each": EmbeddingRouter(texts.sources, margin=0.0, none_examples=texts.nothing),
        f"trained ({method})": TrainedRouter(spec, labels=meaning),
    }


def llm_routers(texts: Texts, spec: str, linear: Any) -> dict[str, Any]:
    """Those that ask a chat model, which is shown descriptions without examples."""
    from ragloom.agents.sources import CascadeRouter, LLMRouter
    from ragloom.models import load_chat_model

    shown = [replace(source, examples=()) for source in texts.sources]
    llm = load_chat_model(spec, temperature=0.0)
    asked = LLMRouter(shown, llm, most=1)
    return {
        "LLM, names by JSON schema": asked,
        "linear, then LLM": CascadeRouter(linear, asked),
        "LlamaIndex LLMSingleSelector": Selector(shown, llm),
    }


class Heard:
    """A router, and what it said of each text."""

    def __init__(self, router: Any) -> None:
        self.router, self.labels, self.said = router, router.labels, []

    def route(self, question: str) -> Any:
        """Its decision; what it raises is noted as none."""
        self.said.append("")
        route = self.router.route(question)
        self.said[-1] = "" if route.failed else route.label
        return route

    async def aroute(self, question: str) -> Any:
        """The same."""
        return self.route(question)


class Selector:
    """LlamaIndex's selector of `RouterQueryEngine` as one of our routers: the same chat model, its own prompt."""

    def __init__(self, sources: Sequence[Any], llm: Any) -> None:
        from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
        from llama_index.core.llms.callbacks import llm_completion_callback
        from llama_index.core.selectors import LLMSingleSelector
        from llama_index.core.tools import ToolMetadata

        class Chat(CustomLLM):
            @property
            def metadata(self) -> LLMMetadata:
                return LLMMetadata(context_window=8192, num_output=256)

            @llm_completion_callback()
            def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
                return CompletionResponse(text=llm.invoke(prompt, max_tokens=256).text)

            @llm_completion_callback()
            def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
                raise NotImplementedError

        self.labels = tuple(source.name for source in sources)  # it has no choice for none of these
        self._choices = [ToolMetadata(f"{source.name}: {source.description}", source.name) for source in sources]
        self._selector = LLMSingleSelector.from_defaults(llm=Chat())

    def route(self, question: str) -> Any:
        """Its choice; as in its query engine, an index counts from the end where it is below zero."""
        from ragloom.agents.sources import SourceRoute

        chosen = self._selector.select(self._choices, question).selections[0]
        return SourceRoute((self.labels[chosen.index],), by="LlamaIndex", reason=str(chosen.reason))

    async def aroute(self, question: str) -> Any:
        """The same."""
        return self.route(question)


def measured(name: str, rows: Sequence[tuple[str, str]], routers: dict[str, Any]) -> list[dict[str, Any]]:
    """What each router does with these texts."""
    from ragloom.agents.sources import confusion

    found = []
    right: dict[str, list[float]] = {}
    for router, each in routers.items():
        each.route(rows[0][0])  # loads what it needs, and shows a chat model the sources
        heard = Heard(each)
        told = confusion(heard, [text for text, _ in rows], [label for _, label in rows])
        right[router] = [float(said == label) for said, (_, label) in zip(heard.said, rows, strict=True)]
        gain = paired_interval(right[router], right[LINEAR]) if router != LINEAR else None
        say(f"{name}: {router}: {told.accuracy:.3f}, {told.ms_per_text:.0f} ms")
        found.append(
            {
                "set": name,
                "router": router,
                "n": told.n,
                "accuracy": round(told.accuracy, 4),
                "macro_f1": round(told.macro_f1, 4),
                "out_of_scope_recall": told.out_of_scope_recall,
                "invalid_rate": round(told.invalid_rate, 4),
                "ms": round(told.ms_per_text, 2),
                "over_linear": gain and [round(value, 4) for value in gain],
            }
        )
    return found


def sampled(rows: Sequence[tuple[str, str]], size: int) -> list[tuple[str, str]]:
    """Drawn by seed: a fifth out of scope where there are such texts, the others a class after the other."""
    dice = random.Random(SEED)
    by_class: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in dice.sample(list(rows), len(rows)):
        by_class[row[1]].append(row)
    outside = by_class.pop("unknown", [])[: round(OUTSIDE * size)]
    order = dice.sample(sorted(by_class), len(by_class))
    turns = max(map(len, by_class.values()), default=0)
    inside = [by_class[label][turn] for turn in range(turns) for label in order if turn < len(by_class[label])]
    return [*outside, *inside[: size - len(outside)]]


def shown(found: Sequence[dict[str, Any]]) -> str:
    """A table of `measured`."""
    rows = [
        (
            each["set"],
            each["router"],
            each["n"],
            f"{each['accuracy']:.3f}",
            f"{each['macro_f1']:.3f}",
            "" if each["out_of_scope_recall"] is None else f"{each['out_of_scope_recall']:.3f}",
            f"{each['invalid_rate']:.3f}",
            f"{each['ms']:.1f}",
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(*each["over_linear"]) if each["over_linear"] else "",
        )
        for each in found
    ]
    head = ("set", "router", "n", "accuracy", "macro F1", "out-of-scope recall", "invalid", "ms a text")
    return table((*head, "accuracy over linear (95 %)"), rows)


def main() -> None:
    """A table of all test texts, one of the sample, and the share of invalid outputs of ours."""
    given = options(__doc__, add_options)
    whole: list[dict[str, Any]] = []
    sample: list[dict[str, Any]] = []
    for name in given.sets.split(","):
        if not has(given.data, name):
            continue
        texts = texts_of(given.data, name)
        routers = local_routers(given.data, texts, given.method)
        whole += measured(name, texts.parts["test"], routers)
        if given.eval_llm:
            linear = routers[LINEAR]
            every = {**routers, **llm_routers(texts, given.eval_llm, linear)}
            sample += measured(name, sampled(texts.parts["test"], given.sample), every)
    if not whole:
        return
    parts = [
        "The class of a text is the name of its source; CLINC150's out-of-scope texts are of none. Of several sources "
        "the first counts. `invalid`: replies without a name, names that are no source, exceptions. LlamaIndex's "
        "selector has no choice for what is of no source.",
        f"## All texts of the test parts\n\n{shown(whole)}",
    ]
    if sample:
        parts.append(f"## A sample, with {model_name(given.eval_llm)}\n\n{shown(sample)}")
    ours = [each for each in [*whole, *sample] if "LlamaIndex" not in each["router"]]
    invalid = verdict("invalid outputs of our routers", max(each["invalid_rate"] for each in ours), 0, at_most=True)
    publish("source_routing", "Routers over a closed set", parts, {"all": whole, "sample": sample}, [invalid])


if __name__ == "__main__":
    ended_well(main)
