"""Rails: one check each. `RailsGuard` puts several in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .bloat import BloatRail
    from .groundedness import GroundednessRail
    from .hidden import HiddenTextRail
    from .injection import InjectionRail
    from .insecure import InsecureOutputRail
    from .regenerating import regenerating
    from .secrets import SecretsRail
    from .topic import TopicRail, fit_threshold

__all__ = (
    "BloatRail",
    "GroundednessRail",
    "HiddenTextRail",
    "InjectionRail",
    "InsecureOutputRail",
    "SecretsRail",
    "TopicRail",
    "fit_threshold",
    "regenerating",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bloat": ["BloatRail"],
        "groundedness": ["GroundednessRail"],
        "hidden": ["HiddenTextRail"],
        "injection": ["InjectionRail"],
        "insecure": ["InsecureOutputRail"],
        "regenerating": ["regenerating"],
        "secrets": ["SecretsRail"],
        "topic": ["TopicRail", "fit_threshold"],
    },
)
