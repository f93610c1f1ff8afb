"""Who may see what: the scope of who asks, the guard, and the middleware in agents of other people."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agent_kit import (
    ANSWER,
    QUESTION,
    TEXTS,
    Guarding,
    Library,
    ToolModel,
    asked,
    books,
    calling,
    model,
    no_evil,
    nodes_of,
)
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core.schema import NodeWithScore, QueryBundle

from ragloom.agents.agent import (
    AccessScope,
    BudgetMiddleware,
    GroundednessMiddleware,
    ScopedSource,
    ScopeMiddleware,
    ScreeningMiddleware,
    SourcesMiddleware,
    rag_agent,
)
from ragloom.agents.sources import Source
from ragloom.errors import UsageError
from ragloom.guarding import Finding
from ragloom.types import Budget

BOTH = pytest.mark.parametrize("mode", ["tools", "json"])
BORN = "Where was Jane Austen born?"
ONCE = [("search", BORN), ("answer", ANSWER)]


def scoped(seen: list[AccessScope], **options: Any) -> ScopedSource:
    def open_for(scope: AccessScope) -> Library:
        seen.append(scope)
        return Library("austen", tenant=scope.tenant)

    return ScopedSource("books", "Novels.", open_for, **options)


def steps_of(result: Any, node: str) -> list[str]:
    return [f"{step['decision']} | {step['reason']}" for step in result["steps"] if step["node"] == node]


# -- the scope ---------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("awaited", [False, True])
def test_a_source_is_opened_for_who_asks(mode: str, awaited: bool) -> None:
    seen: list[AccessScope] = []
    graph = rag_agent([scoped(seen)], model(mode, *ONCE))
    scope = AccessScope(tenant="acme", user="ana", groups=["staff"])
    if awaited:
        result = asyncio.run(graph.ainvoke({"question": QUESTION}, context=scope))
    else:
        result = graph.invoke({"question": QUESTION}, context=scope)
    assert result["answer"] == ANSWER
    assert seen == [scope]
    assert result["documents"][0].metadata["tenant"] == "acme"


@BOTH
def test_without_a_scope_it_is_an_error(mode: str) -> None:
    seen: list[AccessScope] = []
    llm = model(mode, *ONCE)
    graph = rag_agent([scoped(seen)], llm)
    for context in (None, {}, {"tenant": ""}):
        with pytest.raises(UsageError, match=r"who asks|names nobody"):
            graph.invoke({"question": QUESTION}, context=context)
    with pytest.raises(UsageError, match="who asks"):
        asyncio.run(graph.ainvoke({"question": QUESTION}))
    assert (seen, llm.calls) == ([], [])


@BOTH
def test_a_model_cannot_say_who_asks(mode: str) -> None:
    seen: list[AccessScope] = []
    wider: Any = {"query": BORN, "tenant": "globex", "groups": ["board"], "user": "eve"}
    first = (
        calling(wider)
        if mode == "tools"
        else '{"action": "search", "source": "books", "query": "Jane Austen", "tenant": "globex"}'
    )
    result = asked(model(mode, first, ONCE[1]), scoped(seen), context=AccessScope(tenant="acme"))
    assert [scope.tenant for scope in seen] == ["acme"]
    assert not result["abstained"]


@BOTH
def test_sources_of_other_groups_do_not_exist(mode: str) -> None:
    board: list[AccessScope] = []
    secret = ScopedSource("board", "Minutes of the board.", lambda scope: board.append(scope), groups=["board"])
    llm = model(mode, ("search", BORN, "board"), *ONCE)
    result = asked(llm, books(), secret, context=AccessScope(user="ana", groups=["staff"]))
    assert (result["answer"], board) == (ANSWER, [])
    assert "Minutes of the board" not in "".join(llm.prompts())
    assert "Sources are: books." in llm.prompts()[1]
    offered = [getattr(each, "name", None) for options in llm.options for each in options.get("tools", [])]
    assert "board" not in offered


@BOTH
def test_passages_of_another_tenant_are_dropped(mode: str) -> None:
    foreign = Source("books", "Novels.", Library("austen", tenant="globex"))
    llm = model(mode, *ONCE)
    result = asked(llm, foreign, context=AccessScope(tenant="acme"))
    assert (result["abstained"], result["documents"]) == (True, [])
    assert all("Hampshire" not in prompt for prompt in llm.prompts())
    assert not asked(model(mode, *ONCE), foreign, context=AccessScope(tenant="globex"))["abstained"]
    assert not asked(model(mode, *ONCE), foreign)["abstained"]  # the application fixed the tenant itself


@BOTH
def test_a_scope_that_cannot_be_opened_gives_nothing(mode: str) -> None:
    def refuse(scope: AccessScope) -> Any:
        raise PermissionError("no")

    result = asked(model(mode, *ONCE), ScopedSource("books", "Novels.", refuse), context=AccessScope(user="ana"))
    assert (result["abstained"], result["documents"]) == (True, [])
    assert "PermissionError" in steps_of(result, "search")[0]


@BOTH
def test_a_thread_is_of_who_began_it(mode: str) -> None:
    graph = rag_agent([books()], model(mode, *ONCE, *ONCE, *ONCE), checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    ana = AccessScope(tenant="acme", user="ana")
    graph.invoke({"question": QUESTION}, thread, context=ana)
    for other in (AccessScope(tenant="acme", user="eve"), AccessScope(tenant="globex", user="ana"), None):
        with pytest.raises(UsageError, match="somebody else"):
            graph.invoke({"question": QUESTION}, thread, context=other)
    assert graph.invoke({"question": QUESTION}, thread, context=ana)["answer"] == ANSWER


def test_scopes_that_are_none_are_refused() -> None:
    wrong: list[dict[str, Any]] = [{}, {"tenant": " "}, {"user": 7}, {"user": "ana", "groups": "staff"}]
    for given in wrong:
        with pytest.raises(UsageError):
            AccessScope(**given)
    with pytest.raises(UsageError, match="cannot be opened"):
        ScopedSource("books", "Novels.", Library("austen"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no description"):
        ScopedSource("books", " ", lambda scope: Library("austen"))


# -- the guard ---------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("awaited", [False, True])
def test_blocked_passages_are_in_quarantine(mode: str, awaited: bool) -> None:
    guard = Guarding(no_evil)
    llm = model(mode, *ONCE)
    graph = rag_agent([books("evil", "austen")], llm, guard=guard)
    given = {"question": QUESTION}
    result = asyncio.run(graph.ainvoke(given)) if awaited else graph.invoke(given)
    assert result["answer"] == ANSWER
    assert [document.id for document in result["documents"]] == ["austen"]
    assert all("EVIL" not in prompt for prompt in llm.prompts())
    quarantined = [each for step in result["steps"] for each in step.get("details", {}).get("quarantined", [])]
    assert quarantined == [{"id": "evil", "rail": "test", "reason": "as told"}]
    assert "EVIL" not in str(result["steps"])
    assert {stage for stage, _ in guard.checked} == {"input", "tool", "output"}


class Headed(Library):
    """Passages under a heading that is an attack."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = super()._retrieve(query_bundle)
        for item in found:
            item.node.metadata["headings"] = "EVIL heading"
        return found


