"""The test kit: fakes that stand in for models, and suites that stores and retrievers must pass (these need pytest).

>>> from ragloom.testing import FakeChatModel, HashEmbedding
>>> FakeChatModel(replies=["Paris."]).invoke("Capital of France?").content
'Paris.'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .chat import FakeChatModel, Misbehaviour
    from .embedding import HashEmbedding
    from .retrievers import RetrieverSuite
    from .stores import VectorStoreSuite

__all__ = ("FakeChatModel", "HashEmbedding", "Misbehaviour", "RetrieverSuite", "VectorStoreSuite")

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "chat": ["FakeChatModel", "Misbehaviour"],
        "embedding": ["HashEmbedding"],
        "retrievers": ["RetrieverSuite"],
        "stores": ["VectorStoreSuite"],
    },
)
