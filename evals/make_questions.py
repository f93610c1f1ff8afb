"""Questions made from the user's own documents, for those who have none: seeds that a person reads and edits.

1. Passages are chosen by coverage: document after document in turn, and within one document from another cluster of
   vectors each time. Tables of contents, scraps and repeated passages are passed over.
2. The chat model writes one question for each, with its answer. A small model that does not keep to that is given a
   sentence and the answer (a number, a date, a name in it), and has only to turn it into a question. Small models
   babble, so replies are read leniently and checked strictly: a question, in words of the passage, about no "passage",
   its answer word by word in the passage.
3. Round trip (Alberti et al. 2019, arXiv 1906.05416; here with the retriever): the passage must be among the first that
   are found for its question. A question that fits many passages falls here.
4. Unanswerable questions are answerable ones in which a name or a number was changed to one that occurs nowhere in the
   documents (cf. Rajpurkar et al. 2018, SQuAD 2.0: "entity swap"); a question without any is asked about such a name.
   No passage speaks of it, which is certain without a judge (but for rules about "everyone else": the person who edits
   them has to look out for those). They are hard, since the passage that they were made of is still found for them.

What the round trip costs: questions that this retriever cannot answer are thrown away, so retrieval looks better on the
rest than it is. Differences between configurations remain, but lean towards the one that filtered.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError, UsageError
from ..graphs.common.prompts import render_prompt
from ..models import limit_answer, model_errors
from ..retrieval.sentences import sentence_spans
from .answer_sets import share_of
from .jsonl import scan_jsonl
from .text_metrics import normalize

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from numpy.typing import NDArray

    from ..retrieval import KnowledgeBase
    from ..retrieval.retriever import KnowledgeBaseRetriever

__all__ = ("MadeQuestions", "Passage", "add_name", "change_name", "choose_passages", "make_questions", "read_reply")

ROUND_TRIP = 5
"""The passage must be among so many: what `ragloom ask` reads by default."""
ANSWER_WORDS = 12
"""Longer answers are never repeated word by word, so no metric could score them."""
REPLY_TOKENS = 96
TRIES_EACH = 4
"""Passages tried for every question wanted, at most."""
FAILURES = 3
"""So many failed calls in a row mean that the model is not there."""


# -- passages ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk of the knowledge base."""

    id: str
    source: str
    page: int
    context: str
    """Title and headings, as they are indexed in front of it."""
    text: str
    vector: NDArray[np.float32] = field(repr=False)

    @property
    def usable(self) -> bool:
        """Whether a question can be made of it: neither a scrap, nor a table of contents, nor mostly figures."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        leading = sum(bool(_LEADS_TO_PAGE.search(line)) for line in lines)
        letters = sum(char.isalpha() for char in self.text) / max(len(self.text), 1)
        return len(self.text.split()) >= 15 and leading <= len(lines) // 3 and letters >= 0.5


_LEADS_TO_PAGE = re.compile(r"(?:\.\s?){4,}\s*\d+\s*$|\s{3,}\d+\s*$")


def choose_passages(passages: Sequence[Passage], wanted: int, *, seed: int = 0) -> list[Passage]:
    """All usable passages, in an order of which every beginning covers the documents as evenly as its length allows.

    Documents take turns, in an order that the seed decides. Within a document, clusters of vectors (k-means) take
    turns, each giving the passage nearest to its middle first.
    """
    by_source: dict[str, list[Passage]] = {}
    seen: set[str] = set()
    for passage in passages:
        plain = normalize(passage.text)
        if passage.usable and plain not in seen:
            seen.add(plain)
            by_source.setdefault(passage.source, []).append(passage)
    order = sorted(by_source, key=lambda name: share_of(name, seed=seed))
    share = -(-wanted // max(len(order), 1))
    queues = [iter(_spread(by_source[name], share, seed)) for name in order]
    return list(_in_turn(queues))


def _spread(passages: list[Passage], clusters: int, seed: int) -> list[Passage]:
    if clusters <= 1 or len(passages) <= clusters:
        rank = {item.id: share_of(item.id, seed=seed) for item in passages}
        return sorted(passages, key=lambda item: rank[item.id])
    from scipy.cluster.vq import kmeans2

    matrix = np.stack([item.vector for item in passages]).astype(float)
    centres, labels = kmeans2(matrix, clusters, minit="++", rng=np.random.default_rng(seed), missing="warn")
    groups: dict[int, list[tuple[float, int]]] = {}
    for at, label in enumerate(labels):
        groups.setdefault(int(label), []).append((float(np.linalg.norm(matrix[at] - centres[label])), at))
    return list(_in_turn([iter([passages[at] for _, at in sorted(group)]) for group in groups.values()]))


def _in_turn(queues: Sequence[Iterator[Passage]]) -> Iterator[Passage]:
    waiting = list(queues)
    while waiting:
        for queue in list(waiting):
            item = next(queue, None)
            if item is None:
                waiting.remove(queue)
            else:
                yield item


def _all_passages(kb: KnowledgeBase, tenant: str) -> list[Passage]:
    from ..retrieval.store.filters import quote

    columns = ["id", "source", "page", "start", "body_at", "content", "vector"]
    rows = kb.table.snapshot().rows(f"tenant = {quote(tenant)}", columns).to_pylist()
    rows.sort(key=lambda row: (row["source"], row["start"], row["id"]))
    return [
        Passage(
            id=row["id"],
            source=row["source"],
            page=row["page"],
            context=row["content"][: row["body_at"]].strip(),
            text=row["content"][row["body_at"] :].strip(),
            vector=np.asarray(row["vector"], dtype=np.float32),
        )
        for row in rows
    ]


# -- what the model says -----------------------------------------------------------------------------------------------

_QUESTION = re.compile(r"(?:^|[\s*])(?:question|q)\s*\d*\W*?:\W*(.+)$", re.IGNORECASE | re.MULTILINE)
_ANSWER = re.compile(r"(?:^|[\s*])(?:answer|a)\s*\d*\W*?:\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_SPEAKS_OF_TEXT = re.compile(
    r"\b(?:passages?|paragraph|excerpt|author|according to|(?:the|this) (?:text|document|article|section|table)"
    r"|mentioned|described above)\b",
    re.IGNORECASE,
)
_POINTS_NOWHERE = re.compile(r"^(?:what|who|when|where|how|why|which)\b[^?]*\b(?:it|they|he|she|this|that)\?$", re.I)


def read_reply(reply: str, passage: str, context: str = "") -> tuple[str, str] | str:
    """Question and answer of a reply, or why there is none. `context` is the passage's title and headings.

    >>> read_reply("Sure! **Question:** Who may park?\\n**Answer:** Visitors.", "Visitors may park here.")
    ('Who may park?', 'Visitors')
    >>> read_reply("Question: Who?\\nAnswer: Staff", "Visitors may park here.")
    'question too short or too long'
    """
    found = _read(reply)
    if found is None:
        return "no question with an answer"
    question, answer = (" ".join(each.split()).strip(" *\"'`") for each in found)
    answer = answer.rstrip(".")
    plain, inside = normalize(answer), normalize(passage)
    checks = {
        "does not end in a question mark": not question.endswith("?") or question.count("?") > 1,
        "question too short or too long": not 3 <= len(question.split()) <= 30,
        "speaks of the text": bool(_SPEAKS_OF_TEXT.search(question)),
        "does not say what it is about": bool(_POINTS_NOWHERE.search(question)),
        "no answer, or too long": not plain or len(plain.split()) > ANSWER_WORDS,
        "answered by yes or no": plain in ("yes", "no", "true", "false"),
        "answer not in the passage": f" {plain} " not in f" {inside} ",
        "answer stands in the question": f" {plain} " in f" {normalize(question)} ",
        "is about something else": _foreign(question, f"{context} {passage}") > 0.5,
    }
    return next((reason for reason, fails in checks.items() if fails), None) or (question, answer)


def _foreign(question: str, passage: str) -> float:
    """Share of the question's words, question and function words left out, that the passage does not have."""
    words = {stem for stem in _stems(question) if stem not in _ASKING}
    return len(words - _stems(passage)) / len(words) if words else 1.0


