"""Nodes of comparisons."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

from ....graphs.common.ask_all import ask_all, pack_for, was_asked
from ....graphs.common.asking import Said, ask
from ....graphs.common.citing import draft_of
from ....graphs.common.effects import Compute, Doing
from ....graphs.common.mixing import round_robin
from ....graphs.common.packing import Packed, prompt_passages
from ....graphs.common.prompting import render_prompt
from ....graphs.common.purse import Purse
from ....graphs.common.reading import Reading, check_text
from ....graphs.common.screening import check_context, findings
from ....graphs.common.support import held_terms
from ....graphs.decompose.nodes import DecomposeNodes
from ....types import Step
from ...sources.llm_router import takes_json_schema
from ..notes import NoteNodes, note_on
from .side_critic import SideCritic, identity_of, own_terms
from .sides import MOST_SIDES, Comparison, cleaned_sides, sides_of
from .state import ComparisonState, Side

__all__ = ("ComparisonNodes", "read_sides")

SPLIT_TOKENS = 96
STATEMENT_TOKENS = 96
NOT_FOUND = "nothing was found"


@dataclass(frozen=True, kw_only=True)
class ComparisonNodes(NoteNodes, DecomposeNodes):
    """The nodes. Searching for several queries at once is decomposition's own."""

    prompt: ClassVar[tuple[str, str]] = (__package__ or "", "compare")

    # -- bodies -------------------------------------------------------------------------------------------------------

    def split(self, state: ComparisonState, step: Step) -> Doing[dict[str, Any]]:
        """Finds the sides, by rules, else by the model. What cannot be split is read as it is."""
        purse, question = self.purse(state), state["asked"]
        found, step["reason"] = sides_of(question), "by rules"
        if found is None:
            messages = render_prompt(__package__ or "", "split", question=question, most=MOST_SIDES)
            options = {"response_format": _SCHEMA} if takes_json_schema(self.parts.llm) else {}
            said = yield from ask(self.parts.llm, purse, messages, max_tokens=SPLIT_TOKENS, options=options)
            found = None if said.failed else (yield from self._shown(read_sides(said.text, question), question))
            step["reason"] = said.failed or ("by the model" if found else "neither rules nor the model find two sides")
        compared = found or Comparison(())
        step["decision"] = " | ".join(compared.sides) or "the question itself"
        if compared.aspect:
            step["decision"] += f", on {compared.aspect}"
        sides = [
            Side(name=name, query=f"{name} {compared.aspect}".strip(), passages=[], statements=[], trouble="")
            for name in compared.sides
        ]
        queries = [side["query"] for side in sides] or [question]
        fresh: dict[str, Any] = {"missing": "", "usage": purse.usage}
        return {**fresh, "sides": sides, "aspect": compared.aspect, "search_queries": queries}

    def search(self, state: ComparisonState, step: Step) -> Doing[dict[str, Any]]:
        """Searches for every side by itself. A passage that does not name a side says nothing of it."""
        troubles: list[str] = []
        found = yield from self._found(state["search_queries"], troubles)
        own = own_terms([side["name"] for side in state["sides"]])
        sides: list[Side] = []
        for side, passages in zip(state["sides"], found, strict=False):
            naming = [each for each in passages if own[side["name"]] & _words_of(each)]
            # A search that failed is no proof that nothing is there.
            sides.append({**side, "passages": naming, "trouble": "" if passages else "; ".join(troubles)})
        lists = [side["passages"] for side in sides] or found
        documents = round_robin(lists)[: self.most_passages] or round_robin(found)[: self.most_passages]
        step["decision"] = "; ".join(f"{side['name']}: {len(side['passages'])} passages" for side in sides)
        step["decision"] = step["decision"] or f"{len(documents)} passages"
        step["reason"] = "; ".join(troubles) or "those that name their side" * bool(sides) or "for the question itself"
        return {"sides": sides, "documents": documents, "hops": 1}

    def state_each(self, state: ComparisonState, step: Step) -> Doing[dict[str, Any]]:
        """What is said of each side in its own passages, one call a side, and what of that is supported."""
        purse = self.purse(state)
        packs = [self._packed_side(state, side, purse) for side in state["sides"]]
        able = [at for at, packed in enumerate(packs) if packed.taken]
        prompts = [packs[at].messages for at in able]
        said = yield from ask_all(self.parts.llm, purse, prompts, max_tokens=STATEMENT_TOKENS)
        replies = dict(zip(able, said, strict=True))
        names = [side["name"] for side in state["sides"]]
        sides: list[Side] = []
        for at, (side, packed) in enumerate(zip(state["sides"], packs, strict=True)):
            reply = replies.get(at, Said())
            statements = []
            if not reply.failed and reply.text:
                statements = yield Compute(self._statements, reply.text, packed.taken, side["name"], names)
            # What a model that failed would have found is not known.
            trouble = "" if statements else reply.failed or side["trouble"] or NOT_FOUND
            sides.append({**side, "statements": statements, "trouble": trouble})
        step["decision"] = (
            "; ".join(f"{each['name']}: {len(each['statements'])} statements" for each in sides) or "none"
        )
        asked = sum(map(was_asked, said))
        step["reason"] = f"{asked} of {len(sides)} sides were asked" if sides else "there are no sides"
        if failed := next((reply.failed for reply in said if reply.failed), ""):
            step["reason"] += f"; {failed}"
        return {"sides": sides, "usage": purse.usage}

    def compare(self, state: ComparisonState, step: Step) -> Doing[dict[str, Any]]:
        """Reads what is said of all sides together; a side that the answer then leaves out speaks for itself."""
        sides = state["sides"]
        telling = [side for side in sides if side["statements"]]
        if len(telling) == 1 or (telling and self.purse(state).refusal()):
            draft = [item for side in telling for item in side["statements"]]
            documents = _read(telling, state["documents"])
            step["decision"] = f"{len(draft)} statements as they are"
            step["reason"] = self.purse(state).refusal() or "only one side has any"
            said = yield from self.spoken(state, draft, documents, step)
            return {**said, "documents": documents, "missing": _missing(sides)}
        names = [side["name"] for side in sides]
        critic = SideCritic(self.parts.critic, names) if names else self.parts.critic
        named = not sides or any(side["passages"] for side in sides)
        shown = [_noted(side) for side in telling] or (state["documents"] if named else [])
        update = yield from replace(self, parts=replace(self.parts, critic=critic)).reading(state, shown, step)
        documents = _read(telling, state["documents"])
        if update.get("withheld"):
            return {**update, "documents": documents}
        draft = [item for item in update["draft"] if item["citations"]]
        left_out = [side for side in telling if not _covers(draft, side["name"], names)]
        added = [item for side in left_out for item in side["statements"]]
        if added:
            step["decision"] += f"; {len(added)} statements as they are"
            step["reason"] += f"; the answer leaves out {', '.join(side['name'] for side in left_out)}"
        said = yield from self.spoken(state, added, documents, step, after=update.get("passed", ""))
        missing = _missing([side for side in sides if not _covers(draft, side["name"], names)])
        told = {**said, "draft": [*update["draft"], *said["draft"]]}
        return {**update, **told, "documents": documents, "missing": missing}

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def _shown(self, found: Comparison | None, question: str) -> Doing[Comparison | None]:
        """What a model wrote, if a guard lets it be shown as it is: steps and the answer name the sides."""
        texts = [*found.sides, found.aspect] if found else []
        checked = yield from findings(self.parts.guard, "output", texts, check_context(question))
        return found if all(each.verdict == "pass" for each in checked) else None

    def _packed_side(self, state: ComparisonState, side: Side, purse: Purse) -> Packed:
        others = [each["name"] for each in state["sides"] if each["name"] != side["name"]]

        def render(shown: list[Document]) -> list[BaseMessage]:
            told = {"side": side["name"], "others": others, "aspect": state["aspect"], "question": state["asked"]}
            return render_prompt(__package__ or "", "side", passages=prompt_passages(shown), **told)

        shares = len(state["sides"])
        return pack_for(self.parts.llm, purse, side["passages"], render, max_tokens=STATEMENT_TOKENS, shares=shares)

    def _statements(
        self, text: str, passages: Sequence[Document], name: str, names: Sequence[str]
    ) -> list[dict[str, Any]]:
        """The supported sentences on one side, as state keeps them; one that does not name the side is put under it."""
        reading = Reading()
        check_text(text, "", passages, SideCritic(self.parts.critic, names, about=name), reading)
        own, statements = own_terms(names)[name], []
        for item in draft_of(reading):
            if item["citations"]:
                said = item["text"] if own & held_terms(item["text"]) else f"{name}: {item['text']}"
                citations = [{**each, "sentence": said} for each in item["citations"]]
                statements.append({"text": said, "citations": citations})
        return statements


