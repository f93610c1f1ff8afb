"""The test kit: fakes that stand in for models, and suites that stores and retrievers must pass (these need pytest).

>>> from ragloom.testing import FakeChatModel, HashEmbedding
>>> FakeChatModel(replies=["Paris."]).invoke("Capital of France?").content
'Paris.'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .chat import FakeChatModel, Misbehaviour
    from .embedding import HashEmbedding
    from .retrievers import RetrieverSuite
    from .stores import VectorStoreSuite

__all__ = ("FakeChatModel", "HashEmbedding", "Misbehaviour", "RetrieverSuite", "VectorStoreSuite")

_HOMES = {
    "FakeChatModel": "chat",
    "HashEmbedding": "embedding",
    "Misbehaviour": "chat",
    "RetrieverSuite": "retrievers",
    "VectorStoreSuite": "stores",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
