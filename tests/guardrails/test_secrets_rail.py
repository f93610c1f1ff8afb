"""Secrets: known forms, what is called a key or a password, examples that are none, and hostile texts."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import cpu_seconds

from ragloom.errors import UsageError
from ragloom.guardrails.rails.secrets import SecretsRail

_RANDOM = random.Random(7)


def rnd(count: int, letters: str = string.ascii_letters + string.digits) -> str:
    """Never the same as a key of anybody; with a digit, a small and a great letter where it may have them."""
    value = "".join(_RANDOM.choice(letters) for _ in range(count - 3))
    return value + "".join(each for each in "a7Q" if each in letters).ljust(3, letters[0])


HEX = "0123456789abcdef"
KEYS = {
    "AWS_ACCESS_KEY": "AKIA" + rnd(16, string.ascii_uppercase + string.digits),
    "ANTHROPIC_KEY": "sk-ant-api03-" + rnd(80),
    "OPENAI_KEY": "sk-proj-" + rnd(60),
    "API_KEY": "sk-" + rnd(20) + "T3BlbkFJ" + rnd(20),
    "OPENROUTER_KEY": "sk-or-v1-" + rnd(64, HEX),
    "HUGGINGFACE_TOKEN": "hf_" + rnd(34),
    "GOOGLE_KEY": "AIza" + rnd(35),
    "GITHUB_TOKEN": "github_pat_" + rnd(60),
    "GITLAB_TOKEN": "glpat-" + rnd(20),
    "SLACK_TOKEN": "xoxb-1234567-" + rnd(24),
    "STRIPE_KEY": "sk_live_" + rnd(24),
    "SENDGRID_KEY": f"SG.{rnd(22)}.{rnd(43)}",
    "NPM_TOKEN": "npm_" + rnd(36),
    "PYPI_TOKEN": "pypi-AgEIcHlwaS5vcmc" + rnd(80),
    "LANGSMITH_KEY": f"lsv2_pt_{rnd(32, HEX)}_{rnd(10, HEX)}",
    "TELEGRAM_TOKEN": "123456789:AA" + rnd(33),
    "DATABRICKS_TOKEN": "dapi" + rnd(32, HEX),
    "JSON_WEB_TOKEN": f"eyJ{rnd(20)}.eyJ{rnd(40)}.{rnd(43)}",
}
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(rnd(64) for _ in range(4)) + "\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize("kind", KEYS)
def test_known_keys_are_masked_wherever_they_stand(kind: str) -> None:
    key = KEYS[kind]
    for text in ("It is {}, keep it.", "```\nexport X={}\n```", '{{"a": "{}"}}', "{}", "({})", "Mein Schlüssel:{}\n"):
        before = text.format(key)
        (found,) = SecretsRail().check("input", [before], {})
        assert found.verdict == "change" and found.text == text.format(f"<{kind}>")
        assert [before[start:end] for start, end in found.spans] == [key]
        assert key not in found.reason and kind in found.reason


@pytest.mark.parametrize(
    ("text", "after"),
    [
        (f"Here:\n{PEM}\nDone.", "Here:\n<PRIVATE_KEY>\nDone."),
        (PEM.replace("\n", "\\n"), "<PRIVATE_KEY>"),
        (PEM[:150] + " and so on", "<PRIVATE_KEY> and so on"),
        ("postgres://app:Tr0ub4dor@db.acme.com/x", "postgres://app:<PASSWORD>@db.acme.com/x"),
        ("my password is Tr0ub4dor&3, sorry", "my password is <PASSWORD>, sorry"),
        ('{"password": "Tr0ub4dor"}', '{"password": "<PASSWORD>"}'),
        ("DB_PASSWORD=h8Kq2zPw", "DB_PASSWORD=<PASSWORD>"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYQ3kz9Zq0Lm",
            "aws_secret_access_key = <SECRET>",
        ),
        ("api-key: Zk93jQpLw82hfUe71TqR", "api-key: <SECRET>"),
        ("Authorization: Bearer Zk93jQpLw82hfUe71TqR", "Authorization: Bearer <SECRET>"),
        ("AccountKey=" + "Ab3/" * 21 + "Ab==;x", "AccountKey=<AZURE_STORAGE_KEY>;x"),
        (
            "https://hooks.slack.com/services/T0001AAAA/B0002BBBB/" + "Zk93jQpLw82hfUe71TqRxxYZ",
            "https://hooks.slack.com/services/<WEBHOOK>",
        ),
    ],
)
def test_what_is_called_a_secret_or_has_the_form_of_one(text: str, after: str) -> None:
    assert SecretsRail().check("tool", [text], {})[0].text == after


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How do I create an API key? Go to Settings > Keys.",
        "Set OPENAI_API_KEY=your-api-key-here and go on.",
        'client = OpenAI(api_key=os.environ["OPENAI_API_KEY"])',
        "password: at least 12 characters, with 1 digit",
        "The password is required. Your password is case sensitive.",
        "postgres://user:password@localhost:5432/db",
        "redis://user:${REDIS_PASSWORD}@cache",
        "The token limit is 4096 tokens: max_tokens=4096.",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "id 550e8400-e29b-41d4-a716-446655440000",
        "The header -----BEGIN RSA PRIVATE KEY----- starts a key in PEM.",
        "sk-learn is a library; so is sk-video.",
        "secret: the recipe of the grandmother",
        "Mail ana@acme.com, or see https://acme.com:8080/a@b.",
        "The keys AKIA and ASIA begin ids of AWS.",
    ],
)
def test_talk_of_secrets_and_examples_pass(text: str) -> None:
    assert SecretsRail().check("output", [text], {})[0].verdict == "pass"


def test_it_may_block() -> None:
    text = f"Use {KEYS['GITHUB_TOKEN']} and {KEYS['GITHUB_TOKEN']}."
    (found,) = SecretsRail("block").check("output", [text], {})
    assert (found.verdict, found.text, found.reason) == ("block", text, "2 GITHUB_TOKEN")


@given(
    st.lists(st.one_of(st.sampled_from([*KEYS.values(), PEM]), st.text(" .,\n", min_size=1, max_size=3)), max_size=8)
)
def test_no_key_is_left_and_masking_twice_changes_nothing(parts: list[str]) -> None:
    text = " ".join(parts)
    (found,) = SecretsRail().check("input", [text], {})
    assert not any(part in found.text for part in parts if len(part) > 3)
    assert SecretsRail().check("input", [found.text], {})[0].verdict == "pass"
    assert all(0 <= start < end <= len(text) for start, end in found.spans)


@pytest.mark.parametrize(
    "piece",
    [
        "sk-",
        "eyJ",
        "eyJaaaaaaaaaa.",
        "password is ",
        "token=",
        "-----BEGIN PRIVATE KEY-----",
        "://a:",
        "bearer ",
        "a",
        "SG.",
    ],
)
def test_a_hostile_text_takes_no_time(piece: str) -> None:
    text = (piece * (100_000 // len(piece) + 1))[:100_000]
    assert cpu_seconds(lambda: SecretsRail().check("input", [text], {}), enough=1) <= 1


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown action"):
        SecretsRail("hide")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="stages"):
        SecretsRail(stages=["answer"])  # type: ignore[list-item]
