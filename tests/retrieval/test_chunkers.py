"""Chunkers: laws that hold for any text, strategy and size; tables and headings; sentences."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from patience import grows_linearly

from ragloom.retrieval.chunk import chunk_ids
from ragloom.retrieval.chunkers import STRATEGIES, ChunkSettings, chunk_document
from ragloom.retrieval.readers import Page, ParsedDocument
from ragloom.sentences import sentence_spans
from ragloom.testing import HashEmbedding

EMBEDDER = HashEmbedding(size=8, limit=64)

_words = st.text("abc dé日ß.,!?'\"*_`-#>~|[]()0123456789 \t", max_size=60)
_lines = st.one_of(
    _words,
    st.builds(lambda level, title: "#" * level + " " + title, st.integers(1, 7), _words),
    st.builds(
        lambda cells: "| " + " | ".join(cells) + " |", st.lists(st.text("ab1 ", max_size=8), min_size=1, max_size=5)
    ),
    st.sampled_from(
        ["", "|---|---|", "```", "~~~python", "---", "===", "- item", "    code", "> quote", "1. one", "<b>"]
    ),
    st.builds(lambda text, n: text * n, st.text("xy .", min_size=1, max_size=5), st.integers(1, 90)),
    st.text(max_size=20),
)
_pages = st.lists(st.lists(_lines, max_size=14).map("\n".join), min_size=1, max_size=3)


@st.composite
def _settings(draw: st.DrawFn) -> ChunkSettings:
    strategy = draw(st.sampled_from(STRATEGIES))
    size = draw(st.sampled_from([0, 16, 17, 24, 40, 64, 500]))
    overlap = draw(st.integers(0, (size or 64) // 2)) if strategy in ("sentence", "tokens") else 0
    return ChunkSettings(strategy, size=size, overlap=overlap, context=draw(st.booleans()))


@given(pages=_pages, how=_settings(), title=st.sampled_from(["", "Title", "word " * 50]))
@example(pages=["x" * 3000], how=ChunkSettings("structure"), title="")
@example(pages=["| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 60], how=ChunkSettings("structure", size=16), title="")
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_laws(pages: list[str], how: ChunkSettings, title: str) -> None:
    document = ParsedDocument(tuple(Page(n, text, f"p{n}") for n, text in enumerate(pages, 1)), "markdown", title)
    chunks = chunk_document(document, EMBEDDER, how)
    text = document.text
    spans = {page.number: (start, end) for start, end, page in document.page_spans()}
    covered = bytearray(len(text))
    limit = min(how.size or 64, 64)
    for chunk in chunks:
        assert EMBEDDER.count_tokens([chunk.content])[0] <= limit
        start, end = spans[chunk.page]
        assert start <= chunk.start < chunk.end <= end
        assert chunk.page_label == f"p{chunk.page}"
        assert chunk.text[chunk.repeated_header :] == text[chunk.start : chunk.end]
        assert how.context or not chunk.context
        covered[chunk.start : chunk.end] = b"\1" * (chunk.end - chunk.start)
    missing = [text[n] for n in range(len(text)) if not covered[n] and not text[n].isspace()]
    assert not missing
    starts = [chunk.start for chunk in chunks]
    assert how.overlap or starts == sorted(starts)
    ids = chunk_ids("doc", chunks)
    assert len(set(ids)) == len(ids)
    assert chunk_ids("doc", chunk_document(document, EMBEDDER, how)) == ids
    assert not set(chunk_ids("other", chunks)) & set(ids)


def cut(text: str, strategy: Any = "structure", size: int = 0, **options: Any) -> list[Any]:
    document = ParsedDocument((Page(1, text),), "markdown")
    return chunk_document(document, EMBEDDER, ChunkSettings(strategy, size=size, **options))


@pytest.mark.parametrize("strategy", ["structure", "paragraph", "sentence"])
def test_a_table_that_fits_stays_whole(strategy: Any) -> None:
    table = "| City | Limit |\n|---|---|\n| Vienna | 165 |\n| Leeds | 140 |"
    text = "# Hotels\n\n" + "Some words before it. " * 10 + f"\n\n{table}\n\n" + "Some words after it. " * 10
    assert any(table in chunk.text for chunk in cut(text, strategy))


def test_a_table_that_does_not_fit_is_cut_between_rows_with_its_header() -> None:
    rows = [f"| city{n} | {n} |" for n in range(40)]
    text = "\n".join(["| City | Limit |", "|---|---|", *rows])
    chunks = cut(text, size=64)
    assert len(chunks) > 2
    for chunk in chunks:
        lines = chunk.text.split("\n")
        assert lines[:2] == ["| City | Limit |", "|---|---|"]
        assert all(line in rows for line in lines[2:])
    assert [line for chunk in chunks for line in chunk.text.split("\n")[2:]] == rows


def test_structure_keeps_sections_apart_and_names_them() -> None:
    body = "There are several words in this paragraph here. " * 3
    chunks = cut(f"# Leave\n\n{body}\n\n## Carry-over\n\n{body}\n\n# Travel\n\n{body}")
    assert [chunk.headings for chunk in chunks] == [("Leave",), ("Leave", "Carry-over"), ("Travel",)]
    assert chunks[1].context == "Leave > Carry-over"
    assert chunks[1].content.startswith("Leave > Carry-over\n## Carry-over")


def test_headings_go_on_to_the_next_page() -> None:
    body = "There are several words in this paragraph here. " * 3
    document = ParsedDocument((Page(1, f"# Leave\n\n{body}"), Page(2, body)), "pdf", "Handbook")
    chunks = chunk_document(document, EMBEDDER)
    assert [(chunk.page, chunk.headings, chunk.context) for chunk in chunks] == [
        (1, ("Leave",), "Handbook > Leave"),
        (2, ("Leave",), "Handbook > Leave"),
    ]


def test_windows_of_tokens_are_exact() -> None:
    text = " ".join(f"w{n}" for n in range(200))
    chunks = cut(text, "tokens", size=32, overlap=10, context=False)
    counts = EMBEDDER.count_tokens([chunk.text for chunk in chunks])
    assert set(counts[:-1]) == {32}
    for before, after in zip(chunks, chunks[1:], strict=False):
        shared = text[after.start : before.end]
        assert len(shared.split()) == 10


def test_sentences_overlap_by_whole_sentences() -> None:
    text = " ".join(f"Sentence number {n} has these words." for n in range(30))
    chunks = cut(text, "sentence", size=40, overlap=16)
    ends = {end for _, end in sentence_spans(text)}
    starts = {start for start, _ in sentence_spans(text)}
    assert all(chunk.start in starts and chunk.end in ends for chunk in chunks)
    assert all(after.start < before.end for before, after in zip(chunks, chunks[1:], strict=False))


def test_an_overlap_for_larger_chunks_than_the_embedder_reads() -> None:
    text = " ".join(f"w{n}" for n in range(1000))
    assert len(cut(text, "tokens", size=500, overlap=250)) < 40
    assert len(cut(text, "tokens", overlap=60)) < 40


def test_a_line_without_end_takes_time_in_proportion() -> None:
    """A loop that copies the rest of the line for every chunk takes minutes for a few megabytes."""
    assert grows_linearly(lambda size: cut("word " * size), 2_500)


# -- sentences ---------------------------------------------------------------------------------------------------------


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def test_sentences() -> None:
    assert sentences("Dr. Wu left. He was late!  Why? 日本語です。はい。") == [
        "Dr. Wu left.",
        "He was late!",
        "Why?",
        "日本語です。",
        "はい。",
    ]
    assert sentences("It costs 4.50 euros e.g. on Fridays. Not on Mondays.") == [
        "It costs 4.50 euros e.g. on Fridays.",
        "Not on Mondays.",
    ]
    assert sentences(" \n ") == sentences("") == []


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from(["A b.", "C d!", " ", "\n", "e.g. ", "é🦊? ", "1.5 "])).map("".join)
)
@settings(max_examples=300, deadline=None)
def test_sentences_cover_the_text_in_order(text: str) -> None:
    spans = sentence_spans(text)
    at = 0
    for start, end in spans:
        assert at <= start < end
        assert not text[at:start].strip()
        assert text[start:end] == text[start:end].strip()
        at = end
    assert not text[at:].strip()


def test_order_of_equal_chunks_is_part_of_their_ids() -> None:
    chunks = cut("# Same\n\n" + "\n\n".join(["A paragraph that is there twice. " * 5] * 3), size=40)
    ids = chunk_ids("d", chunks)
    assert len(set(ids)) == len(ids) >= 3
    random.Random(1).shuffle(chunks)
    assert set(chunk_ids("d", chunks)) == set(ids)
