"""The bundled chat model through LangChain's door, its server, and errors in one line."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from ragloom.errors import ModelError, UsageError
from ragloom.models import context_window, count_tokens, load_chat_model, model_errors

QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def llm(smollm2_file: Path) -> Any:
    return load_chat_model("bundled:smollm2", max_tokens=24)


def test_invoke_stream_and_async_agree(llm: Any) -> None:
    answer = llm.invoke(QUESTION)
    assert answer.content.strip()
    assert 0 < answer.usage_metadata["output_tokens"] <= 24
    chunks = list(llm.stream(QUESTION))
    assert len(chunks) > 5
    assert "".join(chunk.content for chunk in chunks) == answer.content
    assert (
        sum(c.usage_metadata["output_tokens"] for c in chunks if c.usage_metadata)
        == answer.usage_metadata["output_tokens"]
    )

    async def both() -> tuple[str, str]:
        streamed = [chunk.content async for chunk in llm.astream(QUESTION)]
        return (await llm.ainvoke(QUESTION)).content, "".join(streamed)

    # Twice: an async client must survive the event loop that it was first used in.
    assert asyncio.run(both()) == (answer.content, answer.content)
    assert asyncio.run(both()) == (answer.content, answer.content)


def test_prompt_tokens_are_exact(llm: Any) -> None:
    messages = [SystemMessage("Answer briefly."), HumanMessage(QUESTION)]
    assert llm.get_num_tokens_from_messages(messages) == llm.invoke(messages).usage_metadata["input_tokens"]
    assert count_tokens(llm, "") == 0
    assert count_tokens(llm.bind(stop=["x"]), "Hello world") == len(llm.get_token_ids("Hello world")) == 2
    assert context_window(llm) == context_window(llm.bind(stop=["x"])) == 8192


def test_json_schema_is_kept_to(llm: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "big": {"type": "boolean"}},
        "required": ["city", "big"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}}
    answer = json.loads(llm.invoke(QUESTION, response_format=form, max_tokens=60).content)
    assert set(answer) == {"city", "big"}


def test_log_probabilities(llm: Any) -> None:
    answer = llm.bind(logprobs=True, top_logprobs=2).invoke("Say yes or no.")
    first = answer.response_metadata["logprobs"]["content"][0]
    assert first["logprob"] <= 0
    assert len(first["top_logprobs"]) == 2


def test_models_share_a_server_on_loopback_that_wants_a_key(llm: Any, smollm2_file: Path) -> None:
    server = llm.server()
    assert load_chat_model("bundled:smollm2").server() is server  # type: ignore[attr-defined]
    assert load_chat_model(f"gguf:{smollm2_file}").server() is server  # type: ignore[attr-defined]
    assert server.url.startswith("http://127.0.0.1:")
    for path in ("/v1/chat/completions", "/tokenize", "/apply-template"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(urllib.request.Request(server.url + path, data=b"{}"), timeout=10)
    outside = next((a[4][0] for a in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)), "127.0.0.1")
    if not str(outside).startswith("127."):
        with pytest.raises(OSError):
            socket.create_connection((str(outside), int(server.url.rsplit(":", 1)[1])), timeout=2).close()
    with pytest.raises(UsageError, match="already served with a context of 8192"):
        load_chat_model("bundled:smollm2", context_length=512).server()  # type: ignore[attr-defined]


def test_too_long_a_prompt_is_one_line(llm: Any) -> None:
    with pytest.raises(ModelError, match="exceeds the available context size") as caught, model_errors():
        llm.invoke("a b " * 6000)
    assert "\n" not in str(caught.value)


def test_proxy_of_the_environment_is_not_asked(smollm2_file: Path) -> None:
    code = (
        "from ragloom.models import load_chat_model\n"
        "print(load_chat_model('bundled:smollm2', max_tokens=3, context_length=512).invoke('Hi').content)"
    )
    proxy = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **proxy}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr == ""  # llama.cpp's log is silent


def test_server_closes_at_exit_and_a_fork_is_safe(smollm2_file: Path) -> None:
    code = (
        "import os, sys\nfrom ragloom.models import load_chat_model\n"
        "llm = load_chat_model('bundled:smollm2', max_tokens=3, context_length=512)\n"
        "print(llm.server().url, flush=True); a = llm.invoke('Hi').content\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    sys.exit(0 if llm.invoke('Hi').content == a else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    host, port = done.stdout.strip().removeprefix("http://").split(":")
    with pytest.raises(OSError):
        socket.create_connection((host, int(port)), timeout=2)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not a GGUF"), (b"PK\x03\x04zip", "not a GGUF"), (b"GGUF", "damaged"), (b"GGUF" + b"\xff" * 99, "damaged")],
)
def test_files_that_are_no_gguf(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        load_chat_model(f"gguf:{path}")
    assert "\n" not in str(caught.value)


def test_missing_file_directory_and_truncated_model(tmp_path: Path, smollm2_file: Path) -> None:
    with pytest.raises(UsageError, match="there is no model file"):
        load_chat_model(f"gguf:{tmp_path}/none.gguf")
    with pytest.raises(UsageError, match="there is no model file"):
        load_chat_model(f"gguf:{tmp_path}")
    path = tmp_path / "cut.gguf"
    path.write_bytes(smollm2_file.read_bytes()[:30_000_000])
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load"):
        load_chat_model(f"gguf:{path}").invoke("Hi")


def test_unknown_parameter_is_not_swallowed(smollm2_file: Path) -> None:
    with pytest.raises(UsageError, match="takes no parameter 'temprature'"):
        load_chat_model("bundled:smollm2", temprature=0.5)
    with pytest.raises(UsageError, match="too short"):
        load_chat_model("bundled:smollm2", context_length=8).server()  # type: ignore[attr-defined]


def test_dead_openai_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    llm = load_chat_model("openai:gpt-4o", max_retries=0)
    with pytest.raises(ModelError, match=r"cannot be reached at http://127\.0\.0\.1:9") as caught, model_errors():
        llm.invoke("Hi")
    assert "\n" not in str(caught.value)

    async def ask() -> None:
        with model_errors():
            await llm.ainvoke("Hi")

    with pytest.raises(ModelError, match="cannot be reached"):
        asyncio.run(ask())
    assert count_tokens(llm, "four letters here") >= 4
    assert context_window(llm) >= 8192


def test_wrong_key(llm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{llm.server().url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(ModelError, match="refused the API key"), model_errors():
        load_chat_model("openai:any").invoke("Hi")


def test_missing_key_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises((UsageError, ModelError), match="OPENAI_API_KEY"), model_errors():
        load_chat_model("openai:gpt-4o").invoke("Hi")


def test_other_exceptions_pass() -> None:
    with pytest.raises(ValueError, match="mine"), model_errors():
        raise ValueError("mine")
