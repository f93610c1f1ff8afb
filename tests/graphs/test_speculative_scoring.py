"""The formulas of Speculative RAG: the three terms in exact fractions, the subsets' law, votes and verdicts."""

from __future__ import annotations

import math
import random
import re
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from speculative_kit import FakeScorer

from ragloom.graphs.speculative.choosing import by_chance, by_value, by_votes, plain_answer, verdict
from ragloom.graphs.speculative.scoring import Terms, draft_term, rho, verifier_terms
from ragloom.graphs.speculative.subsets import cluster_texts, dealt, distinct, sample_subsets
from ragloom.models.drafts import Draft

# -- the three terms ---------------------------------------------------------------------------------------------------

DRAFT = Draft("Jane Austen wrote it.", "Jane Austen", (2,))
QUESTION = "Who wrote Emma?"
TOLD = "Question: Who wrote Emma?\nAnswer: Jane Austen\nExplanation: Jane Austen wrote it."
CHECKED = f"{TOLD}\nDo you think the explanation supports the answers? (Yes or No)"


def half_and_quarters(prompt: str, start: int, token: str) -> float:
    """Hand-computed: every word 1/2, labels 1/1000, Yes and No by what is said."""
    table = {"Yes": "1/4", "yes": "1/8", "YES": "1/8", "No": "1/8", "no": "1/16", "NO": "1/16"}
    word = token.strip()
    if word in table:
        return math.log(Fraction(table[word]))
    return math.log(1 / 1000) if word in ("Rationale:", "Answer:", "Explanation:", "[2]") else math.log(1 / 2)


@pytest.mark.parametrize(
    ("normalise", "draft", "consistency"),
    [
        # P(beta) = 1/16 of four words, P(alpha) = 1/4 of two; six words together have 1/64
        ("none", math.log(1 / 16 + 1 / 4), math.log(1 / 64)),
        ("mean", math.log(1 / 2 + 1 / 2), math.log(1 / 2)),
        ("sqrt_len", math.log(2**-2 + 2 ** -math.sqrt(2)), -math.sqrt(6) * math.log(2)),
    ],
)
def test_by_hand(normalise: Any, draft: float, consistency: float) -> None:
    scorer = FakeScorer(half_and_quarters)
    assert draft_term(scorer, [HumanMessage("p")], DRAFT, normalise) == pytest.approx(draft)
    assert scorer.messages[0][1] == "Rationale: Jane Austen wrote it. [2]\nAnswer: Jane Austen"
    (terms,) = verifier_terms(scorer, QUESTION, [DRAFT], normalise, raw_yes=False)
    assert terms == (pytest.approx(consistency), pytest.approx(math.log(1 / 2 / (1 / 2 + 1 / 4))))
    (raw,) = verifier_terms(scorer, QUESTION, [DRAFT], normalise, raw_yes=True)
    assert raw == (pytest.approx(consistency), pytest.approx(math.log(1 / 4)))


def test_what_the_verifier_is_shown() -> None:
    scorer = FakeScorer(half_and_quarters)
    verifier_terms(scorer, QUESTION, [DRAFT, Draft("", "Emma")], "none", raw_yes=False)
    assert scorer.batches == 1
    assert "".join(scorer.pairs[0]) == TOLD
    assert scorer.pairs[0][0] == "Question: Who wrote Emma?\nAnswer:"
    assert scorer.pairs[1:7] == [(CHECKED, word) for word in (" Yes", " yes", " YES", " No", " no", " NO")]
    assert len(scorer.pairs) == 14


def test_without_a_rationale_the_answer_counts_alone() -> None:
    """The empty text has probability 1: added, it would make every draft without a rationale the best one."""
    assert draft_term(FakeScorer(half_and_quarters), [], Draft("", "Jane Austen"), "none") == pytest.approx(
        math.log(1 / 4)
    )
    (terms,) = verifier_terms(FakeScorer(half_and_quarters), QUESTION, [Draft("", "Emma")], "none", raw_yes=True)
    assert terms[0] == pytest.approx(math.log(1 / 2))


words = st.text("abcdefgh", min_size=1, max_size=6)
phrases = st.lists(words, min_size=1, max_size=5).map(" ".join)


