"""Reading with citations: the model's tokens become sentences, and each is checked before it counts.

`read` streams: every finished sentence is judged by the critic against the passages that the model was given, and goes
out on the custom stream with its citations. Citation marks that a model writes itself (`[2]`) are taken off: what is
shown was checked. Drafters write a rationale first and then the answer (`drafting`): only the answer is shown. Under a
guard a sentence goes out when that has passed it (`speaking`), and the reading ends with the first that is blocked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from ...guarding import Finding
from ...models import limit_answer
from ...sentences import sentence_spans
from ...types import Citation, Usage, add_usage
from .asking import QUIET, failure_of
from .drafting import DraftSplitter, quoted_span
from .effects import Doing, adrive, drive
from .metering import Meter, no_usage
from .saying import SentenceSplitter, declines, unmarked
from .speaking import Speech, sentence_event
from .support import Support, SupportCritic

__all__ = ("CheckedSentence", "ReadAloud", "Reading", "aread", "check_text", "read")

_LIST_ITEM = re.compile(r"^\s*(?:(?:[-*•]|\d{1,2}[.)])\s+(?=\S)|[-*•]+\s*$)")
"""The mark before an item; a number alone, "25.", is what was said."""
MAX_SENTENCES = 12
"""A model that has said this many sentences is running on: reading stops."""
SHORT_ANSWER = 12
"""Words: a draft's answer of up to so many is one phrase, whatever full stops are in it ("Dr. No", "25.")."""
MAX_CITATIONS = 2
"""Citations per sentence: the best passage, and a second one that supports it as well."""


@dataclass(frozen=True, slots=True)
class CheckedSentence:
    """A sentence of the draft with the citations that were found for it; none where nothing supports it."""

    text: str
    citations: list[Citation]


@dataclass(slots=True)
class Reading:
    """What the model said, sentence by sentence, and what it cost."""

    draft: bool = False
    """Set before reading: the model is a drafter, which writes a rationale and then the answer."""
    sentences: list[CheckedSentence] = field(default_factory=list)
    declined: bool = False
    """The model itself said that the passages do not hold the answer."""
    failed: str = ""
    """Why the model broke off; what it had said before counts."""
    blocked: Finding | None = None
    """What a guard ended it by: nothing is read after that."""
    unjudged: str = ""
    """Why the critic failed; the sentences that it did not judge count as unsupported."""
    usage: Usage = field(default_factory=no_usage)
    first_token_ms: float = 0.0

    @property
    def supported(self) -> list[CheckedSentence]:
        """The sentences that may be shown."""
        return [sentence for sentence in self.sentences if sentence.citations]


class _Checker:
    """Turns sentences into checked ones, dropping repetitions (small models repeat themselves)."""

    def __init__(self, question: str, passages: Sequence[Document], critic: SupportCritic, reading: Reading) -> None:
        self.question, self.passages, self.critic, self.reading = question, passages, critic, reading
        self.seen: set[str] = set()

    @property
    def full(self) -> bool:
        """Whether enough was said."""
        return len(self.reading.sentences) >= MAX_SENTENCES or self.reading.blocked is not None

    def check(self, raw: str, quote: str = "") -> CheckedSentence | None:
        """The sentence with its citations; None where it says nothing. `quote` is the model's own for it."""
        text = unmarked(raw)
        text = text if self.reading.draft else _LIST_ITEM.sub("", text).strip()
        key = " ".join(re.findall(r"\w+", text.lower()))
        if not key or key in self.seen:
            return None
        self.seen.add(key)
        if declines(text):
            self.reading.declined = True
            return None
        found = self._quoted(text, quote) or self._support(text, self.passages)
        citations = [
            _citation(text, self.passages[support.passage], support.start, support.end, support.score)
            for support in found[:MAX_CITATIONS]
            if support.score >= self.critic.threshold and support.score >= found[0].score
        ]
        sentence = CheckedSentence(text, citations)
        self.reading.sentences.append(sentence)
        return sentence

    def _quoted(self, text: str, quote: str) -> list[Support]:
        """Support by the model's own quote, where it stands in a passage and the critic agrees."""
        for index, passage in enumerate(self.passages):
            if not (span := quoted_span(quote, passage.page_content)):
                continue
            alone = Document(passage.page_content[slice(*span)], metadata=passage.metadata)
            found = self._support(text, [alone])
            if found and found[0].score >= self.critic.threshold:
                best = found[0]
                return [Support(index, span[0] + best.start, span[0] + best.end, best.score)]
        return []

    def _support(self, text: str, passages: Sequence[Document]) -> list[Support]:
        """What the critic finds. Where it fails nothing is known, and what is not known to be true is not shown."""
        try:
            return self.critic.support(text, self.question, passages)
        except Exception as error:
            self.reading.unjudged = failure_of(error)
            return []


