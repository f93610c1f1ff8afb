"""The chat assistant: a strategy answers, threads and facts are kept, and nobody meets what is another's.

>>> from ragloom.agents.assistant import Assistant  # doctest: +SKIP
>>> with Assistant.open("chat.sqlite", naive_rag(retriever, llm), llm) as assistant:  # doctest: +SKIP
...     chat = assistant.chat(AccessScope(user="ana"), "first")
...     chat.ask("Who is the ombudsperson?")["answer"]
'The ombudsperson is Leonor Pinto.'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .assistant import Assistant, Forgotten
    from .chat import Chat, ChatState
    from .graph import assistant_graph
    from .remembering import fact_to_remember, refusal_of_fact
    from .told import with_memory

__all__ = (
    "Assistant",
    "Chat",
    "ChatState",
    "Forgotten",
    "assistant_graph",
    "fact_to_remember",
    "refusal_of_fact",
    "with_memory",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "assistant": ["Assistant", "Forgotten"],
        "chat": ["Chat", "ChatState"],
        "graph": ["assistant_graph"],
        "remembering": ["fact_to_remember", "refusal_of_fact"],
        "told": ["with_memory"],
    },
)
