"""Summaries: what is meant, how it is cut, what the answer rests on, and who may see it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from sources_kit import nodes_of
from strategy_kit import Shelf, check, within
from tasks_kit import entry, small_base, told

from ragloom.agents.tasks import KnowledgeBaseLibrary, LibraryEntry, summary_rag
from ragloom.agents.tasks.summary.matching import label_of, meant
from ragloom.agents.tasks.summary.windows import first, windows_of
from ragloom.errors import UsageError
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

HOTELS = "Hotels in Vienna are paid up to 165 euros a night."
TRIPS = "Trips are booked with Northgate Travel."
ROSES = "The roses in the garden are watered at dawn."


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    return small_base(tmp_path_factory.mktemp("summaries"))


def ask(retriever: Any, question: str, *replies: Any, **options: Any) -> tuple[Any, FakeChatModel]:
    if isinstance(retriever, KnowledgeBase):
        retriever = retriever.retriever(mode="bm25")
    llm = FakeChatModel(replies=list(replies) or ["I don't know."])
    result = summary_rag(retriever, llm, **options).invoke({"question": question})
    check(result)
    within(result, options.get("budget") or Budget())
    return result, llm


class Books:
    """Documents of so many passages, each about a room of its own."""

    def __init__(self, *lengths: int, headings: int = 1, words: int = 80) -> None:
        self.texts = {f"book{number}": length for number, length in enumerate(lengths)}
        self.headings, self.words = headings, words

    def entries(self) -> list[LibraryEntry]:
        return [entry(f"{name}.md", f"Book {name[4:]}") for name in self.texts]

    def passages(self, doc_ids: Any) -> dict[str, list[Document]]:
        return {each.doc_id: self._of(each) for each in self.entries() if each.doc_id in doc_ids}

    def _of(self, each: LibraryEntry) -> list[Document]:
        name = each.source.removesuffix(".md")
        count = self.texts[name]
        return [
            Document(
                f"Room {at} of {name} holds {at + 100} lamps." + " The floor is clean." * (self.words // 5),
                id=f"{name}-{at}",
                metadata={
                    "source": each.source,
                    "page": 1,
                    "doc_id": each.doc_id,
                    "title": each.title,
                    "headings": f"Part {at * self.headings // count} > Room {at}",
                    "start": 100 * at,
                    "score": 1.0,
                    "score_kind": "position",
                },
            )
            for at in range(count)
        ]


# -- what is meant -----------------------------------------------------------------------------------------------------

SHELF = [
    entry("garden.txt"),
    entry("hr/leave-policy.md", "Leave policy"),
    entry("2024/travel-policy.md", "Travel policy"),
    entry("2025/travel-policy.md", "Travel policy"),
    entry("travel-policy-annex.pdf", "Annex to the travel policy"),
    entry("minutes/may.md", "Minutes of May", "board"),
    entry("minutes/june.md", "Minutes of June", "board"),
]


@pytest.mark.parametrize(
    ("request_", "scope", "sources"),
    [
        ("Summarise the leave policy.", "documents", ["hr/leave-policy.md"]),
        ("Summarise garden.txt", "documents", ["garden.txt"]),
        ("Sum up the 2025 travel policy", "documents", ["2025/travel-policy.md"]),
        ("Summarise the travel policy", "unclear", ["2024/travel-policy.md", "2025/travel-policy.md"]),
        ("Give me an overview of the annex to the travel policy", "documents", ["travel-policy-annex.pdf"]),
        ("What are the main points of the annex?", "documents", ["travel-policy-annex.pdf"]),
        ("Summarise the minutes", "unclear", ["minutes/may.md", "minutes/june.md"]),
        ("Summarise the minutes of May and the leave policy", "documents", ["hr/leave-policy.md", "minutes/may.md"]),
        ("Summarise the board collection", "collection", ["minutes/june.md", "minutes/may.md"]),
        ("Give me an overview of all the documents", "collection", [each.source for each in SHELF]),
        ("tl;dr", "collection", [each.source for each in SHELF]),
        ("Summarise what is said about parental leave in Leeds", "topic", []),
        ("Summarise the rules for pets", "topic", []),
        ("Summarise the pet policy", "topic", []),
        ("Summarise travel-policy-annex.pdf and garden.txt", "documents", ["garden.txt", "travel-policy-annex.pdf"]),
    ],
)
def test_what_is_meant(request_: str, scope: str, sources: list[str]) -> None:
    found = meant(request_, SHELF)
    assert (found.scope, sorted(each.source for each in found.entries)) == (scope, sorted(sources)), found.reason


def test_a_name_of_words_that_ask_is_not_meant_by_them() -> None:
    shelf = [entry("overview.md", "Overview"), entry("main.md"), entry("policy.md")]
    for request_ in ("Give me an overview of all documents.", "What are the main points of all files?"):
        assert (meant(request_, shelf).scope, len(meant(request_, shelf).entries)) == ("collection", 3)
    assert meant("Sum up overview.md", shelf).entries == (shelf[0],)
    assert meant("Summarise the policy.", shelf).entries == (shelf[2],)
    assert meant("Summarise the pet policy.", shelf).scope == "topic"  # half a name is another document's


WORDS = st.lists(
    st.sampled_from(["leave", "travel", "policy", "2024", "garden", "annex", "of", "the", "summarise", "documents"]),
    max_size=6,
)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=5), WORDS)
def test_the_law_of_meaning(names: list[tuple[list[str], list[str]]], request_: list[str]) -> None:
    """Only what is on the shelf is ever meant; each document once; one that is unclear has a rival."""
    shelf = [
        LibraryEntry(str(at), f"{'-'.join(source)}.md", " ".join(title)) for at, (source, title) in enumerate(names)
    ]
    found = meant(" ".join(request_), shelf)
    assert set(found.entries) <= set(shelf) and len(set(found.entries)) == len(found.entries)
    assert {"documents": len(found.entries) > 0, "unclear": len(found.entries) > 1}.get(found.scope, True)
    assert found.scope != "topic" or not found.entries
    assert len({label_of(each, shelf) for each in shelf}) == len(shelf)


def test_where_several_may_be_meant_it_asks_back(kb: KnowledgeBase) -> None:
    result, llm = ask(kb, "Summarise the policy.")
    assert result["answer"] == "Do you mean Leave policy or Travel policy?"
    assert (result["abstained"], llm.calls, nodes_of(result)) == (True, [], ["choose", "ask_back"])


# -- windows -----------------------------------------------------------------------------------------------------------


def size(passage: Document) -> int:
    return int(passage.metadata["size"])


@given(
    st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=8), max_size=8), st.integers(1, 6), st.integers(1, 60)
)
def test_the_law_of_windows(sizes: list[list[int]], most: int, room: int) -> None:
    runs = [
        [Document("", id=f"{run}-{at}", metadata={"size": each, "at": (run, at)}) for at, each in enumerate(own)]
        for run, own in enumerate(sizes)
    ]
    windows = windows_of(runs, size, most=most, room=room)
    places = [passage.metadata["at"] for window in windows for passage in window]
    assert len(windows) <= most and all(windows)
    assert all(before < after for before, after in pairwise(places))  # in order, each once
    assert all(len(window) == 1 or sum(map(size, window)) <= room for window in windows)
    if sizes:
        assert places[0] == (0, 0)
        if len({run for run, _ in places}) > 1:  # what is left out is not the end
            assert places[-1][0] == len(sizes) - 1
    total = sum(map(sum, sizes))
    if total <= room:
        assert len(places) == sum(map(len, sizes))
    if total <= room * most and all(sum(own) <= room for own in sizes):  # then no run is cut
        whole = [{passage.metadata["at"][0] for passage in window} for window in windows]
        assert len([run for window in whole for run in window]) == len(set().union(*whole, set()))


def test_a_single_window_is_of_the_whole_text() -> None:
    runs = [[Document("", id=f"{run}-{at}", metadata={"size": 10}) for at in range(4)] for run in range(6)]
    (window,) = windows_of(runs, size, most=1, room=40)
    assert [each.id for each in window] == ["0-0", "1-0", "3-0", "5-0"]
    (window,) = windows_of(runs, size, most=1, room=40, keep=first)
    assert [each.id for each in window] == ["0-0", "1-0", "2-0", "3-0"]


# -- the answer --------------------------------------------------------------------------------------------------------


def test_what_fits_is_read_at_once_and_every_sentence_cites(kb: KnowledgeBase) -> None:
    result, llm = ask(kb, "Summarise the travel policy.", f"{HOTELS} {TRIPS} Dogs travel for free.")
    assert result["answer"] == f"{HOTELS} {TRIPS}"
    assert [each["quote"] for each in result["citations"]] == [HOTELS, TRIPS]
    assert {each.metadata["source"] for each in result["documents"]} == {"travel-policy.md"}
    assert (len(llm.calls), told(result, "choose")["decision"]) == (1, "documents: Travel policy")


def test_a_collection_is_read_document_by_document(kb: KnowledgeBase) -> None:
    result, _ = ask(kb, "Give me an overview of all documents.", f"{ROSES} {HOTELS}")
    assert result["answer"] == f"{ROSES} {HOTELS}"
    assert [each["source"] for each in result["citations"]] == ["garden.txt", "travel-policy.md"]


def test_a_topic_is_searched_for_and_kept_to(kb: KnowledgeBase) -> None:
    result, _ = ask(kb, "Give me a summary of the rules for roses.", f"{ROSES} {HOTELS}")
    assert nodes_of(result) == ["choose", "retrieve", "gather", "sum_up", "read", "cite"]
    assert (result["answer"], told(result, "choose")["decision"]) == (ROSES, "the topic: rules roses")
    result, _ = ask(Shelf("garden.md", "travel.md"), "Sum up what is said of hotels in Vienna.", f"{ROSES} {HOTELS}")
    assert result["answer"] == HOTELS  # the roses stand in the passages, and are not what was asked for
    assert "no library" in told(result, "choose")["reason"]


SMALL = Budget(llm_calls=5, tokens=3000)


def by_prompt(part: str, whole: str) -> Any:
    def reply(messages: Any) -> str:
        text = str(messages[-1].text)
        first = text.partition("Room ")[2].partition(" ")[0]
        return part.format(room=first, lamps=int(first) + 100) if "Summary of this part" in text else whole

    return reply


def test_a_long_document_is_summed_up_along_its_sections() -> None:
    books = Books(40, headings=4)
    llm = FakeChatModel(
        replies=by_prompt("Room {room} of book0 holds {lamps} lamps.", "Room 0 of book0 holds 100 lamps.")
    )
    result = summary_rag(Shelf(), llm, library=books, budget=SMALL).invoke({"question": "Summarise book 0."})
    check(result)
    within(result, SMALL)
    assert result["answer"].startswith("Room 0 of book0 holds 100 lamps.")
    assert told(result, "sum_up")["decision"] == "4 of 4 windows" and len(llm.calls) == 5
    contexts = [context for context, _ in told(result, "sum_up")["details"]["summaries"]]
    assert contexts == [f"Book 0: Part {part}" for part in range(4)]
    assert "Room 0 of book0 holds 100 lamps." in llm.prompts()[-1] and "The floor" not in llm.prompts()[-1]


def test_the_answer_says_what_the_budget_left_out() -> None:
    llm = FakeChatModel(
        replies=by_prompt("Room {room} of book0 holds {lamps} lamps.", "Room 0 of book0 holds 100 lamps.")
    )
    graph = summary_rag(Shelf(), llm, library=Books(300), budget=SMALL)
    result = graph.invoke({"question": "Summarise book 0."})
    check(result)
    within(result, SMALL)
    kept = len(result["documents"])
    assert 4 <= kept < 300 and result["answer"].endswith(f"Only {kept} of 300 passages were read.")
    starts = [each.metadata["start"] for each in result["documents"]]
    assert starts == sorted(starts) and starts[0] == 0 and starts[-1] > 20_000  # over the whole text


def test_no_more_documents_than_allowed() -> None:
    llm = FakeChatModel(replies=["Room 0 of book0 holds 100 lamps."])
    graph = summary_rag(Shelf(), llm, library=Books(1, 1, 1, 1), most_documents=2)
    result = graph.invoke({"question": "Summarise all documents."})
    check(result)
    assert result["answer"] == "Room 0 of book0 holds 100 lamps. This covers 2 of 4 documents: Book 0, Book 3."
    assert [each.metadata["title"] for each in result["documents"]] == ["Book 0", "Book 3"]


def test_what_falls_out_of_the_readers_prompt_is_said_too() -> None:
    """Parts without a summary are read themselves, and do not all fit."""

    def reply(messages: Any) -> Any:
        if "Summary of this part" in str(messages[-1].text):
            return ConnectionError("gone")
        return "Room 0 of book0 holds 100 lamps."

    llm = FakeChatModel(replies=reply, context_window=1200)
    budget = Budget(llm_calls=5, tokens=20_000)
    graph = summary_rag(Shelf(), llm, library=Books(10, 10, 10, 10), budget=budget)
    result = graph.invoke({"question": "Summarise all documents."})
    check(result)
    kept, gathered = len(result["documents"]), told(result, "gather")["decision"]
    assert kept < int(gathered.split()[0]) and result["answer"].endswith(f"Only {kept} of 40 passages were read.")


def test_documents_that_are_not_read_are_not_covered() -> None:
    llm = FakeChatModel(replies=["Room 0 of book0 holds 100 lamps."])
    graph = summary_rag(Shelf(), llm, library=Books(*[4] * 12), budget=Budget(llm_calls=1, tokens=1000))
    result = graph.invoke({"question": "Summarise all documents."})
    check(result)
    read = list(dict.fromkeys(each.metadata["title"] for each in result["documents"]))
    assert 2 < len(read) < 12 and {"Book 0", "Book 11"} <= set(read)
    assert f"This covers {len(read)} of 12 documents: {', '.join(read[:5])}" in result["answer"]
    assert f"Only {len(result['documents'])} of 48 passages were read." in result["answer"]


@pytest.mark.parametrize("whole", ["Everything is made of gold.", "", "I don't know."])
def test_where_nothing_of_the_whole_is_supported_the_parts_are_the_answer(whole: str) -> None:
    llm = FakeChatModel(replies=by_prompt("Room {room} of book0 holds {lamps} lamps. It rains.", whole))
    result = summary_rag(Shelf(), llm, library=Books(40, headings=4), budget=SMALL).invoke(
        {"question": "Sum up book 0."}
    )
    check(result)
    assert "Room 0 of book0 holds 100 lamps. Room 10 of book0 holds 110 lamps." in result["answer"]
    assert "gold" not in result["answer"] and "rains" not in result["answer"] and len(result["citations"]) == 4


@pytest.mark.parametrize("question", ["Summarise the rules for pets", "Summarise the pet policy."])
def test_the_parts_are_kept_to_the_topic_too(question: str) -> None:
    class Hotels(Shelf):
        def _retrieve(self, query_bundle: Any) -> Any:
            found = super()._retrieve(query_bundle)
            for each in found:
                each.node.set_content(f"The policy rules: {HOTELS} " + "The floor is clean. " * 40)
            return found

    llm = FakeChatModel(replies=lambda messages: HOTELS, context_window=600)
    shelf = Hotels("garden.md", "travel.md", "leave.md")
    result = summary_rag(shelf, llm, budget=Budget(llm_calls=4, tokens=20_000)).invoke({"question": question})
    check(result)
    assert told(result, "sum_up")["decision"].endswith("windows")  # each has a summary, and it is of hotels
    assert result["abstained"] and "Vienna" not in result["answer"]


@pytest.mark.parametrize("part", ["", "Nothing.", ConnectionError("gone")])
def test_a_part_without_a_summary_is_read_itself(part: Any) -> None:
    def reply(messages: Any) -> Any:
        return part if "Summary of this part" in str(messages[-1].text) else "Room 0 of book0 holds 100 lamps."

    llm = FakeChatModel(replies=reply)
    result = summary_rag(Shelf(), llm, library=Books(40, headings=4), budget=SMALL).invoke(
        {"question": "Sum up book 0."}
    )
    check(result)
    assert result["answer"].startswith("Room 0 of book0 holds 100 lamps.")
    assert "4 without a summary are read themselves" in told(result, "sum_up")["reason"]


@pytest.mark.parametrize("budget", [Budget(llm_calls=0), Budget(tokens=10), Budget(seconds=0.0)])
def test_without_a_budget_it_abstains_and_shows_passages(kb: KnowledgeBase, budget: Budget) -> None:
    result, llm = ask(kb, "Summarise the travel policy.", HOTELS, budget=budget)
    assert (result["abstained"], llm.calls) == (True, [])
    assert result["documents"] and "passages were read" not in result["answer"]


def test_a_model_that_is_gone_is_told(kb: KnowledgeBase) -> None:
    result, _ = ask(kb, "Summarise the travel policy.", ConnectionError("the server hung up"))
    assert result["abstained"] and "the server hung up" in result["error"]


# -- scope -------------------------------------------------------------------------------------------------------------


def test_a_tenant_sees_its_own_documents_only(kb: KnowledgeBase) -> None:
    for retriever, sources in (
        (kb.retriever(mode="bm25"), ["garden.txt", "hr/leave-policy.md", "travel-policy.md"]),
        (kb.retriever(mode="bm25", tenant="other"), ["merger.md"]),
        (kb.retriever(mode="bm25", tenant="nobody"), []),
        (kb.retriever(mode="bm25", tenant="x' OR '1'='1"), []),
    ):
        library = KnowledgeBaseLibrary.seen_by(retriever)
        assert [each.source for each in library.entries()] == sources
        everything = [each.doc_id for each in kb.documents(tenant=None)]
        assert {each.metadata["source"] for own in library.passages(everything).values() for each in own} == set(
            sources
        )


def test_neither_the_answer_nor_the_question_back_tells_of_others(kb: KnowledgeBase) -> None:
    for question in ("Summarise the merger plan.", "Summarise all documents.", "Summarise the plan."):
        result, llm = ask(kb, question, "The merger with Acme is planned for June.")
        shown = " ".join([*llm.prompts(), result["answer"], str(result["documents"])])
        assert "Merger plan" not in shown and "merger.md" not in shown
        assert result["abstained"]  # what the model says of it has no support in what may be seen
    mine, _ = ask(
        kb.retriever(mode="bm25", tenant="other"),
        "Summarise the merger plan.",
        "The merger with Acme is planned for June.",
    )
    assert mine["citations"][0]["source"] == "merger.md"


def test_filters_and_collections_narrow_what_is_seen(kb: KnowledgeBase, tmp_path: Path) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key="format", value="text")])
    for library in (
        KnowledgeBaseLibrary.seen_by(kb.retriever(mode="bm25", filters=filters)),
        KnowledgeBaseLibrary(kb, filters=filters),
    ):
        assert [each.source for each in library.entries()] == ["garden.txt"]
    assert KnowledgeBaseLibrary(kb, collection="elsewhere").entries() == []
    empty = KnowledgeBaseLibrary(KnowledgeBase(tmp_path / "none"))
    assert (empty.entries(), empty.passages(["x"])) == ([], {})


def test_passages_stand_in_the_order_of_the_text(kb: KnowledgeBase) -> None:
    library = KnowledgeBaseLibrary(kb)
    for each in library.entries():
        (own,) = library.passages([each.doc_id]).values()
        starts = [passage.metadata["start"] for passage in own]
        assert starts == sorted(starts) and len(own) == each.passages
        assert {passage.metadata["doc_id"] for passage in own} == {each.doc_id}


def test_misuse() -> None:
    with pytest.raises(UsageError, match="list is no library"):
        summary_rag(Shelf(), FakeChatModel(), library=[])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="most_documents is 0"):
        summary_rag(Shelf(), FakeChatModel(), most_documents=0)
