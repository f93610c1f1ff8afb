"""What every router is measured beside: the majority class, TF-IDF with a linear SVM, logistic regression on vectors.

A linear model on features of the question equals or beats most learned routers of the literature at no cost
(https://arxiv.org/abs/2505.04253), so a trained one has to show that it is better. All three are scikit-learn's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..models.router import LinearHead

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("figures", "fit_logistic", "fit_scale", "fit_threshold", "majority", "tfidf_svm")

STRENGTHS = (1.0, 10.0, 100.0)
"""Inverse weights of the L2 penalty that are tried; vectors have length 1, so that little penalty is needed."""
_KEPT = 0.98
"""Share of the rightly classified dev texts that stay in scope where no text is known to be out of it."""


def majority(labels: Sequence[str]) -> str:
    """The commonest label; of several the first by name."""
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))


def tfidf_svm(texts: Sequence[str], labels: Sequence[str], asked: Sequence[str], *, seed: int = 0) -> list[str]:
    """Labels of `asked` by words and pairs of words, TF-IDF, and a linear SVM trained on `texts`."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    if not asked:
        return []
    # One-letter words count too: "a", "i" and digits tell kinds of questions apart.
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|\?")
    model = make_pipeline(words, LinearSVC(random_state=seed))
    return [str(label) for label in model.fit(list(texts), list(labels)).predict(list(asked))]


def fit_logistic(
    vectors: NDArray[np.float32],
    labels: Sequence[str],
    dev_vectors: NDArray[np.float32],
    dev_labels: Sequence[str],
    *,
    classes: Sequence[str],
    seed: int = 0,
) -> LinearHead:
    """Multinomial logistic regression; the strength of its penalty is chosen by the likelihood of the dev part.

    Raises `UsageError` where there are fewer than two classes.
    """
    from sklearn.linear_model import LogisticRegression

    if len(set(labels)) < 2:
        raise UsageError("a router needs at least two labels", hint="give texts of several classes")
    at = {label: number for number, label in enumerate(classes)}
    targets = np.array([at[label] for label in labels])
    best: tuple[float, LinearHead] | None = None
    for strength in STRENGTHS if dev_labels else STRENGTHS[1:2]:
        model = LogisticRegression(C=strength, max_iter=1000, random_state=seed).fit(vectors, targets)
        head = _head(model, len(classes))
        cost = _cost(head.logits(dev_vectors), [at[label] for label in dev_labels], 1.0) if dev_labels else 0.0
        if best is None or cost < best[0]:
            best = cost, head
    assert best is not None
    return best[1]


def fit_scale(logits: NDArray[np.float32], labels: Sequence[str], classes: Sequence[str]) -> float:
    """The factor on the logits that makes the dev labels likeliest (temperature scaling: Guo et al., 2017,
    https://arxiv.org/abs/1706.04599); 1 where there are none.
    """
    if not len(labels):
        return 1.0
    from scipy.optimize import minimize_scalar

    at = {label: number for number, label in enumerate(classes)}
    targets = [at[label] for label in labels]
    found = minimize_scalar(
        lambda power: _cost(logits, targets, float(np.exp(power))), bounds=(-3.0, 3.0), method="bounded"
    )
    return float(np.exp(found.x))


def fit_threshold(
    probabilities: NDArray[np.float32], labels: Sequence[str], classes: Sequence[str], outside: NDArray[np.float32]
) -> float:
    """Below which best probability a text is out of scope.

    With texts known to be out of scope (`outside`, their probabilities): where the mean of two shares is largest, that
    of in-scope texts classified rightly and kept, and that of the others found out. Without: what keeps 98 % of the
    rightly classified texts.
    """
    if not len(labels):
        return 0.0
    best = probabilities.max(axis=1)
    right = np.array([classes[int(at)] for at in probabilities.argmax(axis=1)]) == np.asarray(labels)
    if not len(outside):
        return float(np.quantile(best[right], 1 - _KEPT)) if right.any() else 0.0
    other = outside.max(axis=1)
    steps = np.unique(np.concatenate([[0.0], best, other]))
    # Between two values that were seen: a threshold on one of them would hang on its rounding.
    candidates = np.concatenate([[0.0], (steps[1:] + steps[:-1]) / 2])
    gains = [(right & (best >= at)).mean() + (other < at).mean() for at in candidates]
    return float(candidates[int(np.argmax(gains))])


def figures(
    truth: Sequence[str], predicted: Sequence[str], *, outside: str = "", classes: bool = True
) -> dict[str, Any]:
    """Accuracy, macro F1 and, with `classes`, the figures of each class; and those of the label `outside`.

    >>> figures(["a", "b"], ["a", "a"])["accuracy"]
    0.5
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    labels = sorted({*truth})
    if not labels:
        return {"n": 0}
    precision, recall, f1, support = precision_recall_fscore_support(
        list(truth), list(predicted), labels=labels, zero_division=0.0
    )
    rows = {
        label: {
            "precision": round(float(precision[at]), 4),
            "recall": round(float(recall[at]), 4),
            "f1": round(float(f1[at]), 4),
            "n": int(support[at]),
        }
        for at, label in enumerate(labels)
    }
    told: dict[str, Any] = {
        "n": len(truth),
        "accuracy": round(float(accuracy_score(list(truth), list(predicted))), 4),
        "macro_f1": round(float(np.mean(f1)), 4),
    }
    if classes:
        told["classes"] = rows
    if outside in rows:
        inside = [(a, b) for a, b in zip(truth, predicted, strict=True) if a != outside]
        told["out_of_scope_recall"] = rows[outside]["recall"]
        told["out_of_scope_precision"] = rows[outside]["precision"]
        told["in_scope_accuracy"] = round(sum(a == b for a, b in inside) / len(inside), 4) if inside else None
    return told


def _head(model: Any, classes: int) -> LinearHead:
    """scikit-learn's weights as one row for each class; of two classes it keeps only the difference."""
    found = np.asarray(model.classes_)
    weight = np.zeros((classes, model.coef_.shape[1]), dtype=np.float32)
    bias = np.full(classes, -30.0, dtype=np.float32)  # a class that only the dev part has is never likely
    if len(found) == 2:
        weight[found] = np.stack([-model.coef_[0] / 2, model.coef_[0] / 2])
        bias[found] = [-model.intercept_[0] / 2, model.intercept_[0] / 2]
    else:
        weight[found], bias[found] = model.coef_, model.intercept_
    return LinearHead(weight, bias)


def _cost(logits: NDArray[np.float32], targets: Sequence[int], scale: float) -> float:
    """Mean negative log-likelihood, with Platt's smoothed targets: few rows without a mistake prove no certainty."""
    scaled = logits.astype(float) * scale
    scaled -= scaled.max(axis=1, keepdims=True)
    likely = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    doubt = 1.0 / (len(targets) + 2)
    right = likely[np.arange(len(targets)), list(targets)]
    return float(-((1 - doubt) * right + doubt * likely.mean(axis=1)).mean())
