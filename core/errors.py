"""Errors: each says what failed, which value, and what to do.

Two intents are kept apart by type: `UsageError` (the caller asked for something that cannot be; exit code 2) and every
other `RagloomError` (something failed while doing it; exit code 1). `code` is stable and meant for scripts.

    >>> raise UnknownModelError("unknown prefix 'gtp'", hint="use one of bundled, gguf, st")
    Traceback (most recent call last):
    ...
    ragloom.errors.UnknownModelError: unknown prefix 'gtp' (use one of bundled, gguf, st)
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = (
    "ArtifactError",
    "IngestError",
    "MissingExtraError",
    "ModelError",
    "RagloomError",
    "ReaderError",
    "SearchError",
    "StoreError",
    "UnknownModelError",
    "UsageError",
    "WeightsError",
)


class RagloomError(Exception):
    """Base of everything ragloom raises on purpose.

    `message` says what failed with which value; `hint` says what to do about it.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message} ({hint})" if hint else message)


class UsageError(RagloomError):
    """The request itself cannot be served as put: a wrong value, a missing path, an unknown name."""

    code = "usage"


class UnknownModelError(UsageError):
    """A model name whose provider or name is not known."""

    code = "unknown_model"


class MissingExtraError(UsageError):
    """A feature needs a package of an extra that is not installed."""

    code = "missing_extra"

    def __init__(self, feature: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{feature} needs the extra {extra!r}", hint=f"pip install 'ragloom[{extra}]'")


class WeightsError(RagloomError):
    """Model weights cannot be fetched, or are damaged."""

    code = "weights"


class ArtifactError(RagloomError):
    """A trained artifact is damaged, of another role, or made for another base model."""

    code = "artifact"


class ModelError(RagloomError):
    """A model server does not start, does not answer, or answers with nonsense."""

    code = "model"


class ReaderError(RagloomError):
    """A file cannot be read as a document. `reason` is one line for the ingestion report."""

    code = "reader"

    def __init__(self, path: str, reason: str, *, hint: str = "") -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot read {path!r}: {reason}", hint=hint)


class IngestError(RagloomError):
    """Ingestion as a whole cannot go on (one bad file never raises this). `report` says what was committed before."""

    code = "ingest"

    def __init__(self, message: str, *, hint: str = "", report: dict[str, Any] | None = None) -> None:
        self.report = report or {}
        super().__init__(message, hint=hint)


class StoreError(RagloomError):
    """The knowledge base is missing, damaged, locked or of another format."""

    code = "store"


class SearchError(RagloomError):
    """A web search does not answer, or answers with nonsense."""

    code = "search"
