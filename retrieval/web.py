"""A second source by name: a web search, or another knowledge base, as a LlamaIndex retriever.

    searxng:URL     a SearXNG server of your own (its JSON format must be switched on)
    brave           Brave Search; key in BRAVE_API_KEY
    tavily          Tavily; key in TAVILY_API_KEY
    duckduckgo      through the library ddgs (pip install "ragloom[web]")
    kb:PATH         another knowledge base: nothing leaves the machine

All but `kb:` send the question, or what a strategy makes of it, to somebody else. Nothing is asked unless one is named.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from ..access import AccessScope
from ..errors import MissingExtraError, SearchError, UsageError
from .search import Mode

__all__ = ("WEB_PROVIDERS", "WebRetriever", "load_web")

WEB_PROVIDERS = ("searxng:URL", "brave", "tavily", "duckduckgo", "kb:PATH")
BRAVE = "https://api.search.brave.com/res/v1/web/search"
TAVILY = "https://api.tavily.com/search"
TIMEOUT_S = 15.0
MOST_RESULTS = 20
"""What hosted services give at most."""

Found = list[dict[str, Any]]
"""Results as a service gives them, best first."""


class WebRetriever(BaseRetriever):
    """A web search as a retriever. Results carry `source` (the address), `title`, and `score_kind` `web_rank`, whose
    score is one over the rank: services give no scores, or none that can be compared. Made by `load_web`.

    Raises `SearchError` where the service does not answer, or not as agreed.
    """

    def __init__(
        self,
        name: str,
        search: Callable[[str, int], Found],
        *,
        fields: tuple[str, str],
        top_k: int = 5,
        server: str = "",
    ) -> None:
        """`search` gives results for (query, how many); `fields` are its names of the address and the text. `server`
        tells two of one name apart.
        """
        self.name, self.top_k = name, top_k
        self.fingerprint = f"{name} {re.sub(r'(?<=://)[^/@]+@', '', server)} {top_k}"
        self._search, self._fields = search, fields
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        address, text = self._fields
        found: list[NodeWithScore] = []
        for result in self._results(query_bundle.query_str):
            said = str(result.get(text) or "").strip()
            if said:
                source = str(result.get(address) or self.name)
                digest = hashlib.sha256(f"{source}\0{said}".encode()).hexdigest()[:16]
                title = str(result.get("title") or "")
                metadata = {"source": source, "title": title, "page": 1, "score_kind": "web_rank"}
                node = TextNode(id_=f"web:{digest}", text=said, metadata=metadata)
                found.append(NodeWithScore(node=node, score=1 / (len(found) + 1)))
        return found[: self.top_k]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)

    def _results(self, query: str) -> Found:
        if not query.strip():
            return []
        try:
            results = self._search(query, self.top_k)
            return [result for result in results if isinstance(result, dict)]
        except Exception as error:  # every service and library has its own
            reason = _reason(error)
            raise SearchError(
                f"the web search {self.name!r} failed: {reason}", hint="try again, or name another one"
            ) from error


def load_web(
    spec: str, *, top_k: int = 5, scope: AccessScope | None = None, tenant: str = "", mode: Mode = "default"
) -> BaseRetriever:
    """The retriever that `spec` names; asks nobody anything yet. `scope` (or `tenant`, for one without groups) and
    `mode` are those of a knowledge base.

    Raises `UsageError` for an unknown name or a missing key, `MissingExtraError` for a missing library, and what
    `KnowledgeBase.open` raises.

    >>> load_web("searxng:http://localhost:8888").name
    'searxng'
    """
    name, _, rest = spec.partition(":")
    if name == "kb" and rest:
        from .knowledge_base import KnowledgeBase

        opened = KnowledgeBase.open(Path(rest).expanduser())
        return opened.retriever(mode=mode, top_k=top_k, scope=scope, tenant=tenant)
    if name == "searxng" and rest.startswith(("http://", "https://")):
        address = rest.rstrip("/")
        return WebRetriever(name, _searxng(address), fields=("url", "content"), top_k=top_k, server=address)
    if spec == "brave":
        return WebRetriever(name, _brave(_key("BRAVE_API_KEY", name)), fields=("url", "description"), top_k=top_k)
    if spec == "tavily":
        return WebRetriever(name, _tavily(_key("TAVILY_API_KEY", name)), fields=("url", "content"), top_k=top_k)
    if spec == "duckduckgo":
        return WebRetriever(name, _duckduckgo(), fields=("href", "body"), top_k=top_k)
    raise UsageError(f"unknown second source {spec!r}", hint=f"use {', '.join(WEB_PROVIDERS)}")


def _reason(error: Exception) -> str:
    """What went wrong, without the address and the key, which errors of httpx quote."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    if isinstance(error, (httpx.HTTPError, httpx.InvalidURL)):
        return type(error).__name__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _key(variable: str, name: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"{name!r} needs a key", hint=f"set {variable}")
    return key


def _searxng(address: str) -> Callable[[str, int], Found]:
    def search(query: str, most: int) -> Found:
        answer = httpx.get(f"{address}/search", params={"q": query, "format": "json"}, timeout=TIMEOUT_S)
        found: Found = _json(answer)["results"]
        return found

    return search


def _brave(key: str, address: str = BRAVE) -> Callable[[str, int], Found]:
    def search(query: str, most: int) -> Found:
        headers = {"X-Subscription-Token": key, "Accept": "application/json"}
        answer = httpx.get(
            address, params={"q": query, "count": min(most, MOST_RESULTS)}, headers=headers, timeout=TIMEOUT_S
        )
        found: Found = _json(answer).get("web", {}).get("results", [])
        return found

    return search


def _tavily(key: str, address: str = TAVILY) -> Callable[[str, int], Found]:
    def search(query: str, most: int) -> Found:
        asked = {"query": query, "max_results": min(most, MOST_RESULTS)}
        answer = httpx.post(address, json=asked, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S)
        found: Found = _json(answer)["results"]
        return found

    return search


def _duckduckgo() -> Callable[[str, int], Found]:
    try:
        from ddgs import DDGS
    except ImportError as error:
        raise MissingExtraError("the web search 'duckduckgo'", "web") from error

    def search(query: str, most: int) -> Found:
        found: Found = DDGS(timeout=int(TIMEOUT_S)).text(query, max_results=most)
        return found

    return search


def _json(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    told = answer.json()
    if not isinstance(told, dict):
        raise TypeError(f"expected a JSON object, got {type(told).__name__}")
    return told
