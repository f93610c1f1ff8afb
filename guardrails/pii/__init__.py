"""Personal data: found by Presidio and by rules, then redacted, masked, hashed, blocked, or kept in a vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .detector import Detector, Span, resolved
    from .presidio import PresidioDetector
    from .rail import IDENTIFYING, PersonalDataRail
    from .vault import Vault

__all__ = ("IDENTIFYING", "Detector", "PersonalDataRail", "PresidioDetector", "Span", "Vault", "resolved")

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "detector": ["Detector", "Span", "resolved"],
        "presidio": ["PresidioDetector"],
        "rail": ["IDENTIFYING", "PersonalDataRail"],
        "vault": ["Vault"],
    },
)
