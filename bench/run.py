"""All benchmarks, one after the other, each in a process of its own: `python bench/run.py [--data FOLDER] [NAME ...]`.

Each writes docs/results/NAME.md and NAME.json; what was measured before is in bench/cache and not measured again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from common import options, say

NAMES = ("documents", "ingestion", "retrieval", "latency", "memory", "fusion_study", "reading")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these, of {', '.join(NAMES)}")


def main() -> None:
    """Runs them; ends with 1 if one did not end well."""
    given = options(__doc__, add_options)
    unknown = set(given.names) - set(NAMES)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}")
    failed = []
    for name in given.names or NAMES:
        say(f"== {name}")
        script = Path(__file__).parent / f"{name}.py"
        if subprocess.run([sys.executable, str(script), "--data", str(given.data)]).returncode:
            failed.append(name)
    subprocess.run([sys.executable, str(Path(__file__).parent / "readme.py")])
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
