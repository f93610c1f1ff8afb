"""A scorer that is refused when the graph is built, loaded when it is first needed, and whose failures are told."""

from __future__ import annotations

import math
from collections.abc import Sequence

from langchain_core.messages import BaseMessage

from ...errors import MissingExtraError, RagloomError, UnknownModelError, UsageError
from ...models import Scorer, load_scorer, supports_scoring
from .effects import Compute, Doing
from .lazy import Lazy

__all__ = ("lazy_scorer", "mean_logprob")


def lazy_scorer(given: Scorer | str | None, *, wanted_by: str) -> Lazy[Scorer]:
    """The scorer, or the one that a spec names. `UsageError` where there is none: the chat model itself gives no
    log-probabilities of a given text.
    """
    if given is None:
        raise UsageError(f"{wanted_by} needs a scorer", hint='give scorer="bundled:smollm2", or another one')
    if not isinstance(given, str):
        return Lazy.of(given)
    if not supports_scoring(given):
        load_scorer(given)  # says why not, and what can
    return Lazy(lambda: load_scorer(given))


def mean_logprob(scorer: Lazy[Scorer], messages: Sequence[BaseMessage], text: str) -> Doing[tuple[float | None, str]]:
    """The mean log-probability of a text's tokens as an answer to the messages; else None, and why it is not known."""
    loaded = yield Compute(scorer)
    try:
        scored = yield Compute(loaded.score_messages, list(messages), text)
        mean = float(scored.mean)
    except (MissingExtraError, UnknownModelError):
        raise
    except UsageError as error:  # the text is longer than the scorer's window
        return None, str(error)
    except RagloomError:  # the weights are loaded with the first score: what is amiss with them is the user's to mend
        raise
    except Exception as error:
        return None, f"the scorer failed: {type(error).__name__}: {error}"
    return (mean, "") if math.isfinite(mean) else (None, f"the scorer gave {mean}")
