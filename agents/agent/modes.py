"""Does a model call tools?"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from langchain_core.language_models import BaseChatModel

__all__ = ("Mode", "calls_tools")

Mode: TypeAlias = Literal["auto", "tools", "json"]
"""auto: `tools` where `calls_tools` says so, else `json`."""
_LOCAL = "ragloom-llama"


def calls_tools(llm: BaseChatModel) -> bool:
    """Whether the agent lets the model call tools; else it asks for JSON.

    It does where the model's class implements `bind_tools` and its LangChain profile does not say that it has no tool
    calling. The models that ragloom serves itself (`bundled:`, `gguf:`, ...) are asked for JSON, though their client
    implements `bind_tools`: small models rarely call tools well, and llama.cpp's grammar cannot be left.

    >>> from ragloom.testing import FakeChatModel
    >>> calls_tools(FakeChatModel())
    True
    """
    model: Any = llm
    while hasattr(model, "bound"):  # llm.bind(...) and the like
        model = model.bound
    if getattr(type(model), "bind_tools", BaseChatModel.bind_tools) is BaseChatModel.bind_tools:
        return False
    profile = getattr(model, "profile", None) or {}
    return getattr(model, "_llm_type", "") != _LOCAL and profile.get("tool_calling") is not False
