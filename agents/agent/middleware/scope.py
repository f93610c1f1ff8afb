"""The access scope of a LangChain agent, from the runtime context."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain.agents.middleware.types import (
    AgentMiddleware,
    ModelCallResult,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
)
from langchain_core.messages import ToolMessage
from langgraph.runtime import Runtime

from ..access import AccessScope, AnySource, allowed_passages, named_sources, require_scope, scope_of, visible
from .results import ToolResult, messages_in, passages_of, with_passages, with_update
from .state import RunState

__all__ = ("ScopeMiddleware",)


class ScopeMiddleware(AgentMiddleware[RunState, Any, Any]):
    """Searches in the name of who asks, fail-closed.

    A run whose sources need to know who asks is refused where the context does not say (`UsageError`). The tools of
    sources that are not for that person do not exist for the model. Of what any tool gives, passages that say that
    they are another tenant's are dropped. No tool has an argument for the scope: a model can only narrow it.

    Args:
        sources: those of `SourcesMiddleware`.

    Example:
        >>> agent = create_agent(llm, [], middleware=[ScopeMiddleware(s), SourcesMiddleware(s)])  # doctest: +SKIP
        >>> agent.invoke(asked, context=AccessScope(tenant="acme", user="ana"))  # doctest: +SKIP
    """

    state_schema = RunState

    def __init__(self, sources: Sequence[AnySource]) -> None:
        super().__init__()
        self.sources = named_sources(sources)

    def before_agent(self, state: RunState, runtime: Runtime[Any]) -> None:
        """Refuses a run that does not say who asks."""
        require_scope(self.sources, scope_of(runtime.context))

    async def abefore_agent(self, state: RunState, runtime: Runtime[Any]) -> None:
        """Refuses a run that does not say who asks."""
        self.before_agent(state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelCallResult[Any]:
        """Shows the tools that exist for who asks."""
        return handler(self._narrowed(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelCallResult[Any]:
        """Shows the tools that exist for who asks."""
        return await handler(self._narrowed(request))

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolResult]) -> ToolResult:
        """Drops what is another tenant's."""
        return self._dropped(handler(request), request)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolResult]]
    ) -> ToolResult:
        """Drops what is another tenant's."""
        return self._dropped(await handler(request), request)

    def _narrowed(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        hidden = set(self.sources) - set(visible(self.sources, scope_of(request.runtime.context)))
        return request.override(tools=[tool for tool in request.tools if getattr(tool, "name", None) not in hidden])

    def _dropped(self, result: ToolResult, request: ToolCallRequest) -> ToolResult:
        scope = scope_of(getattr(request.runtime, "context", None))
        before = messages_in(result)
        after = [_allowed(message, scope) for message in before]
        changed = any(one is not other for one, other in zip(before, after, strict=True))
        return with_update(result, {"messages": after}) if changed else result


def _allowed(message: Any, scope: AccessScope | None) -> Any:
    found = passages_of(message)
    allowed = allowed_passages(found, scope)
    if not isinstance(message, ToolMessage) or len(allowed) == len(found):
        return message
    return with_passages(message, allowed, "Nothing was found.")
