"""The trials of one tuning, kept in the cache: a tuning that was cut off goes on where it was.

Optuna (Akiba et al. 2019) suggests and keeps them: its tree-structured Parzen estimator (Bergstra et al. 2011), seeded,
over ranking and alpha, one chunking after another, since a chunking costs minutes and a ranking milliseconds.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import MissingExtraError, StoreError
from ...retrieval.chunkers import ChunkSettings
from .choose import PerQuery
from .space import ALPHA_STEP, KINDS, Candidate, Kind, candidate_of, chunking_name

if TYPE_CHECKING:
    import optuna

__all__ = ("Study",)

_ANCHORS: tuple[tuple[Kind, float], ...] = (
    ("default", 0.6),
    ("relative", 0.6),
    ("rank", 0.5),
    ("relative", 0.0),
    ("relative", 1.0),
)
"""Tried under every chunking before anything is suggested: the default, both fusions, each ranking alone."""


class Study:
    """The trials over these chunkings; `path` is the file that keeps them."""

    def __init__(self, path: Path, chunkings: Sequence[ChunkSettings], *, seed: int) -> None:
        self.path, self.seed = path, seed
        self.chunkings = {chunking_name(each): each for each in chunkings}
        self.trials: dict[Candidate, PerQuery] = {}
        """Every candidate that was scored, in the order of trials."""
        self._study: Any = None

    @contextmanager
    def open(self) -> Iterator[Study]:
        """Locks the file and takes up the trials that it holds; a file that is damaged is put aside."""
        try:
            import optuna
        except ImportError as error:
            raise MissingExtraError("ragloom tune", "evals") from error
        from filelock import FileLock, Timeout

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_suffix(".lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise StoreError("another process tunes on the same sets", hint="wait for it, or use --seed") from error
        try:
            try:
                self._load()
            except (ValueError, KeyError, TypeError, AssertionError):
                self.path.replace(self.path.with_suffix(".damaged"))
                self._load()
            yield self
        finally:
            lock.release()

    def _load(self) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        # The symbolic link of the usual lock outlives a killed process; ours above is the operating system's.
        backend = JournalFileBackend(str(self.path), lock_obj=JournalFileOpenLock(f"{self.path}.journal"))
        storage = optuna.storages.JournalStorage(backend)
        self._study = optuna.create_study(
            storage=storage, study_name="retrieval", direction="maximize", load_if_exists=True
        )
        self.trials = {}
        for trial in self._study.get_trials(states=[optuna.trial.TrialState.COMPLETE]):
            self.trials.setdefault(candidate_of(trial.user_attrs["settings"]), trial.user_attrs["per_query"])

    def finished(self, chunking: ChunkSettings, trials: int) -> bool:
        """Whether as many trials were made under the chunking already."""
        return self._done(chunking) >= trials

    def _done(self, chunking: ChunkSettings) -> int:
        return int(self._study.user_attrs.get(f"done {chunking_name(chunking)}", 0))

    def run(
        self,
        chunking: ChunkSettings,
        first: Sequence[Candidate],
        score: Callable[[Candidate], PerQuery],
        *,
        trials: int,
        after_each: Callable[[int], None],
    ) -> None:
        """Trials under one chunking, `first` before all others. `after_each` gets how many are done, and may raise."""
        import optuna

        name = chunking_name(chunking)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=self.seed)
            self._study.sampler = optuna.samplers.PartialFixedSampler({"chunking": name}, sampler)
        for candidate in first:  # alpha in use need be none of the steps
            if candidate not in self.trials:
                self._one(chunking, (candidate.kind, candidate.alpha), 0, score)
        for number in range(self._done(chunking), trials):
            self._one(chunking, _ANCHORS[number] if number < len(_ANCHORS) else None, number, score)
            self._study.set_user_attr(f"done {name}", number + 1)
            after_each(number + 1)

    def _one(
        self,
        chunking: ChunkSettings,
        fixed: tuple[Kind, float] | None,
        number: int,
        score: Callable[[Candidate], PerQuery],
    ) -> None:
        if fixed:
            alpha = {} if fixed[0] == "default" else {"alpha": fixed[1]}
            self._study.enqueue_trial({"chunking": chunking_name(chunking), "kind": fixed[0], **alpha})
        trial = self._study.ask()
        candidate = self._candidate(trial, chunking, fixed)
        if candidate in self.trials and not fixed:
            # The estimator likes what it knows; among 41 rankings an unknown one tells more than the same again.
            trial, candidate = self._unknown(trial, candidate, number)
        found = self.trials.get(candidate)
        if found is None:
            found = score(candidate)
            self.trials[candidate] = found
        trial.set_user_attr("settings", candidate.settings())
        trial.set_user_attr("per_query", dict(found))
        self._study.tell(trial, sum(found.values()) / len(found))

    def _unknown(self, trial: optuna.Trial, candidate: Candidate, number: int) -> tuple[optuna.Trial, Candidate]:
        """A ranking that was not tried yet instead, drawn at random; the same again where there is none."""
        import optuna

        alphas = [step * ALPHA_STEP for step in range(round(1 / ALPHA_STEP) + 1)]
        grid: list[tuple[Kind, float]] = [(kind, alpha) for kind in KINDS if kind != "default" for alpha in alphas]
        free = [pair for pair in grid if Candidate(candidate.chunking, *pair) not in self.trials]
        if not free:
            return trial, candidate
        kind, alpha = random.Random(f"{self.seed} {number}").choice(free)
        self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        self._study.enqueue_trial({"chunking": chunking_name(candidate.chunking), "kind": kind, "alpha": alpha})
        other = self._study.ask()
        return other, self._candidate(other, candidate.chunking, (kind, alpha))

    def _candidate(self, trial: optuna.Trial, chunking: ChunkSettings, fixed: tuple[Kind, float] | None) -> Candidate:
        trial.suggest_categorical("chunking", list(self.chunkings))
        kind: Any = trial.suggest_categorical("kind", KINDS)
        if kind == "default":
            return Candidate(chunking)
        raw = trial.suggest_float("alpha", 0.0, 1.0)
        return Candidate(chunking, kind, fixed[1] if fixed else round(raw / ALPHA_STEP) * ALPHA_STEP)

    def importance(self) -> dict[str, float]:
        """How much of the differences between trials chunking and kind of ranking explain (fANOVA, Hutter et al.
        2014). Empty where optuna cannot tell: too few trials, or all alike.
        """
        import optuna

        several = len({each.chunking for each in self.trials}) > 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                told = optuna.importance.get_param_importances(
                    self._study,
                    evaluator=optuna.importance.FanovaImportanceEvaluator(n_trees=16, seed=self.seed),
                    params=["chunking", "kind"] if several else ["kind"],
                )
            except (ImportError, ValueError, RuntimeError, ZeroDivisionError):
                return {}
        found = {name: round(float(value), 3) for name, value in told.items()}
        return found if all(value == value for value in found.values()) else {}
