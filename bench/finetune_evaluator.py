"""The retrieval evaluator beside cosine, BM25 and a prompted model: `python bench/finetune_evaluator.py [--llm SPEC]`.

Rows are questions with their gold passage and three hard negatives of our own retriever (`--negatives`), and questions
that their paragraph only seems to answer (SQuAD 2.0, CLAP NQ). Questions and gold passages are of documents that
nothing was trained on: the test part of the training's split by document; SciFact and HotpotQA are no training data at
all. What is found beside the gold may be of any document, as in use. All read the passage after its title, as the
graphs show it. The prompted model is slow on 2 cores and reads a sample of the rows; the others are shown on it too.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import CACHE, SEED, ended_well, has, opened, options, publish, say, table, verdict
from prompted import RELEVANCE, ask, model_name

SETS = ("squad", "qed", "nq_gold", "scifact", "covidqa", "hotpotqa_100", "fairytaleqa", "clapnq")
UNSEEN = ("scifact", "hotpotqa_100")
LIMIT, SAMPLE = 600, 30
Rows = list[dict[str, Any]]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--evaluator", default="evaluator:bundled", help="the artifact")
    parser.add_argument("--llm", help="chat model to prompt, beside the others")
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"questions of each set ({LIMIT})")
    parser.add_argument("--sample", type=int, default=SAMPLE, help=f"of these the chat model reads ({SAMPLE})")
    parser.add_argument("--negatives", type=int, default=3, help="hard negatives of each question (3)")


def rows_of(data: Any, name: str, limit: int, negatives: int) -> Rows:
    """Rows of one set, no random negatives; of a training set the test part alone."""
    from ragloom.evals.answer_sets import share_of
    from ragloom.finetune.data.parts import PARTS
    from ragloom.finetune.data.relevance import relevance_rows
    from ragloom.finetune.data.sources import load_sources
    from ragloom.models.pair_text import passage_text

    found = relevance_rows(
        load_sources([data / name]),
        out=CACHE / "mined",
        negatives=negatives,
        random_negatives=0,
        margin=None,
        parts=PARTS if name in UNSEEN else ("test",),
        untrained=name in UNSEEN,
        limit=limit,
    )
    rows = [{**row, "passage": passage_text(row["passage"], row["title"])} for row in found]
    return sorted(rows, key=lambda row: share_of(row["query"], seed=SEED))


def cosine(rows: Rows) -> list[float]:
    """By the bundled embedder."""
    from ragloom.models import load_embedder

    embedder = load_embedder("bundled:minilm")
    texts = list(dict.fromkeys(row["passage"] for row in rows))
    place = {text: number for number, text in enumerate(texts)}
    vectors = embedder.embed(texts)
    return [float(embedder.embed_query(row["question"]) @ vectors[place[row["passage"]]]) for row in rows]


def bm25(rows: Rows) -> list[float]:
    """By bm25s over the passages of the rows, with the stemmer of our own index."""
    import bm25s
    import snowballstemmer

    stem = snowballstemmer.stemmer("english").stemWords
    texts = list(dict.fromkeys(row["passage"] for row in rows))
    place = {text: number for number, text in enumerate(texts)}
    cut = {"stopwords": "en", "stemmer": stem, "show_progress": False}
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, **cut), show_progress=False)
    scores: dict[str, Any] = {}
    for row in rows:
        if row["question"] not in scores:
            tokens = bm25s.tokenize([row["question"]], return_ids=False, **cut)[0]
            scores[row["question"]] = index.get_scores(tokens)
    return [float(scores[row["question"]][place[row["passage"]]]) for row in rows]


def prompted(llm: str, rows: Rows) -> list[float]:
    return ask(llm, [RELEVANCE.format(question=row["question"], passage=row["passage"]) for row in rows])


def auroc(rows: Rows, scores: Sequence[float]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score([row["label"] >= 0.5 for row in rows], scores))


def main() -> None:
    """AUROC of each scorer on each set, and whether the evaluator's probabilities mean what they say."""
    given = options(__doc__, add_options)
    opened(given.evaluator, "evaluator")
    names = [name for name in SETS if has(given.data, name)]
    if not names:
        return
    from ragloom.finetune.calibration import expected_calibration_error
    from ragloom.models.pair_classifier import load_pair_classifier

    evaluator = load_pair_classifier(given.evaluator, "evaluator")
    found: dict[str, list[Any]] = {"rows": [], "sample": []}
    labels: list[float] = []
    probabilities: list[float] = []
    for name in names:
        rows = rows_of(given.data, name, given.limit, given.negatives)
        say(f"{name}: {len(rows)} rows")
        ours = evaluator.probabilities([(row["question"], row["passage"]) for row in rows])[:, 0].tolist()
        scores = {"evaluator": ours, "cosine": cosine(rows), "BM25": bm25(rows)}
        calibration = expected_calibration_error(np.array(ours), np.array([row["label"] for row in rows]))
        values = {key: auroc(rows, value) for key, value in scores.items()}
        found["rows"].append({"set": name, "n": len(rows), **values, "ECE": calibration})
        labels += [row["label"] for row in rows]
        probabilities += ours
        if given.llm:
            few = set(list(dict.fromkeys(row["query"] for row in rows))[: given.sample])
            keep = [at for at, row in enumerate(rows) if row["query"] in few]
            part = [rows[at] for at in keep]
            values = {key: auroc(part, [value[at] for at in keep]) for key, value in scores.items()}
            values["prompted"] = auroc(part, prompted(given.llm, part))
            found["sample"].append({"set": name, "n": len(part), **values})
    whole = float(expected_calibration_error(np.array(probabilities), np.array(labels)))
    report(found, whole, given.llm or "")


def report(found: dict[str, list[Any]], calibration: float, llm: str) -> None:
    parts, targets, means = [], [], {}
    for key, title in (("rows", "All rows"), ("sample", f"Sample that {model_name(llm)} read")):
        rows = found[key]
        if not rows:
            continue
        columns = [name for name in rows[0] if name not in ("set", "n")]
        means[key] = {name: float(np.mean([row[name] for row in rows])) for name in columns}
        lines = [(row["set"], row["n"], *(f"{row[name]:.3f}" for name in columns)) for row in rows]
        lines.append(("mean", "", *(f"{means[key][name]:.3f}" for name in columns)))
        parts.append(f"## {title}, AUROC\n\n{table(('set', 'rows', *columns), lines)}")
        best = max(value for name, value in means[key].items() if name not in ("evaluator", "ECE"))
        what = f"evaluator: AUROC above the best other, {'all rows' if key == 'rows' else 'sample'}"
        targets.append(verdict(what, means[key]["evaluator"] - best, 0.0))
    targets.append(verdict("evaluator: expected calibration error, all sets", calibration, 0.05, at_most=True))
    publish("finetune_evaluator", "The retrieval evaluator on documents it was not trained on", parts, found, targets)


if __name__ == "__main__":
    ended_well(main)
