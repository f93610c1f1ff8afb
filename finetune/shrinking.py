"""Smaller adapters: the best approximation of each layer's change by one of a lower rank.

A LoRA change is the product of two thin matrices; cutting its singular value decomposition keeps the most of it that a
lower rank can (Eckart and Young, 1936, "The approximation of one matrix by another of lower rank"). Learning with more
rank than is kept leaves the optimiser more ways; what is measured is what is kept.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..evals.files import write_whole
from ..models.artifacts import MANIFEST, Artifact, file_hash, open_artifact
from ..models.lora import is_plain_lora
from .artifact_files import WEIGHTS, update_manifest

__all__ = ("shrink_adapter", "shrink_artifact")

CONFIG = "adapter_config.json"
_A, _B = ".lora_A.weight", ".lora_B.weight"


def shrink_artifact(artifact: Artifact, rank: int, out: Path) -> Artifact:
    """A copy of an artifact in `out` whose adapter has a lower rank.

    What was measured before stands in its manifest under `before_shrinking`; thresholds stay, and may be chosen anew.
    Raises `UsageError` where `out` holds something, and for an adapter that cannot be shrunk.
    """
    if out.exists():
        raise UsageError(f"{str(out)!r} is there already", hint="name another folder")
    if artifact.manifest.method != "lora":
        raise UsageError(f"the method {artifact.manifest.method!r} has no rank to shrink", hint="it must be lora")
    if rank >= (has := _config(artifact.folder)["r"]):
        raise UsageError(f"the adapter has rank {has} already", hint=f"give --rank {has - 1} or less")
    names = (*artifact.manifest.files, MANIFEST, "README.md", "curves.png", "reliability.png")
    try:
        out.mkdir(parents=True)
        for name in names:
            if (artifact.folder / name).is_file():
                shutil.copyfile(artifact.folder / name, out / name)
        kept = shrink_adapter(out, rank)
    except (OSError, UsageError) as error:
        shutil.rmtree(out, ignore_errors=True)
        if isinstance(error, OSError):
            raise UsageError(f"cannot write {str(out)!r}: {error.strerror or error}") from error
        raise
    told = artifact.manifest
    shrink = f"ragloom finetune shrink {told.name} {out.name} --rank {rank}"
    update_manifest(
        Artifact(out, told),
        {
            "name": out.resolve().name,
            "files": {name: file_hash(out / name) for name in told.files},
            "metrics": {"kept_rank": rank, "kept_change": round(kept, 4), "before_shrinking": told.metrics},
            "command": f"{told.command} && {shrink}" if told.command else shrink,
        },
    )
    return open_artifact(f"{told.role}:{out}", told.role)


def shrink_adapter(folder: Path, rank: int) -> float:
    """Rewrites the LoRA adapter in `folder` with a lower rank; the share of the squared changes that is kept.

    Nothing changes, and the share is 1, where it has that rank or a lower one. The alpha becomes the rank: the scale is
    in the weights. Raises `UsageError` for what is no plain LoRA adapter.
    """
    import torch
    from safetensors.torch import load_file, save_file

    config = _config(folder)
    if rank < 1 or not is_plain_lora(config):
        raise UsageError(
            f"cannot shrink {str(folder)!r} to rank {rank}", hint="it takes a plain LoRA adapter and 1 or more"
        )
    if rank >= config["r"]:
        return 1.0
    scale = config["lora_alpha"] / (config["r"] ** 0.5 if config.get("use_rslora") else config["r"])
    weights = load_file(str(folder / WEIGHTS))
    kept = whole = 0.0
    for name in [name for name in weights if name.endswith(_A)]:
        other = name.removesuffix(_A) + _B
        down, up = weights[name].float(), weights[other].float() * scale
        # Of two thin matrices: decomposing their product would take the size of the layer squared.
        (left, inner), (right, outer) = torch.linalg.qr(up), torch.linalg.qr(down.T)
        rows, sizes, columns = torch.linalg.svd(inner @ outer.T)
        kept, whole = kept + float((sizes[:rank] ** 2).sum()), whole + float((sizes**2).sum())
        root = sizes[:rank].sqrt()
        weights[other] = (left @ rows[:, :rank] * root).to(weights[other].dtype).contiguous()
        weights[name] = (root[:, None] * columns[:rank] @ right.T).to(weights[name].dtype).contiguous()
    save_file(weights, str(folder / WEIGHTS), metadata={"format": "pt"})
    told = {**config, "r": rank, "lora_alpha": rank, "use_rslora": False}
    write_whole(folder / CONFIG, json.dumps(told, indent=2, sort_keys=True) + "\n")
    return kept / whole if whole else 1.0


def _config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return found
