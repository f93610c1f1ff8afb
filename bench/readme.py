"""Puts the measured tables of docs/results into the README, between its `results` marks: `python bench/readme.py`.

With `--check` it changes nothing and exits with 1 where the README is stale.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from common import RESULTS, ROOT, table
from run import RUNS

MARKS = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- /results -->)", re.DOTALL)


def load(name: str) -> dict[str, Any]:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def retrieval(data: dict[str, Any]) -> str:
    """nDCG@10 of `default` beside LlamaIndex's."""
    rows = [
        [
            each["set"],
            data["n"][each["set"]],
            f"**{each['default']:.3f}**",
            f"{each['fused']:.3f}",
            f"{each['to_fused'] - 1:+.1%}",
            f"{each['best'].removeprefix('LlamaIndex ')}, {each['to_best'] - 1:+.1%}",
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(each["gain"], *each["gain ci95"]),
        ]
        for each in data["compared"]
    ]
    head = ["set", "queries", "ragloom `default`", "LlamaIndex fused (RRF)", "to it", "to the best of its three"]
    head.append("to fused with metadata, paired 95 % interval")
    return "nDCG@10, same embedder and chunks; [all figures](docs/results/retrieval.md):\n\n" + table(head, rows)


def targets(names: list[str]) -> str:
    """Every target of every benchmark, met or not."""
    rows = [
        [
            each["target"],
            each["wanted"],
            f"{each['value']:.4g}",
            "met" if each["met"] else "**missed**",
            f"[{name}](docs/results/{name}.md)",
        ]
        for name in names
        for each in load(name).get("targets", [])
    ]
    return table(["what", "goal", "measured", "", "figures"], rows)


def reading() -> str:
    """How naive RAG reads the handbook's questions."""
    rows = [
        [
            f"`{each['llm']}`",
            each["evidence retrieved"],
            each["right and cited"],
            each["wrong"],
            each["abstained"],
            f"{each['unanswerable abstained']} of {each['unanswerable']}",
            each["p50 seconds"],
        ]
        for each in load("reading")["handbook"]
    ]
    head = ["reader", "passage retrieved", "right and rightly cited", "wrong", "abstained"]
    head += ["unanswerable: abstained", "p50 s"]
    answerable = load("reading")["handbook"][0]["answerable"]
    title = f"Naive RAG on the handbook's {answerable} answerable questions ([figures](docs/results/reading.md)):"
    return f"{title}\n\n{table(head, rows)}"


def answers() -> str:
    """What naive RAG pays beside the model alone."""
    rows = []
    for found in load("answers").get("rows", {}).values():
        by = {(each["set"], each["strategy"]): each for each in found}
        for each in found:
            if each["strategy"] != "naive":
                continue
            alone = by[each["set"], "closed-book"]
            lost = alone["versus_baseline"]["contains"]  # the table's baseline is naive
            rows.append(
                [
                    f"`{each['llm']}`",
                    each["set"],
                    lost["n"],
                    f"{alone['contains']:.3f}",
                    f"{each['contains']:.3f}",
                    f"{-lost['mean']:+.3f} [{-lost['high']:+.3f}, {-lost['low']:+.3f}]",
                    f"{each['abstained']:.2f}",
                    f"{each['p50_s']:.1f}",
                ]
            )
    head = ["model", "set", "n", "model alone", "naive RAG", "difference, paired 95 % interval", "abstained", "p50 s"]
    title = "Answers that contain a right one, by `ragloom eval answers` ([all metrics](docs/results/answers.md)):"
    return f"{title}\n\n{table(head, rows)}"


def reranked() -> str:
    """What the shipped reranker changes."""
    rows = [
        [
            row["set"],
            row["n"],
            f"{row['default']:.3f}",
            f"{row['reranked']:.3f}",
            f"{row['gain']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]",
        ]
        for row in load("finetune_reranker")["rows"]
    ]
    head = ["set", "queries", "`default`", "with `reranker:bundled`", "difference, paired 95 % interval"]
    title = (
        "nDCG@10, the first 50 passages reranked; questions on documents that the reranker was not trained on "
        "([figures](docs/results/finetune_reranker.md)):"
    )
    return f"{title}\n\n{table(head, rows)}"


def read_out() -> str:
    """What the shipped reader reads on documents that it never saw; empty where it is not measured."""
    shown = {"reader": "`reader:bundled`", "base, short prompt": "`bundled:smollm2`"}
    rows = [
        [
            name,
            model,
            told["answerable"],
            *_three(told, "f1", "em", "contains"),
            told["unanswerable"],
            *_three(told, "abstained"),
        ]
        for name, each in load("finetune_reader").get("sets", {}).items()
        for who, model in shown.items()
        if (told := each.get(who))
    ]
    head = ["set", "reads", "answerable", "F1", "EM", "contains", "unanswerable", "abstains of them"]
    title = (
        "One question, its passage among what the retriever finds beside it, on documents that the reader was not "
        "trained on; an abstention where there is an answer scores 0 ([figures](docs/results/finetune_reader.md)):"
    )
    return f"{title}\n\n{table(head, rows)}\n\n" if rows else ""


def _three(told: dict[str, Any], *names: str) -> list[str]:
    return ["" if told[name] is None else f"{told[name]:.3f}" for name in names]


def strategies() -> str:
    """What the strategies pay, of those that have been measured so far; empty where none has."""
    title = (
        "The same questions to every strategy, each beside naive RAG with the same model and passages: *right* is an "
        "answer that contains a right one, or an abstention where nothing can be answered "
        "([all figures](docs/results/strategies.md)):"
    )
    parts = []
    for name, systems in load("strategies").items():
        if not name.startswith(("main ", "reading ", "evaluation ")):
            continue
        rows = [
            [
                f"`{strategy}`",
                each["n"],
                f"{each['right']:.3f}",
                f"{each['f1']:.3f}",
                "{:+.3f} [{:+.3f}, {:+.3f}]".format(*each["right minus naive"]) if each["right minus naive"] else "",
                f"{each['abstained']:.2f}",
                f"{each['calls']:.1f}",
                f"{each['p50_s']:.1f}",
            ]
            for strategy, each in systems.items()
        ]
        minus = "right minus naive, paired 95 % interval"
        head = ["strategy", "n", "right", "F1", minus, "abstained", "calls", "p50 s"]
        parts.append(f"`{name.partition(' ')[2]}`:\n\n{table(head, rows)}")
    return "\n\n".join([title, *parts]) + "\n\n" if parts else ""


def main() -> None:
    machine = load("retrieval")["machine"]
    text = "\n".join(
        [
            f"By `make bench`, on {machine['cores']} cores, {machine['dtype']}. Missed goals are shown as such.\n",
            retrieval(load("retrieval")) + "\n",
            targets(list(RUNS)) + "\n",
            strategies() + reranked() + "\n",
            read_out() + reading() + "\n",
            answers() + "\n",
        ]
    )
    path = ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    new = MARKS.sub(lambda _: text, old)
    if "--check" in sys.argv:
        sys.exit(0 if new == old else "README.md is stale: run python bench/readme.py")
    path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
