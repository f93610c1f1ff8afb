"""The recipe of extractive readers, a few steps on a tiny BERT; where answers are found in rows; smaller adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from artifact_kit import make_base, make_span_artifact
from draft_kit import CITIES, town_rows
from hypothesis import given
from hypothesis import strategies as st

from ragloom.errors import UsageError
from ragloom.finetune import finetune
from ragloom.finetune.data.rows import write_rows
from ragloom.finetune.shrinking import shrink_adapter
from ragloom.finetune.span_training import answer_span, span_pairs
from ragloom.models import load_chat_model, open_artifact
from ragloom.models.extractive import load_extractive_reader

WORDS = " ".join([*CITIES, *CITIES.values(), "when was founded who it in is old new the bridge dates from page see"])
FEW: dict[str, Any] = {
    "max_steps": 4,
    "batch_size": 8,
    "max_tokens": 64,
    "evaluations": 2,
    "rank": 4,
    "kept_rank": 2,
    "measured": 8,
    "precision": "float32",
    "device": "cpu",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("tiny") / "bert", words=WORDS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "towns.jsonl"
    write_rows(path, (own_document(row, number) for number, row in enumerate(town_rows(90))))
    return path


def own_document(row: dict[str, Any], number: int) -> dict[str, Any]:
    """The row in a document of its own."""
    passages = [f"Page {number}: {passage}" for passage in row["passages"]]
    question = f"{row['question']} See page {number}."
    return {**row, "question": question, "passages": passages, "origin": {**row["origin"], "document": f"t:{number}"}}


# -- rows --------------------------------------------------------------------------------------------------------------


def test_an_answer_is_looked_for_in_its_sentence_first() -> None:
    row = {
        "question": "When did it open?",
        "passages": ["No.", "It rained in 1889. It opened in 1889."],
        "rationale": "It opened in 1889.",
        "answer": "1889",
        "answerable": True,
        "gold": 1,
    }
    assert answer_span(row) == (32, 36)
    assert answer_span({**row, "rationale": ""}) == (13, 17)
    assert answer_span({**row, "answer": "IT OPENED"}) == (19, 28)
    words = {"passages": ["Usain used us, said Us Weekly."], "rationale": "", "answerable": True, "gold": 0}
    assert answer_span({**words, "answer": "us"}) == (11, 13)
    assert answer_span({**words, "answer": "Us"}) == (20, 22)
    assert answer_span({**words, "answer": "ain"}) == (2, 5)  # a part of a word where there is no better place
    assert answer_span({**row, "answer": "1890"}) is None
    assert answer_span({**row, "answerable": False}) is None
    assert answer_span({**row, "gold": 7}) == (32, 36)  # nobody can tell: the passage of the rationale


@given(st.lists(st.integers(0, 200), min_size=1, max_size=20))
def test_pairs_show_the_answer_where_the_prompt_has_it(numbers: list[int]) -> None:
    rows = [town_rows(201)[number] for number in numbers]
    pairs, lost = span_pairs(rows)
    assert (len(pairs), lost) == (sum(len(row["passages"]) for row in rows), 0)
    found = [(pair.question, pair.passage[slice(*pair.span)]) for pair in pairs if pair.span]
    assert found == [(row["question"], row["answer"]) for row in rows if row["answerable"]]
    assert {pair.passage.partition(": ")[0] for pair in pairs if ": " in pair.passage} <= set(CITIES)  # the titles


def test_a_row_whose_answer_stands_nowhere_is_left_out() -> None:
    rows = [{**row, "answer": "no such words"} for row in town_rows(4)]
    assert span_pairs(rows) == ([], 4)


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lora", "freeze", "full"])
def test_what_was_trained_is_what_is_loaded(base: Path, data: Path, tmp_path: Path, method: str) -> None:
    """As transformers reads the folder, token types and all (PEFT's own class for the task loses them)."""
    from peft import PeftModel
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    out = tmp_path / "reader"
    artifact = finetune("reader", [data], out, base=f"st:{base}", method=method, **FEW)
    whole = AutoModelForQuestionAnswering.from_pretrained(str(base if method == "lora" else out))
    model = (PeftModel.from_pretrained(whole, str(out)) if method == "lora" else whole).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    row = town_rows(1)[0]
    pair = tokenizer(row["question"], row["passages"][0], return_tensors="pt")
    with torch.inference_mode():
        said = model(**pair)
    inside = [at for at, sequence in enumerate(pair.sequence_ids(0)) if sequence == 1]
    begins, ends = said.start_logits[0], said.end_logits[0]
    best = max(float(begins[i] + ends[j]) for i in inside for j in inside if i <= j)
    (span,) = load_extractive_reader(f"reader:{out}", device="cpu", dtype="float32").spans(
        row["question"], row["passages"][:1]
    )
    assert span.score == pytest.approx(best - float(begins[0] + ends[0]), abs=1e-3)
    told = artifact.manifest
    assert (told.settings["steps"], told.settings["pairs_with_answer"] > 0) == (4, True)
    assert told.settings["rows_without_span"] == 0
    assert told.metrics["reader"]["n"] + told.metrics["reader"]["unanswerable"] == 8
    assert told.metrics["abstaining"]["test"]["rows"] == 8
    assert -1 <= told.metrics["general"]["cosine"] <= 1
    assert load_chat_model(f"reader:{out}").abstain_below == told.thresholds["abstain_below"]
    assert (out / "curves.png").is_file() and "abstain" in (out / "README.md").read_text()


def test_it_learns_what_the_rows_show(base: Path, data: Path, tmp_path: Path) -> None:
    """Years of foundation, of towns in documents that it never saw."""
    given = {**FEW, "max_steps": 150, "learning_rate": 5e-3, "method": "full", "measured": 50}
    metrics = finetune("reader", [data], tmp_path / "reader", base=f"st:{base}", **given).manifest.metrics
    assert metrics["abstaining"]["test"]["without"]["f1"] > 0.8


def test_a_killed_training_goes_on(base: Path, data: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(text: str, done: int, total: int | None) -> None:
        if text.startswith("step 3 "):
            raise Killed

    whole = finetune("reader", [data], tmp_path / "a", base=f"st:{base}", **FEW)
    with pytest.raises(Killed):
        finetune("reader", [data], tmp_path / "b", base=f"st:{base}", tell=kill, **FEW)
    again = finetune("reader", [data], tmp_path / "b", base=f"st:{base}", **FEW)
    assert again.manifest.settings["steps"] == whole.manifest.settings["steps"] == 4
    assert again.manifest.settings["dev_loss"] == pytest.approx(whole.manifest.settings["dev_loss"], abs=1e-4)


def test_what_cannot_be_learnt_is_said(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    empty = {"answerable": False, "answer": "", "rationale": "", "gold": -1}
    write_rows(path, ({**own_document(row, number), **empty} for number, row in enumerate(town_rows(60))))
    with pytest.raises(UsageError, match="no passage to train on holds an answer word for word"):
        finetune("reader", [path], tmp_path / "out", base=f"st:{base}", **FEW)
    with pytest.raises(UsageError, match="reads 64 tokens, not 65"):
        finetune("reader", [path], tmp_path / "out2", base=f"st:{base}", **{**FEW, "max_tokens": 65})
    with pytest.raises(UsageError, match="method 'prefix' does not apply to reader"):
        finetune("reader", [path], tmp_path / "out3", base=f"st:{base}", **{**FEW, "method": "prefix"})
    with pytest.raises(UsageError, match="kept_rank is 0"):
        finetune("reader", [path], tmp_path / "out4", base=f"st:{base}", **{**FEW, "kept_rank": 0})


def test_its_threshold_is_chosen_anew(base: Path, data: Path, tmp_path: Path, cli: Any) -> None:
    spec = f"reader:{make_span_artifact(tmp_path / 'reader', base)}"
    assert load_chat_model(spec).abstain_below is None
    shown = cli("finetune", "fit-thresholds", spec, "--data", data, "--rows", "6", "--write")
    assert shown.code == 0, shown.err
    assert "abstain below a score of" in shown.out
    told = open_artifact(spec, "reader").manifest
    assert load_chat_model(spec).abstain_below == told.thresholds["abstain_below"]
    dev = told.metrics["abstaining"]["dev"]
    assert dev["rows"] == 6 and dev["score"] >= dev["without"]["score"]


def test_it_reads_for_ask(base: Path, tmp_path: Path, cli: Any) -> None:
    """What it says stands in the document, and the chat model is not asked."""
    reader = make_span_artifact(tmp_path / "reader", base)
    (tmp_path / "towns.md").write_text("# Eltz\n\nEltz is old. It was founded in 1720.\n")
    assert cli("ingest", tmp_path / "towns.md").code == 0
    said = cli("ask", "When was Eltz founded?", "--reader", f"reader:{reader}", "--json")
    assert said.code == 0, said.err
    assert said.json["usage"]["calls"] == 1 and cli.llm.calls == []
    told = (tmp_path / "towns.md").read_text().split()
    assert said.json["abstained"] or {*said.json["answer"].split()} <= {*told, ":", "Eltz:"}


# -- smaller adapters --------------------------------------------------------------------------------------------------


def changes(folder: Path) -> dict[str, Any]:
    """What each layer's adapter adds to its weights."""
    from safetensors.torch import load_file

    config = json.loads((folder / "adapter_config.json").read_text())
    weights = load_file(str(folder / "adapter_model.safetensors"))
    scale = config["lora_alpha"] / config["r"]
    return {
        name: scale * weights[name.replace("lora_A", "lora_B")].double() @ weights[name].double()
        for name in weights
        if "lora_A" in name
    }


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_most_of_each_change_is_kept(base: Path, tmp_path: Path, rank: int) -> None:
    """What is lost is what the singular values beyond the rank hold: less can no matrix of that rank lose."""
    folder = make_span_artifact(tmp_path / "reader", base)
    before = changes(folder)
    kept = shrink_adapter(folder, rank)
    after = changes(folder)
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == rank
    lost = whole = 0.0
    for name, change in before.items():
        values = torch.linalg.svdvals(change)
        assert torch.linalg.matrix_rank(after[name], rtol=1e-5) <= rank
        assert float(((change - after[name]) ** 2).sum()) == pytest.approx(float((values[rank:] ** 2).sum()), rel=1e-2)
        lost, whole = lost + float((values[rank:] ** 2).sum()), whole + float((values**2).sum())
    assert kept == pytest.approx(1 - lost / whole, abs=1e-3)


def test_what_is_small_enough_stays_as_it_is(base: Path, tmp_path: Path) -> None:
    folder = make_span_artifact(tmp_path / "reader", base)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert shrink_adapter(folder, 4) == shrink_adapter(folder, 9) == 1.0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    with pytest.raises(UsageError, match="cannot shrink"):
        shrink_adapter(folder, 0)


def test_a_smaller_artifact_is_a_copy(base: Path, tmp_path: Path, cli: Any) -> None:
    folder = make_span_artifact(tmp_path / "reader", base, thresholds={"abstain_below": 1.5}, metrics={"f1": 0.5})
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = cli("finetune", "shrink", f"reader:{folder}", tmp_path / "small", "--rank", 2, "--json")
    assert done.code == 0, done.err
    told = open_artifact(f"reader:{tmp_path / 'small'}", "reader").manifest
    assert told.metrics == {"kept_rank": 2, "kept_change": done.json["kept_change"], "before_shrinking": {"f1": 0.5}}
    assert 0.5 < done.json["kept_change"] < 1
    assert (told.name, told.thresholds) == ("small", {"abstain_below": 1.5})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert load_chat_model(f"reader:{tmp_path / 'small'}").abstain_below == 1.5
    for arguments, message in (
        ((folder, tmp_path / "small", "--rank", 1), "is there already"),
        ((tmp_path / "none", tmp_path / "other", "--rank", 1), "is no artifact"),
        ((folder, tmp_path / "other", "--rank", 4), "has rank 4 already"),
    ):
        failed = cli("finetune", "shrink", *arguments)
        assert (failed.code, message in failed.err) == (2, True)
