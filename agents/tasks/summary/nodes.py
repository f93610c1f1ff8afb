"""Nodes of summaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from langchain_core.documents import Document

from ....graphs.common.ask_all import ask_all
from ....graphs.common.asking import prompt_tokens
from ....graphs.common.citing import draft_of
from ....graphs.common.effects import Compute, Doing
from ....graphs.common.packing import Packed, as_data
from ....graphs.common.prompting import render_prompt
from ....graphs.common.purse import READING_SHARE, Purse
from ....graphs.common.reading import ReadAloud, Reading, check_text
from ....graphs.common.saying import unmarked
from ....graphs.common.screening import check_context, findings, is_blocked, screened, tell_blocked
from ....graphs.summarise.nodes import says_nothing
from ....models import context_window, count_tokens
from ....types import Step
from ...conversation.clarifying import MOST_CANDIDATES, clarification
from ..notes import NoteNodes, note_on, passages_of
from .library import Library, LibraryEntry
from .matching import label_of, meant, subject_of, topic_of
from .state import SummaryState, Window
from .windows import Run, first, sections, spread, windows_of

__all__ = ("SummaryNodes",)

SUMMARY_TOKENS = 96
PASSAGE_TOKENS = 8
"""What a prompt writes around a passage, rounded up."""
MOST_NAMED = 5
"""Documents that the answer names where it does not cover all."""
CONTEXT_TOKENS = 64
"""Room for the name of a document and its section."""


@dataclass(frozen=True, kw_only=True)
class SummaryNodes(NoteNodes):
    """The nodes, with what they work with."""

    prompt: ClassVar[tuple[str, str]] = (__package__ or "", "summary")
    library: Library | None
    """None: there are passages only, no documents."""
    most_documents: int
    topic: str = ""
    """What sentences have to be about. What is searched for may not be there; what is named is."""

    # -- bodies -------------------------------------------------------------------------------------------------------

    def choose(self, state: SummaryState, step: Step) -> Doing[dict[str, Any]]:
        """What is to be summed up: documents, all of them, or a topic that has to be searched for."""
        fresh: dict[str, Any] = {"windows": [], "whole": False, "missing": "", "meant": 0, "passages": 0}
        topic = {**fresh, "scope": "topic", "chosen": {}, "search_queries": [subject_of(state["asked"])]}
        if self.library is None:
            step["decision"] = f"the topic: {topic['search_queries'][0]}"
            step["reason"] = "there is no library of documents, only passages that can be searched for"
            return topic
        entries: list[LibraryEntry] = yield Compute(self.library.entries)
        found = meant(state["asked"], entries)
        step["reason"] = f"{found.reason}, of {len(entries)} documents"
        if found.scope == "topic":
            step["decision"] = f"the topic: {topic['search_queries'][0]}"
            return topic
        kept = list(found.entries)
        if found.scope != "unclear" and len(kept) > self.most_documents:
            kept = spread(kept, self.most_documents)
            step["reason"] += f"; at most {self.most_documents} are read"
        chosen = yield from self._named({entry.doc_id: label_of(entry, entries) for entry in kept}, state["asked"])
        if held_back := len(kept) - len(chosen):
            step["reason"] += f"; {held_back} in quarantine, the guard blocks their names"
        step["decision"] = f"{found.scope}: {', '.join(chosen.values()) or 'none'}"
        return {**fresh, "scope": found.scope, "chosen": chosen, "meant": len(found.entries)}

    def ask_back(self, state: SummaryState, step: Step) -> Doing[dict[str, Any]]:
        """Asks which one is meant. The question says what it may be, and nothing of what stands in it."""
        yield from ()
        names = list(state["chosen"].values())
        message = clarification(names[:MOST_CANDIDATES])
        message.additional_kwargs["abstained"] = True
        step["decision"], step["reason"] = "ask back", f"{len(names)} documents may be meant"
        return {"answer": str(message.text), "abstained": True, "messages": [message]}

    def gather(self, state: SummaryState, step: Step) -> Doing[dict[str, Any]]:
        """The passages, cut into windows: those of a document by its sections, of several by the documents."""
        runs, hops = yield from self._runs(state)
        if hops and self.parts.guard:  # what was searched for has been screened
            runs = yield from self._screened(runs, state["asked"], step)
        quarantined = step["reason"]
        purse = self.purse(state)
        size = self._size
        total = sum(size(each) for run in runs for each in run)
        calls, room = self._parts_room(purse, state["asked"])
        reading = min(context_window(self.parts.reader), purse.tokens) - self.parts.max_answer_tokens
        reading -= prompt_tokens(self.parts.reader, render_prompt(*self.prompt, passages=[], question=state["asked"]))
        whole = total <= reading or calls < 1 or room < 1
        most, room = (1, max(1, reading)) if whole else (calls, room)
        ranked = state["scope"] == "topic"
        cut = windows_of(runs, size, most=most, room=room, keep=first if ranked else spread)
        windows = [Window(context=_context(own, state["chosen"]), passages=own, summary="") for own in cut]
        every, kept = sum(map(len, runs)), sum(map(len, cut))
        step["decision"] = f"{kept} passages in {len(windows)} windows"
        step["reason"] = f"{total} tokens; {calls} calls of {room} tokens beside the reading"
        if whole:
            why = "" if total <= reading else ": the budget has no room to sum up parts"
            step["reason"] = f"{total} tokens are read at once{why}"
        if kept < every:
            others = "the best are kept" if ranked else "the others are spread over the text"
            step["reason"] += f"; {every - kept} of {every} passages are left out, {others}"
        step["reason"] += quarantined
        documents = [passage for own in cut for passage in own]
        return {"windows": windows, "whole": whole, "documents": documents, "passages": every, "hops": hops}

    def sum_up(self, state: SummaryState, step: Step) -> Doing[dict[str, Any]]:
        """Sums up every window alone. One whose summary failed or says nothing is read itself."""
        windows, purse = state["windows"], self.purse(state)
        if state["whole"] or not windows:
            step["decision"], step["reason"] = "nothing to sum up", "the passages themselves are read"
            return {}
        shown = [
            render_prompt(
                __package__ or "",
                "part",
                context=window["context"],
                text=as_data("\n\n".join(each.page_content for each in window["passages"])),
                question=state["asked"],
            )
            for window in windows
        ]
        said = yield from ask_all(self.parts.llm, purse, shown, max_tokens=SUMMARY_TOKENS)
        summed = [
            Window(**{**window, "summary": "" if reply.failed else _summary(reply.text)})
            for window, reply in zip(windows, said, strict=True)
        ]
        good = sum(bool(window["summary"]) for window in summed)
        step["decision"] = f"{good} of {len(windows)} windows"
        failed = next((f": {reply.failed}" for reply in said if reply.failed), "")
        unread = f"{len(windows) - good} without a summary are read themselves{failed}"
        step["reason"] = unread if good < len(windows) else "one call each"
        step["details"] = self.unscreened(summaries=[[window["context"], window["summary"]] for window in summed])
        return {"windows": summed, "usage": purse.usage}

    def read(self, state: SummaryState, step: Step) -> Doing[dict[str, Any]]:
        """Reads the summaries together. Where nothing of that is supported, what is supported of them is the answer."""
        shown = [note for number, window in enumerate(state["windows"]) for note in _shown(number, window)]
        topic = topic_of(state["asked"]) if state["scope"] == "topic" else ""
        update = yield from replace(self, topic=topic).reading(state, shown, step)
        update["documents"] = passages_of(update["documents"]) or state["documents"]
        if update.get("withheld") or any(item["citations"] for item in update["draft"]):
            return {**update, "missing": _missing(state, update["documents"])}
        draft = yield Compute(self._of_parts, state["windows"], topic)
        if not draft:
            return update  # of nothing, nothing is left out
        step["decision"] += f"; {len(draft)} sentences of the parts"
        step["reason"] += "; nothing of the whole is supported"
        missing, documents = _missing(state, state["documents"]), state["documents"]
        said = yield from self.spoken(state, draft, documents, step)
        return {**update, **said, "documents": documents, "declined": False, "missing": missing}

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_choice(self, state: SummaryState) -> Literal["ask_back", "gather", "retrieve"]:
        """Back to the user, to the documents, or to the search."""
        scope = state["scope"]
        return "ask_back" if scope == "unclear" else "retrieve" if scope == "topic" else "gather"

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def read_aloud(
        self, question: str, packed: Packed, reading: Reading, purse: Purse, also: Sequence[str] = ()
    ) -> ReadAloud:
        """A sentence of a summary answers no question: that the passages say so is enough, or so about the topic."""
        return super().read_aloud(self.topic, packed, reading, purse, also)

    def _runs(self, state: SummaryState) -> Doing[tuple[list[Run], int]]:
        """Runs of passages that belong together, and the rounds of retrieval that this took."""
        if state["scope"] == "topic" or self.library is None:
            return [[each] for each in state["documents"]], 0
        found = yield Compute(self.library.passages, list(state["chosen"]))
        runs = [[_of_document(doc_id, each) for each in found.get(doc_id, [])] for doc_id in state["chosen"]]
        runs = [run for run in runs if run]
        return (sections(runs[0]) if len(runs) == 1 else runs), 1

    def _named(self, labels: dict[str, str], asked: str) -> Doing[dict[str, str]]:
        """The documents whose names may be shown: a title is text of the document as well."""
        found = yield from findings(
            self.parts.guard, "retrieval", list(labels.values()), check_context(asked, trust="own")
        )
        named = zip(labels, found, strict=True)
        return {doc_id: finding.text for doc_id, finding in named if not is_blocked(finding)}

    def _screened(self, runs: Sequence[Run], asked: str, step: Step) -> Doing[list[Run]]:
        """The same runs of what may be used."""
        every = [passage for run in runs for passage in run]
        after, blocked = yield from screened(self.parts.guard, "retrieval", every, check_context(asked, trust="own"))
        tell_blocked(step, blocked, "passages")
        kept = iter(after)
        cut = [[passage for passage in [next(kept) for _ in run] if passage is not None] for run in runs]
        return [run for run in cut if run]

    def _parts_room(self, purse: Purse, question: str) -> tuple[int, int]:
        """Calls that can be made beside the reading, and the tokens of text in each."""
        calls, llm = purse.calls - 1, self.parts.llm
        free = (purse.tokens - int(purse.budget.tokens * READING_SHARE)) // max(1, calls)
        empty = render_prompt(__package__ or "", "part", context="", text="", question=question)
        return calls, min(context_window(llm), free) - SUMMARY_TOKENS - CONTEXT_TOKENS - prompt_tokens(llm, empty)

    @property
    def _size(self) -> Callable[[Document], int]:
        """Tokens of a passage in a prompt."""
        counted: dict[str | None, int] = {}

        def size(passage: Document) -> int:
            if passage.id not in counted:
                said = (
                    f"{passage.metadata.get('headings') or passage.metadata.get('title') or ''} {passage.page_content}"
                )
                counted[passage.id] = count_tokens(self.parts.llm, said) + PASSAGE_TOKENS
            return counted[passage.id]

        return size

    def _of_parts(self, windows: Sequence[Window], topic: str) -> list[dict[str, Any]]:
        """The first supported sentence of each part's summary, about the topic where there is one."""
        draft = []
        for window in windows:
            reading = Reading()
            check_text(window["summary"], topic, window["passages"], self.parts.critic, reading)
            draft += [item for item in draft_of(reading) if item["citations"]][:1]
        return draft


