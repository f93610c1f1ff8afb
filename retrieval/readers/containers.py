"""Zip containers (docx, pptx, xlsx, epub), opened with limits against archive and XML bombs."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from xml.etree.ElementTree import Element

from ...errors import ReaderError
from .files import read_bytes

__all__ = ("MAX_RATIO", "MAX_UNPACKED", "core_properties", "open_container", "parse_xml")

MAX_UNPACKED = 1 << 30
"""Bytes that all members together may unpack to (1 GiB)."""
MAX_RATIO = 200
"""How many times larger than packed a container may be. Real office files stay under 50."""
_SMALL = 16 << 20
"""Containers that unpack to less than this are harmless at any ratio (sheets of equal rows pack very well)."""
_MAX_MEMBERS = 50_000
_ENTITY = re.compile(rb"<!ENTITY|<\x00!\x00E\x00N\x00T\x00I\x00T\x00Y|\x00<\x00!\x00E\x00N\x00T\x00I\x00T\x00Y")
_CORE = {
    "title": "title",
    "creator": "author",
    "subject": "subject",
    "keywords": "keywords",
    "created": "created",
    "modified": "modified",
    "language": "language",
}


def open_container(path: Path) -> tuple[zipfile.ZipFile, bytes]:
    """The file as a checked zip archive, and its bytes.

    The directory of an archive may lie about sizes, therefore every member is also unpacked once, counted, and searched
    for XML entity declarations: no office format needs them, and they are how XML bombs are built.
    """
    data = read_bytes(path)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise ReaderError(str(path), "is damaged or truncated (not a whole zip container)") from error
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise ReaderError(str(path), f"holds {len(members):,} members (possible zip bomb)")
    if any(member.flag_bits & 1 for member in members):
        raise ReaderError(str(path), "is encrypted: needs a password", hint="save it without a password")
    _check_size(path, sum(member.file_size for member in members), len(data))
    unpacked = 0
    for member in members:
        try:
            unpacked = _unpack(path, archive, member, unpacked, len(data))
        except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise ReaderError(str(path), f"is damaged: member {member.filename!r} cannot be unpacked") from error
        except Exception as error:  # zlib.error has no common base with the others
            if isinstance(error, ReaderError):
                raise
            raise ReaderError(str(path), f"is damaged: member {member.filename!r} cannot be unpacked") from error
    return archive, data


def _unpack(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, unpacked: int, packed: int) -> int:
    tail = b""
    with archive.open(member) as stream:
        while piece := stream.read(1 << 18):
            unpacked += len(piece)
            _check_size(path, unpacked, packed)
            if _ENTITY.search(tail + piece) and not _is_media(member.filename):
                raise ReaderError(str(path), f"declares XML entities in {member.filename!r} (possible XML bomb)")
            tail = piece[-32:]
    return unpacked


def _is_media(name: str) -> bool:
    return name.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".svg", ".emf", ".wmf", ".ttf", ".otf", ".woff"))


def _check_size(path: Path, unpacked: int, packed: int) -> None:
    if unpacked > MAX_UNPACKED or (unpacked > _SMALL and unpacked > MAX_RATIO * packed):
        raise ReaderError(
            str(path), f"unpacks to more than {unpacked // max(packed, 1)} times its size (possible zip bomb)"
        )


def parse_xml(data: bytes) -> Element:
    """The root of an XML document, parsed without entities and external references."""
    from defusedxml.ElementTree import fromstring

    root: Element = fromstring(data)
    return root


def core_properties(archive: zipfile.ZipFile) -> dict[str, str]:
    """Title, author and dates of an office file; empty where it holds none or they are broken."""
    try:
        root = parse_xml(archive.read("docProps/core.xml"))
    except Exception:  # properties are a courtesy: a document is read without them
        return {}
    found = {}
    for element in root:
        name = _CORE.get(element.tag.rsplit("}", 1)[-1])
        if name and element.text and element.text.strip():
            found[name] = " ".join(element.text.split())
    return found
