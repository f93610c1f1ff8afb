"""What tests of threads and memory share: a small graph, users in processes of their own, the bytes of a folder.

The processes are forked from a server that has imported the slow libraries already.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from ragloom.access import AccessScope
from ragloom.agents.conversation import LongTermMemory, Threads

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["ragloom.agents.conversation.threads", "ragloom.agents.conversation.memory"])


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    noted: str


def two_nodes(
    saver: Any, *, first: Callable[[], None] = lambda: None, second: Callable[[], None] = lambda: None
) -> Any:
    """note, then answer; both may do something beside."""

    def note(state: State) -> dict[str, Any]:
        first()
        return {"noted": f"noted {state['messages'][-1].text}"}

    def answer(state: State) -> dict[str, Any]:
        second()
        return {"messages": [AIMessage(f"{len(state['messages'])}: {state['noted']}")]}

    graph = StateGraph(State)
    graph.add_node("note", note)
    graph.add_node("answer", answer)
    for one, two in ((START, "note"), ("note", "answer"), ("answer", END)):
        graph.add_edge(one, two)
    return graph.compile(checkpointer=saver)


def say(threads: Threads, scope: AccessScope, thread: str, text: str) -> list[str]:
    """One turn; all messages of the thread after it."""
    result = two_nodes(threads.saver).invoke({"messages": [("user", text)]}, threads.config(scope, thread))
    return [message.text for message in result["messages"]]


def holding(folder: Path, text: str) -> list[str]:
    """Names of the files under a folder that hold the text's bytes."""
    return [path.name for path in sorted(folder.rglob("*")) if path.is_file() and text.encode() in path.read_bytes()]


class Process:
    """A process with a file of conversations open, that does for one user what it is told."""

    def __init__(self, path: Path, scope: AccessScope) -> None:
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far, path, scope), daemon=True)
        self._process.start()
        far.close()

    def do(self, what: str, *args: Any) -> Any:
        self._pipe.send((what, args))
        done, result = self._pipe.recv()
        assert done, result
        return result

    def end(self) -> None:
        self._pipe.send(None)
        self._process.join()


def _serve(pipe: Any, path: Path, scope: AccessScope) -> None:
    with Threads.open(path) as threads, LongTermMemory.open(path) as memory:
        deeds: dict[str, Callable[..., Any]] = {
            "say": lambda thread, text: say(threads, scope, thread, text),
            "threads": lambda: sorted(each.thread for each in threads.list(scope)),
            "delete": lambda thread: threads.delete(scope, thread),
            "remember": lambda fact, thread: memory.remember(scope, fact, thread=thread).fact,
            "recall": lambda query: [each.fact for each in memory.recall(scope, query, 100)],
            "facts": lambda: sorted(each.fact for each in memory.list(scope)),
            "forget": lambda: (threads.forget(scope), memory.forget(scope)),
            "hold": lambda: _hold(threads),
        }
        while (told := pipe.recv()) is not None:
            try:
                pipe.send((True, deeds[told[0]](*told[1])))
            except Exception as error:
                pipe.send((False, repr(error)))


def _hold(threads: Threads) -> int:
    """Begins to read, and does not end."""
    connection = threads.saver.conn
    connection.execute("BEGIN")
    return connection.execute("SELECT count(*) FROM checkpoints").fetchone()[0]


def run_and_die(path: Path, scope: AccessScope, log: Path) -> None:
    """A turn that is killed in its second node, in a process of its own."""
    process = context.Process(target=_die, args=(path, scope, log))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _die(path: Path, scope: AccessScope, log: Path) -> None:
    threads = Threads.open(path)
    graph = two_nodes(
        threads.saver,
        first=lambda: log.write_text("the first node ran"),
        second=lambda: os.kill(os.getpid(), signal.SIGKILL),
    )
    graph.invoke({"messages": [("user", "hello")]}, threads.config(scope, "1"), durability="sync")
