"""What the pages say: every snippet runs, every link leads somewhere.

A snippet that cannot run in a test stands under a comment that says why: `<!-- not run: reason -->`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if page.exists()]
_FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\s*\n)?^```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```", re.M | re.S
)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Snippet:
    page: Path
    line: int
    language: str
    code: str
    why_not: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def snippets() -> list[Snippet]:
    return [
        Snippet(page, text[: found.start("code")].count("\n"), found["language"], found["code"], found["why"] or "")
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for found in _FENCE.finditer(text)
        if found["language"] in ("python", "bash", "sh", "shell")
    ]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, where the snippets of all pages run one after the other."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


@pytest.mark.parametrize("snippet", snippets(), ids=str)
def test_snippet(snippet: Snippet, workplace: Path) -> None:
    if snippet.why_not:
        pytest.skip(snippet.why_not)
    if snippet.language == "python":
        done = subprocess.run(
            [sys.executable, "-"], input=snippet.code, cwd=workplace, capture_output=True, text=True, timeout=250
        )
        assert done.returncode == 0, done.stderr
        return
    lines = [line for line in snippet.code.replace("\\\n", " ").splitlines() if line.strip().startswith("ragloom ")]
    if not lines:
        pytest.skip("no ragloom command")
    bin_folder = str(Path(sys.executable).parent)
    for line in lines:
        command = f'PATH="{bin_folder}:$PATH" {line}' if "=" not in line.split()[0] else line
        done = subprocess.run(
            ["bash", "-c", command], cwd=workplace, input="", capture_output=True, text=True, timeout=250
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for found in _LINK.finditer(text):
        target = found["target"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor and linked.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
            assert anchor in slugs, f"{page.name} links to {target}"
