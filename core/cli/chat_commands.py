"""What `/name` does in `ragloom chat`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .chat_lines import agrees
from .output import console, note

if TYPE_CHECKING:
    from .chat_terminal import Talk

__all__ = ("COMMANDS", "help_text")

Command = Callable[["Talk", str], None]


def _sources(talk: Talk, _: str) -> None:
    out = console()
    for document in talk.last("documents"):
        metadata = document.metadata
        out.print(f"{metadata.get('source', '')} p. {metadata.get('page', 1)}", style="bold")
        out.print(f"{document.page_content}\n", style="dim")


def _why(talk: Talk, _: str) -> None:
    for step in talk.last("steps"):
        console().print(f"{step['node']}: {step['decision']} ({step['reason']}), {step['ms']:.0f} ms")


def _history(talk: Talk, _: str) -> None:
    messages = talk.chat.state().messages
    for message in messages:
        console().print(f"{'you' if message.type == 'human' else 'ragloom'}: {message.text}")
    if not messages:
        note("nothing was asked yet")


def _strategy(talk: Talk, name: str) -> None:
    if name:
        talk.choose(name)
    note(f"strategy {talk.settings.strategy}")


def _threads(talk: Talk, _: str) -> None:
    for info in talk.assistant.list(talk.scope):
        here = "*" if info.thread == talk.thread else " "
        console().print(f"{here} {info.thread}  {info.updated.astimezone():%Y-%m-%d %H:%M}")
    note(f"this one is {talk.thread}")


def _thread(talk: Talk, name: str) -> None:
    if name:
        talk.go_to(name)
    talk.tell_thread()


def _new(talk: Talk, _: str) -> None:
    talk.go_to(talk.new_name())
    note(f"new conversation: {talk.thread}")


def _resume(talk: Talk, _: str) -> None:
    talk.resume()


def _remember(talk: Talk, fact: str) -> None:
    from ..agents.assistant import refusal_of_fact

    if refused := refusal_of_fact(fact):
        note(refused)
        return
    item = talk.memory.remember(talk.scope, fact, thread=talk.thread)
    note(f"remembered: {item.fact}")


def _memory(talk: Talk, _: str) -> None:
    items = talk.memory.list(talk.scope)
    for item in items:
        console().print(f"- {item.fact}")
    if not items:
        note("nothing is remembered")


def _forget(talk: Talk, what: str) -> None:
    if what not in ("", "all"):
        note("/forget: this conversation; /forget all: all your conversations and facts")
        return
    shown = "all your conversations and facts" if what else f"the conversation {talk.thread}, and the facts told in it"
    if not agrees(f"Forget {shown}?"):
        note("nothing was forgotten")
        return
    gone = talk.assistant.forget(talk.scope, None if what else talk.thread)
    talk.go_to(talk.new_name())
    note(f"forgotten: {gone.threads} conversations, {gone.facts} facts")


def _help(talk: Talk, _: str) -> None:
    console().print(help_text())


COMMANDS: dict[str, tuple[Command, str, str]] = {
    "/sources": (_sources, "", "passages of the last answer"),
    "/why": (_why, "", "what was done for the last answer, and why"),
    "/strategy": (_strategy, "[NAME]", "what answers the following questions: show it, or choose another"),
    "/history": (_history, "", "the conversation so far"),
    "/resume": (_resume, "", "go on with a question that was broken off"),
    "/new": (_new, "", "start a new conversation"),
    "/thread": (_thread, "[NAME]", "show this conversation's name, or go to another"),
    "/threads": (_threads, "", "your conversations"),
    "/remember": (_remember, "FACT", 'keep a fact for all conversations, as "remember that ..." does'),
    "/memory": (_memory, "", "the facts that are kept"),
    "/forget": (_forget, "[all]", "this conversation, or all and every fact; asks first"),
    "/help": (_help, "", "this list"),
}
"""Name to what it does, its argument, its help."""


def help_text() -> str:
    """The list of commands."""
    rows = [(f"{name} {argument}".strip(), told) for name, (_, argument, told) in COMMANDS.items()]
    return "\n".join(f"{name:<17} {told}" for name, told in [*rows, ("/quit", "leave (also Ctrl-D)")])
