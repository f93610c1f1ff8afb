"""llama.cpp's OpenAI-compatible server inside this process, one per model file and adapter, through `xllamacpp`.

It starts on first use, listens on 127.0.0.1 only, on a port that the operating system picks (so no port can be busy),
asks for a random key (so other users of the machine cannot use it), and closes at exit.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import secrets
import socket
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import ModelError, UsageError
from .cpu import physical_cores
from .gguf import read_header

__all__ = ("DEFAULT_CONTEXT", "LlamaServer")

DEFAULT_CONTEXT = 8192  # tokens of one request, prompt and answer; more costs memory (23 kB a token for smollm2)
_SLOTS = 2  # requests answered at the same time; each has the whole context
_PROMPT_CACHE_MIB = 512  # llama.cpp's own default is 8 GiB of memory

_servers: dict[tuple[Path, Path | None], LlamaServer] = {}
_servers_lock = threading.Lock()


class LlamaServer:
    """A GGUF model being served. Use `LlamaServer.of(path)`, which starts it once and hands it to everyone.

    `url` is its address, `api_key` what it asks for, `context_length` the tokens of one request. `tokenize`,
    `count_tokens` and `render` use the model's own tokenizer and chat template.
    """

    def __init__(
        self,
        path: Path,
        *,
        adapter: Path | None = None,
        context_length: int | None = None,
        threads: int | None = None,
        exact: bool = False,
    ) -> None:
        """Load the model, and a GGUF LoRA `adapter` on it, and start listening.

        `exact` keeps keys and values in float32, as transformers does, for comparisons. Raises `UsageError` for a bad
        file or setting, else `ModelError`.
        """
        self.path, self.adapter = path, adapter
        self.context_length = resolve_context(path, context_length)
        self.api_key = secrets.token_urlsafe(24)
        self._process = os.getpid()
        import httpx

        xllamacpp = _binding()
        params = _params(xllamacpp, path, self.api_key, self.context_length, threads or _environment("RAGLOOM_THREADS"))
        if adapter is not None:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        if exact:
            params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        try:
            self._server: Any = xllamacpp.Server(params)
        except Exception as error:  # the binding raises RuntimeError without a reason
            raise ModelError(
                f"llama.cpp cannot load {str(path)!r}" + (f" with the adapter {str(adapter)!r}" if adapter else ""),
                hint="the file is cut short or damaged, its architecture is newer than the installed xllamacpp, "
                "or memory is short",
            ) from error
        self.url: str = self._server.listening_address
        # trust_env: a proxy set for the outside world must not see, or break, requests to this machine.
        self._http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.api_key}"}, trust_env=False, timeout=60
        )
        self._count = lru_cache(maxsize=8192)(self._count_uncached)

    @classmethod
    def of(
        cls,
        path: Path,
        *,
        adapter: Path | None = None,
        context_length: int | None = None,
        threads: int | None = None,
    ) -> LlamaServer:
        """The server of this model file, with this adapter, in this process, started if need be.

        Raises `UsageError` when it already runs with another `context_length`.
        """
        path = path.expanduser().resolve()
        adapter = adapter.expanduser().resolve() if adapter is not None else None
        with _servers_lock:
            server = _servers.get((path, adapter))
            if server is None or not server.alive:
                server = cls(path, adapter=adapter, context_length=context_length, threads=threads)
                _servers[path, adapter] = server
            elif context_length is not None and server.context_length != resolve_context(path, context_length):
                raise UsageError(
                    f"{path.name} is already served with a context of {server.context_length} tokens, "
                    f"not {context_length}",
                    hint="ask for the same context_length everywhere in a process",
                )
            return server

    @property
    def alive(self) -> bool:
        """Whether the server can be asked. After a fork the child goes on using its parent's while that lives."""
        if self._server is None:
            return False
        if self._process == os.getpid():
            return True
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text by the model's own tokenizer; nothing is added and markers count as text."""
        body = {"content": text, "add_special": False, "parse_special": False}
        tokens: list[int] = self._post("/tokenize", body)["tokens"]
        return tokens

    def count_tokens(self, text: str) -> int:
        """Number of tokens of plain text; remembered for the last 8192 texts."""
        return self._count(text)

    def render(self, messages: list[dict[str, Any]]) -> str:
        """The prompt that the model's chat template makes of OpenAI-style messages."""
        prompt: str = self._post("/apply-template", {"messages": messages})["prompt"]
        return prompt

    def count_prompt(self, messages: list[dict[str, Any]]) -> int:
        """Tokens of a whole chat prompt, template and markers included."""
        body = {"content": self.render(messages), "add_special": True, "parse_special": True}
        return len(self._post("/tokenize", body)["tokens"])

    def close(self) -> None:
        """Stop listening and free the model. Harmless when called twice, or in a forked child."""
        if self._server is None or self._process != os.getpid():
            return
        self._http.close()
        self._server = None  # the binding stops its threads when the object goes
        with _servers_lock:
            if _servers.get((self.path, self.adapter)) is self:
                del _servers[self.path, self.adapter]

    def _count_uncached(self, text: str) -> int:
        return len(self.tokenize(text))

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        import httpx

        if self._server is None:
            raise ModelError(f"the server of {self.path.name} is closed")
        try:
            answer = self._http.post(path, json=body).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise ModelError(f"the server of {self.path.name} did not answer {path}: {error}") from error
        result: dict[str, Any] = answer
        return result


