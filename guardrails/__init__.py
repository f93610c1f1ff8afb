"""Guards: rails that run locally, NeMo Guardrails, screening of retrieved text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .audit import AuditLog
    from .guard import RailsGuard, default_guard
    from .loading import load_guard
    from .nemo import NeMoGuard
    from .pii import PersonalDataRail, Vault
    from .rail import Rail
    from .rails import (
        BloatRail,
        GroundednessRail,
        HiddenTextRail,
        InjectionRail,
        InsecureOutputRail,
        SecretsRail,
        TopicRail,
        fit_threshold,
        regenerating,
    )
    from .streaming import AsyncScreenedStream, ScreenedStream, ascreen_stream, screen_stream

__all__ = (
    "AsyncScreenedStream",
    "AuditLog",
    "BloatRail",
    "GroundednessRail",
    "HiddenTextRail",
    "InjectionRail",
    "InsecureOutputRail",
    "NeMoGuard",
    "PersonalDataRail",
    "Rail",
    "RailsGuard",
    "ScreenedStream",
    "SecretsRail",
    "TopicRail",
    "Vault",
    "ascreen_stream",
    "default_guard",
    "fit_threshold",
    "load_guard",
    "regenerating",
    "screen_stream",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "audit": ["AuditLog"],
        "guard": ["RailsGuard", "default_guard"],
        "loading": ["load_guard"],
        "nemo": ["NeMoGuard"],
        "pii": ["PersonalDataRail", "Vault"],
        "rail": ["Rail"],
        "rails.bloat": ["BloatRail"],
        "rails.groundedness": ["GroundednessRail"],
        "rails.hidden": ["HiddenTextRail"],
        "rails.injection": ["InjectionRail"],
        "rails.insecure": ["InsecureOutputRail"],
        "rails.regenerating": ["regenerating"],
        "rails.secrets": ["SecretsRail"],
        "rails.topic": ["TopicRail", "fit_threshold"],
        "streaming": ["AsyncScreenedStream", "ScreenedStream", "ascreen_stream", "screen_stream"],
    },
)
