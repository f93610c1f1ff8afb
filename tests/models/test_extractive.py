"""Extractive readers against transformers themselves, on a tiny BERT; and as the chat model that reads for graphs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from artifact_kit import make_artifact, make_span_artifact, with_manifest, write_manifest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from tiny_bert import make_tiny_bert

from ragloom import models
from ragloom.errors import ArtifactError, ModelError, UsageError
from ragloom.graphs.common.packing import prompt_passages
from ragloom.graphs.common.prompting import render_prompt
from ragloom.models import load_chat_model
from ragloom.models.drafts import DRAFTER_PROMPT, parse_draft
from ragloom.models.extractive import LONGEST, AnswerSpan, ExtractiveReader, load_extractive_reader
from ragloom.models.extractive_chat import passages_of_prompt
from ragloom.models.windows import MARKERS, pack_windows, word_spans

QUESTION = "w1 w2 w3 ?"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")


@pytest.fixture(scope="module")
def folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_span_artifact(tmp_path_factory.mktemp("reader") / "tiny", base)


@pytest.fixture(scope="module")
def reader(folder: Path) -> ExtractiveReader:
    return load_extractive_reader(f"reader:{folder}", device="cpu", dtype="float32")


def passage(words: int, seed: int) -> str:
    draw = random.Random(seed)
    return " ".join(f"w{draw.randrange(200)}" for _ in range(words))


def best_by_transformers(model: Any, tokenizer: Any, question: str, text: str) -> tuple[int, int, float]:
    """Every span tried, one by one."""
    row = tokenizer(question, text, return_offsets_mapping=True, return_tensors="pt")
    offsets = row.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        said = model(**row)
    begins, ends = (logits[0].tolist() for logits in (said.start_logits, said.end_logits))
    places = [at for at, sequence in enumerate(row.sequence_ids(0)) if sequence == 1]
    spans = [(begins[i] + ends[j], i, j) for i in places for j in places if i <= j < i + LONGEST]
    score, first, last = max(spans)
    return offsets[first][0], offsets[last][1], score - begins[0] - ends[0]


def test_spans_are_those_of_transformers(reader: ExtractiveReader, folder: Path, base: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    whole = AutoModelForQuestionAnswering.from_pretrained(str(base))
    model = PeftModel.from_pretrained(whole, str(folder)).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    passages = [passage(words, seed) for seed, words in enumerate((1, 3, 30, 7, 38, 2))]
    found = reader.spans(QUESTION, passages)
    assert [span.passage for span in found] == list(range(len(passages)))
    for span, text in zip(found, passages, strict=True):
        start, end, score = best_by_transformers(model, tokenizer, QUESTION, text)
        assert (span.start, span.end) == (start, end)
        assert span.score == pytest.approx(score, abs=1e-4)
    assert reader.best(QUESTION, passages) == max(found, key=lambda span: span.score)


def test_what_is_no_plain_lora_runs_in_transformers(
    reader: ExtractiveReader, folder: Path, base: Path, tmp_path: Path
) -> None:
    """A whole model of the same weights finds the same."""
    from peft import PeftModel
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    whole = AutoModelForQuestionAnswering.from_pretrained(str(base))
    out = tmp_path / "whole"
    PeftModel.from_pretrained(whole, str(folder)).merge_and_unload().save_pretrained(str(out))
    AutoTokenizer.from_pretrained(str(base)).save_pretrained(str(out))
    write_manifest(out, base, "reader", tuple(sorted(path.name for path in out.iterdir())), max_tokens=48)
    merged = load_extractive_reader(f"reader:{out}", device="cpu", dtype="float32")
    passages = [passage(words, seed) for seed, words in enumerate((5, 90, 12))]
    for mine, theirs in zip(reader.spans(QUESTION, passages), merged.spans(QUESTION, passages), strict=True):
        assert (mine.passage, mine.start, mine.end) == (theirs.passage, theirs.start, theirs.end)
        assert mine.score == pytest.approx(theirs.score, abs=1e-3)


def test_a_passage_does_not_depend_on_those_beside_it(reader: ExtractiveReader) -> None:
    passages = [passage(words, seed) for seed, words in enumerate((4, 40, 9, 300, 21))]
    together = reader.spans(QUESTION, passages)
    for number, text in enumerate(passages):
        (alone,) = reader.spans(QUESTION, [text])
        assert (alone.start, alone.end) == (together[number].start, together[number].end)
        assert alone.score == pytest.approx(together[number].score, abs=1e-4)


def test_a_long_passage_is_read_to_its_end(reader: ExtractiveReader) -> None:
    """What the best span of a short text is stays best, wherever in a long one it stands: weak words stand around."""
    marked = max((passage(3, seed) for seed in range(60)), key=lambda text: reader.spans(QUESTION, [text])[0].score)
    weak = min((f"w{n}" for n in range(200)), key=lambda word: reader.spans(QUESTION, [word])[0].score)
    for before in (0, 100, 400):
        text = " ".join([*[weak] * before, marked, *[weak] * (400 - before)])
        (span,) = reader.spans(QUESTION, [text])
        assert set(text[span.start : span.end].split()) & set(marked.split())


def test_a_long_text_without_spaces_is_read_in_windows(reader: ExtractiveReader) -> None:
    text = passage(600, 0).replace(" ", ",")
    words = word_spans(text)
    room = reader.max_tokens - MARKERS - reader.count_tokens(QUESTION)
    windows = pack_windows(words, [reader.count_tokens(text[slice(*word)]) for word in words], room)
    assert len(windows) > 5
    assert all(reader.count_tokens(text[slice(*window)]) <= room for window in windows)
    (span,) = reader.spans(QUESTION, [text])
    alone = reader.spans(QUESTION, [text[slice(*window)] for window in windows])
    assert span.score == pytest.approx(max(each.score for each in alone), abs=1e-4)


@given(st.lists(st.text(max_size=40) | st.integers(0, 400).map(lambda n: "w5 " * n), max_size=4), st.text(max_size=200))
def test_spans_lie_in_their_passages(reader: ExtractiveReader, passages: list[str], question: str) -> None:
    for span in reader.spans(question, passages):
        assert 0 <= span.start < span.end <= len(passages[span.passage])
        assert np.isfinite(span.score)


def test_no_words_no_span(reader: ExtractiveReader) -> None:
    assert reader.spans(QUESTION, []) == reader.spans(QUESTION, ["", " \n "]) == []
    assert reader.best(QUESTION, [" "]) is None


def test_what_is_no_reader_is_refused(folder: Path, base: Path, tmp_path: Path) -> None:
    critic = make_artifact(tmp_path / "critic", base, "evaluator")
    with pytest.raises(ArtifactError, match="was trained as evaluator"):
        load_extractive_reader(f"reader:{critic}")
    renamed = with_manifest(tmp_path / "renamed", critic, role="reader")
    with pytest.raises(ArtifactError, match=r"has no qa_outputs\.weight"):
        load_extractive_reader(f"reader:{renamed}")


# -- as a chat model ---------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=60)


@given(
    st.text("ab ?[]1:", max_size=30).filter(str.strip),
    st.lists(st.tuples(TEXTS, st.text("ab\n[1]: Passages:Question?", max_size=60)), max_size=5),
)
def test_it_reads_what_the_prompt_shows(question: str, given: list[tuple[str, str]]) -> None:
    documents = [Document(text, metadata={"title": title}) for title, text in given]
    shown = prompt_passages(documents)
    messages = render_prompt(models.__name__, DRAFTER_PROMPT, question=question, passages=shown)
    read = passages_of_prompt(str(messages[-1].text))
    assert read is not None
    asked, passages = read
    assert asked == " ".join(question.split())
    assert len(passages) == len(documents)
    for passage_read, one in zip(passages, shown, strict=True):
        titled = f"{one['context'].strip()}:" if one["context"] else ""
        words = [*titled.split(), *str(one["text"]).split()]
        assert passage_read.split() == words


@pytest.mark.parametrize("text", ["Hello.", "", "Passages:", "Question: who?", "Passages:\n\n[1] a\n\nQuestion: b\nc"])
def test_any_other_prompt_is_none_of_its_own(text: str, folder: Path) -> None:
    assert passages_of_prompt(text) is None
    with pytest.raises(ModelError, match="answers a question from passages, and does nothing else"):
        load_chat_model(f"reader:{folder}").invoke(text)


def prompt(*passages: str) -> str:
    shown = "\n".join(f"\n[{number}] {text}" for number, text in enumerate(passages, start=1))
    return f"Passages:\n{shown}\n\nQuestion: {QUESTION}"


async def test_its_draft_quotes_the_passage_it_answers_from(reader: ExtractiveReader, folder: Path) -> None:
    llm = load_chat_model(f"reader:{folder}")
    passages = [f"{passage(6, seed)}. {passage(9, seed + 50)}." for seed in range(3)]
    best = reader.best(QUESTION, passages)
    assert best is not None
    asked = prompt(*passages)
    for said in (llm.invoke(asked), await llm.ainvoke(asked), *[sum(x[1:], x[0]) for x in [list(llm.stream(asked))]]):
        draft = parse_draft(said.text)
        assert draft.cited == (best.passage + 1,)
        assert draft.rationale in passages[best.passage]
        assert draft.answer.strip(" .") == passages[best.passage][best.start : best.end].strip(" .")
        assert draft.answer in draft.rationale
        assert said.usage_metadata["total_tokens"] > said.usage_metadata["output_tokens"] > 0
        assert said.response_metadata["span_score"] == pytest.approx(best.score, abs=0.3)  # it may run in bfloat16


def test_an_answer_lies_within_one_cell(reader: ExtractiveReader) -> None:
    for seed in range(30):
        text = f"| {' | '.join(passage(2, seed * 100 + number) for number in range(12))} |"
        best = reader.best(QUESTION, [text])
        assert best is not None
        assert "|" not in text[best.start : best.end]
    assert reader.best(QUESTION, ["| | |"]) is None


def test_a_heading_is_no_part_of_the_quote(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Handbook / Leave: Employees get 25 days: no more. They ask early."
    for answer, quote in (("25 days", "Employees get 25 days: no more."), ("early", "They ask early."),
                          ("Leave", "Handbook / Leave: Employees get 25 days: no more.")):  # fmt: skip
        at = text.index(answer)
        span = AnswerSpan(0, at, at + len(answer), 5.0)
        monkeypatch.setattr(ExtractiveReader, "best", lambda *_, span=span: span)
        draft = parse_draft(load_chat_model(f"reader:{folder}").invoke(prompt(text)).text)
        assert (draft.rationale, draft.answer) == (quote, answer)


def test_the_quote_of_a_cell_is_its_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Rooms: Book early. | Room | Seats | | --- | --- | | Föhn | 10 | | Nortada | 8 | The app is called Perch."
    for answer, quote in (("8", "| Nortada | 8 |"), ("Föhn", "| Föhn | 10 |"), ("Perch", "The app is called Perch.")):
        at = text.rindex(answer)
        span = AnswerSpan(0, at, at + len(answer), 5.0)
        monkeypatch.setattr(ExtractiveReader, "best", lambda *_, span=span: span)
        draft = parse_draft(load_chat_model(f"reader:{folder}").invoke(prompt(text)).text)
        assert draft.rationale.endswith(quote)
        assert draft.answer == answer
        assert ("Seats" in draft.rationale) == (answer == "Perch")  # prose behind a table: the sentence as it is split


def test_below_its_threshold_it_abstains(folder: Path, tmp_path: Path) -> None:
    asked = prompt(passage(9, 0), passage(9, 1))
    always = load_chat_model(f"reader:{folder}", abstain_below=None).invoke(asked)
    score = always.response_metadata["span_score"]
    assert not parse_draft(always.text).abstained
    strict = with_manifest(tmp_path / "strict", folder, thresholds={"abstain_below": score + 1})
    draft = parse_draft(load_chat_model(f"reader:{strict}").invoke(asked).text)
    assert draft.abstained and draft.rationale  # what came nearest is told
    assert not parse_draft(load_chat_model(f"reader:{strict}", abstain_below=score - 1).invoke(asked).text).abstained
    empty = parse_draft(load_chat_model(f"reader:{folder}").invoke(prompt()).text)
    assert empty.abstained and not empty.rationale


def test_two_thresholds_are_two_models_to_a_cache(folder: Path) -> None:
    from ragloom.evals.cached_model import CachedChatModel

    made = [load_chat_model(f"reader:{folder}", abstain_below=below) for below in (None, None, -1.0, 2.0)]
    assert len({CachedChatModel.around(llm).identity for llm in made}) == 3


async def test_a_cache_streams_what_it_says(folder: Path, tmp_path: Path) -> None:
    from ragloom.evals.cached_model import CachedChatModel
    from ragloom.evals.output_cache import OutputCache

    reader, asked = load_chat_model(f"reader:{folder}"), prompt(passage(9, 1))
    for name in ("sync", "async"):
        llm = CachedChatModel.around(reader, outputs=OutputCache(tmp_path / f"{name}.sqlite"))
        for _ in ("asked", "kept"):
            heard = list(llm.stream(asked)) if name == "sync" else [each async for each in llm.astream(asked)]
            assert "".join(each.text for each in heard) == reader.invoke(asked).text


def test_wrong_names_and_parameters(folder: Path) -> None:
    with pytest.raises(UsageError, match="takes no parameter 'temperature'"):
        load_chat_model(f"reader:{folder}", temperature=1)
    with pytest.raises(ArtifactError, match="there is no folder"):
        load_chat_model("reader:nowhere")
