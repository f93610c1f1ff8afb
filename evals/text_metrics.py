"""An answer's text beside the right answers: exact match, F1, containment, ROUGE-L, BLEU. All are 0 to 1.

Exact match and F1 are SQuAD's own (evaluate-v2.0.py; Rajpurkar et al. 2018, arXiv 1806.03822). ROUGE-L and BLEU are
those of `rouge-score` and `sacrebleu`, which the extra `evals` brings.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from ..errors import MissingExtraError

__all__ = ("bleu", "contains", "exact_match", "f1", "normalize", "rouge_l")

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """SQuAD's normal form: lower case, no ASCII punctuation, no English articles, single spaces.

    >>> normalize("The  U.S., a nation")
    'us nation'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def exact_match(answer: str, right: Sequence[str]) -> float:
    """1 if the answer's normal form is that of a right answer, else 0.

    >>> exact_match("The Amazon Jungle.", ["Amazonia", "Amazon jungle"])
    1.0
    """
    return float(normalize(answer) in _normal(right))


def f1(answer: str, right: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of tokens in normal form, a token counting as often as it occurs; the best
    over the right answers.

        >>> round(f1("It is nine nations.", ["nine", "nine countries"]), 4)
        0.4
    """
    said = normalize(answer).split()
    return max(_f1(said, known.split()) for known in _normal(right))


def contains(answer: str, right: Sequence[str]) -> float:
    """1 if the tokens of a right answer, in normal form, stand in the answer as one run of whole tokens, else 0.

    >>> contains("It holds nine nations.", ["nine"]), contains("It holds ninety nations.", ["nine"])
    (1.0, 0.0)
    """
    said = normalize(answer)
    # An empty right answer ("A!" in normal form) would stand anywhere: it has to be the whole answer.
    return float(any(f" {known} " in f" {said} " if known else not said for known in _normal(right)))


def rouge_l(answer: str, right: Sequence[str]) -> float:
    """ROUGE-L F-measure (longest common subsequence; Lin 2004) of `rouge-score` with its stemmer, the best over the
    right answers. Its tokenizer knows only a-z and 0-9: texts in other scripts score 0.

    Raises `MissingExtraError` without the extra `evals`.

        >>> rouge_l("the cats sat", ["the cat sat down"])
        0.8571428571428571
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingExtraError("ROUGE and BLEU", "evals") from error
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return max((float(scorer.score(known, answer)["rougeL"].fmeasure) for known in right), default=0.0)


def bleu(answer: str, right: Sequence[str]) -> float:
    """Sentence BLEU (Papineni et al. 2002) of `sacrebleu` with all right answers as references, over 100.

    Its defaults but for the order, which is the longest that the answer has (`effective_order`), since most right
    answers are shorter than four tokens: `case:mixed|eff:yes|tok:13a|smooth:exp`. The reference for length is the
    closest one.

    Raises `MissingExtraError` without the extra `evals`.

        >>> bleu("nine nations", ["nine", "nine nations"])
        1.0
    """
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise MissingExtraError("ROUGE and BLEU", "evals") from error
    if not right:
        return 0.0
    score = float(BLEU(effective_order=True).sentence_score(answer, list(right)).score)
    return min(1.0, score / 100)  # a perfect match comes out as 100.00000000000004


def _normal(right: Sequence[str]) -> list[str]:
    """Normal forms of the right answers. As in the official script those that are empty do not count, and where none is
    left the empty answer is the right one."""
    return [known for known in map(normalize, right) if known] or [""]


def _f1(said: list[str], known: list[str]) -> float:
    if not said or not known:
        return float(said == known)
    common = (Counter(said) & Counter(known)).total()
    return 2 * common / (len(said) + len(known))
