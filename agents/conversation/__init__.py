"""What a chat assistant remembers: follow-ups made whole, long threads summarised, threads and facts kept.

>>> from ragloom.agents.conversation import resolve_question
>>> resolve_question(["What is throat cancer?"], "Is it treatable?").question
'Is throat cancer treatable?'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .clarifying import clarification, should_clarify
    from .follow_up import why_follow_up
    from .history import History, Turn
    from .memory import LongTermMemory, MemoryItem
    from .standalone import Standalone, aresolve_question, follow_up_node, resolve_question, standalone_question
    from .summary import Summarised, ThreadSummary, summarise_thread
    from .threads import ThreadInfo, Threads

__all__ = (
    "History",
    "LongTermMemory",
    "MemoryItem",
    "Standalone",
    "Summarised",
    "ThreadInfo",
    "ThreadSummary",
    "Threads",
    "Turn",
    "aresolve_question",
    "clarification",
    "follow_up_node",
    "resolve_question",
    "should_clarify",
    "standalone_question",
    "summarise_thread",
    "why_follow_up",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "clarifying": ["clarification", "should_clarify"],
        "follow_up": ["why_follow_up"],
        "history": ["History", "Turn"],
        "memory": ["LongTermMemory", "MemoryItem"],
        "standalone": [
            "Standalone",
            "aresolve_question",
            "follow_up_node",
            "resolve_question",
            "standalone_question",
        ],
        "summary": ["Summarised", "ThreadSummary", "summarise_thread"],
        "threads": ["ThreadInfo", "Threads"],
    },
)
