"""Guards by name, as the command line and settings have them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from ..guarding import Guard
    from .guard import Audit
    from .rail import Rail

__all__ = ("RAILS", "load_guard", "load_rail")

RAILS: dict[str, tuple[str, str]] = {
    "bloat": ("rails", "BloatRail"),
    "hidden": ("rails", "HiddenTextRail"),
    "injection": ("rails", "InjectionRail"),
    "personal": ("pii", "PersonalDataRail"),
    "insecure": ("rails", "InsecureOutputRail"),
    "secrets": ("rails", "SecretsRail"),
}
"""Rails that need nothing but their name, in the order in which they run, and where they are."""


def load_guard(spec: str, *, audit: Audit | None = None) -> Guard:
    """The guard that `spec` names.

        local              `default_guard`: all but `personal`
        local:RAIL,RAIL    these alone: bloat, hidden, injection, personal, insecure, secrets
        nemo               NeMo Guardrails with our configuration, which runs the rails of `local`
        nemo:FOLDER        NeMo Guardrails with a configuration of your own, which may run them

    Raises `UsageError` for a name that does not exist, and what the guard itself raises.

    >>> load_guard("local:secrets").check("input", ["All is well."])[0].verdict
    'pass'
    """
    kind, colon, rest = spec.partition(":")
    if kind == "local":
        from .guard import RailsGuard, default_guard

        if not colon:
            return default_guard(audit=audit)
        named = dict.fromkeys(name.strip() for name in rest.split(","))
        return RailsGuard([load_rail(name) for name in sorted(named, key=_place)], audit=audit)
    if kind == "nemo" and (rest or not colon):
        from .guard import default_rails
        from .nemo import NeMoGuard

        return NeMoGuard(Path(rest).expanduser() if rest else None, rails=default_rails(), audit=audit)
    raise UsageError(f"unknown guard {spec!r}", hint="use none, local, local:RAIL,RAIL, nemo or nemo:FOLDER")


def load_rail(name: str) -> Rail:
    """The rail of this name, as it is by default. `UsageError` for a name that does not exist.

    >>> load_rail("hidden").name
    'hidden'
    """
    import importlib

    if name not in RAILS:
        raise UsageError(f"unknown rail {name!r}", hint=f"use {', '.join(RAILS)}")
    module, kind = RAILS[name]
    rail: Any = getattr(importlib.import_module(f".{module}", __package__), kind)()
    return rail


def _place(name: str) -> int:
    return list(RAILS).index(name) if name in RAILS else len(RAILS)
