"""Files that nobody wants to be sent: each made small, by name, with what `read_document` must say of it."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

__all__ = ("BAD_FILES", "ooxml_bomb", "pdf_of", "zip_of")


def zip_of(members: dict[str, bytes], *, packed: bool = True) -> bytes:
    """A zip archive of the given members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def pdf_of(*pages: str, password: str = "") -> bytes:
    """A PDF with one line of text on each page; an empty line makes a page without text."""
    from reportlab.lib import pdfencrypt
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    lock = pdfencrypt.StandardEncryption(password, canPrint=0) if password else None
    canvas = Canvas(out, encrypt=lock, invariant=1, pageCompression=0)
    for text in pages:
        if text:
            canvas.drawString(72, 700, text)
        else:
            canvas.rect(100, 100, 200, 200, fill=1)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def ooxml_bomb(*, entity: bool = False) -> bytes:
    """A docx of a few hundred kilobytes that unpacks to a hundred megabytes, or that declares nested XML entities."""
    if entity:
        body = b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><d>&b;</d>'
    else:
        body = b"<w:document>" + b" " * (100 << 20) + b"</w:document>"
    return zip_of({"[Content_Types].xml": b"<Types/>", "word/document.xml": body})


def _lying_bomb() -> bytes:
    """A zip whose directory says that its member is small though it unpacks to much more."""
    data = bytearray(ooxml_bomb())
    size = struct.pack("<I", (100 << 20) + len(b"<w:document></w:document>"))
    return bytes(data.replace(size, struct.pack("<I", 1000)))


def _png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def _ole(mark: str) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000) + mark.encode("utf-16-le") + bytes(1000)


def _encrypted_zip() -> bytes:
    data = bytearray(zip_of({"word/document.xml": b"<w:document/>"}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    return bytes(data)


def _bad_member() -> bytes:
    data = bytearray(zip_of({"word/document.xml": os.urandom(4000)}, packed=False))
    data[500:600] = bytes(100)
    return bytes(data)


BAD_FILES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty file": ("empty.txt", lambda: b"", "is empty"),
    "empty pdf": ("empty.pdf", lambda: b"", "is empty"),
    "only spaces": ("blank.txt", lambda: b" \n\t\n ", "holds no text"),
    "truncated pdf": ("cut.pdf", lambda: pdf_of("hello")[:200], "is damaged or truncated"),
    "encrypted pdf": ("locked.pdf", lambda: pdf_of("secret", password="x"), "is encrypted: needs a password"),
    "scanned pdf": ("scan.pdf", lambda: pdf_of("", ""), "holds no text (scanned images?)"),
    "random bytes named pdf": ("noise.pdf", lambda: bytes(range(256)) * 20, "is damaged or no pdf file"),
    "png named pdf": ("image.pdf", _png, "unsupported binary format (PNG image)"),
    "png": ("image.png", _png, "unsupported binary format (PNG image)"),
    "elf program named txt": ("tool.txt", lambda: b"\x7fELF" + bytes(500), "unsupported binary format (ELF program)"),
    "unknown binary": ("data.bin", lambda: bytes(range(256)) * 20, "unsupported binary format"),
    "zip of files": ("files.zip", lambda: zip_of({"a.txt": b"a"}), "unsupported binary format (zip archive)"),
    "zip named docx": ("files.docx", lambda: zip_of({"a.txt": b"a"}), "is a zip archive but no docx file"),
    "truncated docx": ("cut.docx", lambda: ooxml_bomb(entity=True)[:-30], "is damaged or truncated"),
    "damaged member": ("broken.docx", _bad_member, "is damaged: member 'word/document.xml'"),
    "docx with nothing in it": ("hollow.docx", lambda: zip_of({"word/document.xml": b"<d/>"}), "docx reader failed"),
    "zip bomb": ("bomb.docx", ooxml_bomb, "possible zip bomb"),
    "zip bomb that lies": ("liar.docx", _lying_bomb, "is damaged: member"),
    "xml bomb": ("entities.docx", lambda: ooxml_bomb(entity=True), "possible XML bomb"),
    "encrypted zip": ("locked.docx", _encrypted_zip, "is encrypted: needs a password"),
    "encrypted office file": ("locked.xlsx", lambda: _ole("EncryptedPackage"), "is encrypted: needs a password"),
    "old word document": ("old.doc", lambda: _ole("WordDocument"), "old Office document"),
    "rtf": ("letter.rtf", lambda: b"{\\rtf1\\ansi hello}", "unsupported binary format (RTF document)"),
    "malformed json": ("broken.json", lambda: b'{"a": [1, 2', "is not valid JSON"),
    "no valid json line": ("broken.jsonl", lambda: b"{oops\nno\n", "holds no valid JSON line (line 1:"),
    "deep json": ("deep.json", lambda: b"[" * 200_000, "is nested too deeply"),
    "epub without chapters": (
        "hollow.epub",
        lambda: zip_of({"META-INF/container.xml": b"<container/>"}),
        "the book has no package file",
    ),
    "html of a script": ("app.html", lambda: b"<html><script>var x = 1;</script></html>", "holds no text"),
}
"""What is wrong: (file name, its bytes, a part of the reason that must be given)."""


def write_bad_file(kind: str, folder: Path) -> tuple[Path, str]:
    """Writes a file of `BAD_FILES`; returns it with the reason expected."""
    name, make, reason = BAD_FILES[kind]
    path = folder / name
    path.write_bytes(make())
    return path, reason
