"""E-mail messages (.eml): the headers that people read, and the body."""

from __future__ import annotations

import contextlib
from collections import Counter
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from pathlib import Path

from ...markdown import heading, join_blocks
from .base import Page, ParsedDocument
from .files import clean_text, decode, read_bytes
from .html import html_to_markdown

__all__ = ("read_email",)

_HEADERS = ("From", "To", "Cc", "Date")


def read_email(path: Path) -> ParsedDocument:
    """Reads a message: its plain text body, else its HTML body. Attachments are named, not read."""
    message = BytesParser(policy=policy.default).parsebytes(read_bytes(path))
    subject = _header(message, "Subject")
    headers = {name: value for name in _HEADERS if (value := _header(message, name))}
    attached: list[str] = []
    hidden: Counter[str] = Counter()
    body = _body(message, attached, hidden)
    blocks = [
        heading(subject, 1) if subject else "",
        "\n".join(f"- {name}: {value}" for name, value in headers.items()),
        body,
        "Attachments: " + ", ".join(attached) if attached else "",
    ]
    metadata = {name.lower(): value for name, value in headers.items()}
    with contextlib.suppress(KeyError, ValueError, TypeError):
        metadata["date"] = parsedate_to_datetime(headers["Date"]).isoformat()
    warnings = tuple(f"attachment {name!r} was not read" for name in attached)
    text = clean_text(join_blocks(blocks))
    return ParsedDocument((Page(1, text),), "email", subject, metadata, warnings, dict(hidden))


def _header(message: EmailMessage, name: str) -> str:
    try:
        return clean_text(" ".join(str(message.get(name, "")).split()))
    except Exception:  # the header parser of the standard library has many ways to fail on broken headers
        return ""


def _body(message: EmailMessage, attached: list[str], hidden: Counter[str]) -> str:
    """The text of a message and of messages within it; fills `attached` with the names of the other parts."""
    plain: list[str] = []
    rich: list[str] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        name = part.get_filename()
        kind = part.get_content_type()
        if name or part.get_content_disposition() == "attachment":
            attached.append(" ".join(str(name or kind).split()))
        elif kind == "text/plain":
            plain.append(_content(part))
        elif kind == "text/html":
            rich.append(_content(part))
    if any(text.strip() for text in plain):
        return join_blocks(plain)
    pages = [html_to_markdown(text) for text in rich]
    for page in pages:
        hidden.update(page.hidden)
    return join_blocks(page.text for page in pages)


def _content(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return str(payload or "")
    return clean_text(decode(payload, declared=part.get_content_charset() or "")[0])
