"""`make demo`: the main job on the example handbook. Documents in, cited answers out; no key, no server.

Runs the command line as a user would type it.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
QUESTIONS = (
    "What is paid per kilometre for a private car?",
    "Where is the new assembly point in Leeds?",
    "Which company supplies the coffee beans?",  # the handbook does not say: the answer is to abstain
)


def run(*arguments: str) -> None:
    """Shows a command and runs it."""
    print(f"\n$ {shlex.join(('ragloom', *arguments))}", flush=True)
    subprocess.run([sys.executable, "-m", "ragloom.cli", *arguments], cwd=HERE.parent, check=True)


if __name__ == "__main__":
    run("ingest", "examples/handbook", "--kb", ".ragloom/demo")
    for question in QUESTIONS:
        run("ask", question, "--kb", ".ragloom/demo")
