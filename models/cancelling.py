"""What langchain-openai's models are given so that a cancelled answer ends."""

from __future__ import annotations

import os
import sys

__all__ = ("stream_options",)

_TOLD = "LANGCHAIN_OPENAI_STREAM_CHUNK_TIMEOUT_S"


def stream_options() -> dict[str, None]:
    """Options of `ChatOpenAI`: no timeout between chunks on Python 3.11, unless the environment asks for one.

    langchain-openai awaits each chunk by `asyncio.wait_for`, and that of Python 3.11 forgets a cancellation which comes
    in the same tick as a chunk (python/cpython#86296): Ctrl-C was lost now and then, and the answer ran on. The
    client's own timeout still ends a request to a server that falls silent.

        >>> load_chat_model("openai:gpt-5-mini", **stream_options())  # doctest: +SKIP
    """
    from langchain_openai import ChatOpenAI

    ours = sys.version_info < (3, 12) and "stream_chunk_timeout" in ChatOpenAI.model_fields and _TOLD not in os.environ
    return {"stream_chunk_timeout": None} if ours else {}
