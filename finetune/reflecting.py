"""A Self-RAG generator as tokens: what it learns, what it writes when passages are handed to it, how it is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import models
from ..evals.text_metrics import f1
from ..graphs.common.prompting import render_prompt
from ..models.reflections import (
    PARAGRAPH,
    REFLECTIVE_PROMPT,
    RETRIEVE,
    TOKENS,
    Reflection,
    Segment,
    parse_reflection,
    reflection_grammar,
    render_reflection,
)
from .causal_training import IGNORED, Example, prompt_ids
from .data.reflections import RELEVANT, Critics
from .data.rows import TrainingRow
from .generation import greedy
from .options import Tell, no_tell

__all__ = (
    "add_reflection_tokens",
    "reflect",
    "reflection_of",
    "reflective_example",
    "reflective_prompt",
    "score_reflections",
    "widen",
)

_ROLES = {"system": "system", "human": "user"}
MOST_ROUNDS = 6


def add_reflection_tokens(tokenizer: Any) -> list[int]:
    """Gives a tokenizer the fifteen tokens, literally as in the paper, and returns their ids. Twice changes nothing."""
    from tokenizers import AddedToken

    # Not "special": they are what is to be read, and decoding must not leave them out.
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in TOKENS])
    ids: list[int] = tokenizer.convert_tokens_to_ids(list(TOKENS))
    return ids


def widen(model: Any, tokenizer: Any, ids: Sequence[int]) -> dict[str, list[int]]:
    """Makes room for the tokens in a model; returns `trainable_token_indices` for PEFT.

    A new row begins as the mean of the rows of the words that it is written with, which is nearer to its meaning than
    noise. Where the output layer shares the weights it is trained with them, else it is named too: tokens whose output
    rows stay as they were are never said.
    """
    import torch

    words = [[id_ for id_ in _spelled(tokenizer, token) if id_ not in ids] for token in TOKENS]
    embedding = model.get_input_embeddings()
    if len(tokenizer) > embedding.num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    layers = [model.get_input_embeddings()] if tied else [model.get_input_embeddings(), model.get_output_embeddings()]
    with torch.no_grad():
        for layer in layers:
            for id_, spelled in zip(ids, words, strict=True):
                layer.weight[id_] = layer.weight[spelled].float().mean(dim=0).to(layer.weight.dtype)
    names = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
    return {names[id(layer)]: list(ids) for layer in layers}


def reflective_prompt(question: str) -> list[dict[str, str]]:
    """The chat messages for a question."""
    messages = render_prompt(models.__name__, REFLECTIVE_PROMPT, question=question)
    return [{"role": _ROLES[message.type], "content": str(message.text)} for message in messages]


def reflection_of(row: TrainingRow) -> Reflection:
    """What a row says should be written. Raises `ValueError` for a segment with an unknown field or value."""
    try:
        return Reflection(tuple(Segment(**segment) for segment in row["segments"]), int(row["utility"]))
    except TypeError as error:
        raise ValueError(str(error)) from error


def reflective_example(tokenizer: Any, row: TrainingRow, max_tokens: int) -> Example | None:
    """Token ids and labels; None where the row is longer than `max_tokens`.

    Each passage is left out of the loss with its two markers, span by span: what stands between two passages is learnt.
    """
    prompt = prompt_ids(tokenizer, reflective_prompt(row["question"]))
    said = tokenizer(render_reflection(reflection_of(row)), add_special_tokens=False)["input_ids"]
    completion = [*said, tokenizer.eos_token_id]
    if len(prompt) + len(completion) > max_tokens:
        return None
    opening, closing = tokenizer.convert_tokens_to_ids(list(PARAGRAPH))
    labels, inside = [], False
    for token in completion:
        inside = inside or token == opening
        labels.append(IGNORED if inside else token)
        inside = inside and token != closing
    return {"input_ids": [*prompt, *completion], "labels": [*[IGNORED] * len(prompt), *labels]}


def reflect(
    model: Any,
    tokenizer: Any,
    rows: Sequence[TrainingRow],
    *,
    max_new_tokens: int,
    tell: Tell = no_tell,
) -> list[str]:
    """What a model writes to the questions of rows: at each `[Retrieval]` it is handed the next passage of its row.

    A row without one gets a passage of another row. Greedy; at most six rounds.
    """
    spare = [passage for row in rows for passage in _passages(row)] or ["Nothing was found."]
    prompts = [prompt_ids(tokenizer, reflective_prompt(row["question"])) for row in rows]
    said: list[list[int]] = [[] for _ in rows]
    retrieval = tokenizer.convert_tokens_to_ids(RETRIEVE["yes"])
    handed = [0] * len(rows)
    open_rows = list(range(len(rows)))
    for number in range(MOST_ROUNDS):
        if not open_rows:
            break
        pieces = greedy(
            model,
            [[*prompts[i], *said[i]] for i in open_rows],
            max_new_tokens=max_new_tokens,
            pad_id=tokenizer.pad_token_id,
            stop=[tokenizer.eos_token_id, retrieval],
            tell=tell,
            task=f"reflecting, round {number + 1}",
        )
        going_on = []
        for i, piece in zip(open_rows, pieces, strict=True):
            said[i] += piece
            if piece and piece[-1] == retrieval:
                own = _passages(rows[i]) or [spare[i % len(spare)]]
                passage = own[handed[i] % len(own)]
                handed[i] += 1
                said[i] += tokenizer(f"{PARAGRAPH[0]}{passage}{PARAGRAPH[1]}", add_special_tokens=False)["input_ids"]
                going_on.append(i)
        open_rows = going_on
    texts: list[str] = tokenizer.batch_decode(said, skip_special_tokens=True)
    return texts


def score_reflections(rows: Sequence[TrainingRow], said: Sequence[str], critics: Critics) -> dict[str, Any]:
    """Share in grammar, share that retrieves, F1 of the answer, and agreement with the critics about what was written.

    `is_rel`, `is_sup` are {agreement, n, majority}: `majority` is what always giving the critics' commonest verdict
    would reach. `is_use` is the share of utilities within one of the critic's.
    """
    read = [parse_reflection(text) for text in said]
    relevance: list[tuple[str, str]] = []
    asked: list[tuple[str, str, str]] = []
    stated: list[str] = []
    for row, reflection in zip(rows, read, strict=True):
        passage = ""
        for segment in reflection.segments:
            passage = segment.passage or passage
            if segment.relevance and segment.passage:
                grade = critics.relevant(row["question"], [segment.passage])[0]
                relevance.append((segment.relevance, "relevant" if grade >= RELEVANT else "irrelevant"))
            if segment.support and passage and segment.text:
                asked.append((segment.text, row["question"], passage))
                stated.append(segment.support)
    graded = [(row["question"], one.answer, one.utility) for row, one in zip(rows, read, strict=True) if one.utility]
    useful = critics.useful([(question, answer) for question, answer, _ in graded]) if graded else []
    near = [abs(given - found) <= 1 for (_, _, given), found in zip(graded, useful, strict=True)]
    complaints = [reflection_grammar(text) for text in said]
    right = [reflection_of(row).answer for row in rows]
    return {
        "n": len(rows),
        "in_grammar": _mean([not found for found in complaints]),
        "retrieves": _mean([any(segment.retrieve == "yes" for segment in one.segments) for one in read]),
        "f1": _mean([f1(one.answer, [answer]) for one, answer in zip(read, right, strict=True)]),
        "is_rel": _agreement(relevance),
        "is_sup": _agreement(list(zip(stated, critics.supported(asked) if asked else [], strict=True))),
        "is_use": _mean(near),
        "complaints": _commonest(complaints),
    }


def _passages(row: TrainingRow) -> list[str]:
    return [segment.passage for segment in reflection_of(row).segments if segment.passage]


def _spelled(tokenizer: Any, token: str) -> list[int]:
    """The ids of a token's letters without its brackets, before it was a token."""
    plain = "".join(letter if letter.isalnum() else " " for letter in token).strip()
    ids: list[int] = tokenizer(plain, add_special_tokens=False)["input_ids"]
    return ids


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _agreement(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    verdicts = [right for _, right in pairs]
    commonest = max((verdicts.count(value) for value in set(verdicts)), default=0)
    return {
        "agreement": _mean([said == right for said, right in pairs]),
        "n": len(pairs),
        "majority": round(commonest / len(pairs), 4) if pairs else None,
    }


def _commonest(complaints: Sequence[Sequence[str]]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for found in complaints:
        for complaint in found:
            counts[complaint] = counts.get(complaint, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:5])
