"""Names: explicit, and refused with what is known."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragloom.errors import UnknownModelError, UsageError
from ragloom.models import ModelSpec, load_chat_model, load_embedder, parse_spec
from ragloom.models.specs import CHAT_PROVIDERS, EMBEDDER_PROVIDERS, LANGCHAIN_PACKAGES


def test_spec_splits_at_the_first_colon() -> None:
    assert parse_spec("ollama:qwen2.5:0.5b") == ModelSpec("ollama", "qwen2.5:0.5b")


@given(
    st.sampled_from((*CHAT_PROVIDERS, *EMBEDDER_PROVIDERS)),
    st.text(min_size=1).filter(lambda name: name == name.strip()),
)
def test_spec_round_trip(provider: str, name: str) -> None:
    assert str(parse_spec(f"{provider}:{name}")) == f"{provider}:{name}"


@pytest.mark.parametrize("spec", ["gpt-4o", "", ":", "openai:", "  ", ":name"])
def test_not_provider_name(spec: str) -> None:
    with pytest.raises(UnknownModelError):
        parse_spec(spec)


def test_unknown_prefix_lists_known_ones_and_the_nearest() -> None:
    with pytest.raises(UnknownModelError, match=r"did you mean 'openai'\?.*bundled.*gguf"):
        load_chat_model("opnai:gpt-4o")
    with pytest.raises(UnknownModelError, match=r"known providers: bundled, embedder, hf, st"):
        load_embedder("openai:text-embedding-3-small")


def test_unknown_bundled_name() -> None:
    with pytest.raises(UnknownModelError, match=r"did you mean 'smollm2'\?"):
        load_chat_model("bundled:smolm2")


def test_bundled_model_of_the_other_role() -> None:
    with pytest.raises(UsageError, match="not a chat model"):
        load_chat_model("bundled:minilm")
    with pytest.raises(UsageError, match="not an embedder"):
        load_embedder("bundled:smollm2")


def test_provider_list_is_langchains() -> None:
    from langchain.chat_models import base

    theirs = {name: entry[0].split(".")[0].replace("_", "-") for name, entry in base._BUILTIN_PROVIDERS.items()}
    assert theirs == LANGCHAIN_PACKAGES


def test_missing_integration_names_the_package() -> None:
    with pytest.raises(UsageError, match="pip install langchain-mistralai"):
        load_chat_model("mistralai:mistral-small")


def test_import_is_light() -> None:
    code = (
        "import sys, ragloom.models, ragloom.testing; ragloom.models.parse_spec('bundled:x'); "
        "ragloom.models.list_models();"
        "heavy = {'torch', 'transformers', 'llama_index', 'langchain_openai', 'xllamacpp', 'langchain_core', 'numpy'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