def _stems(text: str) -> set[str]:
    import snowballstemmer

    return set(snowballstemmer.stemmer("english").stemWords(re.findall(r"\w+", text.lower())))


_ASKING = frozenset(
    re.findall(
        r"\w+",
        "what who when where how why which whose whom much mani long often do doe did is are was were be been has have "
        "had can could must may should will would the a an of in on at to for by with from and or not if as it ani "
        "there",
    )
)


def _read(reply: str) -> tuple[str, str] | None:
    try:
        start, end = reply.index("{"), reply.rindex("}") + 1
        told = json.loads(reply[start:end])
        return str(told["question"]), str(told["answer"])
    except (ValueError, KeyError, TypeError):
        pass
    question = _QUESTION.search(reply)
    answer = _ANSWER.search(reply, question.end()) if question else None
    return (question.group(1), answer.group(1)) if question and answer else None


# -- unanswerable ones -------------------------------------------------------------------------------------------------

_PLACES: tuple[str, ...] = (
    *("Reykjavik", "Montevideo", "Ulaanbaatar", "Windhoek", "Tallinn", "Asunción", "Vientiane", "Ljubljana", "Nairobi"),
    *("Helsinki", "Lima", "Riga", "Vienna", "Paris", "London", "Berlin", "Madrid", "Rome", "Lisbon", "Porto", "Leeds"),
    *("Toronto", "Sydney", "Tokyo", "Zurich", "Dublin", "Oslo", "Prague", "Warsaw", "Boston", "Chicago", "Mumbai"),
)
_COUNTRIES: tuple[str, ...] = (
    *("Iceland", "Uruguay", "Mongolia", "Namibia", "Estonia", "Paraguay", "Laos", "Slovenia", "Kenya", "Peru"),
    *("Finland", "Latvia", "Austria", "France", "Germany", "Spain", "Italy", "Portugal", "Canada", "Australia"),
    *("Japan", "Switzerland", "Ireland", "Norway", "Poland", "India", "China", "Brazil", "Mexico", "Sweden"),
)
_NAMES: tuple[str, ...] = (
    "Velmora",
    "Castrin",
    "Ordaine",
    "Tessaly",
    "Brunwick",
    "Halvorsen",
    "Quenby",
    "Marrowgate",
    "Ilvane",
    "Dorsk",
)
"""For names of any other kind: such names are borne by people, places and products alike."""
_NAME = re.compile(r"(?<![.?!:]\s)(?<=\s)[A-Z][a-z]{2,}(?:\s[A-Z][a-z]{2,})*")
_NUMBER = re.compile(r"\b[A-Z]*-?\d{3,}\b|\b[A-Z]{1,4}-\d+\b")
_CALENDAR = frozenset(
    [
        *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
        *("November", "December", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    ]
)


def change_name(question: str, passage: str, known: set[str], *, seed: int = 0) -> str | None:
    """The question with one of its names or numbers changed to one that is not among the `known` words; None where it
    has none that the passage has too.

    Small numbers are left alone: "after 7 years" may well be answered by "after 3 years or more".

        >>> change_name("What may a hotel in Vienna cost?", "Vienna: 165 euros", {"vienna"}) is None
        False
    """
    dice = random.Random(f"{seed}{question}")
    for found in [*_NUMBER.finditer(question), *_NAME.finditer(question)]:
        old = found.group()
        if old not in passage or old.removesuffix("s") in _CALENDAR:
            continue
        pool = next((group for group in (_PLACES, _COUNTRIES) if old in group), _NAMES)
        if any(char.isdigit() for char in old):
            pool = tuple(re.sub(r"\d", lambda _: str(dice.randrange(1, 10)), old) for _ in range(20))
        free = [name for name in pool if name.lower() not in known]
        if free:
            return question[: found.start()] + dice.choice(free) + question[found.end() :]
    return None


def add_name(question: str, known: set[str], *, seed: int = 0) -> str | None:
    """The question asked about a name that is not among the `known` words; None where all names are.

    >>> add_name("How long is the notice period?", set())
    'How long is the notice period at Quenby?'
    """
    free = [name for name in _NAMES if name.lower() not in known]
    return f"{question.rstrip('?').rstrip()} at {random.Random(f'{seed}{question}').choice(free)}?" if free else None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[\w-]+", text.lower())) | set(re.findall(r"\w+", text.lower()))


# -- all of it ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class MadeQuestions:
    """What was made, in this run and before."""

    folder: Path
    answerable: int = 0
    unanswerable: int = 0
    asked: int = 0
    """Passages that the model was asked about in this run."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Reason to how often, in this run and before."""
    sources: int = 0
    """Documents that the answerable questions are about."""
    documents: int = 0
    """Documents with a passage that a question can be made of."""

    def to_dict(self) -> dict[str, Any]:
        """As `ragloom eval make-questions --json` prints it."""
        told = {name: getattr(self, name) for name in ("answerable", "unanswerable", "asked", "sources", "documents")}
        return {"folder": str(self.folder), **told, "rejected": dict(self.rejected.most_common())}


def make_questions(
    kb: KnowledgeBase,
    llm: BaseChatModel,
    folder: Path,
    *,
    n: int = 50,
    unanswerable: float = 0.2,
    llm_name: str = "",
    tenant: str = "",
    seed: int = 0,
    tell: Callable[[str, int, int | None], None] = lambda text, done, total: None,
) -> MadeQuestions:
    """Makes an answer set in `folder`, or goes on with the one that is there; questions that stand there stay.

    Args:
        kb: what the questions are about.
        llm: writes them.
        folder: gets questions.jsonl, passages.jsonl, tried.jsonl (what was rejected, and why) and a README.
        n: questions wanted, unanswerable ones among them.
        unanswerable: their share.
        llm_name: as it stands in `made_by`.
        tenant: whose passages.
        seed: of the choice of passages and names.
        tell: progress.

    Raises `UsageError` where the knowledge base has no usable passage, `ModelError` where the model does not answer.
    """
    passages = _all_passages(kb, tenant)
    queue = choose_passages(passages, n, seed=seed)
    if not queue:
        raise UsageError("there is no passage to make questions of", hint="ingest documents with running text")
    work = _Work(kb.retriever(top_k=ROUND_TRIP, tenant=tenant), folder, llm_name or type(llm).__name__)
    work.begin(passages)
    made = MadeQuestions(folder, documents=len({item.source for item in queue}))
    wanted = n - round(n * unanswerable)
    most = TRIES_EACH * n
    writer = _Writer(llm, seed)
    failures = 0
    try:
        for passage in queue:
            if work.count(answerable=True) >= wanted or made.asked >= most:
                break
            if passage.id in work.tried:
                continue
            try:
                reply = writer.ask(passage)
                failures = 0
            except ModelError:
                failures += 1
                if failures >= FAILURES:
                    raise
                continue
            made.asked += 1
            work.answerable(passage, reply)
            tell("questions", work.count(answerable=True), wanted)
        known = set().union(*(_words(f"{item.context} {item.text}") for item in passages))
        work.unanswerable(n - wanted, known, {item.id: item for item in passages}, seed)
    finally:  # an interrupt leaves a whole set too
        made.answerable, made.unanswerable = work.count(answerable=True), work.count(answerable=False)
        made.rejected = Counter(reason for reason in work.tried.values() if reason != "kept")
        made.sources = len({str(row.get("source", "")) for row in work.questions if row.get("answerable", True)})
        work.finish(made)
    return made


class _Writer:
    """Asks the model: for question and answer, or, once it has shown that it cannot, for a question to an answer."""

    def __init__(self, llm: BaseChatModel, seed: int) -> None:
        self.llm = llm
        self.seed = seed
        self.astray = 0
        """Replies in a row without question and answer."""

    def ask(self, passage: Passage) -> str:
        """A reply for `read_reply`. One sentence is pointed out, so that not every question is about the first one."""
        sentences = [" ".join(passage.text[start:end].split()) for start, end in sentence_spans(passage.text)]
        told = [each for each in sentences if 5 <= len(each.split()) <= 40 and "|" not in each]
        told.sort(key=lambda each: share_of(f"{passage.id}{each}", seed=self.seed, salt="about"))
        if self.astray >= FAILURES:
            return self._to_answer(passage, told)
        reply = self._invoke(
            "make_question", passage=passage.text, context=passage.context, about=(told or [""])[0], words=ANSWER_WORDS
        )
        if _read(reply) is not None:
            self.astray = 0
            return reply
        self.astray += 1
        return self._to_answer(passage, told)

    def _to_answer(self, passage: Passage, sentences: Sequence[str]) -> str:
        for sentence in sentences:
            facts = [found.group() for pattern in _FACTS for found in pattern.finditer(sentence)]
            if facts:
                answer = facts[int(share_of(sentence, seed=self.seed) * len(facts))]
                reply = self._invoke("write_question", context=passage.context, about=sentence, answer=answer)
                first = next((line for line in reply.splitlines() if line.strip()), "")
                question = re.sub(r"^\W*question\W*:", "", first, flags=re.IGNORECASE)
                return f"Question: {question.strip()}\nAnswer: {answer}"
        return ""

    def _invoke(self, prompt: str, **variables: object) -> str:
        messages = list(_turns(render_prompt(__package__ or "", prompt, **variables)))
        with model_errors():
            limit: dict[str, Any] = dict(limit_answer(self.llm, REPLY_TOKENS))
            return str(self.llm.invoke(messages, **limit).text)


_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_FACTS = (
    re.compile(rf"\b\d{{1,2}} (?:{_MONTHS})(?: \d{{4}})?\b"),
    re.compile(r"\b(?:EUR|USD|GBP|CHF) ?\d[\d.,]*\d\b|[$€£] ?\d[\d.,]*\b"),
    re.compile(r"\b\d[\d.,:]*(?: (?:percent|[a-z]{3,}))\b"),
    re.compile(r"\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve) [a-z]{3,}\b"),
    re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)+\b"),
)
"""What a short answer can be: a date, an amount, a number with its unit, a name of several words."""