def resolve_context(path: Path, wanted: int | None) -> int:
    """Tokens of one request: `wanted`, else `RAGLOOM_CONTEXT_LENGTH`, else 8192; never more than the model knows."""
    header = read_header(path)
    trained = int(header.get(f"{header.get('general.architecture', '')}.context_length", 0))
    context = wanted or _environment("RAGLOOM_CONTEXT_LENGTH") or DEFAULT_CONTEXT
    if context < 64:
        raise UsageError(f"a context of {context} tokens is too short", hint="use at least 64")
    return min(context, trained) if trained else context


def _binding() -> Any:
    """The xllamacpp module, imported so that its worker threads do not spin for long.

    llama.cpp's threads wait for each other hundreds of times a token. The OpenMP runtime spins there for milliseconds;
    on a machine with other work that starves the very thread waited for: 60 tokens took 2 to 13 s beside one busy
    process, 1.5 to 2.8 s with short spins, with no loss on an idle machine. The runtime reads the variable once, when
    it is loaded, so the environment is restored at once; a value of the user's own wins.
    """
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    ours = not any(name in os.environ for name in names)
    if ours:
        os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        import xllamacpp
    finally:
        if ours:
            del os.environ["GOMP_SPINCOUNT"]
    return xllamacpp


def _params(xllamacpp: Any, path: Path, api_key: str, context_length: int, threads: int | None) -> Any:
    """The server's settings; each line differs from llama.cpp's default for the reason given."""
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {path.stem} if isinstance(params.model_alias, set) else params.model_alias
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # the operating system picks a free one while binding, so nothing can take it in between
    params.api_keys = [api_key]
    params.n_ctx = context_length * _SLOTS
    params.n_parallel = _SLOTS
    params.kv_unified = False  # each slot owns its share: two long prompts at once never run out of room
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.cpuparams.n_threads = threads or physical_cores()
    params.cpuparams_batch.n_threads = threads or physical_cores()
    params.verbosity = -1
    params.ui = False
    params.endpoint_slots = False  # it would show one user's prompts to another holder of the key
    params.warmup = False
    return params


def _environment(name: str) -> int | None:
    text = os.environ.get(name)
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"{name} is {text!r}", hint="use a positive whole number")
    return int(text)


@atexit.register
def _close_all() -> None:
    for server in list(_servers.values()):
        with contextlib.suppress(Exception):  # exiting: nobody is left to tell
            server.close()


def _after_fork() -> None:
    """In a forked child the server's threads are gone: nothing may wait for them, or it waits for ever.

    The child goes on asking its parent's server. The Python object is kept from being destroyed, and so are
    llama.cpp's static C++ objects: the C library's `on_exit` ends the process just before their destructors would run,
    after Python has finished as usual.
    """
    global _servers_lock
    _servers_lock = threading.Lock()  # another thread of the parent may have held it
    if not _servers:
        return
    for server in _servers.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(server._server))
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # glibc
        libc.on_exit(libc._exit, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
