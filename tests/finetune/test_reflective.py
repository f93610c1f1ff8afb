"""The Self-RAG generator: its grammar, its rows, its loss span by span, and a training from rows to an artifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_causal import make_causal

from ragloom.errors import UnknownModelError, UsageError
from ragloom.finetune.causal_base import load_base, load_tokenizer
from ragloom.finetune.causal_training import IGNORED, prompt_ids, train_causal
from ragloom.finetune.data.reflections import TrainedCritics, reflective_rows
from ragloom.finetune.data.rows import validate, write_rows
from ragloom.finetune.data.sources import Source, Sources, load_sources
from ragloom.finetune.options import no_tell
from ragloom.finetune.recipe import Built
from ragloom.finetune.recipes import reflective
from ragloom.finetune.reflecting import (
    add_reflection_tokens,
    reflect,
    reflection_of,
    reflective_example,
    reflective_prompt,
    score_reflections,
    widen,
)
from ragloom.models.reflections import (
    TOKENS,
    Reflection,
    Segment,
    Supported,
    parse_reflection,
    plain_text,
    reflection_grammar,
    render_reflection,
)


class WordCritics:
    """Judges by the words that two texts share: a critic like any other, in the place of trained ones."""

    fingerprint = "words"

    def needed(self, questions: Sequence[str]) -> list[bool]:
        return [not question.startswith("Hello") for question in questions]

    def relevant(self, question: str, passages: Sequence[str]) -> list[float]:
        return [float(question.split()[-1].strip("?") in passage) for passage in passages]

    def supported(self, rows: Sequence[tuple[str, str, str]]) -> list[Supported]:
        return ["fully" if sentence.strip(".") in passage else "none" for sentence, _, passage in rows]

    def useful(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        return [5 if answer else 1 for _, answer in pairs]


ODD = ["[Relevant]", "[Rele[Relevant]vant]", "<paragraph>"]
TEXT = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=30), st.sampled_from(["[Relevant]", "[Rele[Relevant]vant]"])
)
SEGMENTS = st.builds(
    Segment,
    TEXT,
    st.sampled_from(["yes", "no", "continue"]),
    TEXT,
    st.sampled_from(["", "relevant", "irrelevant"]),
    st.sampled_from(["", "fully", "partially", "none"]),
)
REFLECTIONS = st.builds(Reflection, st.lists(SEGMENTS, max_size=4).map(tuple), st.integers(0, 5))


@given(REFLECTIONS)
def test_what_is_in_grammar_reads_back_as_it_was_written(reflection: Reflection) -> None:
    text = render_reflection(reflection)
    if not reflection_grammar(text):
        assert parse_reflection(text) == reflection


GOOD = st.one_of(
    st.builds(lambda text: [Segment(text)], TEXT),
    st.builds(
        lambda text, passage, more, level: [
            Segment(text, "yes", passage, "relevant", "fully"),
            *(Segment(sentence, "continue", support=level) for sentence in more),
        ],
        TEXT,
        TEXT,
        st.lists(TEXT, max_size=2),
        st.sampled_from(["fully", "partially", "none"]),
    ),
    st.builds(lambda text, passage: [Segment(text, "yes", passage, "irrelevant")], TEXT, TEXT),
)


@given(st.lists(GOOD, min_size=1, max_size=3), st.integers(1, 5))
def test_the_grammar_accepts_what_the_paper_writes(groups: list[list[Segment]], utility: int) -> None:
    segments = tuple(segment for group in groups for segment in group)
    if all(segment.text and (segment.passage or segment.retrieve != "yes") for segment in segments):
        reflection = Reflection(segments, utility)
        assert reflection_grammar(render_reflection(reflection)) == []
        assert parse_reflection(render_reflection(reflection)) == reflection


@given(st.lists(st.one_of(st.sampled_from(TOKENS), st.text(max_size=8)), max_size=12).map("".join))
def test_nothing_makes_the_parser_raise(text: str) -> None:
    reflection_grammar(text)
    assert parse_reflection(text).utility in range(6)


@given(TEXT)
def test_no_token_survives_in_plain_text(text: str) -> None:
    assert not any(token in plain_text(text) for token in TOKENS)
    assert plain_text(plain_text(text)) == plain_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello.",
        "[No Retrieval]Hello.",
        "[No Retrieval][Utility:5]",
        "[No Retrieval]Hello.[Utility:5]more",
        "[No Retrieval]Hello.[Utility:5][Utility:4]",
        "[Retrieval]Hello.[Utility:5]",
        "[Retrieval]<paragraph>p</paragraph>Hello.[Fully supported][Utility:5]",
        "[Retrieval]<paragraph>p</paragraph>[Relevant]Hello.[Utility:5]",
        "[Retrieval]<paragraph>p</paragraph>[Relevant][Fully supported][Utility:5]",
        "[Continue to Use Evidence]Hello.[Fully supported][Utility:5]",
        "[Relevant]Hello.[Utility:5]",
    ],
)
def test_the_grammar_complains(text: str) -> None:
    assert reflection_grammar(text)


def _row(number: int, passages: int = 1) -> dict[str, Any]:
    segments: list[dict[str, Any]] = []
    for place in range(passages):
        passage = f"The tower {place} of town{number % 4} is old and was built in 19{number % 4}{place}."
        segments.append(
            {
                "retrieve": "yes",
                "passage": passage,
                "relevance": "relevant",
                "text": f"Built in 19{number % 4}{place}.",
                "support": "fully",
            }
        )
    return {
        "question": f"When was the tower built in town{number % 4}?",
        "segments": segments,
        "utility": 5,
        "origin": {"set": "towers", "id": str(number), "document": f"towers:{number}", "licence": "CC0"},
    }


def _base(folder: Path, *, tied: bool) -> Path:
    texts = [json.dumps(_row(number, passages=2)) for number in range(4)]
    return make_causal(folder, texts, tied=tied)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _base(tmp_path_factory.mktemp("base"), tied=True)


def test_passages_are_left_out_of_the_loss_span_by_span(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    add_reflection_tokens(tokenizer)
    row = _row(1, passages=2)
    example = reflective_example(tokenizer, row, 2000)
    assert example is not None
    prompt = prompt_ids(tokenizer, reflective_prompt(row["question"]))
    assert example["labels"][: len(prompt)] == [IGNORED] * len(prompt)
    learnt = tokenizer.decode([token for token in example["labels"] if token != IGNORED])
    # Also what stands between the two passages: the official code leaves that out.
    assert learnt == (
        "[Retrieval][Relevant]Built in 1910.[Fully supported]"
        "[Retrieval][Relevant]Built in 1911.[Fully supported][Utility:5]<|im_end|>"
    )
    left_out = [token for token, label in zip(example["input_ids"], example["labels"], strict=True) if label == IGNORED]
    shown = tokenizer.decode(left_out[len(prompt) :])
    assert shown == "".join(f"<paragraph>{segment['passage']}</paragraph>" for segment in row["segments"])
    assert reflective_example(tokenizer, row, 40) is None


def test_tokens_are_one_id_each_and_stay_when_decoded(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    before = len(tokenizer)
    ids = add_reflection_tokens(tokenizer)
    assert ids == list(range(before, before + 15)) == add_reflection_tokens(tokenizer)
    for token, number in zip(TOKENS, ids, strict=True):
        assert tokenizer(f"a{token}b", add_special_tokens=False)["input_ids"].count(number) == 1
        assert tokenizer.decode([number], skip_special_tokens=True) == token


def _options(base: Path, **more: Any) -> Any:
    given_ = {"max_steps": 4, "batch_size": 4, "accumulate": 1, "evaluations": 1, "answer_tokens": 16, "measured": 4}
    options = {"base": f"hf:{base}", "device": "cpu", "precision": "float32", "critics": WordCritics()}
    return reflective.DEFAULTS.updated(**{**given_, **options, **more})


def test_new_tokens_train_in_bfloat16(tmp_path: Path) -> None:
    base = _base(tmp_path / "base", tied=True)
    options = _options(base, max_steps=2, precision="bfloat16")
    tokenizer = load_tokenizer(base)
    model = load_base(base, options)
    extra = {"trainable_token_indices": widen(model, tokenizer, add_reflection_tokens(tokenizer))}
    made = [reflective_example(tokenizer, _row(number), 512) for number in range(8)]
    parts: Any = {"train": [one for one in made if one], "dev": [one for one in made[:2] if one]}
    trained = train_causal(model, tokenizer, parts, tmp_path, options, no_tell, extra=extra)
    assert 0 < trained.settings["train_loss"] < 20


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_are_trained_on_both_sides_and_reload(tmp_path: Path, tied: bool) -> None:
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    base = _base(tmp_path / "base", tied=tied)
    options = _options(base, max_steps=6, learning_rate=5e-2)
    tokenizer = load_tokenizer(base)
    ids = add_reflection_tokens(tokenizer)
    model = load_base(base, options)
    wide = widen(model, tokenizer, ids)
    assert set(wide) == ({"embed_tokens"} if tied else {"embed_tokens", "lm_head"})
    begun = [layer.weight[ids].clone() for layer in (model.get_input_embeddings(), model.get_output_embeddings())]
    old = model.get_input_embeddings().weight[: ids[0]].clone()
    rows = [_row(number) for number in range(4)]
    before = reflect(model, tokenizer, rows, max_new_tokens=12)
    made = [reflective_example(tokenizer, _row(number), 512) for number in range(8)]
    parts: Any = {"train": [one for one in made if one], "dev": [one for one in made[:2] if one]}
    extra = {"trainable_token_indices": wide}
    trained = train_causal(model, tokenizer, parts, tmp_path, options, no_tell, extra=extra)

    inner = trained.model.get_base_model()
    for layer, start in zip((inner.get_input_embeddings(), inner.get_output_embeddings()), begun, strict=True):
        assert not torch.equal(layer.weight[ids], start)
        assert layer.weight[: ids[0]].shape == old.shape
    assert torch.equal(inner.get_input_embeddings().weight[: ids[0]], old)  # the words that it knew stay
    weights = load_file(tmp_path / "adapter_model.safetensors")
    tokens = [value for name, value in weights.items() if "token_adapter" in name]
    assert [tuple(value.shape) for value in tokens] == [(15, 32)] * len(wide)
    assert not any(value.shape[0] > 100 for name, value in weights.items() if "embed" in name or "lm_head" in name)
    assert "tokenizer.json" in trained.files

    words = load_tokenizer(tmp_path)
    assert words(TOKENS[0])["input_ids"] == [ids[0]]
    whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    whole.resize_token_embeddings(len(words), mean_resizing=False)
    loaded = PeftModel.from_pretrained(whole, str(tmp_path))
    said = reflect(trained.model, tokenizer, rows, max_new_tokens=12)
    assert said != before
    assert reflect(loaded.eval(), words, rows, max_new_tokens=12) == said


def _built(folder: Path) -> Built:
    parts = {
        "train": [_row(n) for n in range(24)],
        "dev": [_row(n) for n in range(4)],
        "test": [_row(n) for n in range(4)],
    }
    paths = {part: folder / "rows" / f"{part}.jsonl" for part in parts}
    counts = {part: write_rows(paths[part], rows) for part, rows in parts.items()}
    return Built(files=paths, counts=counts, sources=())  # type: ignore[arg-type]


def test_a_model_learns_the_grammar(base: Path, tmp_path: Path) -> None:
    options = _options(
        base, method="full", epochs=100.0, max_steps=100, batch_size=8, learning_rate=1e-2, answer_tokens=24
    )
    outcome = reflective.train(_built(tmp_path), tmp_path, options, no_tell)
    found = outcome.metrics["test"]
    assert found["in_grammar"] == 1.0, found["complaints"]
    assert found["retrieves"] == 1.0
    assert (found["is_rel"]["n"], found["is_sup"]["n"]) == (4, 4)
    assert found["is_rel"]["agreement"] == 1.0
    assert outcome.inputs == "reflective"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(outcome.files)


def test_scores() -> None:
    rows = [_row(0), _row(1), _row(2)]
    right = render_reflection(reflection_of(rows[0]))
    wrong = right.replace("[Fully supported]", "[No support / Contradictory]").replace("[Relevant]", "[Irrelevant]")
    found = score_reflections(rows, [right, wrong, "nonsense"], WordCritics())
    assert found["in_grammar"] == pytest.approx(2 / 3, abs=1e-3)
    assert found["retrieves"] == pytest.approx(2 / 3, abs=1e-3)
    assert found["is_rel"]["n"] == 2 and found["is_rel"]["majority"] == 0.5  # of the other town nothing was said
    assert found["is_sup"] == {"agreement": 0.5, "n": 2, "majority": 1.0}


def _question_set(folder: Path) -> Sources:
    folder.mkdir()
    with (folder / "passages.jsonl").open("w") as passages, (folder / "questions.jsonl").open("w") as questions:
        for number in range(40):
            text = f"Much is said of town{number}. It was founded in spring {1500 + number}. A [Relevant] mark."
            passages.write(json.dumps({"id": f"p{number}", "title": f"T{number}", "text": text}) + "\n")
            start = "Hello, when" if number % 4 == 0 else "When"
            record = {"id": f"q{number}", "question": f"{start} began town{number}?", "passage_ids": [f"p{number}"]}
            questions.write(json.dumps({**record, "answers": [f"spring {1500 + number}"], "answerable": True}) + "\n")
    return Sources((Source("towns", "questions", folder, "CC0", "0"),))


def test_rows_say_what_the_critics_said(tmp_path: Path) -> None:
    sources = _question_set(tmp_path / "towns")
    rows = list(reflective_rows(sources, WordCritics(), out=tmp_path, seed=1, hard=False))
    assert rows == list(reflective_rows(sources, WordCritics(), out=tmp_path, seed=1, hard=False))
    critics = WordCritics()
    kinds = set()
    for row in rows:
        assert validate("reflective", row) == ""
        reflection = reflection_of(row)
        assert reflection_grammar(render_reflection(reflection)) == []
        first = reflection.segments[0]
        kinds.add((first.retrieve, first.relevance, first.support))
        assert (first.retrieve == "no") == row["question"].startswith("Hello")
        assert "[Relevant]" not in first.passage
        if first.passage:
            assert (first.relevance == "relevant") == bool(critics.relevant(row["question"], [first.passage])[0])
        if first.support:
            assert critics.supported([(first.text, row["question"], first.passage)]) == [first.support]
    assert {("no", "", ""), ("yes", "relevant", "fully"), ("yes", "irrelevant", "")} <= kinds


def test_bad_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    good, bad = _row(0), _row(1)
    bad["segments"][0]["support"] = "somewhat"
    write_rows(path, [good, bad])
    sources = Sources((Source("mine", "rows", path, "CC0", "0"),))
    rows = list(reflective_rows(sources, WordCritics(), out=tmp_path, seed=0))
    assert [row["origin"]["id"] for row in rows] == ["0"]
    assert "somewhat" in str(sources.problems[0]) and "mine.jsonl" in str(sources.problems[0])


def test_methods_that_cannot_teach_tokens_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot teach new tokens"):
        reflective.DEFAULTS.updated(method="prompt")
    with pytest.raises(UnknownModelError, match="names no critic"):
        TrainedCritics(["router:bundled"])


@pytest.mark.parametrize(
    ("segment", "says"),
    [
        ({"text": "It rains.", "retrieve": "yes"}, "out of grammar: segment 1: "),
        ({"text": None}, "segment 1: 'text' must be a text"),
        ({"text": "It rains.", "score": "1"}, "segment 1 has 'score', which is none of"),
        ({"text": "It rains.", "retrieve": "maybe"}, "a segment is wrong: retrieve is 'maybe'"),
    ],
)
def test_rows_out_of_grammar_are_named(tmp_path: Path, segment: dict[str, Any], says: str) -> None:
    rows = [{"question": f"Why {n}?", "segments": [{"text": "So.", "retrieve": "no"}], "utility": 5} for n in range(3)]
    rows[1]["segments"] = [segment]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = load_sources([tmp_path / "rows.jsonl"])
    assert len(list(reflective_rows(sources, WordCritics(), out=tmp_path, seed=0))) == 2
    assert any(says in str(problem) for problem in sources.problems)
