"""All benchmarks, one after the other, each in a process of its own: `python bench/run.py [--data FOLDER] [NAME ...]`.

Each writes docs/results/NAME.md and NAME.json; what was measured before is in bench/cache and not measured again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from common import options, say

RUNS = {
    "documents": ["documents.py"],
    "ingestion": ["ingestion.py"],
    "retrieval": ["retrieval.py"],
    # Nothing was chosen on these; at most 300 queries of each.
    "held_out": [
        *("retrieval.py", "--name", "held_out", "--limit", "300"),
        *("--sets", "covidqa,clapnq,dragonball_finance_en,medical_question_pairs,covid_question_pairs"),
    ],
    "latency": ["latency.py"],
    "memory": ["memory.py"],
    "fusion_study": ["fusion_study.py"],
    "reading": ["reading.py"],
    "harness": ["harness.py"],
    "answers": ["answers.py"],
    "follow_ups": ["follow_ups.py", "--llm", "bundled:smollm2"],
    "source_routing": ["source_routing.py"],  # trains
    "tables": ["tables.py"],
    "multi_hop": ["multi_hop.py"],
    "strategy_overhead": ["strategy_overhead.py"],
    "strategies": ["strategies.py"],  # hours; it goes on where it was
    "auto": ["auto.py"],
    "finetune_evaluator": ["finetune_evaluator.py"],
    "finetune_support": ["finetune_support.py"],
    "finetune_reranker": ["finetune_reranker.py"],
    "finetune_embedder": ["finetune_embedder.py"],  # trains
    "finetune_drafter": ["finetune_drafter.py"],
    "finetune_reader": ["finetune_reader.py"],
    "finetune_router": ["finetune_router.py"],  # trains
    "finetune_reflective": ["finetune_reflective.py"],  # trains
    "finetune_resume": ["finetune_resume.py"],  # trains
    "guard_injection": ["guard_injection.py"],  # trains
    "guard_pii": ["guard_pii.py"],
    "guard_cost": ["guard_cost.py"],
    "guard_indirect": ["guard_indirect.py"],
    "draft_equality": ["draft_equality.py", "drafter:bundled"],
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these, of {', '.join(RUNS)}")


def main() -> None:
    """Runs them; ends with 1 if one did not end well."""
    given = options(__doc__, add_options)
    unknown = set(given.names) - set(RUNS)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}")
    failed = []
    for name in given.names or RUNS:
        say(f"== {name}")
        script, *arguments = RUNS[name]
        command = [sys.executable, str(Path(__file__).parent / script), "--data", str(given.data), *arguments]
        if subprocess.run(command).returncode:
            failed.append(name)
    subprocess.run([sys.executable, str(Path(__file__).parent / "readme.py")])
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
