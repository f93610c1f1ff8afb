"""The support critic beside word overlap, embeddings and a prompted model: `python bench/finetune_support.py`.

Claims with their evidence, each as labelled by people (HaluEval-QA: by construction). Of sets that were trained on
(HaluEval, BEGIN, Q2, WiCE) the test part of the split by document; QAGS, FaithBench, SciFact and Climate-FEVER are no
training data at all. Every scorer gets its threshold from the same claims, the dev part of the training sets,
each set counting as much as the others. That words are weighed beside the classifier, and how they are counted, was
chosen while these sets were looked at: on others expect less. Partly supported counts as not supported. Evidence that
is too long for a scorer is read in windows, and the best one counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import SEED, ended_well, has, opened, options, publish, say, table, verdict
from prompted import SUPPORT, ask, model_name

TRAINED = ("halueval_qa", "begin", "q2_wow", "wice")
SETS = (*TRAINED, "qags", "faithbench", "scifact", "climate_fever")
LIMIT, SAMPLE = 400, 50
MOST = 6000
"""Characters of evidence that the prompted model is given: more takes minutes on 2 cores."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--critic", default="support:bundled", help="the artifact")
    parser.add_argument("--llm", help="chat model to prompt, beside the others")
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"claims of each set ({LIMIT})")
    parser.add_argument("--sample", type=int, default=SAMPLE, help=f"of these the chat model reads ({SAMPLE})")


def claims_of(data: Any, name: str, part: str | None, limit: int) -> list[Any]:
    """Claims of a set, of one part where it was trained on; drawn by hash."""
    from ragloom.evals.answer_sets import share_of
    from ragloom.finetune.data.groundedness import read_claims
    from ragloom.finetune.data.parts import part_of
    from ragloom.finetune.data.sources import load_sources

    sources = [source for source in load_sources([data / name]).of("claims") if "train_partial" not in source.path.name]
    found = [claim for source in sources for claim in read_claims(source, [])]
    kept = [claim for claim in found if part is None or part_of(f"{name}:{claim.document}") == part]
    return sorted(kept, key=lambda claim: share_of(claim.id, seed=SEED))[:limit]


def supported(claim: Any) -> bool:
    return bool(claim.label == "fully")


def overlap(claims: Sequence[Any]) -> list[float]:
    """Of OverlapCritic, the lexical one, without its threshold."""
    from langchain_core.documents import Document

    from ragloom.graphs.common.support import OverlapCritic

    return _by(OverlapCritic(threshold=0.0), claims, Document)


def words(claims: Sequence[Any]) -> list[float]:
    """The share of the claim's words that the evidence holds: half of what a critic with a mixture weighs."""
    from ragloom.graphs.common.support import held_share

    return [held_share(each.claim, each.question, " ".join(each.sentences)) for each in claims]


def similarity(claims: Sequence[Any]) -> list[float]:
    """Of EmbeddingCritic: the nearest window of one to three sentences."""
    from langchain_core.documents import Document

    from ragloom.evals.embedding_critic import EmbeddingCritic
    from ragloom.models import load_embedder

    return _by(EmbeddingCritic(load_embedder("bundled:minilm"), threshold=0.0), claims, Document)


def trained(spec: str, claims: Sequence[Any]) -> list[float]:
    """Of the artifact, through the class that the graphs use, its rule on numbers and names off."""
    from langchain_core.documents import Document

    from ragloom.graphs.common.trained_support import TrainedSupportCritic
    from ragloom.models.pair_classifier import load_pair_classifier

    critic = TrainedSupportCritic(load_pair_classifier(spec, "support"))
    return [critic.scores(each.claim, each.question, [Document(" ".join(each.sentences))])[0] for each in claims]


def prompted(llm: str, claims: Sequence[Any]) -> list[float]:
    return ask(
        llm,
        [
            SUPPORT.format(question=each.question or "-", claim=each.claim, passage=" ".join(each.sentences)[:MOST])
            for each in claims
        ],
    )


