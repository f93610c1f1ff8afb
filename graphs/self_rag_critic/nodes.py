"""Nodes of Self-RAG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.documents import Document

from ...models.evaluator import RetrievalEvaluator
from ...models.pair_text import graded_text
from ...types import Step
from ..common.effects import Compute, Doing
from ..common.lazy import Lazy
from ..common.nodes import CommonNodes, tell_documents
from ..common.purse import Purse
from ..common.segment_beam import Path, draft_of_best, extended, kept, path_text, whole
from ..common.segment_score import known_probability, wants_retrieval
from .critics import NeedCritic
from .state import SelfRagState
from .writing import SegmentWriter, Written

__all__ = ("SelfRagNodes",)

Task = tuple[Path | None, Document]
"""A path, and the passage from which its next sentence is written."""


@dataclass(frozen=True, kw_only=True)
class SelfRagNodes(CommonNodes):
    """The nodes, with what they work with."""

    need: Lazy[NeedCritic] | bool
    evaluator: Lazy[RetrievalEvaluator] | None
    writer: SegmentWriter
    delta: float
    beam: int
    passages: int
    most_segments: int
    retries: int
    hard: bool

    # -- bodies -------------------------------------------------------------------------------------------------------

    def decide(self, state: SelfRagState, step: Step) -> Doing[dict[str, Any]]:
        """Whether to retrieve at all."""
        need: float | None = None
        if isinstance(self.need, bool):
            retrieves = self.need
            step["reason"] = "always: no critic of the need" if retrieves else "never, as was asked for"
        else:
            critic = yield Compute(self.need)
            try:
                need = known_probability((yield Compute(critic.probability, state["asked"])))
                said = "is no number from 0 to 1: retrieve" if need is None else f"{need:.2f}, delta {self.delta:g}"
            except Exception as error:
                said = f"unknown, the critic failed: {type(error).__name__}: {error}: retrieve"
            retrieves = wants_retrieval(need, self.delta)
            step["reason"] = f"the probability that retrieval is needed: {said}"
        step["decision"] = "retrieve" if retrieves else "do not retrieve"
        step["details"] = {"retrieves": retrieves, "need": need}
        return {
            "need": need,
            "retrieves": retrieves,
            "relevance": {},
            "paths": [],
            "tried": 0,
            "attempts": 0,
            "prompts_asked": [],
        }

    def relevance(self, state: SelfRagState, step: Step) -> Doing[dict[str, Any]]:
        """IsRel of every passage, all in one call; the best first. What is unknown counts as 0.5."""
        assert self.evaluator is not None
        documents = state["documents"]
        grades: list[float | None] = [None] * len(documents)
        failed = ""
        evaluator = yield Compute(self.evaluator)
        if documents:
            texts = [graded_text(document.page_content, document.metadata) for document in documents]
            try:
                given = [known_probability(grade) for grade in (yield Compute(evaluator.grade, state["asked"], texts))]
                if len(given) != len(grades):
                    raise ValueError(f"{len(given)} grades for {len(grades)} passages")
                grades = given
            except Exception as error:
                failed = f"; the evaluator failed: {type(error).__name__}: {error}"
        order = sorted(range(len(documents)), key=lambda i: -(0.5 if grades[i] is None else grades[i] or 0.0))
        ranked = [documents[i] for i in order]
        tell_documents(step, ranked, by="IsRel")
        unknown = sum(grade is None for grade in grades)
        step["reason"] += failed + (f"; {unknown} of {len(grades)} grades unknown" if unknown else "")
        found = {str(documents[i].id): grades[i] for i in order}
        step["scores"] = {each: round(grade, 4) for each, grade in found.items() if grade is not None}
        return {"documents": ranked, "relevance": found}

    def read(self, state: SelfRagState, step: Step) -> Doing[dict[str, Any]]:
        """One round: writes the next sentence of every open path from several passages, and keeps the best paths."""
        purse = self.purse(state)
        paths = state["paths"]
        begins, tasks = self._tasks(state, purse)
        asked = self.writer.prompted(state["asked"], tasks, state["prompts_asked"])
        written = yield from self.writer.written(state["asked"], asked, state["relevance"], purse)
        good = [each for each in written if each.segment and (not self.hard or each.segment["citations"])]
        grown = [self._grown(each) for each in good]
        continued = [task[0] for task in tasks if task[0] is not None]
        parents = {path_text(each.asked.path) for each in good}
        left = [whole(path) if path in continued else path for path in paths if path_text(path) not in parents]
        found = kept([*left, *grown], self.beam)
        _tell_round(step, written, good, found, len(tasks) - len(asked))
        step["details"] = self.unscreened(**step["details"])
        failed = [each.asked.reading.failed for each in written if each.asked.reading.failed]
        all_failed = len(failed) == len(written) > 0 and not found
        declined = any(each.asked.reading.declined for each in written) and not good
        return {
            "paths": found,
            "tried": state["tried"] + (len(tasks) if begins else 0),
            "attempts": state["attempts"] + begins,
            "prompts_asked": [*state["prompts_asked"], *(each.digest for each in asked)],
            "declined": state["declined"] or declined,
            "error": failed[0] if all_failed else "" if good else state["error"],
            "usage": purse.usage,
        }

    def choose(self, state: SelfRagState, step: Step) -> Doing[dict[str, Any]]:
        """Shows the best path. Not earlier: until the last round another one may become the best."""
        paths = state["paths"]
        answers = any(segment["citations"] for path in paths for segment in path["segments"])
        documents = state["documents"][: state["tried"]] if answers else state["documents"]
        draft = draft_of_best(paths, step)
        step["details"] = self.unscreened(**step["details"])
        return {**(yield from self.spoken(state, draft, documents, step)), "documents": documents}

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_decision(self, state: SelfRagState) -> Literal["look", "answer"]:
        """Look for passages, or answer without any."""
        return "look" if state["retrieves"] else "answer"

    def after_reading(self, state: SelfRagState) -> Literal["read", "choose"]:
        """Another round, while there is something to write and something to pay it with."""
        purse = self.purse(state)
        return "read" if self._tasks(state, purse)[1] and not purse.refusal(tokens=1) else "choose"

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def _tasks(self, state: SelfRagState, purse: Purse) -> tuple[bool, list[Task]]:
        """What the next round writes, and whether it begins the answer; empty where nothing is left to be written.

        An answer is begun again, from the next passages, while no sentence of any path has support.
        """
        documents, tried = state["documents"], state["tried"]
        supported = any(segment["citations"] for path in state["paths"] for segment in path["segments"])
        calls = max(0, purse.calls)
        if not supported and state["attempts"] <= self.retries and tried < len(documents):
            return True, [(None, document) for document in documents[tried : tried + min(self.passages, calls)]]
        open_paths = [path for path in state["paths"] if not path["ended"]][:calls]
        each = min(self.passages, calls // len(open_paths)) if open_paths else 0
        return False, [(path, document) for path in open_paths for document in self._evidence(state, path)[:each]]

    @staticmethod
    def _evidence(state: SelfRagState, path: Path) -> list[Document]:
        """The passage of the path's last sentence, then the others that were read, best first."""
        last = path["segments"][-1]["passage"]
        return sorted(state["documents"][: state["tried"]], key=lambda document: document.id != last)

    def _grown(self, written: Written) -> Path:
        assert written.segment is not None
        path = extended(written.asked.path, written.segment, ended=written.ended)
        return whole(path) if len(path["segments"]) >= self.most_segments else path


def _tell_round(step: Step, written: list[Written], good: list[Written], found: list[Path], again: int) -> None:
    calls = sum(each.called for each in written)
    step["decision"] = f"{len(good)} segments of {calls} calls, {len(found)} paths kept" if calls else "not asked"
    unknown = sorted({name for each in good for name in each.score.unknown})
    problems = [problem for each in written for problem in each.problems]
    reasons = [
        f"by f{' without ' + ', '.join(unknown) if unknown else ''}" if calls else "",
        f"{again} prompts were asked before" if again else "",
        *dict.fromkeys(problems),
    ]
    step["reason"] = "; ".join(filter(None, reasons)) or "no passage, or no call, is left"
    segments = [each.segment for each in good if each.segment]
    step["scores"] = {f"{at}": round(segment["score"], 4) for at, segment in enumerate(segments)}
    step["details"] = {
        "segments": [
            {"text": segment["text"], "passage": segment["passage"], **segment["terms"]} for segment in segments
        ]
    }