def _summary(text: str) -> str:
    said = " ".join(unmarked(text).split())
    return "" if says_nothing(said) or not any(map(str.isalnum, said)) else said


def _shown(number: int, window: Window) -> list[Document]:
    """What the reader sees of a window: its summary, or its passages."""
    if not window["summary"]:
        return window["passages"]
    return [note_on(window["passages"], window["summary"], context=window["context"], identity=f"part-{number}")]


def _missing(state: SummaryState, read: Sequence[Document]) -> str:
    """What an answer that rests on these passages has to say that it leaves out."""
    told, held = [], {each.metadata.get("doc_id") for each in read}
    covered = [name for doc_id, name in state["chosen"].items() if doc_id in held]
    if len(covered) < state["meant"]:
        names = ", ".join(covered[:MOST_NAMED])
        more = f" and {len(covered) - MOST_NAMED} more" if len(covered) > MOST_NAMED else ""
        told.append(f"This covers {len(covered)} of {state['meant']} documents: {names}{more}.")
    if len(read) < state["passages"]:
        told.append(f"Only {len(read)} of {state['passages']} passages were read.")
    return " ".join(told)


def _of_document(doc_id: str, passage: Document) -> Document:
    """The passage, marked as the document's: a library of one's own need not have done so."""
    return passage.model_copy(update={"metadata": {**passage.metadata, "doc_id": doc_id}})


def _context(passages: Sequence[Document], names: Mapping[str, str]) -> str:
    """Document and section of a window's first passage."""
    first = passages[0].metadata
    name = names.get(str(first.get("doc_id"))) or str(first.get("title") or first.get("source") or "")
    section = str(first.get("headings") or "").split(" > ", 1)[0]
    return f"{name}: {section}" if section and section != name else name
