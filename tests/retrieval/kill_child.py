"""One ingestion in a process of its own, to be killed, or to be met by others.

The processes are forked from a server that has imported the slow libraries already (all but LanceDB itself, whose
threads do not survive a fork).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ragloom.retrieval import ChunkSettings, KnowledgeBase, ingest
from ragloom.retrieval.ledger import Ledger
from ragloom.testing import HashEmbedding

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    ["ragloom.retrieval.knowledge_base", "ragloom.testing.embedding", "lance_namespace", "pandas", "pyarrow"]
)


def open_kb(folder: Path) -> KnowledgeBase:
    return KnowledgeBase(folder, embedder=HashEmbedding(size=32), chunking=ChunkSettings("paragraph", size=24))


class Child:
    """An ingestion of `docs` into `kb`, with `prune`, that begins when `go` is called.

    Args:
        die: kills itself in the middle of its writes to ledger and store: 2 * n before the n-th, 2 * n + 1 after it.
        hold: after the first window it says `holding` and waits, with the lock held, until this file exists.
        slow: sleeps so many seconds before every write, so that readers meet every state between two writes.
    """

    def __init__(
        self, kb: Path, docs: Path, *, die: int | None = None, hold: Path | None = None, slow: float = 0
    ) -> None:
        self.pipe, far = context.Pipe()
        self.process = context.Process(target=_ingest, args=(far, kb, docs, die, hold, slow), daemon=True)
        self.process.start()
        far.close()

    def go(self) -> None:
        """Lets it begin, once it has imported everything."""
        assert self.pipe.recv() == "ready"
        self.pipe.send("go")

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def report(self) -> Any:
        """The report of the ingestion, when it is done; `moments` is then how many moments to die at there were."""
        report = self.pipe.recv()
        self.moments = self.pipe.recv()
        self.process.join()
        assert self.process.exitcode == 0
        return report


def _ingest(pipe: Connection, kb_folder: Path, docs: Path, die: int | None, hold: Path | None, slow: float) -> None:
    import lancedb  # noqa: F401  imports are not what is to be killed

    from ragloom.retrieval.store import ChunkTable

    ingest.WINDOW_CHUNKS = 40
    kb = open_kb(kb_folder)
    moments = iter(range(1_000_000))

    def moment() -> None:
        if next(moments) == die:
            os.kill(os.getpid(), signal.SIGKILL)

    for owner, names in (
        (Ledger, ["begin", "finish", "delete"]),
        (ChunkTable, ["append", "replace_documents", "delete", "maintain"]),
    ):
        for name in names:
            setattr(owner, name, _wrapped(getattr(owner, name), moment, slow))

    def progress(now: Any) -> None:
        if hold and now.chunks and not hold.exists():
            pipe.send("holding")
            while not hold.exists():
                time.sleep(0.01)

    pipe.send("ready")
    pipe.recv()
    pipe.send(kb.ingest([docs], prune=True, progress=progress, on_wait=lambda: pipe.send("waiting")))
    pipe.send(next(moments))


def _wrapped(real: Callable[..., Any], moment: Callable[[], None], slow: float) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        time.sleep(slow)
        moment()
        result = real(*args, **kwargs)
        moment()
        return result

    return call
