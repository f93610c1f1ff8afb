"""Tasks: a question goes to what serves its kind: facts, summaries, comparisons, tables, small talk, none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .comparison import Comparison, comparison_rag, sides_of
    from .example_router import ExampleRouter
    from .graph import task_rag
    from .llm_router import TaskLLMRouter
    from .rules import TaskRules
    from .summary import KnowledgeBaseLibrary, Library, LibraryEntry, summary_rag
    from .task import EXAMPLES, TASKS, Task

__all__ = (
    "EXAMPLES",
    "TASKS",
    "Comparison",
    "ExampleRouter",
    "KnowledgeBaseLibrary",
    "Library",
    "LibraryEntry",
    "Task",
    "TaskLLMRouter",
    "TaskRules",
    "comparison_rag",
    "sides_of",
    "summary_rag",
    "task_rag",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["Comparison", "comparison_rag", "sides_of"],
        "example_router": ["ExampleRouter"],
        "graph": ["task_rag"],
        "llm_router": ["TaskLLMRouter"],
        "rules": ["TaskRules"],
        "summary": ["KnowledgeBaseLibrary", "Library", "LibraryEntry", "summary_rag"],
        "task": ["EXAMPLES", "TASKS", "Task"],
    },
)
