"""Exact scoring against a loop written by hand, its laws, and llama.cpp's own log-probabilities."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
import transformers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from ragloom.errors import UnknownModelError, UsageError
from ragloom.models import load_chat_model
from ragloom.models.scoring import Scored, Scorer, load_scorer, supports_scoring

TEXTS = ["The cat sat on the mat.", "Who wrote Emma? Jane Austen wrote Emma.", "A cat, a mat, and 12 letters."]
KINDS = ("bytes", "words", "pieces")


def tokenizer_of(kind: str) -> Any:
    """Three ways in which a space meets its word: merged into it, dropped, or as a mark of its own."""
    special = ["<unk>", "<s>", "</s>"]
    if kind == "words":
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer: Any = trainers.WordLevelTrainer(special_tokens=special)
    elif kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=special, initial_alphabet=alphabet)
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(" ", "▁")])
        tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
        trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=special)
    tokenizer.train_from_iterator(TEXTS, trainer)
    if kind == "bytes":
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)  # as GPT-2's: ranges without their space
    else:
        begin = [("<s>", 1), ("</s>", 2)]
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=begin)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    result = {}
    for kind in KINDS:
        torch.manual_seed(0)
        tokenizer = tokenizer_of(kind)
        config = transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=96,
            initializer_range=0.3,
            bos_token_id=1,
            eos_token_id=2,
        )
        folder = tmp_path_factory.mktemp(kind)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        result[kind] = folder
    return result


@pytest.fixture(scope="module")
def scorers(folders: dict[str, Path]) -> dict[str, Scorer]:
    return {kind: load_scorer(f"hf:{folder}", device="cpu") for kind, folder in folders.items()}


def by_hand(folder: Path, ids: list[int], first: int) -> list[float]:
    """One forward pass for each token, on the tokens before it."""
    model = transformers.LlamaForCausalLM.from_pretrained(folder)
    result = []
    for i in range(first, len(ids)):
        with torch.no_grad():
            logits = model(torch.tensor([ids[:i]])).logits[0, -1].double()
        result.append(float(torch.log_softmax(logits, 0)[ids[i]]))
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_loop_written_by_hand(kind: str, folders: dict[str, Path], scorers: dict[str, Scorer]) -> None:
    raw = tokenizer_of(kind).backend_tokenizer
    raw.post_processor = None
    whole = raw.encode("The cat sat on the mat.").ids
    before = raw.encode("The cat").ids
    assert whole[: len(before)] == before
    opening = [] if kind == "bytes" else [1]  # only this tokenizer opens no text with <s>; none may close it with </s>
    scored = scorers[kind].score("The cat", " sat on the mat.")
    assert [token.id for token in scored.tokens] == whole[len(before) :]
    wanted = by_hand(folders[kind], opening + whole, len(opening + before))
    assert [token.logprob for token in scored.tokens] == pytest.approx(wanted, abs=1e-4)
    assert scored.total == pytest.approx(sum(wanted), abs=1e-3)
    assert scored.mean == pytest.approx(sum(wanted) / len(wanted), abs=1e-4)
    assert max(wanted) - min(wanted) > 1  # a model that tells tokens apart


def test_a_token_over_the_boundary_counts_whole_and_is_reported(
    folders: dict[str, Path], scorers: dict[str, Scorer]
) -> None:
    scorer = scorers["bytes"]
    clean, cut = scorer.score("The cat", " sat"), scorer.score("The cat ", "sat")
    assert (clean.straddles, cut.straddles) == (0, 1)
    assert (cut.tokens[0].start, cut.tokens[-1].end) == (-1, 3)
    assert cut.total == pytest.approx(clean.total, abs=1e-5)
    alone = tokenizer_of("bytes")("sat").input_ids
    assert [token.id for token in cut.tokens] != alone  # what tokenising the continuation alone would have scored


def test_edges(scorers: dict[str, Scorer], folders: dict[str, Path]) -> None:
    scorer = scorers["bytes"]
    assert scorer.score("The cat", "") == Scored(()) == scorer.score("", "")
    assert (Scored(()).total, Scored(()).mean, Scored(()).straddles) == (0.0, 0.0, 0)
    ids = tokenizer_of("bytes")("The cat").input_ids
    wanted = by_hand(folders["bytes"], [1, *ids], 1)  # an empty prompt is <s>
    assert [token.logprob for token in scorer.score("", "The cat").tokens] == pytest.approx(wanted, abs=1e-4)
    with pytest.raises(UsageError, match="reads 96"):
        scorer.score("cat " * 200, "mat")
    with pytest.raises(UsageError, match="no chat template"):
        scorer.score_messages([{"role": "user", "content": "x"}], "y")
    assert math.isfinite(scorer.score("é漢\n", "字😀").total)
    assert scorer.score_many([]) == []


PIECES = st.lists(
    st.sampled_from([" the", "The", " cat", "s", "at", ".", ",", " ", "12", "é", "\n", "Emma"]), max_size=6
)


@settings(max_examples=60, deadline=None)
@given(prompt=PIECES, first=PIECES, second=PIECES, kind=st.sampled_from(KINDS))
def test_a_continuation_is_the_sum_of_its_parts(
    scorers: dict[str, Scorer], prompt: list[str], first: list[str], second: list[str], kind: str
) -> None:
    p, a, b = "".join(prompt), "".join(first), "".join(second)
    tokenizer = tokenizers_of(kind)
    whole, left, start = (tokenizer.encode(text) for text in (p + a + b, p + a, p))
    assume(start.ids)  # an empty prompt stands for <s>, which is no part of the others
    assume(whole.ids[: len(left)] == left.ids and left.ids[: len(start)] == start.ids)
    assume(not any(begin < border < end for begin, end in whole.offsets for border in (len(p), len(p + a))))
    scorer = scorers[kind]
    joint, head, tail = scorer.score_many([(p, a + b), (p, a), (p + a, b)])
    assert joint.total == pytest.approx(head.total + tail.total, abs=1e-3)
    assert [token.id for token in joint.tokens] == [token.id for token in head.tokens + tail.tokens]


_raw: dict[str, Any] = {}


def tokenizers_of(kind: str) -> Any:
    if kind not in _raw:
        _raw[kind] = tokenizer_of(kind).backend_tokenizer
        _raw[kind].post_processor = None
    return _raw[kind]


@settings(max_examples=25, deadline=None)
@given(pairs=st.lists(st.tuples(PIECES, PIECES), max_size=8), kind=st.sampled_from(KINDS))
def test_a_batch_scores_as_its_members(
    scorers: dict[str, Scorer], pairs: list[tuple[list[str], list[str]]], kind: str
) -> None:
    texts = [("".join(prompt), "".join(rest)) for prompt, rest in pairs]
    together = scorers[kind].score_many(texts)
    for pair, scored in zip(texts, together, strict=True):
        alone = scorers[kind].score(*pair)
        assert [(token.id, token.start, token.end) for token in alone.tokens] == [
            (token.id, token.start, token.end) for token in scored.tokens
        ]
        assert scored.total == pytest.approx(alone.total, abs=1e-3)


def test_large_batches_are_cut(scorers: dict[str, Scorer], monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [("The cat " * (i % 5 + 1), "sat on the mat." * (i % 3 + 1)) for i in range(40)]
    whole = scorers["bytes"].score_many(pairs)
    monkeypatch.setattr("ragloom.models.scoring_transformers._BATCH_TOKENS", 64)
    monkeypatch.setattr("ragloom.models.scoring_transformers._BATCH_LOGITS", 5000)
    cut = scorers["bytes"].score_many(pairs)
    assert [scored.total for scored in cut] == pytest.approx([scored.total for scored in whole], abs=1e-3)


def test_async_is_the_same(scorers: dict[str, Scorer]) -> None:
    scorer = scorers["bytes"]

    async def ask() -> tuple[Scored, list[Scored]]:
        return await scorer.ascore("The cat", " sat"), await scorer.ascore_many([("The cat", " sat"), ("A", " mat")])

    one, many = asyncio.run(ask())
    assert one == scorer.score("The cat", " sat")
    assert many == scorer.score_many([("The cat", " sat"), ("A", " mat")])


def test_models_that_cannot_score_say_so(scorers: dict[str, Scorer], smollm2_file: Path) -> None:
    assert isinstance(scorers["bytes"], Scorer)
    assert load_scorer(scorers["bytes"]) is scorers["bytes"]
    for spec in ("bundled:smollm2", f"gguf:{smollm2_file}", "hf:somewhere", "drafter:out", scorers["bytes"]):
        assert supports_scoring(spec)
    llm = load_chat_model("bundled:smollm2")
    for model in ("openai:gpt-4o", "bundled:minilm", "support:bundled", llm, llm.bind(stop=["x"])):
        assert not supports_scoring(model)
        with pytest.raises(UsageError, match="bundled:smollm2, gguf:PATH"):
            load_scorer(model)
    assert not supports_scoring("nonsense")
    with pytest.raises(UnknownModelError):
        load_scorer("nonsense:x")
    with pytest.raises(UsageError, match=r"no config\.json"):
        load_scorer("hf:/nowhere").score("a", "b")


def test_smollm2_agrees_with_llama_cpp(smollm2_file: Path) -> None:
    """The same 4-bit weights; llama.cpp rounds activations to 8 bits, hence the tolerance."""
    llm = load_chat_model("bundled:smollm2", max_tokens=8)
    server = llm.server()  # type: ignore[attr-defined]
    scorer = load_scorer("bundled:smollm2", device="cpu")
    prompt = "The capital of France is Paris. The capital of Italy is"
    body = {"prompt": prompt, "n_predict": 6, "n_probs": 1, "temperature": 0}
    headers = {"Authorization": f"Bearer {server.api_key}"}
    answer = httpx.post(f"{server.url}/completion", json=body, headers=headers, timeout=600).json()
    scored = scorer.score(prompt, answer["content"])
    theirs = answer["completion_probabilities"]
    assert [token.id for token in scored.tokens] == [token["id"] for token in theirs]
    assert_near([token.logprob for token in scored.tokens], [token["logprob"] for token in theirs])

    messages = [HumanMessage("What is the capital of France?")]
    said = llm.bind(logprobs=True).invoke(messages)
    chat = scorer.score_messages(messages, str(said.content))
    theirs = said.response_metadata["logprobs"]["content"]
    texts = [token["token"] for token in theirs]
    content = str(said.content)
    assert [content[token.start : token.end] for token in chat.tokens] == texts[: len(chat.tokens)]
    assert_near([token.logprob for token in chat.tokens], [token["logprob"] for token in theirs][: len(chat.tokens)])
    assert scorer.score(prompt, " Rome").total > scorer.score(prompt, " Berlin").total + 1


def assert_near(ours: list[float], theirs: list[float]) -> None:
    distances = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    assert max(distances) < 0.4
    assert sum(distances) / len(distances) < 0.1