@BOTH
def test_headings_are_screened_as_well(mode: str) -> None:
    llm = model(mode, *ONCE)
    result = asked(llm, Source("books", "Novels.", Headed("austen")), guard=Guarding(no_evil))
    assert result["answer"] == ANSWER
    assert all("EVIL" not in prompt for prompt in llm.prompts())
    assert "headings" not in result["documents"][0].metadata


@BOTH
def test_changed_passages_are_used_as_changed(mode: str) -> None:
    def mask(stage: str, text: str) -> Any:
        return Finding("change", text.replace("Hampshire", "[place]"), rail="pii") if stage == "tool" else "pass"

    llm = model(mode, *ONCE)
    result = asked(llm, guard=Guarding(mask))
    assert result["answer"] == ANSWER
    assert all("Hampshire" not in prompt for prompt in llm.prompts())
    assert any("[place]" in prompt for prompt in llm.prompts())
    assert all("Hampshire" not in each["quote"] for each in result["citations"])


@BOTH
@pytest.mark.parametrize("fault", ["raises", "too few", "nonsense"])
def test_a_guard_that_fails_has_blocked(mode: str, fault: str) -> None:
    class Faulty(Guarding):
        def check(self, stage: Any, texts: Any, context: Any = None) -> Any:
            if stage != "tool":
                return super().check(stage, texts, context)
            if fault == "raises":
                raise RuntimeError("out of memory")
            return [] if fault == "too few" else [Finding("maybe", text) for text in texts]  # type: ignore[arg-type]

    llm = model(mode, *ONCE)
    result = asked(llm, guard=Faulty(lambda stage, text: "pass"))
    assert (result["abstained"], result["documents"]) == (True, [])
    assert all("Hampshire" not in prompt for prompt in llm.prompts())
    assert "guard failed" in str(result["steps"])


