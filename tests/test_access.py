"""`AccessScope`: what may be seen, what follows from it, and that it only ever gets smaller."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragloom.access import AccessScope, checked_groups, scope_from
from ragloom.errors import UsageError
from ragloom.settings import load_settings

TENANTS = st.sampled_from(["", "acme", "globex"])
GROUPS = st.lists(st.sampled_from(["staff", "board", "hr"]), max_size=4)
SCOPES = st.builds(AccessScope, TENANTS, st.sampled_from(["ana", "bo"]), GROUPS)


@given(SCOPES, TENANTS, st.sampled_from(["", "ana", "bo"]), GROUPS, TENANTS, GROUPS)
def test_a_narrowed_scope_sees_no_more(
    scope: AccessScope, tenant: str, user: str, groups: list[str], of: str, members: list[str]
) -> None:
    try:
        smaller = scope.narrowed(tenant=tenant, user=user, groups=groups)
    except UsageError:
        nobody = not (tenant or user or groups)
        wider = tenant != scope.tenant or user not in ("", scope.user) or not set(groups) <= set(scope.groups)
        assert nobody or wider
        return
    assert scope.covers(smaller) and (smaller == scope or not smaller.covers(scope))
    assert (smaller.tenant, smaller.user, set(smaller.groups)) == (tenant, user, set(groups))
    assert scope.allows(of, members) or not smaller.allows(of, members)


def test_what_is_not_said_stays() -> None:
    ana = AccessScope("acme", "ana", ["staff", "board"])
    assert ana.narrowed() == ana == AccessScope("acme", "ana", ["board", "staff", "staff"])
    assert hash(ana) == hash(ana.narrowed())
    assert ana.narrowed(groups=[]).groups == ()


def test_parts_and_a_scope_agree() -> None:
    ana = AccessScope("acme", "ana", ["staff", "board"])
    assert scope_from(None) is None
    assert scope_from(None, groups=["staff"]) == AccessScope(groups=["staff"])
    assert scope_from(ana, "acme", groups=["staff"]) == AccessScope("acme", "ana", ["staff"])
    wider: list[dict[str, Any]] = [{"tenant": "globex"}, {"user": "bo"}, {"groups": ["hr"]}]
    for parts in wider:
        with pytest.raises(UsageError, match="only be narrowed"):
            scope_from(ana, **parts)


@pytest.mark.parametrize("groups", ["staff", b"staff", 7, ["a", ""], ["a", " "], [None], iter(["a"])])
def test_what_is_no_list_of_groups(groups: Any) -> None:
    with pytest.raises(UsageError, match="group"):
        checked_groups(groups)


def test_settings_say_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().scope is None
    monkeypatch.setenv("RAGLOOM_GROUPS", "staff, board,")
    monkeypatch.setenv("RAGLOOM_USER", "ana")
    assert load_settings(tenant="acme").scope == AccessScope("acme", "ana", ["staff", "board"])
    assert load_settings(groups=["a, b"]).scope == AccessScope("", "ana", ["a, b"])


# -- on the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def files(own_folder: Any) -> None:
    for name, text in (("open.txt", "Notes on roses."), ("staff.txt", "Notes on wages.")):
        (own_folder / name).write_text(text)


def sources(cli: Any, *options: str) -> set[str]:
    found = cli("retrieve", "notes", "--mode", "bm25", "--json", *options).json["results"]
    return {each["source"] for each in found}


def test_groups_from_ingestion_to_deletion(cli: Any, files: None) -> None:
    assert cli("ingest", "open.txt", "--tenant", "acme").code == 0
    assert cli("ingest", "staff.txt", "--tenant", "acme", "--group", "staff", "--group", "board").code == 0
    acme = ("--tenant", "acme")
    assert sources(cli) == set()
    assert sources(cli, *acme) == sources(cli, *acme, "--group", "hr") == {"open.txt"}
    assert sources(cli, *acme, "--group", "board") == {"open.txt", "staff.txt"}
    listed = [each["source"] for each in cli("docs", "list", *acme, "--json").lines]
    assert listed == ["open.txt"]
    assert cli("docs", "delete", "staff.txt", *acme).code == 1
    assert cli("ingest", "staff.txt", *acme, "--json").json["unchanged"] == 1
    assert cli("ingest", "staff.txt", *acme, "--group", "a", "--no-groups").code == 2
    assert cli("ingest", "staff.txt", *acme, "--no-groups", "--json").json["updated"] == 1
    assert sources(cli, *acme) == {"open.txt", "staff.txt"}


def test_a_base_that_requires_a_scope(cli: Any, files: None) -> None:
    assert cli("ingest", "open.txt", "--group", "staff", "--require-scope").code == 0
    for command in (["retrieve", "notes", "--mode", "bm25"], ["docs", "list"], ["docs", "delete", "open.txt"]):
        refused = cli(*command)
        assert refused.code == 2
        assert "without a scope" in refused.err
    assert sources(cli, "--group", "staff") == {"open.txt"}
    assert sources(cli, "--tenant", "acme") == set()
    assert cli("docs", "delete", "open.txt", "--group", "staff").code == 0
