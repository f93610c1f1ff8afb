"""Which of two answers stays."""

from __future__ import annotations

from .outcome import Outcome, support_of

__all__ = ("stands",)


def stands(cheap: Outcome, other: Outcome, *, margin: float = 0.0) -> tuple[bool, str]:
    """Whether the expensive answer takes the place of the cheap one, and why.

    It does, unless it abstained or failed, or its sentences are less supported by their citations, by more than
    `margin`. Where the cheap path has no answer, any answer of the expensive one stands, also one that broke off; where
    neither has one, an abstention stands before a failure, and else the cheap path's stays.
    """
    name = other["path"]
    if other["abstained"]:
        better = cheap["abstained"] and bool(cheap["error"]) and not other["error"]
        why = f"{name} {'failed' if other['error'] else 'abstained'}"
        return better, f"{why}, the cheap path failed" if better else why
    if cheap["abstained"]:
        return True, f"the cheap path {'failed' if cheap['error'] else 'abstained'}"
    if other["error"]:
        return False, f"{name} broke off: {other['error']}"
    before, after = support_of(cheap), support_of(other)
    told = f"support {after:.2f}, of the cheap answer {before:.2f}"
    return (False, f"{name} is less supported: {told}") if after < before - margin else (True, told)
