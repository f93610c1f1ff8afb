"""Web searches as retrievers, against a server of the test's own; ddgs is skipped without its library."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ragloom.errors import MissingExtraError, RagloomError, SearchError, UsageError
from ragloom.retrieval import load_web, web

PAGES = [
    {"url": "http://a.example/1", "title": "Leave", "content": "25 days.", "description": "25 days."},
    {"url": "http://a.example/2", "title": "Empty", "content": " ", "description": ""},
    {"url": "http://a.example/3", "title": "Travel", "content": "165 euros.", "description": "165 euros."},
]


class Service:
    """Answers every request with `answer`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.status, self.answer = 200, json.dumps({"results": PAGES, "web": {"results": PAGES}})
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                self._reply({"query": query, "headers": dict(self.headers)})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._reply({"body": json.loads(body), "headers": dict(self.headers)})

            def _reply(self, asked: dict[str, Any]) -> None:
                service.asked.append(asked)
                self.send_response(service.status)
                self.end_headers()
                self.wfile.write(service.answer.encode())

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def service() -> Iterator[Service]:
    one = Service()
    yield one
    one.server.shutdown()


@pytest.fixture
def named(service: Service, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Loads a search by name, with its service at the test's address."""
    monkeypatch.setenv("BRAVE_API_KEY", "secret-brave")
    monkeypatch.setenv("TAVILY_API_KEY", "secret-tavily")
    monkeypatch.setattr(web._brave, "__defaults__", (service.address,))
    monkeypatch.setattr(web._tavily, "__defaults__", (service.address,))
    return lambda name: load_web(f"searxng:{service.address}/" if name == "searxng" else name, top_k=3)


@pytest.mark.parametrize("name", ["searxng", "brave", "tavily"])
async def test_results_become_passages(named: Callable[[str], Any], service: Service, name: str) -> None:
    retriever = named(name)
    found = retriever.retrieve("days of leave")
    assert [item.node.get_content() for item in found] == ["25 days.", "165 euros."]
    assert [item.node.metadata["source"] for item in found] == ["http://a.example/1", "http://a.example/3"]
    assert [(item.score, item.node.metadata["score_kind"]) for item in found] == [(1.0, "web_rank"), (0.5, "web_rank")]
    assert found[0].node.node_id.startswith("web:")
    assert [item.node.node_id for item in await retriever.aretrieve("days of leave")] == [
        item.node.node_id for item in found
    ]
    asked = service.asked[0]
    if name == "searxng":
        assert asked["query"] == {"q": "days of leave", "format": "json"}
    elif name == "brave":
        assert asked["query"] == {"q": "days of leave", "count": "3"}
        assert asked["headers"]["X-Subscription-Token"] == "secret-brave"
    else:
        assert asked["body"] == {"query": "days of leave", "max_results": 3}
        assert asked["headers"]["Authorization"] == "Bearer secret-tavily"


@pytest.mark.parametrize("name", ["searxng", "brave", "tavily"])
@pytest.mark.parametrize(
    ("status", "answer"), [(500, "oops"), (200, "<html>"), (200, "[]"), (429, "{}"), (200, '{"results": 3, "web": 3}')]
)
def test_a_service_that_fails_is_named(
    named: Callable[[str], Any], service: Service, name: str, status: int, answer: str
) -> None:
    service.status, service.answer = status, answer
    with pytest.raises(SearchError, match=f"the web search '{name}' failed") as caught:
        named(name).retrieve("days of leave")
    assert "secret" not in str(caught.value)


def test_no_server() -> None:
    with pytest.raises(SearchError, match="'searxng' failed"):
        load_web("searxng:http://127.0.0.1:9").retrieve("x")


def test_an_empty_query_asks_nobody(named: Callable[[str], Any], service: Service) -> None:
    assert named("searxng").retrieve("  ") == []
    assert service.asked == []


@pytest.mark.parametrize("name", ["brave", "tavily"])
def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(f"{name.upper()}_API_KEY", raising=False)
    with pytest.raises(UsageError, match=f"set {name.upper()}_API_KEY"):
        load_web(name)


@pytest.mark.parametrize("spec", ["", "google", "searxng", "searxng:localhost", "kb:", "brave:x"])
def test_unknown_names(spec: str) -> None:
    with pytest.raises(UsageError, match="unknown second source"):
        load_web(spec)


def test_a_knowledge_base_that_is_none() -> None:
    with pytest.raises(RagloomError, match="nowhere"):
        load_web("kb:nowhere")


def test_duckduckgo_needs_its_library() -> None:
    try:
        import ddgs  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match="web"):
            load_web("duckduckgo")
    else:
        assert load_web("duckduckgo").name == "duckduckgo"  # type: ignore[attr-defined]