@given(
    drafts=st.lists(st.tuples(phrases, phrases), min_size=1, max_size=4), seed=st.integers(0, 999), raw=st.booleans()
)
def test_the_paper_in_fractions(drafts: list[tuple[str, str]], seed: int, raw: bool) -> None:
    """Independent of how it is done: every word has a random probability, kept by what stands before it."""
    known: dict[tuple[str, str], Fraction] = {}

    def probability(before: str, word: str) -> Fraction:
        dice = random.Random(f"{seed} {before} {word}")
        return known.setdefault((before, word), Fraction(dice.randrange(1, 8), 8))

    class Chain(FakeScorer):
        """A word's probability depends on all words before it."""

        def _scored(self, prompt: str, continuation: str) -> Any:
            self.each = lambda _, start, token: math.log(
                probability(" ".join((prompt + continuation[:start]).split()), token.strip())
            )
            return super()._scored(prompt, continuation)

    def of(before: str, text: str) -> Fraction:
        result = Fraction(1)
        for word in text.split():
            result *= probability(" ".join(before.split()), word)
            before += f" {word}"
        return result

    scorer = Chain(lambda *_: 0.0)
    made = [Draft(beta, alpha) for beta, alpha in drafts]
    given_ = verifier_terms(scorer, "q", made, "none", raw_yes=raw)
    for (beta, alpha), draft, (consistency, reflection) in zip(drafts, made, given_, strict=True):
        own = draft_term(scorer, [HumanMessage("p ")], draft, "none")
        rho_draft = of("p Rationale:", beta) + of(f"p Rationale: {beta} Answer:", alpha)
        asked = f"Question: q Answer: {alpha} Explanation:"
        rho_sc = of("Question: q Answer:", alpha) * of(asked, beta)
        check = f"{asked} {beta} Do you think the explanation supports the answers? (Yes or No)"
        said = {word: of(check, word) for word in ("Yes", "yes", "YES", "No", "no", "NO")}
        yes = said["Yes"] + said["yes"] + said["YES"]
        rho_sr = said["Yes"] if raw else yes / sum(said.values())
        (total,), missing = rho([Terms(own, consistency, reflection)])
        assert missing == []
        assert total == pytest.approx(math.log(rho_draft * rho_sc * rho_sr))


def test_a_space_that_is_a_token_of_its_own_counts() -> None:
    """As tokenizers have it before digits: without it, a number would look more probable than a word."""

    class Apart(FakeScorer):
        token = re.compile(r"\s|\S+")

    scorer = Apart(lambda _, start, token: math.log(1 / 16 if token.isspace() else 1 / 2))
    draft = Draft("", "25")
    assert draft_term(scorer, [], draft, "none") == pytest.approx(math.log(1 / 32))
    quoted = Draft("It is 25.", "25")  # three words and their spaces
    assert draft_term(scorer, [], quoted, "none") == pytest.approx(math.log(1 / 32 + 1 / 32**3))
    ((consistency, _),) = verifier_terms(scorer, "q", [quoted], "none", raw_yes=True)
    assert consistency == pytest.approx(4 * math.log(1 / 32))


def test_a_long_rationale_does_not_underflow() -> None:
    scorer = FakeScorer(lambda *_: -20.0)
    long = Draft("word " * 200, "answer")
    own = draft_term(scorer, [], long, "none")
    ((consistency, _),) = verifier_terms(scorer, "q", [long], "none", raw_yes=True)
    assert (own, consistency) == (pytest.approx(-20.0), pytest.approx(-4020.0))
    assert math.exp(-4000.0) == 0.0


@pytest.mark.parametrize("nonsense", [float("nan"), float("-inf"), float("inf"), 0.7])
def test_nonsense_makes_a_term_unknown(nonsense: float) -> None:
    scorer = FakeScorer(lambda *_: nonsense)
    assert draft_term(scorer, [], DRAFT, "none") is None
    assert verifier_terms(scorer, "q", [DRAFT], "none", raw_yes=False) == [(None, None)]


def test_unlike_sums_are_not_compared() -> None:
    terms = [Terms(-1.0, -2.0, -3.0), Terms(None, -0.1, -0.1), Terms(-1.0, -1.0, None)]
    assert rho(terms) == ([-6.0, None, None], [])
    assert rho([Terms(), Terms()]) == ([None, None], ["rho_draft", "rho_SC", "rho_SR"])
    assert rho([Terms(None, -2.0, -1.0), Terms(None, -1.0, -1.0)]) == ([-3.0, -2.0], ["rho_draft"])


# -- subsets -----------------------------------------------------------------------------------------------------------


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), most=st.integers(0, 30), seed=st.integers(0, 10**6))
@settings(max_examples=200)
def test_the_law_of_subsets(sizes: list[int], most: int, seed: int) -> None:
    ranks = list(range(sum(sizes)))
    random.Random(seed).shuffle(ranks)
    clusters = [ranks[sum(sizes[:at]) : sum(sizes[: at + 1])] for at in range(len(sizes))]
    subsets = sample_subsets(clusters, most, seed)
    all_of_them = {tuple(sorted(chosen)) for chosen in product(*clusters)}
    assert {tuple(subset) for subset in subsets} <= all_of_them  # one of each cluster, in the order of the ranks
    assert len({tuple(subset) for subset in subsets}) == len(subsets) == min(most, len(all_of_them))
    assert subsets == sample_subsets(clusters, most, seed)


