"""Licences of data: what a set's README states, and whether what was trained on it may be shipped."""

from __future__ import annotations

import json
import re
from pathlib import Path

__all__ = ("licence_of", "permits_shipping")

_LINE = re.compile(
    r"^\s*(?:[-*]\s+)?\**licen[cs]e\s*(?::\s*\**|\**\s*:)\s*(?P<text>.*\S)", re.IGNORECASE | re.MULTILINE
)
_FORBIDS = re.compile(
    r"non[\s-]?commercial|\bnc\b|-nc\b|no[\s-]?deriv|\bnd\b|-nd\b|research (?:only|use|purposes)|for research\b"
    r"|academic use|all rights reserved|proprietary",
    re.IGNORECASE,
)
_UNSTATED = re.compile(
    r"states? no(?:ne|thing)?\b|no licen[cs]e|none stated|unstated|unknown|not stated|as the sets", re.IGNORECASE
)
_PERMITS = re.compile(
    r"\bcc[\s-]?by\b|\bcc0\b|creative commons attribution|apache|\bmit\b|\bodc[\s-]?by\b|\bcdla\b|public domain|\bbsd\b"
    r"|\bpddl\b|unlicense",
    re.IGNORECASE,
)


def licence_of(folder: Path) -> str:
    """The licence that a set states: the `Licence:` line of its README, else a field of its dataset_info.json or of
    the first record of one of its files; empty where nothing is stated.

    A file instead of a folder is looked up in the folder that it lies in.
    """
    home = folder if folder.is_dir() else folder.parent
    for name in ("README.md", "readme.md", "README"):
        readme = home / name
        if readme.is_file():
            found = _LINE.search(readme.read_text(encoding="utf-8", errors="replace"))
            if found:
                return found["text"].strip().strip("*").strip()
    return _field(home / "dataset_info.json") if folder.is_dir() else _first_record(folder)


def permits_shipping(licence: str) -> bool:
    """Whether a model trained on data under this licence may be shipped in a package that others use in business.

    False for what is not stated, and for non-commercial or no-derivatives terms, if any part of the data is under them.

        >>> permits_shipping("CC BY-SA 4.0"), permits_shipping("CC BY-NC-SA 4.0"), permits_shipping("")
        (True, False, False)
    """
    if _FORBIDS.search(licence) or _UNSTATED.search(licence):
        return False
    return bool(_PERMITS.search(licence))


def _field(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return _licence_field(found)


def _first_record(path: Path) -> str:
    if path.suffix == ".gz" or not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as stream:
        try:
            return _licence_field(json.loads(stream.readline()))
        except ValueError:
            return ""


def _licence_field(found: object) -> str:
    if not isinstance(found, dict):
        return ""
    for name in ("licence", "license"):
        if isinstance(found.get(name), str):
            return str(found[name]).strip()
    return ""
