"""The trained support critic: what decides, which quote is shown, what the guard refuses; and drafts as answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artifact_kit import make_artifact, make_base
from langchain_core.documents import Document
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from ragloom.errors import ArtifactError, UnknownModelError
from ragloom.graphs import naive_rag
from ragloom.graphs.common.drafting import DraftSplitter, quoted_span
from ragloom.graphs.common.support import OverlapCritic, held_share, quote_windows
from ragloom.graphs.common.support_mixture import SupportMixture
from ragloom.graphs.common.trained_support import TrainedSupportCritic, load_support_critic
from ragloom.models.drafts import ABSTENTION
from ragloom.models.pair_classifier import load_pair_classifier
from ragloom.models.pair_text import claim_text, passage_text
from ragloom.testing import FakeChatModel

LEAVE = "Full-time staff get 25 days of annual leave. Leave is taken by 31 March. The ombudsperson is Leonor Pinto."
TRAVEL = "Hotels in Vienna are paid up to 165 euros a night. Trips are booked with Northgate Travel."
QUESTION = "How many days of annual leave do staff get?"
SAID = "Staff get 25 days of leave."
CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = f"{LEAVE} {TRAVEL} {QUESTION} {SAID}".replace(".", " ").replace("?", " ").replace("-", " ")
    return make_base(tmp_path_factory.mktemp("base") / "bert", words=words)


@pytest.fixture(scope="module")
def spec(base: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"support:{make_artifact(tmp_path_factory.mktemp('support'), base, 'support', thresholds={'fully': 0.3})}"


def fully(spec: str, claim: str, *texts: str) -> list[float]:
    classifier = load_pair_classifier(spec, "support", **CPU)
    return [float(value) for value in classifier.probabilities([(claim, text) for text in texts])[:, 0]]


def critic_of(spec: str, **options: Any) -> TrainedSupportCritic:
    return TrainedSupportCritic(load_pair_classifier(spec, "support", **CPU), **options)


def test_the_probability_of_fully_decides(spec: str) -> None:
    scores = fully(spec, claim_text(SAID, QUESTION), LEAVE, TRAVEL)
    assert abs(scores[0] - scores[1]) > 1e-4
    passages = [Document(LEAVE), Document(TRAVEL)]
    everything = critic_of(spec, threshold=0.0, guard=False).support(SAID, QUESTION, passages)
    assert {item.passage: item.score for item in everything} == pytest.approx(dict(enumerate(scores)), abs=1e-4)
    assert [item.score for item in everything] == sorted((item.score for item in everything), reverse=True)
    between = critic_of(spec, threshold=sum(scores) / 2, guard=False).support(SAID, QUESTION, passages)
    assert [item.passage for item in between] == [int(np.argmax(scores))]
    assert critic_of(spec, threshold=1.01, guard=False).support(SAID, QUESTION, passages) == []


def test_the_threshold_is_the_artifacts(spec: str, base: Path, tmp_path: Path) -> None:
    assert load_support_critic(spec, **CPU).threshold == 0.3
    assert load_support_critic(spec, threshold=0.9, **CPU).threshold == 0.9
    plain = make_artifact(tmp_path / "plain", base, "support")
    assert load_support_critic(f"support:{plain}", **CPU).threshold == 0.5
    assert isinstance(load_support_critic("overlap"), OverlapCritic)
    fingerprints = {critic_of(spec, **given).fingerprint for given in ({}, {"threshold": 0.9}, {"guard": False})}
    assert len(fingerprints) == 3


@pytest.mark.parametrize(
    ("sentence", "question", "passes"),
    [
        (SAID, QUESTION, True),
        ("25 days.", QUESTION, True),
        ("Staff get 30 days of leave.", QUESTION, False),
        ("The ombudsperson is Marta Silva.", "Who is the ombudsperson?", False),
        ("The ombudsperson is Leonor Pinto.", "Who is the ombudsperson?", True),
        ("Staff get 30 days.", "Do staff get 30 days?", True),  # the number is the question's: the classifier decides
        (QUESTION, QUESTION, False),
        ("Yes.", "Do staff get leave?", True),
        ("!!!", QUESTION, False),
        ("", QUESTION, False),
    ],
)
def test_the_guard_refuses_wrong_numbers_names_and_echoes(
    spec: str, sentence: str, question: str, passes: bool
) -> None:
    """With threshold 0 the classifier would let everything pass."""
    found = critic_of(spec, threshold=0.0).support(sentence, question, [Document(LEAVE)])
    assert bool(found) == passes


def test_a_name_may_stand_above_the_passage(spec: str) -> None:
    critic = critic_of(spec, threshold=0.0)
    sentence, question = "It is Northgate Travel.", "Which agency is it?"
    assert not critic.support(sentence, question, [Document("Trips are booked there.")])
    assert critic.support(
        sentence, question, [Document("Trips are booked there.", metadata={"title": "Northgate Travel"})]
    )


def test_the_quote_is_the_best_window_and_stands_in_the_passage(spec: str) -> None:
    [found] = critic_of(spec, threshold=0.0).support(SAID, QUESTION, [Document(LEAVE)])
    windows = [(start, end, width) for start, end, _, width in quote_windows(LEAVE)]
    assert len(windows) == 6
    scores = fully(spec, claim_text(SAID, QUESTION), *(LEAVE[start:end] for start, end, _ in windows))
    worth = [score - 0.05 * width for score, (_, _, width) in zip(scores, windows, strict=True)]
    assert (found.start, found.end) == windows[int(np.argmax(worth))][:2]


def test_of_a_long_passage_the_best_window_of_sentences_counts(base: Path, tmp_path: Path) -> None:
    made = f"support:{make_artifact(tmp_path / 'short', base, 'support', max_tokens=32)}"
    long = " ".join([TRAVEL, LEAVE] * 6)
    [found] = critic_of(made, threshold=0.0, guard=False).support(SAID, QUESTION, [Document(long)])
    whole = fully(made, claim_text(SAID, QUESTION), long)[0]
    assert found.score > whole + 1e-4  # the classifier alone reads the beginning only
    assert long[found.start : found.end]


def test_the_title_is_read_with_the_passage(spec: str) -> None:
    passage = Document("Leave is taken by 31 March.", metadata={"title": "annual days"})
    [found] = critic_of(spec, threshold=0.0, guard=False).support(SAID, QUESTION, [passage])
    seen = passage_text(passage.page_content, "annual days")
    assert found.score == pytest.approx(fully(spec, claim_text(SAID, QUESTION), seen)[0], abs=1e-4)


def test_blank_passages_and_none(spec: str) -> None:
    critic = critic_of(spec, threshold=0.0, guard=False)
    assert critic.support(SAID, QUESTION, []) == []
    assert critic.support(SAID, QUESTION, [Document(" ")]) == []
    table = "| City | Limit |\n|---|---|\n| Vienna | 165 |"
    [found] = critic.support("The limit in Vienna is 165.", "What is the limit?", [Document(table)])
    assert table[found.start : found.end] == "| Vienna | 165 |"


def test_a_mixture_weighs_classifier_and_words(base: Path, tmp_path: Path) -> None:
    mixture = {"weight_model": 0.7, "weight_words": 3.0, "shift": -1.0}
    mixed = make_artifact(tmp_path / "mixed", base, "support", settings={"mixture": mixture})
    spec = f"support:{mixed}"
    alone = fully(spec, claim_text(SAID, QUESTION), LEAVE, TRAVEL)
    shares = [held_share(SAID, QUESTION, LEAVE), held_share(SAID, QUESTION, TRAVEL)]
    assert shares[0] == 1 > shares[1]
    wanted = SupportMixture(**mixture).scores(alone, shares)
    found = critic_of(spec, threshold=0.0, guard=False).support(SAID, QUESTION, [Document(LEAVE), Document(TRAVEL)])
    assert {item.passage: item.score for item in found} == pytest.approx(dict(enumerate(wanted)), abs=1e-4)
    damaged = make_artifact(tmp_path / "damaged", base, "support", settings={"mixture": {"weight": 1}})
    with pytest.raises(ArtifactError, match="mixture"):
        load_support_critic(f"support:{damaged}", **CPU)


def test_wrong_names_and_artifacts(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"did you mean 'overlap'\?"):
        load_support_critic("overlop")
    other = make_artifact(tmp_path / "other", base, "support", labels=("yes", "no"))
    with pytest.raises(ArtifactError, match="has no label 'fully'"):
        load_support_critic(f"support:{other}", **CPU)


# -- drafts ------------------------------------------------------------------------------------------------------------


class Shelf(BaseRetriever):
    """Always the same passages."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        texts = {"travel.md": TRAVEL, "leave.md": LEAVE}
        made = [TextNode(id_=name, text=text, metadata={"source": name, "page": 1}) for name, text in texts.items()]
        return [NodeWithScore(node=node, score=1.0) for node in made]


