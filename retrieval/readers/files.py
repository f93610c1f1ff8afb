"""Bytes of a file, their text, and what kind of file they are: the ground every reader stands on."""

from __future__ import annotations

import codecs
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import ReaderError

__all__ = (
    "between",
    "binary_kind",
    "check_regular",
    "clean_text",
    "decode",
    "looks_binary",
    "one_line",
    "read_bytes",
    "without",
)

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF87a", "GIF image"),
    (b"GIF89a", "GIF image"),
    (b"II*\x00", "TIFF image"),
    (b"MM\x00*", "TIFF image"),
    (b"\x7fELF", "ELF program"),
    (b"\x1f\x8b\x08", "gzip archive"),
    (b"BZh", "bzip2 archive"),
    (b"\xfd7zXZ\x00", "xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip archive"),
    (b"Rar!\x1a\x07", "RAR archive"),
    (b"\x28\xb5\x2f\xfd", "zstd archive"),
    (b"SQLite format 3\x00", "SQLite database"),
    (b"ID3", "MP3 audio"),
    (b"OggS", "Ogg media"),
    (b"fLaC", "FLAC audio"),
    (b"\x00asm", "WebAssembly program"),
    (b"PAR1", "Parquet file"),
    (b"{\\rtf", "RTF document"),
)
_SAMPLE = 1 << 16
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_UNWANTED = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_NEWLINES = re.compile("\r\n?|[\x0c\x85\u2028\u2029]")


def one_line(error: BaseException, limit: int = 200) -> str:
    """The message of an exception as one line fit for a report; its class name where it has no message."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def check_regular(path: Path) -> int:
    """The size of a file in bytes; raises where the path is no ordinary, non-empty file.

    Devices and pipes are refused by kind, since opening a pipe would wait forever.
    """
    mode = (status := path.stat()).st_mode
    if stat.S_ISDIR(mode):
        raise ReaderError(str(path), "is a directory", hint="give a file, or let ingestion walk the directory")
    if not stat.S_ISREG(mode):
        raise ReaderError(str(path), "is not a regular file")
    if status.st_size == 0:
        raise ReaderError(str(path), "is empty")
    return status.st_size


def read_bytes(path: Path) -> bytes:
    """The whole file; readers parse from memory so that all of them see one state of it."""
    check_regular(path)
    data = path.read_bytes()
    if not data:
        raise ReaderError(str(path), "is empty")
    return data


def binary_kind(head: bytes) -> str:
    """The name of a well-known binary format that `head` begins with, or an empty string."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE", b"AVI "):
        return "RIFF media"
    if head[4:8] == b"ftyp":
        return "MP4 media"
    if head[:2] == b"MZ" and b"This program" in head[:512]:
        return "Windows program"
    return ""


def looks_binary(sample: bytes) -> bool:
    """Whether a sample of bytes is no text in any encoding that we decode."""
    if not sample or _encoding_by_mark(sample):
        return False
    return len(_CONTROL.findall(sample)) > max(4, len(sample) // 20)


def _encoding_by_mark(data: bytes) -> str:
    """An encoding known for sure: by byte order mark, or UTF-16 by its zero bytes on one side."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name
    sample = data[:2048]
    half = len(sample) // 2
    if half >= 8:
        even, odd = sample[0::2].count(0), sample[1::2].count(0)
        if odd > half * 0.4 and even < half * 0.05:
            return "utf-16-le"
        if even > half * 0.4 and odd < half * 0.05:
            return "utf-16-be"
    return ""


def decode(data: bytes, *, declared: str = "") -> tuple[str, tuple[str, ...]]:
    """Text of bytes in an unknown encoding, and warnings about what was replaced.

    Order: byte order mark, the encoding that the file itself declares, UTF-8 (with a few broken bytes forgiven), and
    only then a statistical guess, since guesses on short texts are often wrong.
    """
    marked = _encoding_by_mark(data)
    if marked:
        return data.decode(marked, errors="replace"), ()
    if declared:
        try:
            return data.decode(declared), ()
        except (LookupError, UnicodeError):
            pass
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError:
        pass
    sample = data[: 1 << 20]
    beyond_ascii = sum(map(len, re.findall(rb"[\x80-\xff]+", sample)))
    broken = sample.decode("utf-8", errors="replace").count("\ufffd")
    if broken <= beyond_ascii * 0.05:
        text = data.decode("utf-8", errors="replace")
        return text, (f"{text.count(chr(0xFFFD))} broken UTF-8 characters replaced",)
    name = _guess(data)
    text = data.decode(name, errors="replace")
    return text, (f"encoding not declared: read as {name}",)


def _guess(data: bytes) -> str:
    from charset_normalizer import from_bytes

    # Samples of lines with letters beyond ASCII tell most; the library's cost grows with the sample.
    lines = re.findall(rb"[^\n]{0,200}[\x80-\xff][^\n]{0,200}", data[: 1 << 20])
    sample = b"\n".join(lines[:200])[: 1 << 16]
    # windows-1252 covers what most undeclared files are; it is tried first and kept when it reads as clean letters.
    west = sample.decode("cp1252", errors="replace")
    odd = sum(1 for c in west if ord(c) > 127 and not ((c.isalpha() and ord(c) < 0x180) or c in _WEST_MARKS))
    letters = re.findall(r"[A-Za-z][À-öø-ÿŒœŠšŸŽž]|[À-öø-ÿŒœŠšŸŽž][A-Za-z]", west)
    runs = re.findall(r"[À-öø-ÿ]{3,}", west)
    if not odd and len(letters) > 4 * len(runs):
        return "cp1252"
    best = from_bytes(sample).best()
    return best.encoding if best is not None else "cp1252"


_WEST_MARKS = frozenset("€‚„…†‡‰‹‘’“”•–—™›\xa0¡¢£¤¥§¨©ª«¬®¯°±²³´µ¶·¸¹º»¼½¾¿×÷")


def clean_text(text: str) -> str:
    """`text` with plain line ends, and without control characters and lone surrogates that no store takes."""
    if _NEWLINES.search(text):
        text = _NEWLINES.sub("\n", text)
    if _UNWANTED.search(text):
        text = _UNWANTED.sub("", text)
    return text


def between(text: str, opening: str, closing: str) -> Iterator[tuple[int, int]]:
    """The spans from an opening to the next closing mark, both included; one that is never closed is none.

    A regular expression would look for the end of each open one through all of the text.
    """
    at = text.find(opening)
    while at >= 0 and (end := text.find(closing, at + len(opening))) >= 0:
        end += len(closing)
        yield at, end
        at = text.find(opening, end)


def without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with nothing where the spans were, which stand in order."""
    kept, at = [], 0
    for start, end in spans:
        kept.append(text[at:start])
        at = end
    return "".join([*kept, text[at:]])