def read_sides(text: str, question: str) -> Comparison | None:
    """The sides of a model's reply, `{"sides": ["A", "B"], "aspect": "..."}`; None where it names fewer than two that
    share a word with the question.

    >>> read_sides('{"sides": ["Rhine", "Elbe"], "aspect": "length"}', "Rhine or Elbe, what is the length?")
    Comparison(sides=('Rhine', 'Elbe'), aspect='length')
    >>> read_sides('{"sides": ["Rhine", "Danube"]}', "Is the Rhine long?") is None
    True
    """
    try:
        found = re.search(r"\{.*\}", text, re.DOTALL)
        given = json.loads(found[0]) if found else {}
    except (ValueError, RecursionError):
        return None
    named = given.get("sides")
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        return None
    asked = held_terms(question)
    sides = cleaned_sides(each for each in named if held_terms(each) & asked)[:MOST_SIDES]
    aspect = given.get("aspect")
    about = aspect if isinstance(aspect, str) and held_terms(aspect) <= asked else ""
    return Comparison(sides, " ".join(about.split())) if len(sides) > 1 else None


def _words_of(passage: Document) -> frozenset[str]:
    return held_terms(f"{identity_of(passage)} {passage.page_content}")


def _noted(side: Side) -> Document:
    text = " ".join(item["text"] for item in side["statements"])
    return note_on(side["passages"], text, context=side["name"], identity=side["name"])


def _read(telling: Sequence[Side], found: Sequence[Document]) -> list[Document]:
    """The passages of sides with statements first, then the others, each once."""
    every = [*(passage for side in telling for passage in side["passages"]), *found]
    return list({each.id: each for each in every}.values())


def _covers(draft: Sequence[dict[str, Any]], name: str, names: Sequence[str]) -> bool:
    """Whether a sentence names this side."""
    own = own_terms(names)[name]
    return any(own & held_terms(item["text"]) for item in draft)


def _missing(sides: Sequence[Side]) -> str:
    """What the answer must say of sides that it says nothing of."""
    silent = [side["name"] for side in sides if side["trouble"] == NOT_FOUND]
    failed = [side["name"] for side in sides if side["trouble"] not in ("", NOT_FOUND)]
    told = [f"I found nothing in the documents about {' or '.join(silent)}."] if silent else []
    told += [f"What the documents say about {' and '.join(failed)} could not be read."] if failed else []
    return " ".join(told)


_SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "comparison",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "sides": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": MOST_SIDES},
                "aspect": {"type": "string"},
            },
            "required": ["sides", "aspect"],
            "additionalProperties": False,
        },
    },
}
