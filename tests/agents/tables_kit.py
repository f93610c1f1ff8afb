"""What tests of tables share: two tables, a graph that is asked, and what must hold of every result."""

from __future__ import annotations

from typing import Any

from ragloom.agents.tables import Tables, table_qa
from ragloom.testing import FakeChatModel

RIDERS = (
    ["Rider", "Country", "Points", "Born", "Share", "Note"],
    [
        ["Ann Berg", "Italy", "1,200", "1990-03-05", "12%", "first | of all"],
        ["Bob Crane", "Spain", "7", "March 7, 1991", "5.5%", ""],
        ["Cid Dale", "Italy", "n/a", "1992-01-31", "1%", "did not finish"],
        ["Eve Fox", "France", "95", "1989-12-01", "3%", "95 laps"],
    ],
)
TEAMS = (["Team", "Country"], [["Lions", "Italy"], ["Bulls", "Spain"]])
QUESTION = "Which rider of Italy has the most points?"


def two_tables() -> Tables:
    return Tables.of({"Riders 2019": RIDERS, "teams": TEAMS}, source="sport.xlsx")


def asked(ways: str, *replies: Any, question: str = QUESTION, tables: Tables | None = None, **options: Any) -> Any:
    llm = FakeChatModel(replies=list(replies))
    graph = table_qa(tables or two_tables(), llm, ways=ways, **options)  # type: ignore[arg-type]
    result = graph.invoke({"question": question})
    check(result)
    assert len(llm.calls) == result["usage"]["calls"]
    return result, llm


def check(result: dict[str, Any]) -> None:
    """What must hold of every result, as of every strategy's."""
    assert isinstance(result["answer"], str) and result["answer"]
    for citation in result["citations"]:
        cited = [document for document in result["documents"] if document.id == citation["id"]]
        assert citation["quote"] and citation["quote"] in cited[0].page_content
        assert citation["source"] == cited[0].metadata["source"]
        assert citation["sentence"] in result["answer"]
    assert result["documents"] and all(document.id and document.page_content for document in result["documents"])
    assert all(step["decision"] and step["reason"] and step["ms"] >= 0 for step in result["steps"]), result["steps"]
    assert set(result["usage"]) == {"calls", "tokens_in", "tokens_out", "seconds"}
    assert set(result) >= {"answer", "abstained", "citations", "documents", "error", "steps", "usage", "messages"}
    assert result["messages"][-1].text == result["answer"]
    assert not (result["abstained"] and result["citations"])


def nodes_of(result: Any) -> list[str]:
    return [step["node"] for step in result["steps"]]


def step_of(result: Any, name: str) -> Any:
    return next(step for step in result["steps"] if step["node"] == name)
