"""What a drafter is shown and what it should say, as tokens; and how well it did.

The prompt is `models/prompts/drafter.jinja`, the completion `models.drafts.render_draft`: those of inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document

from .. import models
from ..evals.text_metrics import contains, exact_match, f1
from ..graphs.common.packing import prompt_passages
from ..graphs.common.prompting import render_prompt
from ..models.drafts import DRAFTER_PROMPT, Draft, parse_draft, render_draft
from .causal_training import IGNORED, Example, prompt_ids
from .data.rows import TrainingRow
from .data.texts import holds_answer

__all__ = (
    "draft_example",
    "draft_prompt",
    "gold_place",
    "mean_scores",
    "reader_prompt",
    "right_draft",
    "score_drafts",
    "titled",
)

_ROLES = {"system": "system", "human": "user"}


def draft_prompt(row: TrainingRow, kept: Sequence[int] | None = None) -> list[dict[str, str]]:
    """The chat messages of a row, with the passages at these places; None: all of them."""
    return _messages(models.__name__, DRAFTER_PROMPT, row, kept)


def reader_prompt(row: TrainingRow, kept: Sequence[int] | None = None) -> list[dict[str, str]]:
    """The messages by which `ask` wants a short answer of an untrained model."""
    from ..graphs.common.nodes import READ_PROMPTS

    return _messages(READ_PROMPTS, "short", row, kept)


def right_draft(row: TrainingRow, kept: Sequence[int] | None = None) -> Draft:
    """What should be said, citing the passage of the rationale by its number among those that were kept."""
    places = range(len(row["passages"])) if kept is None else kept
    quoted = _quoted(row)
    cited = tuple(number for number, place in enumerate(places, start=1) if place == quoted)
    return Draft(row["rationale"], row["answer"], cited, abstained=not row["answerable"])


def draft_example(tokenizer: Any, row: TrainingRow, max_tokens: int) -> tuple[Example, list[int]] | None:
    """Token ids and labels of a row within `max_tokens`, and which passages are in it.

    Where it is too long, whole passages are left out, the last ones first, never the one of the rationale; None where
    that does not help. The loss is that of the completion.
    """
    kept = list(range(len(row["passages"])))
    quoted = _quoted(row)
    while True:
        prompt = prompt_ids(tokenizer, draft_prompt(row, kept))
        said = tokenizer(render_draft(right_draft(row, kept)), add_special_tokens=False)["input_ids"]
        completion = [*said, tokenizer.eos_token_id]
        if len(prompt) + len(completion) <= max_tokens:
            labels = [*[IGNORED] * len(prompt), *completion]
            return {"input_ids": [*prompt, *completion], "labels": labels}, kept
        spare = [place for place in kept if place != quoted]
        if not spare or len(kept) == 1 or (row["answerable"] and quoted < 0):
            return None
        kept.remove(spare[-1])


def score_drafts(rows: Sequence[TrainingRow], said: Sequence[str]) -> list[dict[str, Any]]:
    """What each text is worth: f1, em and contains where there is an answer, and whether it abstained rightly.

    An abstention where there is an answer scores 0. `valid`: the text is a draft to the letter. `quoted`: its rationale
    stands in a passage word for word. `cited`: it names the gold passage.
    """
    scores = []
    for row, text in zip(rows, said, strict=True):
        draft = parse_draft(text)
        score: dict[str, Any] = {
            "abstained": draft.abstained,
            "right_abstention": float(draft.abstained != bool(row["answerable"])),
            "valid": float(render_draft(draft) == text.strip()),
        }
        if row["answerable"]:
            right = [answer for answer in row.get("answers") or () if answer.strip()] or [row["answer"]]
            measures = {"f1": f1, "em": exact_match, "contains": contains}
            score |= {name: 0.0 if draft.abstained else float(of(draft.answer, right)) for name, of in measures.items()}
            if not draft.abstained:
                passages = [" ".join(passage.split()) for passage in row["passages"]]
                score["quoted"] = float(bool(draft.rationale) and any(draft.rationale in each for each in passages))
                score["cited"] = float(gold_place(row) + 1 in draft.cited)
        scores.append(score)
    return scores


def mean_scores(rows: Sequence[TrainingRow], scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the rows for which a measure is defined; `n` of them have an answer, `unanswerable` have none."""
    found: dict[str, Any] = {"n": sum(bool(row["answerable"]) for row in rows)}
    found["unanswerable"] = len(rows) - found["n"]
    for name in ("f1", "em", "contains", "valid", "quoted", "cited"):
        values = [score[name] for score in scores if name in score]
        found[name] = round(sum(values) / len(values), 4) if values else None
    for name, wanted in (("abstained_rightly", False), ("answered_rightly", True)):
        values = [s["right_abstention"] for s, row in zip(scores, rows, strict=True) if row["answerable"] == wanted]
        found[name] = round(sum(values) / len(values), 4) if values else None
    return found


def titled(row: TrainingRow, place: int) -> str:
    """A passage as the prompt shows it: behind its title, where it has one."""
    titles: list[str] = row.get("titles") or []
    title = " ".join(titles[place].split()) if place < len(titles) else ""
    passage: str = row["passages"][place]
    return f"{title}: {passage}" if title else passage


def gold_place(row: TrainingRow) -> int:
    """Place of the passage that holds the answer; -1 where there is none, or nobody can tell."""
    if not row["answerable"]:
        return -1
    passages: list[str] = row["passages"]
    given = row.get("gold")
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < len(passages):
        return given
    for place, passage in enumerate(passages):
        if row["rationale"] and row["rationale"] in passage:
            return place
    return next((place for place, passage in enumerate(passages) if holds_answer(passage, [row["answer"]])), -1)


def _quoted(row: TrainingRow) -> int:
    """Place of the passage that the rationale is of: the gold one, or the one that came nearest; -1 for neither."""
    if row["answerable"]:
        return gold_place(row)
    rationale = row["rationale"]
    return next((place for place, passage in enumerate(row["passages"]) if rationale and rationale in passage), -1)


def _messages(package: str, name: str, row: TrainingRow, kept: Sequence[int] | None) -> list[dict[str, str]]:
    passages: list[str] = row["passages"]
    titles: list[str] = row.get("titles") or []
    shown = prompt_passages(  # as the graphs show them
        [
            Document(passages[place], metadata={"title": titles[place] if place < len(titles) else ""})
            for place in (range(len(passages)) if kept is None else kept)
        ]
    )
    messages = render_prompt(package, name, question=row["question"], passages=shown)
    return [{"role": _ROLES[message.type], "content": str(message.text)} for message in messages]