def test_every_subset_is_as_likely() -> None:
    counts = dict.fromkeys([(0, 2), (0, 3), (1, 2), (1, 3)], 0)
    for seed in range(2000):
        for subset in sample_subsets([[0, 1], [2, 3]], 2, seed):
            counts[(subset[0], subset[1])] += 1
    assert all(900 < count < 1100 for count in counts.values())


def test_no_subsets_and_more_than_can_be_numbered() -> None:
    assert sample_subsets([], 5, 0) == []
    many = [list(range(100 * at, 100 * at + 100)) for at in range(12)]
    assert len(sample_subsets(many, 7, 0)) == 7


class Vectors:
    """An embedder of given vectors."""

    def __init__(self, *vectors: Any) -> None:
        self.vectors = np.array(vectors, dtype=float)

    def embed(self, texts: Any) -> Any:
        return self.vectors


def test_clusters() -> None:
    texts = ["a"] * 5
    near = Vectors([1, 0], [0, 1], [0.9, 0.1], [0.1, 0.9], [1, 0.05])
    assert cluster_texts(near, "q", texts, 2, 0) == [[0, 2, 4], [1, 3]]
    assert cluster_texts(near, "q", texts, 5, 0) == [[0], [1], [2], [3], [4]]
    assert cluster_texts(near, "q", texts, 9, 0) == [[0], [1], [2], [3], [4]]
    # There are no three clusters in two points.
    assert cluster_texts(Vectors([1, 0], [0, 1], [1, 0], [1, 0], [0, 1]), "q", texts, 3, 0) == [[0, 2, 3], [1, 4]]


@pytest.mark.parametrize("wrong", [[[1.0, 0.0]], [[1.0, float("nan")]] * 2, [1.0, 2.0]])
def test_vectors_that_are_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match="gave no vector for each of 2 texts"):
        cluster_texts(Vectors(*wrong), "q", ["a", "b"], 2, 0)


def test_any_embedding_of_llama_index() -> None:
    class Other:
        def get_text_embedding_batch(self, texts: list[str]) -> list[list[float]]:
            return [[float(len(text)), 0.0] for text in texts]

    assert cluster_texts(Other(), "q", ["a", "b", "c" * 50], 2, 0) == [[0, 1], [2]]


def test_copies_are_one_passage() -> None:
    assert distinct([Document("a b"), Document("c"), Document(" a\nb"), Document("d")]) == [0, 1, 3]
    assert dealt(2, 5) == [[0], [1]]


# -- the order of drafts -----------------------------------------------------------------------------------------------


def drafts_of(*answers: str) -> Any:
    return [{"index": index, "answer": answer} for index, answer in enumerate(answers)]


def test_by_value() -> None:
    drafts = drafts_of("a", "b", "c", "d", "d")
    plans: Any = [{"index": at, "passages": [at, at + 1]} for at in range(5)]
    ordered = by_value(drafts, [None, -2.0, -1.0, -1.0, -2.0], plans)
    assert [draft["index"] for draft in ordered] == [3, 2, 4, 1, 0]  # equals by their votes


def test_by_votes() -> None:
    drafts = drafts_of("Paris", "Rome", "The Rome.", "Oslo")
    plans: Any = [{"index": at, "passages": ranks} for at, ranks in enumerate([[0, 1], [3, 4], [2, 5], [0, 3]])]
    assert [draft["index"] for draft in by_votes(drafts, plans)] == [2, 1, 0, 3]


def test_by_chance() -> None:
    drafts = drafts_of(*"abcd")
    assert by_chance(drafts, 5) == by_chance(drafts, 5)
    assert sorted(draft["index"] for draft in by_chance(drafts, 5)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Yes 5", 1.0),
        ("No, 1", 0.0),
        ("yes", 0.75),
        ("3", 0.5),
        ("**Yes** (4/5)", 0.875),
        ("", None),
        ("7 of 10", None),
        ("Note: nobody knows", None),
        ("25", None),
    ],
)
def test_verdicts(text: str, value: float | None) -> None:
    assert verdict(text) == value


def test_answers_as_votes_are_counted() -> None:
    assert plain_answer("The 25 days.") == plain_answer("25 Days")
    assert plain_answer("!?") == "!?"