def _by(critic: Any, claims: Sequence[Any], document: Any) -> list[float]:
    """The score of the best quote; 0 where there is none."""
    scores = []
    for each in claims:
        found = critic.support(each.claim, each.question, [document(" ".join(each.sentences))])
        scores.append(found[0].score if found else 0.0)
    return scores


def threshold(scores: Sequence[float], claims: Sequence[tuple[str, Any]]) -> float:
    """The one with the best balanced accuracy, mean over the sets."""
    from ragloom.finetune.pair_metrics import set_weights, threshold_of

    labels = np.array([supported(claim) for _, claim in claims])
    return threshold_of(np.asarray(scores), labels, weights=set_weights([name for name, _ in claims], labels))


def main() -> None:
    """Balanced accuracy of each scorer on each set."""
    given = options(__doc__, add_options)
    opened(given.critic, "support")
    names = [name for name in SETS if has(given.data, name)]
    if not names:
        return
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    scorers = {
        "critic": lambda claims: trained(given.critic, claims),
        "overlap": overlap,
        "words": words,
        "embeddings": similarity,
    }
    trained_on = [name for name in TRAINED if name in names]
    dev = [(name, claim) for name in trained_on for claim in claims_of(given.data, name, "dev", given.limit)]
    limits = {name: threshold(score([claim for _, claim in dev]), dev) for name, score in scorers.items()}
    if given.llm:
        some = dev[:: max(1, len(dev) // (2 * given.sample))]
        limits["prompted"] = threshold(prompted(given.llm, [claim for _, claim in some]), some)
    say(f"thresholds: {limits}")
    found: dict[str, list[Any]] = {"rows": [], "sample": []}
    for name in names:
        claims = claims_of(given.data, name, "test" if name in TRAINED else None, given.limit)
        labels = [supported(claim) for claim in claims]
        say(f"{name}: {len(claims)} claims, {sum(labels)} supported")
        scores = {key: score(claims) for key, score in scorers.items()}
        row: dict[str, Any] = {"set": name, "n": len(claims)}
        for key, value in scores.items():
            row[key] = float(balanced_accuracy_score(labels, np.asarray(value) >= limits[key]))
            row[f"{key} AUROC"] = float(roc_auc_score(labels, value))
        found["rows"].append(row)
        if given.llm:
            few, few_labels = claims[: given.sample], labels[: given.sample]
            values = {key: value[: given.sample] for key, value in scores.items()}
            values["prompted"] = prompted(given.llm, few)
            row = {"set": name, "n": len(few)}
            for key, value in values.items():
                row[key] = float(balanced_accuracy_score(few_labels, np.asarray(value) >= limits[key]))
            found["sample"].append(row)
    report(found, given.llm or "")


def report(found: dict[str, list[Any]], llm: str) -> None:
    parts, targets = [], []
    for key, title in (("rows", "All claims"), ("sample", f"Sample that {model_name(llm)} read")):
        rows = found[key]
        if not rows:
            continue
        columns = [name for name in rows[0] if name not in ("set", "n")]
        means = {name: float(np.mean([row[name] for row in rows])) for name in columns}
        lines = [(row["set"], row["n"], *(f"{row[name]:.3f}" for name in columns)) for row in rows]
        lines.append(("mean", "", *(f"{means[name]:.3f}" for name in columns)))
        parts.append(f"## {title}, balanced accuracy\n\n{table(('set', 'claims', *columns), lines)}")
        best = max(value for name, value in means.items() if name != "critic" and "AUROC" not in name)
        rivals = "best other" if llm else "best other (none prompted)"
        what = f"support: balanced accuracy above the {rivals}, {'all claims' if key == 'rows' else 'sample'}"
        targets.append(verdict(what, means["critic"] - best, 0.0))
    publish("finetune_support", "The support critic on documents it was not trained on", parts, found, targets)


if __name__ == "__main__":
    ended_well(main)
