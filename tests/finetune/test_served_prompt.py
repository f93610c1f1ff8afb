"""A drafter is asked as it was trained: the same messages in `ask`, the same token ids under llama.cpp."""

from __future__ import annotations

import random
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from ragloom.finetune.causal_base import base_folder, load_tokenizer
from ragloom.finetune.causal_training import prompt_ids
from ragloom.finetune.drafting import draft_prompt, reader_prompt, right_draft
from ragloom.graphs import naive_rag
from ragloom.models import load_chat_model
from ragloom.models.drafts import render_draft
from ragloom.testing import FakeChatModel

ODD = [
    *(" ", "  ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u200b", "\ufeff", "\x00", "’", "—", "&amp;", "[2]", "'S"),
    *("é", "e\u0301", "漢字", "中1文2", "😀", "٣", "½", "Ⅳ", "ﬁ", "ſ", "İ", "1", "23", "4.5", "$1,000", "3rd", "    x"),
    *("a", "The", "don't", "http://x.y/z?a=1", "def f():", "<|im_end|>", "<|endoftext|>", "<|im_start|>"),
]


def odd_rows(count: int) -> list[dict[str, Any]]:
    rng = random.Random(0)

    def text(pieces: int) -> str:
        return "".join(rng.choice(ODD) + rng.choice(["", " "]) for _ in range(pieces))

    return [
        {"question": text(6), "passages": [text(12) for _ in range(3)], "titles": [text(2), "", text(1)]}
        for _ in range(count)
    ]


def test_ask_sends_the_messages_of_the_training() -> None:
    class Shelf(BaseRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            texts = zip(row["passages"], row["titles"], strict=True)
            nodes = [
                TextNode(id_=str(n), text=text, metadata={"title": title, "source": "a", "page": 1})
                for n, (text, title) in enumerate(texts)
            ]
            return [NodeWithScore(node=node, score=1.0) for node in nodes]

    for row in odd_rows(20):
        llm = FakeChatModel(replies=["Cannot answer from these passages."])
        row["question"] = f"Who {row['question'].strip()}?"
        naive_rag(Shelf(), llm, prompt="draft").invoke({"question": row["question"]})
        [call] = llm.calls
        assert [str(message.text) for message in call] == [message["content"] for message in draft_prompt(row)]


@pytest.fixture(scope="module")
def served() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAGLOOM_THREADS", "1")
        llm: Any = load_chat_model("bundled:smollm2", max_tokens=1)  # another file's tests may have it running already
        yield llm
        llm.server().close()


def test_llama_cpp_reads_the_tokens_of_the_training(served: Any) -> None:
    tokenizer = load_tokenizer(base_folder("bundled:smollm2"))
    server = served.server()
    for row in odd_rows(30):
        for messages in (draft_prompt(row), reader_prompt(row)):
            body = {"content": server.render(messages), "add_special": True, "parse_special": True}
            assert server._post("/tokenize", body)["tokens"] == prompt_ids(tokenizer, messages)
    # What the chat endpoint itself reads: nothing is put in front, and no system prompt of the template's own.
    messages = draft_prompt(odd_rows(1)[0])
    said = served.invoke([SystemMessage(messages[0]["content"]), HumanMessage(messages[1]["content"])])
    assert said.usage_metadata["input_tokens"] == len(prompt_ids(tokenizer, messages))


def test_the_completion_has_the_tokens_that_scoring_and_generation_give_it(served: Any) -> None:
    """Prompt and completion are tokenised apart: no token may reach over the border."""
    tokenizer = load_tokenizer(base_folder("bundled:smollm2"))
    row = {"question": "When?", "passages": ["It opened in 1889."], "rationale": "It opened in 1889.", "answer": "1889"}
    for told in ({**row, "answerable": True, "gold": 0}, {**row, "answerable": False, "gold": -1}):
        messages, said = draft_prompt(told), render_draft(right_draft(told))
        apart = prompt_ids(tokenizer, messages) + tokenizer(said, add_special_tokens=False)["input_ids"]
        body = {"content": served.server().render(messages) + said, "add_special": True, "parse_special": True}
        assert served.server()._post("/tokenize", body)["tokens"] == apart
    assert tokenizer.eos_token == "<|im_end|>"  # what ends a turn in the template, and a completion in training
