"""What keys and passwords look like: one row a kind, from the providers' own documents and the rules of gitleaks.

Every pattern is linear: it starts at a fixed word, at the start of a token, and what may repeat without limit cannot be
read in two ways. (The patterns of detect-secrets 1.5 are not: 10,000 characters of "sk-sk-sk-" took its OpenAI plugin
3 s, and twice as many take four times as long. It also knows few of today's model providers.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ("PATTERNS", "SecretPattern")


@dataclass(frozen=True, slots=True)
class SecretPattern:
    """One kind of secret. A text without any of `words` (compared as `fold` says) does not hold one."""

    kind: str
    """In capitals; stands in the text in the secret's place."""
    words: tuple[str, ...]
    pattern: re.Pattern[str]
    """The secret is its group `secret`, or all of the match."""
    fold: bool = False
    """Whether `words` are looked for in the text in lower case."""
    random: bool = False
    """Whether the value must look random, for the pattern alone is weak."""


def _token(kind: str, *heads: str, tail: str) -> SecretPattern:
    """A key that starts with one of `heads`, at the start of a token."""
    start = "|".join(map(re.escape, heads))
    return SecretPattern(kind, heads, re.compile(rf"(?<![A-Za-z0-9_-])(?:{start}){tail}"))


_NAMES = (
    r"api[_ -]?key|apikey|secret[_ -]?key|access[_ -]?key|client[_ -]?secret|auth[_ -]?token|access[_ -]?token"
    r"|secret|token|credential"
)
_PEM = r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"

