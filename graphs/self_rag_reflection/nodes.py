"""Nodes of Self-RAG with reflection tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage

from ...models import Scorer
from ...models.reflections import SUPPORT
from ...types import Citation, Step
from ..common.ask_all import ask_all, was_asked
from ..common.citing import withheld
from ..common.effects import Compute, Doing
from ..common.lazy import Lazy
from ..common.nodes import CommonNodes
from ..common.purse import Purse
from ..common.reading import Reading, check_text
from ..common.saying import declines
from ..common.segment_beam import Path, Segment, draft_of_best, extended, kept, path_text, repeats, whole
from ..common.segment_score import (
    RatioMode,
    SegmentScore,
    SegmentWeights,
    retrieve_ratio,
    support_score,
    utility_score,
    wants_retrieval,
)
from .judging import Outlook, TokenJudge, judged
from .state import Decision, SelfRagTokensState
from .writing import Opening, messages_of, sentence_of, stops_of, turn_of, written_so_far

__all__ = ("NO_ANSWER", "SelfRagTokensNodes")

NO_ANSWER = "I don't know."


@dataclass(frozen=True, kw_only=True)
class SelfRagTokensNodes(CommonNodes):
    """The nodes, with what they work with."""

    scorer: Lazy[Scorer]
    weights: SegmentWeights
    delta: float
    ratio: RatioMode
    beam: int
    passages: int
    most_segments: int
    segment_tokens: int
    hard: bool

    # -- bodies -------------------------------------------------------------------------------------------------------

    def decide(self, state: SelfRagTokensState, step: Step) -> Doing[dict[str, Any]]:
        """How every answer goes on, by the probabilities of the retrieve and utility tokens."""
        purse = self.purse(state)
        begun = any(each["node"] == "read" for each in state["steps"])  # else the paths are those of an earlier turn
        paths = state["paths"] if begun else [Path(segments=[], ended=False)]
        scorer = yield Compute(self.scorer)
        judge = TokenJudge(scorer, messages_of(state["asked"]))
        problems: list[str] = []
        decisions: list[Decision] = []
        ratios: dict[str, float] = {}
        for at, path in enumerate(paths):
            if path["ended"]:
                decisions.append("end")
                continue
            outlook = yield from judged(purse, problems, judge.outlook, written_so_far(path))
            ratio = retrieve_ratio(outlook.yes, outlook.no, self.ratio) if outlook else None
            decisions.append(self._decision(path, outlook, ratio))
            ratios |= {f"{at}": round(ratio, 4)} if ratio is not None else {}
        step["decision"] = ", ".join(decisions)
        told = f"the ratio of retrieval, delta {self.delta:g}" if ratios else "the ratio of retrieval is unknown"
        step["reason"] = "; ".join(dict.fromkeys([told, *problems]))
        step["scores"] = ratios
        step["details"] = {"retrieves": "retrieve" in decisions, "ratio": self.ratio}
        return {"paths": paths, "decisions": decisions}

    def read(self, state: SelfRagTokensState, step: Step) -> Doing[dict[str, Any]]:
        """One round: writes the next segment of every open answer, judges it, and keeps the best answers."""
        purse = self.purse(state)
        scorer = yield Compute(self.scorer)
        judge = TokenJudge(scorer, messages_of(state["asked"]))
        problems: list[str] = []
        openings = yield from self._openings(state, judge, purse, problems)
        said = yield from self._continued(state["asked"], openings, purse)
        problems += [one for _, one in said if one]
        grown: list[Path] = []
        declined = False
        for opening, (text, _) in zip(openings, said, strict=True):
            declined = declined or declines(text)
            if repeats(opening.path, text) or declines(text):
                continue
            segment, label = yield from self._segment(state["asked"], opening, text, judge, purse, problems)
            if not (self.hard and label == "none"):
                path = extended(opening.path, segment, ended=False)
                grown.append(whole(path) if len(path["segments"]) >= self.most_segments else path)
        parents = {path_text(Path(segments=path["segments"][:-1], ended=True)) for path in grown}
        left = [whole(path) for path in state["paths"] if path["segments"] and path_text(path) not in parents]
        paths = kept([*left, *grown], self.beam)
        calls = purse.usage["calls"]
        step["decision"] = f"{len(grown)} segments of {calls} calls, {len(paths)} paths kept" if calls else "not asked"
        step["reason"] = "; ".join(dict.fromkeys(["by f" if calls else "no passage, or no call, is left", *problems]))
        step["details"] = self.unscreened(
            segments=[
                {
                    key: value
                    for key, value in path["segments"][-1].items()
                    if key in ("text", "passage", "score", "terms")
                }
                for path in grown
            ]
        )
        failed = [one for _, one in said if one.startswith("the model failed")]
        return {
            "paths": paths,
            "declined": state["declined"] or (declined and not grown),
            "error": failed[0].partition(": ")[2] if failed and not paths else "" if grown else state["error"],
            "usage": purse.usage,
        }

    def choose(self, state: SelfRagTokensState, step: Step) -> Doing[dict[str, Any]]:
        """Shows the best answer. Not earlier: until the last round another one may become the best."""
        draft = draft_of_best([path for path in state["paths"] if path["segments"]], step)
        step["details"] = self.unscreened(**step["details"])
        return (yield from self.spoken(state, draft, state["documents"], step, uncited=not state["hops"]))

    def tell(self, state: SelfRagTokensState, step: Step) -> Doing[dict[str, Any]]:
        """The end where nothing was retrieved: as in closed book, an answer that nobody checked."""
        yield from ()
        answer = " ".join(item["text"] for item in state["draft"])
        abstained = not answer
        if abstained and (why := state.get("withheld")):
            return withheld(step, f"the guard blocks the answer: {why}")
        step["decision"] = "abstain" if abstained else f"{len(state['draft'])} sentences"
        unchecked = "from the model's own knowledge; nothing was checked"
        step["reason"] = (state["error"] or "nothing was said") if abstained else unchecked
        if abstained:
            answer = f"The language model failed: {state['error']}" if state["error"] else NO_ANSWER
        message = AIMessage(answer, additional_kwargs={"citations": [], "abstained": abstained})
        return {"answer": answer, "abstained": abstained, "citations": [], "messages": [message]}

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_decision(self, state: SelfRagTokensState) -> Literal["look", "read", "choose"]:
        """Retrieves once, with the first answer that wants it."""
        decisions = state["decisions"]
        if all(decision == "end" for decision in decisions) or self.purse(state).refusal(tokens=1):
            return "choose"
        wanted = "retrieve" in decisions and not state["hops"] and self.purse(state).hops > 0
        return "look" if wanted else "read"

    def after_reading(self, state: SelfRagTokensState) -> Literal["decide", "choose"]:
        """Another round, while an answer is open and something is left to pay it with."""
        is_open = any(not path["ended"] for path in state["paths"])
        return "decide" if is_open and not self.purse(state).refusal(tokens=1) else "choose"

    def after_choice(self, state: SelfRagTokensState) -> Literal["cite", "tell"]:
        """What was written with passages has to be supported by them."""
        return "cite" if state["hops"] else "tell"

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def _decision(self, path: Path, outlook: Outlook | None, ratio: float | None) -> Decision:
        if path["segments"]:
            if outlook is None or outlook.ends:
                return "end"
            has_passage = bool(path["segments"][-1]["passage"])
            if has_passage and (outlook.again or 0.0) > max(outlook.yes or 0.0, outlook.no or 0.0):
                return "continue"
        return "retrieve" if wants_retrieval(ratio, self.delta) else "plain"

    def _openings(
        self, state: SelfRagTokensState, judge: TokenJudge, purse: Purse, problems: list[str]
    ) -> Doing[list[Opening]]:
        """What the calls of this round begin with: each answer with its most relevant passages."""
        going = [(path, way) for path, way in zip(state["paths"], state["decisions"], strict=True) if way != "end"]
        going = going[: max(0, purse.calls)]
        each = min(self.passages, purse.calls // len(going)) if going else 0
        openings: list[Opening] = []
        for path, way in going:
            if way == "plain":
                openings.append(Opening(path, way, None, {}))
            elif way == "continue":
                last = path["segments"][-1]["passage"]
                found = [document for document in state["documents"] if document.id == last]
                openings += [Opening(path, way, document, {}) for document in found[:1]]
            else:
                graded = []
                for document in state["documents"]:
                    bare = Opening(path, way, document, {})
                    relevance = yield from judged(purse, problems, judge.relevance, bare.before)
                    graded.append(Opening(path, way, document, relevance or {}))
                openings += sorted(graded, key=lambda one: -(one.is_rel or 0.0))[:each]
        return list({opening.text: opening for opening in openings}.values())  # equal passages are read once

    def _continued(self, question: str, openings: Sequence[Opening], purse: Purse) -> Doing[list[tuple[str, str]]]:
        """The sentence that each opening goes on with, and what went wrong."""
        found: dict[int, tuple[str, str]] = {}
        for plain in (False, True):  # they stop at other tokens
            chosen = [at for at, opening in enumerate(openings) if (opening.decision == "plain") == plain]
            said = yield from ask_all(
                self.parts.llm,
                purse,
                [turn_of(question, openings[at].text) for at in chosen],
                max_tokens=self.segment_tokens,
                keep_calls=0,
                options={"stop": stops_of(openings[chosen[0]])} if chosen else {},
            )
            for at, one in zip(chosen, said, strict=True):
                failed = f"the model failed: {one.failed}" if one.failed and was_asked(one) else one.failed
                found[at] = (sentence_of(one.text, openings[at].text), failed)
        return [found[at] for at in range(len(openings))]

    def _segment(
        self, question: str, opening: Opening, text: str, judge: TokenJudge, purse: Purse, problems: list[str]
    ) -> Doing[tuple[Segment, str]]:
        """The sentence with all its judgements, and the likeliest support token's name."""
        fluency = yield from judged(purse, problems, judge.fluency, opening.text, text)
        support: dict[str, float | None] = {}
        if opening.document is not None:
            support = (yield from judged(purse, problems, judge.support, opening.text + text)) or {}
        known = {name: value for name, value in support.items() if value is not None}
        label = max(known, key=lambda name: known[name], default="")
        written = f"{opening.text}{text}{SUPPORT.get(label, '')}"
        utility = (yield from judged(purse, problems, judge.utility, written)) or []
        score = SegmentScore(
            sequence=fluency,
            relevance=opening.is_rel,
            support=support_score(support.get("fully"), support.get("partially"), support.get("none")),
            utility=utility_score(utility),
        )
        problems += [f"without {name}" for name in score.unknown]
        citations: list[Citation] = []
        if opening.document is not None and label != "none":
            reading = Reading()
            yield Compute(check_text, text, question, [opening.document], self.parts.critic, reading)
            citations = [citation for sentence in reading.sentences for citation in sentence.citations]
            problems += [f"the critic failed: {reading.unjudged}"] if reading.unjudged else []
        segment = Segment(
            text=text,
            written=written[len(written_so_far(opening.path)) :],
            passage=str(opening.document.id) if opening.document else "",
            citations=citations,
            score=score.total(self.weights),
            terms={name: round(value, 4) for name, value in score.known.items()},
        )
        return segment, label