def _citation(sentence: str, passage: Document, start: int, end: int, score: float) -> Citation:
    return Citation(
        sentence=sentence,
        id=passage.id or "",
        source=str(passage.metadata.get("source", "")),
        page=_page(passage.metadata.get("page")),
        quote=passage.page_content[start:end],
        score=score,
    )


def _page(value: Any) -> int:
    """A page number; 1 where there is none, or none that counts ("iv")."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 1


class _Listener:
    """Takes the model's pieces, and yields checked sentences as they are finished."""

    def __init__(self, checker: _Checker) -> None:
        self.checker, self.splitter = checker, SentenceSplitter()

    @property
    def full(self) -> bool:
        """Whether enough was said."""
        return self.checker.full

    def feed(self, text: str) -> Iterator[CheckedSentence]:
        yield from self._checked(self.splitter.feed(text))

    def close(self) -> Iterator[CheckedSentence]:
        yield from self._checked(self.splitter.close())

    def _checked(self, sentences: Iterator[str]) -> Iterator[CheckedSentence]:
        for raw in sentences:
            if not self.checker.full and (checked := self.checker.check(raw)):
                yield checked


class _DraftListener:
    """The same for a drafter: its answer is checked when its line is whole, with its rationale as the first quote."""

    def __init__(self, checker: _Checker) -> None:
        self.checker, self.splitter = checker, DraftSplitter()

    @property
    def full(self) -> bool:
        """Whether the draft is whole: a drafter that goes on says nothing that counts."""
        return self.splitter.whole

    def feed(self, text: str) -> Iterator[CheckedSentence]:
        self.splitter.feed(text)
        return iter(())

    def close(self) -> Iterator[CheckedSentence]:
        draft = self.splitter.draft()
        if draft.abstained:
            self.checker.reading.declined = True
            return
        is_phrase = len(draft.answer.split()) <= SHORT_ANSWER
        spans = [(0, len(draft.answer))] if is_phrase else sentence_spans(draft.answer)
        for start, end in spans:
            if not self.checker.full and (checked := self.checker.check(draft.answer[start:end], draft.rationale)):
                yield checked


def _listener(checker: _Checker) -> _Listener | _DraftListener:
    return _DraftListener(checker) if checker.reading.draft else _Listener(checker)


def read(
    llm: BaseChatModel,
    messages: list[BaseMessage],
    question: str,
    passages: Sequence[Document],
    critic: SupportCritic,
    reading: Reading,
    *,
    max_tokens: int,
    deadline: float | None = None,
    quiet: bool = False,
) -> Iterator[CheckedSentence]:
    """Streams the model's answer; yields each checked sentence and fills `reading`, also with why the model failed.

    `deadline` is a `time.monotonic`, after which nothing more is read; `quiet` keeps the tokens out of streams.
    """
    listener = _listener(_Checker(question, passages, critic, reading))
    meter = Meter(llm, most=max_tokens, deadline=deadline)
    try:
        for chunk in llm.stream(messages, **_limit(llm, max_tokens, quiet)):
            if listener.full or meter.over:
                break
            yield from listener.feed(meter.take(chunk))
        else:
            meter.ended = True
    except Exception as error:
        reading.failed = failure_of(error)
    yield from listener.close()
    _close(reading, meter, messages)


