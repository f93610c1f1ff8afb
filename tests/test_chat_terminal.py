"""`ragloom chat`: a conversation of 30 turns in a real terminal, killed in the middle; and what options do."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pexpect
import pytest

from ragloom.errors import StoreError
from ragloom.graphs import naive_rag
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import FakeChatModel, HashEmbedding

Cli = Callable[..., Any]
LEAVE = "How many days of annual leave do employees get?"
GOOD = "Employees get 25 days of annual leave."
DOCUMENTS = {
    "leave.md": "Full-time employees get 25 days of annual leave. Leave that is carried over is taken by 31 March.",
    "travel.md": "Hotels in Vienna are paid up to 165 euros a night. Trips are booked with Northgate Travel.",
    "garden.md": "The roses in the garden are watered at dawn. Nobody may pick them.",
}
SAYS = {
    f"Question: {LEAVE}": GOOD,
    "Last question: Until when is it taken?": "Until when is annual leave taken?",
    "Question: Until when is annual leave taken?": "Annual leave that is carried over is taken by 31 March.",
    "Question: What is paid for hotels in Vienna?": "Hotels in Vienna are paid up to 165 euros a night.",
    "Question: Which hotels are paid for in my office in Vienna?": "Hotels in Vienna are paid up to 165 euros.",
    "Question: When are the roses in the garden watered?": (
        "The roses in the garden are watered at dawn. Nobody may pick the roses in the garden."
    ),
}
"""What stands in a prompt, to what the model says; to all else it does not know."""


class ScriptedServer(ThreadingHTTPServer):
    """Speaks the OpenAI protocol, word by word."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.prompts: list[str] = []
        self.holding = False
        """Whether it falls silent after the first sentence about the roses, until it may go on or nobody listens."""
        self.hung_up = threading.Event()
        """Set when a client went away in the middle."""
        self.dead = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.dead:
            return  # hangs up
        prompt = asked["messages"][-1]["content"]
        self.server.prompts.append(prompt)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        try:
            self._speak(next((said for key, said in SAYS.items() if key in prompt[-200:]), "I don't know."))
        except OSError:
            self.server.hung_up.set()

    def _speak(self, text: str) -> None:
        for word in text.split():
            self._send(f"{word} ")
            while self.server.holding and word == "Nobody":
                threading.Event().wait(0.05)
                self._send("")  # fails when nobody listens
        self._send("", finish="stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, text: str, finish: str | None = None) -> None:
        choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": finish}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "scripted", "choices": [choice]}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield serving
        serving.holding = False
        serving.shutdown()


class Terminal:
    """A person at a terminal."""

    def __init__(self, server: ScriptedServer, *options: str) -> None:
        environment = {
            **os.environ,
            "OPENAI_API_KEY": "x",
            "OPENAI_BASE_URL": server.url,
            "RAGLOOM_MODE": "bm25",
            "TERM": "dumb",
        }
        arguments = ["-m", "ragloom.cli", "chat", "--kb", "kb", "--llm", "openai:scripted", "--db", "db/chats.sqlite"]
        self.child = pexpect.spawn(
            sys.executable,
            [*arguments, *options],
            env=environment,
            encoding="utf-8",
            timeout=25,
            dimensions=(50, 250),
        )
        self.turns = 0
        self.sees("/help lists the commands.")

    def types(self, line: str, *sees: str) -> str:
        """A turn: a line, what is seen after it in this order, and the next prompt. All that was shown."""
        self.turns += 1
        self.child.sendline(line)
        self.child.expect_exact(line)  # the echo
        shown = "".join(self.sees(each) for each in sees)
        return shown + self.sees("\n> ")

    def sees(self, text: str) -> str:
        self.child.expect_exact(text)
        return str(self.child.before + self.child.after)


@pytest.fixture
def knowledge(own_folder: Path) -> Path:
    """A knowledge base in the working folder."""
    Path("docs").mkdir()
    for name, text in DOCUMENTS.items():
        Path("docs", name).write_text(text)
    KnowledgeBase("kb", embedder=HashEmbedding(size=64)).ingest(["docs"])
    return own_folder


def holding(folder: Path, text: str) -> list[str]:
    return [path.name for path in folder.iterdir() if text.encode() in path.read_bytes()]


def test_thirty_turns_in_a_terminal(knowledge: Path, server: ScriptedServer) -> None:
    one = Terminal(server, "--thread", "work", "--user", "ana")
    one.sees("\n> ")
    shown = one.types(LEAVE, f"{GOOD} [1]", "[1] ", "leave.md p. 1: ")
    assert "error" not in shown
    one.types("Until when is it taken?", "carried over is taken by 31 March. [1]")
    one.types("/why", "Until when is annual leave taken? (by the model", "naive/retrieve: ")
    one.types("/sources", "leave.md p. 1", "Full-time employees")
    one.types("What is paid for hotels in Vienna?", "165 euros a night. [1]")
    one.types("How high is Mount Everest?", "I found nothing in the documents")
    one.types("/strategy", "strategy ")
    one.types("/strategy fuzion", "error: unknown strategy 'fuzion' (did you mean 'fusion'?")
    one.types("/strategy closed-book", "strategy closed-book")
    one.types(LEAVE, GOOD)
    one.types("/sources", "no documents yet")
    one.types("/strategy naive", "strategy naive")
    one.types("Remember that my office is in Vienna, says Zebra7719.", "I will remember: my office is in Vienna, says")
    one.types("/memory", "- my office is in Vienna, says Zebra7719.")
    one.types("Which hotels are paid for in my office in Vienna?", "paid up to 165 euros. [1]")
    assert "- my office is in Vienna, says Zebra7719." in server.prompts[-1]
    one.types("/remember My dog is called Rex.", "remembered: My dog is called Rex.")
    one.types("What is my dog called?", 'You told me: "My dog is called Rex."')
    one.types("/nonsense", "/sources", "/quit")

    # Ctrl-C ends the model's call at once, and the program goes on
    server.holding = True
    one.turns += 1
    one.child.sendline("When are the roses in the garden watered?")
    one.sees("at dawn. [1]")
    one.child.sendintr()
    one.sees("stopped; /resume goes on with it")
    one.sees("\n> ")
    assert server.hung_up.wait(10)
    server.holding = False
    one.types("/resume", "at dawn. [1]", "Nobody may pick", "garden.md p. 1")
    one.types("/resume", "error: no question of this thread is unfinished")

    # a dead server is one line
    server.dead = True
    one.types("Who books trips with Northgate Travel?", "error: ")
    server.dead = False

    # kill -9 in the middle of an answer
    server.holding = True
    one.turns += 1
    one.child.sendline("When are the roses in the garden watered?")
    one.sees("at dawn. [1]")
    one.child.kill(9)
    one.child.wait()
    server.holding = False
    asked = len(server.prompts)
    two = Terminal(server, "--thread", "work", "--user", "ana")
    two.sees("not answered yet: 'When are the roses in the garden watered?'; /resume goes on with it")
    two.sees("\n> ")
    two.types("/resume", "at dawn. [1]", "garden.md p. 1")
    assert len(server.prompts) == asked + 1  # the reading alone was done again
    history = two.types("/history", f"you: {LEAVE}", "you: When are the roses", "ragloom: The roses")
    assert history.count("you: When are the roses") == 2  # asked twice, and not once more for the resuming
    two.types("/why", "naive/cite: ")
    two.types("/new", "new conversation: ")
    two.types(LEAVE, GOOD)
    two.types("/threads", "* ", "work")
    two.types("/thread work", "conversation work")
    two.turns += 1
    two.child.sendline("/forget")
    two.sees("Forget the conversation work, and the facts told in it? [y/N] ")
    two.types("n", "nothing was forgotten")
    assert holding(Path("db"), "Zebra7719")
    two.child.sendline("/forget")
    two.sees("[y/N] ")
    two.types("y", "forgotten: 1 conversations, 2 facts")
    assert holding(Path("db"), "Zebra7719") == []
    two.child.sendline("/forget all")
    two.sees("[y/N] ")
    two.types("yes", "forgotten: 1 conversations, 0 facts")
    assert holding(Path("db"), "annual leave") == []
    two.child.sendline("/quit")
    two.child.expect(pexpect.EOF)
    two.child.wait()
    assert two.child.exitstatus == 0
    assert one.turns + two.turns >= 30
    assert {path.stat().st_mode & 0o077 for path in Path("db").iterdir()} == {0}


# -- options, with a fake model ----------------------------------------------------------------------------------------


@pytest.fixture
def filled(cli: Cli, knowledge: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line over the knowledge base, with a model that knows of leave."""
    monkeypatch.setenv("RAGLOOM_KB", "kb")
    monkeypatch.setenv("RAGLOOM_MODE", "bm25")
    cli.llm = FakeChatModel(  # type: ignore[attr-defined]
        replies=lambda messages: GOOD if "annual leave" in str(messages[-1].text)[-60:] else "I don't know."
    )
    return cli


def test_json_keeps_a_conversation_that_has_a_name(filled: Cli, knowledge: Path) -> None:
    alone = filled("chat", "--json", "--db", "c.sqlite", stdin=f"{LEAVE}\nIs it paid?\n").lines
    assert not (knowledge / "c.sqlite").exists()
    assert "annual leave" not in str(alone[1]["steps"])
    options = ("chat", "--json", "--db", "c.sqlite", "--thread", "work")
    first = filled(*options, stdin=f"{LEAVE}\n").json
    second = filled(*options, stdin="Is it paid?\n").json
    assert first.keys() == second.keys() == alone[0].keys()
    assert (first["question"], first["answer"]) == (LEAVE, GOOD)
    assert (first["strategy"], first["citations"]) == ("naive", alone[0]["citations"])
    [resolved] = [step["decision"] for step in second["steps"] if step["node"] == "resolve"]
    assert "annual leave" in resolved and second["question"] == "Is it paid?"
    filled.llm = FakeChatModel(replies=[ConnectionError("gone"), GOOD])  # type: ignore[attr-defined]
    failed, answered = filled(*options, stdin=f"{LEAVE}\n{LEAVE}\n").lines
    assert (failed["error"]["code"], answered["answer"]) == ("model", GOOD)


def test_two_users_of_one_file(filled: Cli) -> None:
    def talk(user: str, *lines: str, tenant: str = "") -> str:
        options = ("--db", "c.sqlite", "--thread", "work", "--user", user, "--tenant", tenant)
        return str(filled("chat", *options, stdin="\n".join(lines)).out)

    talk("ana", "Remember that my dog is called Rex.", LEAVE)
    for user, tenant in (("bo", ""), ("ana", "other")):
        shown = talk(
            user, "/history", "/memory", "/threads", "What is my dog called?", "/forget all", "y", tenant=tenant
        )
        assert "Rex" not in shown and LEAVE not in shown
    shown = talk("ana", "/history", "/memory", "/threads", "/why")
    assert f"you: {LEAVE}" in shown and "- my dog is called Rex." in shown and "* work" in shown


@pytest.mark.parametrize(("typed", "asked"), [("y", True), ("n", False), ("", False)])
def test_the_web_is_asked_with_consent(filled: Cli, monkeypatch: pytest.MonkeyPatch, typed: str, asked: bool) -> None:
    class Unsure:
        upper, lower = 0.7, 0.1

        def grade(self, question: str, passages: list[str]) -> list[float]:
            return [0.5] * len(passages)

    monkeypatch.setattr("ragloom.graphs.corrective.graph.load_evaluator", lambda spec: Unsure())
    options = ("--db", "c.sqlite", "--strategy", "corrective", "--web", "kb:kb", "--approve-web")
    shown = filled("chat", *options, stdin=f"{LEAVE}\n{typed}\n/why\n").out
    assert f"Ask the web: '{LEAVE}'? [y/N]" in shown
    assert GOOD in shown
    assert ("a person declined" not in shown) == asked


@pytest.mark.parametrize("start", ["auto", "corrective"])
def test_a_strategy_that_cannot_ask_first_goes_without_the_web(
    filled: Cli, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    webs: list[Any] = []

    def build(name: str, retriever: Any, llm: Any, **options: Any) -> Any:
        webs.append((name, options.get("web") is not None, options.get("approve_web", False)))
        return naive_rag(retriever, llm)

    monkeypatch.setattr("ragloom.agents.build_strategy", build)
    options = ("--db", "c.sqlite", "--strategy", start, "--web", "kb:kb", "--approve-web")
    shown = filled("chat", *options, stdin="/strategy auto\n/strategy corrective\n")
    first = ("auto", False, False) if start == "auto" else ("corrective", True, True)
    assert webs == [first, ("auto", False, False), ("corrective", True, True)]
    assert shown.err.count("strategy auto cannot ask you first, so it goes without the web") == 1 + (start == "auto")


def test_a_thread_that_cannot_be_read_after_ctrl_c_does_not_end_the_program(
    filled: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragloom.agents.assistant import Chat

    def stopped(self: Chat, question: str) -> Any:
        monkeypatch.setattr(Chat, "state", locked)
        raise KeyboardInterrupt

    def locked(self: Chat) -> Any:
        raise StoreError("the file stays locked")

    monkeypatch.setattr(Chat, "astream", stopped)
    result = filled("chat", "--db", "c.sqlite", stdin=f"{LEAVE}\n/help\n")
    assert (result.code, "error: the file stays locked" in result.err) == (0, True)
    assert "/quit" in result.out  # the next line was read


@pytest.mark.parametrize("thread", [(), ("--thread", "work")])
def test_a_line_that_is_no_text_is_an_error_of_its_own(
    filled: Cli, monkeypatch: pytest.MonkeyPatch, thread: tuple[str, ...]
) -> None:
    real = filled

    class Bytes(io.TextIOWrapper):
        """As stdin is: it decodes in blocks."""

        def __init__(self, text: str) -> None:
            super().__init__(io.BytesIO(text.encode("latin-1")), encoding="utf-8")

    monkeypatch.setattr(io, "StringIO", Bytes)
    wrong, right = real("chat", "--json", "--db", "c.sqlite", *thread, stdin=f"Urlaub f\xfcr wen?\n{LEAVE}\n").lines
    assert (wrong["error"]["code"], right["answer"]) == ("usage", GOOD)
    assert "no UTF-8 text" in wrong["error"]["message"]


def test_a_fact_without_end_is_not_kept(filled: Cli) -> None:
    lines = f"/remember {'x' * 501}\n/memory\n"
    shown = filled("chat", "--db", "c.sqlite", stdin=lines)
    assert "at most 500 characters" in shown.err and "nothing is remembered" in shown.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--approve-web",), 2, "there is no web to ask"),
        (("--approve-web", "--web", "kb:kb", "--json"), 2, "needs a person to ask"),
        (("--user", " "), 2, "needs a user"),
        (("--thread", ""), 2, "needs a name"),
        (("--db", "docs/leave.md"), 1, "not a database"),
        (("--db", "docs"), 1, "directory"),
    ],
)
def test_wrong_options(filled: Cli, options: tuple[str, ...], code: int, message: str) -> None:
    result = filled("chat", *(options if "--db" in options else ("--db", "c.sqlite", *options)), stdin=f"{LEAVE}\n")
    assert (result.code, message in result.err, "Traceback" in result.err) == (code, True, False)


def test_what_fails_is_a_line_and_the_conversation_goes_on(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragloom.retrieval.retriever import KnowledgeBaseRetriever

    real, failures = KnowledgeBaseRetriever._retrieve, iter([ZeroDivisionError("a\nbug")])

    def retrieve(self: Any, query: Any) -> Any:
        if error := next(failures, None):
            raise error
        return real(self, query)

    monkeypatch.setattr(KnowledgeBaseRetriever, "_retrieve", retrieve)
    result = filled("chat", "--db", "c.sqlite", stdin=f"{LEAVE}\n/forget it\n/resume\n/strategy\n/remember\n")
    assert result.code == 0
    assert "error: unexpected ZeroDivisionError: a bug" in result.err
    assert "/forget all: " in result.err and "there is no fact to remember" in result.err
    assert GOOD in result.out  # what was broken off went on


def test_where_conversations_are_kept(filled: Cli, knowledge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLOOM_CACHE", str(knowledge / "cache"))
    filled("chat", stdin=f"{LEAVE}\n/new\n{LEAVE}\n")
    assert "2 conversations" in filled("chat", stdin="/forget all\ny\n").err
    assert (knowledge / "cache/chats/chats.sqlite").stat().st_mode & 0o777 == 0o600
    monkeypatch.delenv("RAGLOOM_CACHE")
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: knowledge / "data" / name)
    assert filled("chat", stdin=f"{LEAVE}\n").code == 0
    assert (knowledge / "data/ragloom/chats.sqlite").exists()
    monkeypatch.setattr("getpass.getuser", lambda: {}["nobody"])
    assert "give --user NAME" in filled("chat", stdin=f"{LEAVE}\n").err