@BOTH
def test_a_blocked_question_is_put_to_nobody(mode: str) -> None:
    llm, shelf = model(mode, *ONCE), Library("austen")
    result = asked(llm, Source("books", "Novels.", shelf), question="EVIL question", guard=Guarding(no_evil))
    assert (result["abstained"], llm.calls, shelf.asked) == (True, [], [])
    assert nodes_of(result) == ["admit", "cite"]
    assert steps_of(result, "admit") == ["refused | as told"]


@BOTH
def test_a_changed_question_is_asked_as_changed_and_stays_what_it_was(mode: str) -> None:
    def mask(stage: str, text: str) -> Any:
        return Finding("change", text.replace("007", "[id]")) if stage == "input" else "pass"

    llm = model(mode, *ONCE)
    graph = rag_agent([books()], llm, guard=Guarding(mask), checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    result = graph.invoke({"question": f"007 asks: {BORN}"}, thread)
    assert result["answer"] == ANSWER
    assert all("007" not in prompt and "[id]" in prompt for prompt in llm.prompts())
    assert graph.get_state(thread).values["asked"] == f"007 asks: {BORN}"


@BOTH
def test_sentences_of_the_answer_are_screened_before_they_are_streamed(mode: str) -> None:
    def judges(stage: str, text: str) -> Any:
        if stage != "output":
            return "pass"
        return "block" if "novel" in text else Finding("change", text.replace("Steventon", "[place]"))

    said = f"{ANSWER} Emma is a novel by Jane Austen."
    llm = model(mode, ("search", "Who wrote the novel Emma?"), ("search", BORN), ("answer", said))
    graph = rag_agent([books()], llm, guard=Guarding(judges))
    chunks = list(graph.stream({"question": QUESTION}, stream_mode=["custom", "values"]))
    shown = [chunk["text"] for kind, chunk in chunks if kind == "custom"]
    assert shown == ["Jane Austen was born in [place]."]
    result = chunks[-1][1]
    assert result["answer"] == shown[0]
    assert {each["sentence"] for each in result["citations"]} == {shown[0]}
    all_blocked = Guarding(lambda stage, text: "block" if stage == "output" else "pass")
    result = asked(model(mode, *ONCE), guard=all_blocked)
    assert (result["abstained"], result["citations"]) == (True, [])
    assert ANSWER not in result["answer"]


# -- the middleware in somebody else's agent ---------------------------------------------------------------------------


@tool(response_format="content_and_artifact")
def lookup(query: str) -> tuple[str, list[Document]]:
    """Looks up."""
    texts = [TEXTS["evil"], TEXTS["austen"]]
    found = [Document(text, id=str(at), metadata={"source": "x"}) for at, text in enumerate(texts)]
    return "\n".join(texts), found


@tool
def weather(place: str) -> str:
    """Tells the weather."""
    return f"EVIL weather in {place}"


def others(*middleware: Any, replies: list[Any]) -> tuple[Any, ToolModel]:
    llm = ToolModel(replies=replies)
    agent = create_agent(llm, [lookup, weather], middleware=list(middleware), context_schema=AccessScope)
    return agent.invoke({"messages": [("user", BORN)]}), llm


def test_screening_of_other_tools() -> None:
    called = AIMessage(
        "", tool_calls=[*calling("Jane", "lookup").tool_calls, *calling({"place": "Bath"}, "weather").tool_calls]
    )
    state, llm = others(ScreeningMiddleware(Guarding(no_evil)), replies=[called, ANSWER])
    assert all("EVIL" not in prompt for prompt in llm.prompts())
    assert "Hampshire" in llm.prompts()[1]
    assert [message.status for message in state["messages"] if isinstance(message, ToolMessage)] == ["success"] * 2
    state, llm = others(ScreeningMiddleware(Guarding(lambda *_: "block")), replies=[ANSWER])
    assert (llm.calls, state["settled"]) == ([], "refused")


def test_groundedness_of_another_agent() -> None:
    state, llm = others(GroundednessMiddleware(), replies=[calling("Jane", "lookup"), f"{ANSWER} It rained.", ANSWER])
    assert state["messages"][-1].text == ANSWER
    assert state["messages"][-1].additional_kwargs["citations"][0]["id"] == "1"
    assert len(llm.calls) == 3
    state, _ = others(GroundednessMiddleware(unsupported="drop"), replies=["It rained."])
    assert state["messages"][-1].additional_kwargs["abstained"]


def test_budget_of_another_agent() -> None:
    many = [calling("Jane", "lookup", number=number) for number in range(9)]
    state, llm = others(BudgetMiddleware(Budget(llm_calls=3)), replies=many)
    assert (len(llm.calls), state["usage"]["calls"], state["hops"]) == (3, 3, 3)
    state, llm = others(BudgetMiddleware(Budget(hops=1)), replies=[*many[:2], ANSWER])
    assert "budget of searches is spent" in llm.prompts()[2]
    assert state["messages"][-1].text == ANSWER
    state, _ = others(BudgetMiddleware(), replies=[ConnectionError("gone")])
    assert state["error"]


def test_all_of_them_together_await() -> None:
    sources = [scoped([])]
    guard = Guarding(no_evil)
    middleware: list[Any] = [
        BudgetMiddleware(),
        ScreeningMiddleware(guard),
        ScopeMiddleware(sources),
        GroundednessMiddleware(),
        SourcesMiddleware(sources),
    ]
    agent = create_agent(
        ToolModel(replies=[calling(BORN), calling("Bath", "lookup"), ANSWER]),
        [lookup],
        middleware=middleware,
        context_schema=AccessScope,
    )
    given: Any = {"messages": [("user", BORN)]}
    state = asyncio.run(agent.ainvoke(given, context=AccessScope(tenant="acme")))
    assert state["messages"][-1].text == ANSWER
    assert [step["node"] for step in state["steps"]].count("search") == 1  # the other tool is the agent's own
    with pytest.raises(UsageError, match="who asks"):
        asyncio.run(agent.ainvoke(given))
    with pytest.raises(UsageError, match="no stage"):
        ScreeningMiddleware(guard, stages=["retrieval"])


def test_the_tools_can_be_used_alone() -> None:
    (books_tool,) = SourcesMiddleware([books()]).tools
    call = {"type": "tool_call", "id": "1", "name": "books", "args": {"query": BORN}}
    for message in (books_tool.invoke(call), asyncio.run(books_tool.ainvoke(call))):
        assert "Hampshire" in message.content
        assert message.artifact[1].metadata["source_name"] == "books"
    (closed,) = SourcesMiddleware([scoped([])]).tools
    assert "no such source" in closed.invoke(call).content
