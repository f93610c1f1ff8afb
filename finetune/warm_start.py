"""Training that goes on from another artifact's adapter instead of from nothing."""

from __future__ import annotations

from typing import Any

from ..errors import ArtifactError, RagloomError, UsageError
from ..models.artifacts import Artifact, base_of, open_artifact
from ..models.specs import TRAINED_ROLES
from .options import PairOptions, TrainOptions

__all__ = ("open_start", "start_from")


def open_start(options: TrainOptions) -> Artifact | None:
    """The artifact that the options name to go on from; None where they name none, or are of a role without a start.

    Raises `UsageError` where it cannot be loaded, has another base, or either is no LoRA adapter.
    """
    spec = options.start if isinstance(options, PairOptions) else None
    if spec is None:
        return None
    role = next((role for role in TRAINED_ROLES if spec.startswith(f"{role}:")), None)
    if role is None:
        raise UsageError(f"start is {spec!r}", hint="use ROLE:bundled or ROLE:PATH, for example evaluator:bundled")
    if options.method != "lora":
        raise UsageError(f"the method {options.method!r} has no start", hint="use --method lora, or leave start out")
    try:
        artifact = open_artifact(spec, role)
    except RagloomError as error:
        raise UsageError(f"the start does not load: {error.message}", hint=error.hint) from error
    if artifact.manifest.method != "lora" or artifact.manifest.base.sha256 != base_of(options.base)[1].sha256:
        told = f"{artifact.manifest.method} on {artifact.manifest.base.spec}"
        raise UsageError(f"the start {spec!r} is {told}", hint="it must be LoRA on the base that is trained")
    return artifact


def start_from(model: Any, artifact: Artifact) -> None:
    """Puts the weights of the artifact's adapter into a fresh one; of the head, what is of the same shape.

    Raises `ArtifactError` for an adapter of other layers or another rank.
    """
    from peft import get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict

    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    given = load_peft_weights(str(artifact.folder), device="cpu")
    fitting = {name: value.to(own[name].dtype) for name, value in given.items() if _fits(value, own.get(name))}
    adapted = [name for name in own if ".lora_" in name]
    missing = [name for name in adapted if name not in fitting]
    if missing:
        raise ArtifactError(
            f"{str(artifact.folder)!r} is an adapter of another shape: it has not {missing[0]!r}",
            hint="train with the same --rank, or from an adapter of a pair classifier",
        )
    set_peft_model_state_dict(model, {**own, **fitting})


def _fits(value: Any, own: Any) -> bool:
    return own is not None and own.shape == value.shape