def draft(reply: str, question: str = QUESTION, **options: Any) -> tuple[dict[str, Any], FakeChatModel]:
    llm = FakeChatModel(replies=[reply])
    graph = naive_rag(Shelf(), llm, prompt="draft", **options)
    return graph.invoke({"question": question}), llm


def test_the_answer_is_shown_and_the_rationale_is_its_quote() -> None:
    rationale = "Full-time staff get 25 days\nof annual leave. Leave is taken by 31 March."
    result, llm = draft(f"Rationale: {rationale} [2]\nAnswer: 25 days\nQuestion: and then it runs on\n")
    assert (result["answer"], result["abstained"]) == ("25 days", False)
    [citation] = result["citations"]
    assert citation["source"] == "leave.md"
    assert citation["quote"] == "Full-time staff get 25 days of annual leave."
    assert "[2]" in llm.prompts()[0] and "Cannot answer from these passages" in llm.prompts()[0]


def test_a_rationale_that_stands_nowhere_is_no_quote() -> None:
    result, _ = draft("Rationale: I think that everyone gets a lot.\nAnswer: 25 days")
    assert result["citations"][0]["quote"] == "Full-time staff get 25 days of annual leave."


def test_a_rationale_of_another_passage_does_not_support_the_answer() -> None:
    result, _ = draft(f"Rationale: {TRAVEL.split('. ')[0]}.\nAnswer: 30 days")
    assert result["abstained"] and not result["citations"]