def _turns(messages: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
    """Examples as the turns that they stand for: small models follow those, not descriptions."""
    from langchain_core.messages import AIMessage, HumanMessage

    for at, message in enumerate(messages):
        asked, mark, said = str(message.text).partition("\n--- assistant\n")
        if mark and at < len(messages) - 1:  # the last one holds a passage, which may hold anything
            yield from (HumanMessage(asked), AIMessage(said))
        else:
            yield message


class _Work:
    """The folder, and what stands in it."""

    def __init__(self, retriever: KnowledgeBaseRetriever, folder: Path, made_by: str) -> None:
        self.retriever = retriever
        self.folder = folder
        self.made_by = made_by
        self.questions: list[dict[str, Any]] = []
        self.tried: dict[str, str] = {}
        """Passage (or question that a name was changed in) to what came of it."""

    def begin(self, passages: Sequence[Passage]) -> None:
        """Reads what is there, and writes the passages as they are now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.questions = [row.fields for row in self._rows("questions.jsonl")]
        self.tried = {row.text("of"): row.text("outcome") for row in self._rows("tried.jsonl")}
        for row in self.questions:
            for key in [*row.get("passage_ids", []), str(row.get("made_of", ""))]:
                self.tried.setdefault(str(key), "kept")
        lines = [{"id": p.id, "title": p.context, "text": p.text, "source": p.source, "page": p.page} for p in passages]
        draft = self.folder / ".passages.part"
        draft.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines), encoding="utf-8")
        draft.replace(self.folder / "passages.jsonl")

    def _rows(self, name: str) -> list[Any]:
        path = self.folder / name
        if not path.exists():
            return []
        problems: list[Any] = []
        rows = list(scan_jsonl(path, problems))
        if problems:  # a person's file: nothing is added to what cannot be read
            raise UsageError(str(problems[0]), hint="mend the line, or use another --out")
        return rows

    def count(self, *, answerable: bool) -> int:
        """Questions of one kind."""
        return sum(bool(row.get("answerable", True)) == answerable for row in self.questions)

    def answerable(self, passage: Passage, reply: str) -> None:
        """Keeps the question of a reply, or notes why not."""
        found = read_reply(reply, passage.text, passage.context)
        if isinstance(found, str):
            self._note(passage.id, found, reply)
            return
        question, answer = found
        if normalize(question) in {normalize(str(row.get("question", ""))) for row in self.questions}:
            self._note(passage.id, "asked before", reply)
            return
        nodes = self.retriever.retrieve(question)
        if passage.id not in [item.node.node_id for item in nodes]:
            self._note(passage.id, f"passage not among the first {ROUND_TRIP} found", reply)
            return
        quote = _sentence_with(passage.text, answer)
        # An overlapping chunk that holds the same sentence answers as well.
        others = [item.node.node_id for item in nodes if quote and quote in item.node.get_content()]
        self._keep(
            {
                "id": f"mq-{_short(passage.id)}",
                "question": question,
                "answers": [answer],
                "passage_ids": list(dict.fromkeys([passage.id, *others])),
                "answerable": True,
                "source": passage.source,
                "page": passage.page,
                "quote": " ".join(quote.split()),
                "made_by": self.made_by,
            },
            passage.id,
        )

    def unanswerable(self, wanted: int, known: set[str], passages: dict[str, Passage], seed: int) -> None:
        """Makes questions unanswerable, in an order that the seed decides, until there are enough."""
        rows = [row for row in self.questions if row.get("answerable", True)]
        for row in sorted(rows, key=lambda row: share_of(str(row.get("id")), seed=seed, salt="swap")):
            if self.count(answerable=False) >= wanted:
                return
            key = f"changed {row.get('id')}"
            of = passages.get(str(next(iter(row.get("passage_ids", [])), "")))
            if key in self.tried or of is None:
                continue
            asked = str(row["question"])
            question = change_name(asked, f"{of.context} {of.text}", known, seed=seed)
            question = question or add_name(asked, known, seed=seed)
            if question is None:
                self._note(key, "unanswerable: no name is free", asked)
                continue
            if of.id not in [item.node.node_id for item in self.retriever.retrieve(question)]:
                self._note(key, "unanswerable: nothing near is found", question)
                continue
            self._keep(
                {
                    "id": f"mq-{_short(of.id)}-u",
                    "question": question,
                    "answers": [],
                    "passage_ids": [],
                    "answerable": False,
                    "source": of.source,
                    "page": of.page,
                    "made_of": asked,
                    "made_by": f"{self.made_by}, about a name that occurs nowhere",
                },
                key,
            )

    def _keep(self, row: dict[str, Any], of: str) -> None:
        self.questions.append(row)
        self._append("questions.jsonl", row)
        self._note(of, "kept", "")

    def _note(self, of: str, outcome: str, reply: str) -> None:
        self.tried[of] = outcome
        self._append("tried.jsonl", {"of": of, "outcome": outcome, **({"reply": reply} if reply else {})})

    def _append(self, name: str, row: dict[str, Any]) -> None:
        """On the disk when this returns, so that a killed run loses nothing."""
        path = self.folder / name
        whole = not path.exists() or not path.stat().st_size or path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as stream:  # people's editors leave out the last line feed
            stream.write(("" if whole else "\n") + json.dumps(row, ensure_ascii=False) + "\n")

    def finish(self, made: MadeQuestions) -> None:
        """Writes the README."""
        from jinja2 import Environment, StrictUndefined

        source = Path(__file__).with_name("prompts") / "make_questions_readme.jinja"
        environment = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)
        template = environment.from_string(source.read_text(encoding="utf-8"))
        text = template.render(made=made, made_by=self.made_by, folder=self.folder.name)
        (self.folder / "README.md").write_text(text, encoding="utf-8")


def _sentence_with(text: str, answer: str) -> str:
    """The sentence that the answer stands in; the whole text where none holds all of it."""
    wanted = f" {normalize(answer)} "
    for start, end in sentence_spans(text):
        if wanted in f" {normalize(text[start:end])} ":
            return text[start:end]
    return text


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:10]
