"""What happens beside the steps: progress, the time limit, early stopping, the curve, and where to go on."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from ..evals.files import write_whole
from .arguments import CHECKPOINTS
from .options import Tell, TrainOptions
from .processes import agreed

__all__ = ("callbacks", "last_checkpoint", "seconds_spent")

CLOCK = "clock.json"
"""Seconds of training so far, in the checkpoints' folder: a kill does not set the time limit back."""
CLOCK_EVERY = 5.0
"""Seconds between two writings of the clock."""
_NUMBERS_LEFT_OUT = ("total_flos", "train_loss", "train_runtime", "train_samples_per_second", "train_steps_per_second")


def callbacks(options: TrainOptions, tell: Tell, log: list[dict[str, float]]) -> list[Any]:
    """Callbacks for a `Trainer`, made with the arguments of `trainer_arguments`.

    Args:
        options: the time limit and the patience.
        tell: gets `step 120 of 400, loss 0.31, 12 min left`, the steps done and the steps in all.
        log: becomes the curve: what was logged and measured, with its step; after a resume from the very beginning.
    """
    from transformers import EarlyStoppingCallback, TrainerCallback

    class Watch(TrainerCallback):
        """Progress, curve and time limit."""

        def __init__(self) -> None:
            self.spent = 0.0
            """Seconds of this training before this process."""
            self.began = self.written = time.monotonic()
            self.first = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.began = self.written = time.monotonic()
            self.first = state.global_step
            self.spent = _spent(Path(args.output_dir))
            log[:] = _curve(state.log_history)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            now = time.monotonic()
            seconds = self.spent + now - self.began
            limit = options.max_minutes * 60 if options.max_minutes else None
            if state.is_world_process_zero:
                if now - self.written >= CLOCK_EVERY or state.global_step % state.save_steps == 0:
                    self.written = now
                    _write_clock(Path(args.output_dir), seconds)
                tell(self._line(state, now, seconds, limit), state.global_step, state.max_steps)
            if limit is not None and agreed(seconds >= limit) and not control.should_training_stop:
                control.should_training_stop = True
                control.should_save = True
                control.should_evaluate = control.should_evaluate or args.eval_strategy != "no"
            return control

        def _line(self, state: Any, now: float, seconds: float, limit: float | None) -> str:
            pace = (now - self.began) / max(1, state.global_step - self.first)
            left = pace * (state.max_steps - state.global_step)
            if limit is not None:
                left = min(left, max(0.0, limit - seconds))
            losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
            loss = f"loss {losses[-1]:.3g}, " if losses else ""
            remaining = f"{left / 60:.0f} min left" if left >= 60 else f"{left:.0f} s left"
            return f"step {state.global_step} of {state.max_steps}, {loss}{remaining}"

        def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            log[:] = _curve(state.log_history)  # the trainer's own log is whole after a resume too

        def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            log[:] = _curve(state.log_history)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            log[:] = _curve(state.log_history)
            if state.is_world_process_zero:
                _write_clock(Path(args.output_dir), self.spent + time.monotonic() - self.began)

    class Patience(EarlyStoppingCallback):
        """As long as the command says now: a checkpoint brings back how long it was when that was written."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            super().on_train_begin(args, state, control, **given)
            self.early_stopping_patience = options.patience

    return [Watch(), *([Patience(early_stopping_patience=options.patience)] if options.patience else [])]


def last_checkpoint(out: Path) -> str | None:
    """The newest whole checkpoint of an out folder, to resume from; None where there is none.

    One that a kill left unfinished is removed: the trainer writes its state last.
    """
    found = {}
    for folder in (out / CHECKPOINTS).glob("checkpoint-*"):
        digits = folder.name.rpartition("-")[2]
        if digits.isdigit():
            found[int(digits)] = folder
    for number in sorted(found, reverse=True):
        try:
            state = json.loads((found[number] / "trainer_state.json").read_text(encoding="utf-8"))
            if state["global_step"] == number:
                return str(found[number])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        shutil.rmtree(found[number], ignore_errors=True)
    return None


def seconds_spent(out: Path) -> float:
    """Seconds of training that an out folder has seen."""
    return _spent(out / CHECKPOINTS)


def _spent(folder: Path) -> float:
    try:
        return float(json.loads((folder / CLOCK).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def _write_clock(folder: Path, seconds: float) -> None:
    write_whole(folder / CLOCK, json.dumps({"seconds": round(seconds, 1)}))


def _curve(history: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The trainer's log without what is no curve; two entries of one step are one."""
    steps: dict[int, dict[str, float]] = {}
    for entry in history:
        numbers = {
            name: float(value)
            for name, value in entry.items()
            if isinstance(value, int | float) and name not in _NUMBERS_LEFT_OUT and not name.endswith("_per_second")
        }
        if numbers.keys() - {"step", "epoch"}:
            steps.setdefault(int(entry.get("step", 0)), {}).update(numbers)
    return [{**values, "step": float(step)} for step, values in sorted(steps.items())]
