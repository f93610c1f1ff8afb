"""A cancelled answer ends at once, however fast its chunks come."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ragloom.models import load_chat_model


class _Endless(BaseHTTPRequestHandler):
    """Answers with words until nobody listens."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        choice = {"index": 0, "delta": {"role": "assistant", "content": "word "}, "finish_reason": None}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
        try:
            while True:
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.flush()
                threading.Event().wait(0.0003)
        except OSError:
            pass

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Endless) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENAI_API_KEY", "x")
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        yield
        server.shutdown()


def test_no_cancellation_is_lost(endless: None) -> None:
    llm = load_chat_model("openai:scripted")

    async def listen(heard: asyncio.Event) -> None:
        async for _ in llm.astream("Speak."):
            heard.set()

    async def begin_and_cancel(times: int) -> None:
        dice = random.Random(7)
        for _ in range(times):
            heard = asyncio.Event()
            task = asyncio.create_task(listen(heard))
            await heard.wait()
            await asyncio.sleep(dice.random() * 0.01)
            task.cancel()
            await asyncio.wait([task], timeout=5)
            assert task.cancelled()

    asyncio.run(begin_and_cancel(60))