async def aread(
    llm: BaseChatModel,
    messages: list[BaseMessage],
    question: str,
    passages: Sequence[Document],
    critic: SupportCritic,
    reading: Reading,
    *,
    max_tokens: int,
    deadline: float | None = None,
    quiet: bool = False,
) -> AsyncIterator[CheckedSentence]:
    """`read`, asynchronously."""
    listener = _listener(_Checker(question, passages, critic, reading))
    meter = Meter(llm, most=max_tokens, deadline=deadline)
    try:
        async for chunk in llm.astream(messages, **_limit(llm, max_tokens, quiet)):
            if listener.full or meter.over:
                break
            # A trained critic computes: not on the event loop.
            for sentence in await asyncio.to_thread(_all, listener.feed, meter.take(chunk)):
                yield sentence
        else:
            meter.ended = True
    except Exception as error:
        reading.failed = failure_of(error)
    for sentence in await asyncio.to_thread(_all, listener.close):
        yield sentence
    await asyncio.to_thread(_close, reading, meter, messages)


def _all(function: Callable[..., Iterator[CheckedSentence]], *given: str) -> list[CheckedSentence]:
    return list(function(*given))


def check_text(text: str, question: str, passages: Sequence[Document], critic: SupportCritic, reading: Reading) -> None:
    """Fills `reading` with the checked sentences of a text, or of a draft, that a model has finished before."""
    listener = _listener(_Checker(question, passages, critic, reading))
    for _ in (*listener.feed(text), *listener.close()):
        pass  # each stands in `reading` already


def _limit(llm: BaseChatModel, tokens: int, quiet: bool) -> dict[str, Any]:
    return {**limit_answer(llm, tokens), **({"config": QUIET} if quiet else {})}


def _close(reading: Reading, meter: Meter, messages: Sequence[BaseMessage]) -> None:
    meter.close(messages)
    reading.usage = add_usage(reading.usage, meter.usage)
    reading.first_token_ms = meter.first_token_ms


@dataclass(frozen=True, slots=True)
class ReadAloud:
    """The effect of a reading: fills `reading`, and hands every supported sentence to `write` as it comes.

    With a `speech` it is that which says them: then of the supported sentences `reading` has those that were said.
    """

    llm: BaseChatModel
    messages: list[BaseMessage]
    question: str
    passages: Sequence[Document]
    critic: SupportCritic
    reading: Reading
    max_tokens: int
    deadline: float | None
    write: Callable[[Any], None]
    speech: Speech | None = None
    quiet: bool = False

    def _told(self) -> dict[str, Any]:
        return {"max_tokens": self.max_tokens, "deadline": self.deadline, "quiet": self.quiet}

    def run(self) -> None:
        """Blocking."""
        asked = (self.llm, self.messages, self.question, self.passages, self.critic, self.reading)
        sentences = read(*asked, **self._told())
        if self.speech is None:
            for sentence in sentences:
                self._say(sentence)
        else:
            self._keep([drive(self._said(sentence, self.speech)) for sentence in sentences])

    async def arun(self) -> None:
        """Awaited."""
        asked = (self.llm, self.messages, self.question, self.passages, self.critic, self.reading)
        sentences = aread(*asked, **self._told())
        if self.speech is None:
            async for sentence in sentences:
                self._say(sentence)
        else:
            self._keep([await adrive(self._said(sentence, self.speech)) async for sentence in sentences])

    def _is_shown(self, sentence: CheckedSentence) -> bool:
        return bool(sentence.citations) or not self.passages

    def _say(self, sentence: CheckedSentence) -> None:
        if self._is_shown(sentence):
            self.write(sentence_event(sentence.text, sentence.citations))

    def _said(self, sentence: CheckedSentence, speech: Speech) -> Doing[CheckedSentence | None]:
        """What was said of it; a sentence that is not shown stays as it is, until the speech has ended."""
        if self.reading.blocked or not self._is_shown(sentence):
            return None if self.reading.blocked else sentence
        said = yield from speech.say(sentence.text, sentence.citations)
        self.reading.blocked = speech.blocked
        return CheckedSentence(said["text"], said["citations"]) if said else None

    def _keep(self, said: Sequence[CheckedSentence | None]) -> None:
        self.reading.sentences = [sentence for sentence in said if sentence is not None]
        if self.reading.blocked:
            self.reading.declined = False  # whatever came after it