PATTERNS = (
    SecretPattern(
        "PRIVATE_KEY",
        ("PRIVATE KEY",),
        # To its end; where that is missing, as far as lines of base64 go.
        re.compile(
            rf"{_PEM}(?:(?:[^-]|-(?!----))*+-----END [A-Z0-9 ]{{1,50}}-----"
            r"|(?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]{20,}+)++)"
        ),
    ),
    _token("AWS_ACCESS_KEY", "AKIA", "ASIA", "ABIA", "ACCA", tail=r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _token("ANTHROPIC_KEY", "sk-ant-", tail=r"[A-Za-z0-9_-]{20,}+"),
    _token("OPENAI_KEY", "sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-", tail=r"[A-Za-z0-9_-]{20,}+"),
    _token("OPENROUTER_KEY", "sk-or-v1-", tail=r"[a-f0-9]{32,}+"),
    # Of OpenAI before 2024, and of many servers that speak its protocol.
    _token("API_KEY", "sk-", tail=r"(?=[a-zA-Z]*+[0-9])[A-Za-z0-9]{32,}+"),
    _token("HUGGINGFACE_TOKEN", "hf_", "api_org_", tail=r"[A-Za-z0-9]{30,}+"),
    _token("GOOGLE_KEY", "AIza", tail=r"[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _token("GOOGLE_SECRET", "GOCSPX-", "ya29.", tail=r"[A-Za-z0-9_-]{20,}+"),
    _token("GROQ_KEY", "gsk_", tail=r"[A-Za-z0-9]{40,}+"),
    _token("XAI_KEY", "xai-", tail=r"[A-Za-z0-9]{40,}+"),
    _token("PERPLEXITY_KEY", "pplx-", tail=r"[A-Za-z0-9]{40,}+"),
    _token("NVIDIA_KEY", "nvapi-", tail=r"[A-Za-z0-9_-]{40,}+"),
    _token("REPLICATE_TOKEN", "r8_", tail=r"[A-Za-z0-9]{37,}+"),
    _token("LANGSMITH_KEY", "lsv2_pt_", "lsv2_sk_", tail=r"[a-f0-9]{32}_[a-f0-9]{10}"),
    _token("TAVILY_KEY", "tvly-", tail=r"[A-Za-z0-9-]{20,}+"),
    _token("GITHUB_TOKEN", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", tail=r"[A-Za-z0-9]{36,}+"),
    _token("GITHUB_TOKEN", "github_pat_", tail=r"[A-Za-z0-9_]{50,}+"),
    _token("GITLAB_TOKEN", "glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", tail=r"[A-Za-z0-9_.-]{20,}+"),
    _token("SLACK_TOKEN", "xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xapp-", tail=r"[A-Za-z0-9-]{10,}+"),
    _token("STRIPE_KEY", "sk_live_", "rk_live_", "sk_test_", "rk_test_", "whsec_", tail=r"[A-Za-z0-9]{16,}+"),
    _token("SENDGRID_KEY", "SG.", tail=r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    _token("NPM_TOKEN", "npm_", tail=r"[A-Za-z0-9]{36,}+"),
    _token("PYPI_TOKEN", "pypi-", tail=r"[A-Za-z0-9_-]{60,}+"),
    _token("DOCKER_TOKEN", "dckr_pat_", "dckr_oat_", tail=r"[A-Za-z0-9_-]{20,}+"),
    _token("DIGITALOCEAN_TOKEN", "dop_v1_", "doo_v1_", "dor_v1_", tail=r"[a-f0-9]{64}"),
    _token("DATABRICKS_TOKEN", "dapi", tail=r"[a-f0-9]{32}(?:-\d)?(?![A-Za-z0-9])"),
    _token("VAULT_TOKEN", "hvs.", "hvb.", "hvr.", tail=r"[A-Za-z0-9_-]{24,}+"),
    _token("ATLASSIAN_TOKEN", "ATATT3", tail=r"[A-Za-z0-9_=-]{50,}+"),
    _token("SHOPIFY_TOKEN", "shpat_", "shpca_", "shppa_", "shpss_", tail=r"[a-fA-F0-9]{32}"),
    _token("LINEAR_KEY", "lin_api_", tail=r"[A-Za-z0-9]{32,}+"),
    _token("AGE_SECRET_KEY", "AGE-SECRET-KEY-1", tail=r"[A-Z0-9]{50,}+"),
    # A JSON Web Token (RFC 7519): two parts in base64 that begin with `{"`, and a signature.
    _token("JSON_WEB_TOKEN", "eyJ", tail=r"[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{16,}+"),
    SecretPattern("TELEGRAM_TOKEN", (":AA",), re.compile(r"(?<!\d)\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])")),
    SecretPattern("AZURE_STORAGE_KEY", ("AccountKey=",), re.compile(r"AccountKey=(?P<secret>[A-Za-z0-9+/=]{64,}+)")),
    SecretPattern(
        "WEBHOOK",
        ("hooks.slack.com/", "/api/webhooks/"),
        re.compile(
            r"(?:hooks\.slack\.com/(?:services|workflows)|discord(?:app)?\.com/api/webhooks)/(?P<secret>[\w/-]{20,}+)"
        ),
    ),
    SecretPattern(
        "PASSWORD",
        ("://",),
        re.compile(r"://[^\s/:@\"'<>]{0,100}:(?P<secret>[^\s/@\"'<>${}*]{3,200})@[\w.\[-]"),
    ),
    SecretPattern(
        "SECRET",
        ("key", "secret", "token", "credential"),
        re.compile(
            rf"(?:{_NAMES})[\"']?\s{{0,3}}(?::=|=>|[:=])\s{{0,3}}(?:bearer\s)?[\"']?"
            r"(?P<secret>[A-Za-z0-9_+/=.~-]{16,200})(?![\w(\[])",
            re.IGNORECASE,
        ),
        fold=True,
        random=True,
    ),
    SecretPattern(
        "SECRET",
        ("bearer ",),
        re.compile(r"\bbearer\s{1,3}(?P<secret>[A-Za-z0-9_+/=.~-]{16,500})(?![\w(\[])", re.IGNORECASE),
        fold=True,
        random=True,
    ),
    SecretPattern(
        "PASSWORD",
        ("passw", "passcode", "passphrase", "pwd"),
        re.compile(
            r"(?:password|passwort|passwd|passcode|passphrase|pwd)[\"']?(?:\s{0,3}(?::=|=>|[:=])|\s{1,3}is:?)\s{0,3}"
            r"[\"'`]?(?P<secret>(?!/)[^\s\"'`<>,;()\[\]{}$]{6,128})(?![(\[])",
            re.IGNORECASE,
        ),
        fold=True,
        random=True,
    ),
)