@pytest.mark.parametrize(
    "reply", [ABSTENTION, f"{ABSTENTION}\n\nBut then again", "Rationale: none.\nAnswer: I don't know", ""]
)
def test_a_drafter_that_cannot_answer_abstains(reply: str) -> None:
    result, _ = draft(reply)
    assert result["abstained"]
    assert result["steps"][-1]["reason"] == (
        "the model found no answer in the passages" if reply else "the model said nothing"
    )


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The first film was Dr. No. It ran for weeks.", "Dr. No"),
        ("They bought 7. Panzer vehicles of 1944.", "7. Panzer vehicles"),
        ("Leave is 25 days a year.", "25."),
        ("Leave ends approx. 5 days later.", "approx. 5 days"),
    ],
)
def test_a_short_answer_is_shown_whole_whatever_stops_are_in_it(text: str, answer: str) -> None:
    question = text.replace(answer.rstrip("."), "what") + "?"

    class One(Shelf):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            return [NodeWithScore(node=TextNode(id_="a", text=text, metadata={"source": "a", "page": 1}), score=1.0)]

    llm = FakeChatModel(replies=[f"Rationale: {text} [1]\nAnswer: {answer}"])
    assert naive_rag(One(), llm, prompt="draft").invoke({"question": question})["answer"] == answer


def test_what_a_drafter_reads_is_on_one_line_a_passage() -> None:
    class Messy(Shelf):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            texts = {"a": "## Leave\n\nLeave is\t25 days.\n\n| a | b |\n|---|---|\n| 1 | 2 |", "b": LEAVE}
            metadata = {"source": "a", "page": 1, "headings": "Handbook >\n Leave"}
            return [NodeWithScore(node=TextNode(id_=n, text=t, metadata=metadata), score=1.0) for n, t in texts.items()]

    llm = FakeChatModel(replies=["Rationale: Leave is 25 days.\nAnswer: 25 days"])
    result = naive_rag(Messy(), llm, prompt="draft").invoke({"question": "How many\ndays?"})
    assert "[1] Handbook > Leave: ## Leave Leave is 25 days. | a | b | |---|---| | 1 | 2 |\n" in llm.prompts()[0]
    assert "Question: How many days?" in llm.prompts()[0]
    assert result["citations"][0]["quote"] == "Leave is\t25 days."  # as it stands in the document


def test_drafts_stream_and_run_asynchronously() -> None:
    reply = "Rationale: Full-time staff get 25 days of annual leave.\nAnswer: 25 days"
    graph = naive_rag(Shelf(), FakeChatModel(replies=[reply]), prompt="draft")
    sentences = list(graph.stream({"question": QUESTION}, stream_mode="custom"))
    assert [part["text"] for part in sentences] == ["25 days"]
    assert asyncio.run(graph.ainvoke({"question": QUESTION}))["answer"] == "25 days"
    pieces = [chunk for chunk, _ in graph.stream({"question": QUESTION}, stream_mode="messages") if chunk.text]
    assert len(pieces) > 5


def test_a_draft_is_read_to_its_end_and_no_further() -> None:
    splitter = DraftSplitter()
    for piece in ("Rationale: It", " opened in 1889.\nAns", "wer: 18", "89"):
        splitter.feed(piece)
        assert not splitter.whole
    splitter.feed("\nQuestion")
    assert splitter.whole
    assert splitter.draft().answer == "1889"


def test_quotes_are_found_however_they_are_broken() -> None:
    assert quoted_span("opened in\n1889", "The tower  Opened in 1889.") == (11, 25)
    assert quoted_span("1889", "In 1889.") is None  # too short to say where it is from
    assert quoted_span("a (strange [text", "a (strange [text") == (0, 16)
    assert quoted_span("nowhere to be found", LEAVE) is None


def test_a_trained_critic_and_a_trained_reranker_in_the_graph(spec: str, base: Path, tmp_path: Path) -> None:
    from ragloom.models import load_reranker

    reranker = load_reranker(f"reranker:{make_artifact(tmp_path / 'r', base, 'reranker')}", top_n=1, **CPU)
    graph = naive_rag(
        Shelf(),
        FakeChatModel(replies=["Hotels are paid up to 165 euros."]),
        critic=critic_of(spec, threshold=0.0),
        reranker=reranker,
    )
    result = graph.invoke({"question": "What is paid for hotels?"})
    assert [step["node"] for step in result["steps"]] == ["retrieve", "rerank", "read", "cite"]
    [document] = result["documents"]
    assert document.metadata["score_kind"] == "reranker"
    assert result["abstained"] == (document.id != "travel.md")
