"""A drafter that abstains where it was unsure: under llama.cpp, and how the threshold is chosen and stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from draft_kit import town_rows
from gguf_kit import TEXTS, make_artifact, make_gguf
from hypothesis import given
from hypothesis import strategies as st

from ragloom.errors import UsageError
from ragloom.finetune.abstaining import Said, best_threshold, told_at
from ragloom.finetune.data.rows import write_rows
from ragloom.models import load_chat_model, open_artifact
from ragloom.models.drafts import ABSTENTION, parse_draft


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("drafter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAGLOOM_CACHE", str(folder / "cache"))
        patch.setenv("RAGLOOM_THREADS", "1")
        yield make_artifact(make_gguf(folder), folder / "tiny")


def drafter(spec: str, threshold: float | None) -> Any:
    return load_chat_model(spec, abstain_below=threshold, max_tokens=6)


async def everything_it_says(llm: Any, text: str) -> list[Any]:
    """Invoked and streamed, sync and async."""
    streamed = list(llm.stream(text))
    heard = [chunk async for chunk in llm.astream(text)]
    return [llm.invoke(text), await llm.ainvoke(text), *[sum(each[1:], each[0]) for each in (streamed, heard)]]


async def test_it_abstains_below_its_threshold_and_not_above(spec: str) -> None:
    plain = drafter(spec, None).invoke(TEXTS[0])
    sure, unsure = drafter(spec, -100.0), drafter(spec, 0.0)
    for message in await everything_it_says(sure, TEXTS[0]):
        assert message.text == plain.text
        assert message.response_metadata["mean_logprob"] < 0
        assert "logprobs" not in message.response_metadata
        assert message.usage_metadata["total_tokens"] == plain.usage_metadata["total_tokens"]
    for message in await everything_it_says(unsure, TEXTS[0]):
        assert parse_draft(message.text).abstained and message.text.endswith(ABSTENTION)
        assert message.usage_metadata["total_tokens"] == plain.usage_metadata["total_tokens"]
    mean = unsure.invoke(TEXTS[1]).response_metadata["mean_logprob"]
    assert drafter(spec, mean - 0.01).invoke(TEXTS[1]).text == drafter(spec, None).invoke(TEXTS[1]).text
    assert parse_draft(drafter(spec, mean + 0.01).invoke(TEXTS[1]).text).abstained


def test_who_asks_for_log_probabilities_gets_them_too(spec: str) -> None:
    asked = drafter(spec, 0.0).bind(logprobs=True, top_logprobs=2).invoke(TEXTS[0])
    assert parse_draft(asked.text).abstained
    tokens = asked.response_metadata["logprobs"]["content"]
    assert [len(token["top_logprobs"]) for token in tokens] == [2] * len(tokens)
    mean = sum(token["logprob"] for token in tokens) / len(tokens)
    assert asked.response_metadata["mean_logprob"] == pytest.approx(mean)


def test_the_threshold_is_the_artifacts(spec: str, tmp_path: Path, cli: Any) -> None:
    assert load_chat_model(spec).abstain_below is None
    data = tmp_path / "mine.jsonl"
    write_rows(data, (_own(row, number) for number, row in enumerate(town_rows(60))))
    chosen = cli("finetune", "fit-thresholds", spec, "--data", data, "--rows", "4", "--json")
    assert chosen.code == 0, chosen.err
    assert load_chat_model(spec).abstain_below is None  # it was only asked
    shown = cli("finetune", "fit-thresholds", spec, "--data", data, "--rows", "4", "--write")
    assert "abstain below" in shown.out and "written to" in shown.err
    manifest = open_artifact(spec, "drafter").manifest
    assert load_chat_model(spec).abstain_below == manifest.thresholds["abstain_below"]
    assert manifest.thresholds["abstain_below"] == pytest.approx(chosen.json["abstain_below"], abs=0.01)
    told = manifest.metrics["abstaining"]
    assert told["dev"]["rows"] == 4 and told["dev"]["score"] >= told["dev"]["without"]["score"]
    assert cli("finetune", "fit-thresholds", "support:bundled", "--data", data).code == 2
    assert "is not written to" in cli("finetune", "fit-thresholds", "drafter:bundled", "--data", data, "--write").err


def test_two_thresholds_are_two_models_to_a_cache(spec: str) -> None:
    from ragloom.evals.cached_model import CachedChatModel

    identities = {CachedChatModel.around(drafter(spec, threshold)).identity for threshold in (None, -1.0, -2.0)}
    assert len(identities) == 3


SAID = st.builds(
    lambda mean, answerable, answered, f1: Said(mean, answerable, answered, f1 if answerable and answered else 0.0),
    st.floats(-5, 0),
    st.booleans(),
    st.booleans(),
    st.floats(0, 1),
)


@given(st.lists(SAID, min_size=1, max_size=12))
def test_no_threshold_is_better(said: list[Said]) -> None:
    best = told_at(said, best_threshold(said))["score"]
    assert best >= told_at(said, None)["score"]
    assert all(best >= told_at(said, each.confidence)["score"] for each in said)


def test_what_a_threshold_does() -> None:
    said = [Said(-0.1, True, True, 1.0), Said(-0.2, True, True, 0.5), Said(-0.9, False, True, 0.0)]
    assert best_threshold(said) == -0.55
    assert told_at(said, -0.55) == {
        "rows": 3, "score": 0.875, "f1": 0.75, "f1_of_answered": 0.75, "answered": 1.0, "unanswerable_abstained": 1.0
    }  # fmt: skip
    assert told_at(said, None)["score"] == 0.375
    with pytest.raises(UsageError, match="no draft"):
        best_threshold([])


def _own(row: dict[str, Any], number: int) -> dict[str, Any]:
    """The row in a document of its own."""
    passages = [f"Page {number}: {passage}" for passage in row["passages"]]
    return {
        **row,
        "question": f"{row['question']} See page {number}.",
        "passages": passages,
        "origin": {**row["origin"], "document": f"towns:{number}"},
    }
