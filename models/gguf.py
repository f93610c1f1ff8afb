"""Read the head of a GGUF file: enough to refuse a damaged one and to know its context length.

llama.cpp aborts the load with no reason, so what can be told beforehand is told here. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (magic, version, counts, then typed key-value pairs).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from ..errors import UsageError

__all__ = ("read_header",)

_FORMATS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_LARGEST_STRING = 1 << 24  # a chat template is a few kB; a length beyond this is damage, not data

Value = str | int | float | bool


def read_header(path: Path) -> dict[str, Value]:
    """The scalar metadata of a GGUF file, up to the tokenizer's (which is megabytes).

    Raises `UsageError` when there is no such file or it is no whole GGUF head.
    """
    if not path.is_file():
        raise UsageError(f"there is no model file {str(path)!r}", hint="gguf: takes the path of a .gguf file")
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
            if magic != b"GGUF":
                raise UsageError(f"{str(path)!r} is not a GGUF file", hint=f"it begins with {magic!r}, not b'GGUF'")
            return _read_pairs(stream)
    except (ValueError, struct.error, UnicodeDecodeError) as error:
        raise UsageError(f"{str(path)!r} is a damaged GGUF file", hint=str(error) or "fetch it again") from error
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from error


def _read_pairs(stream: BinaryIO) -> dict[str, Value]:
    version: int = _number(stream, "<I")
    tensors, pairs = _number(stream, "<Q"), _number(stream, "<Q")
    if version not in (2, 3):
        raise ValueError(f"GGUF version {version} is not known")
    if not 0 < tensors < 1_000_000 or not 0 < pairs < 100_000:
        raise ValueError(f"it claims {tensors} tensors and {pairs} settings")
    header: dict[str, Value] = {}
    for _ in range(pairs):
        key = _string(stream)
        if key.startswith("tokenizer."):
            break
        kind: int = _number(stream, "<I")
        value = _value(stream, kind)
        if value is not None:
            header[key] = value
    return header


def _value(stream: BinaryIO, kind: int) -> Value | None:
    if kind == _STRING:
        return _string(stream)
    if kind == _ARRAY:
        item, count = _number(stream, "<I"), _number(stream, "<Q")
        if count > 10_000_000:
            raise ValueError(f"it claims a list of {count} values")
        if item in _FORMATS:
            stream.seek(struct.calcsize(_FORMATS[item]) * count, 1)
        else:
            for _ in range(count):
                _value(stream, item)
        return None
    if kind not in _FORMATS:
        raise ValueError(f"value type {kind} is not known")
    value: int | float | bool = _number(stream, _FORMATS[kind])
    return value


def _number(stream: BinaryIO, form: str) -> int:
    size = struct.calcsize(form)
    data = stream.read(size)
    if len(data) < size:
        raise ValueError("it ends inside its header")
    number: int = struct.unpack(form, data)[0]
    return number


def _string(stream: BinaryIO) -> str:
    length = _number(stream, "<Q")
    if length > _LARGEST_STRING:
        raise ValueError(f"it claims a text of {length} bytes")
    data = stream.read(length)
    if len(data) < length:
        raise ValueError("it ends inside its header")
    return data.decode("utf-8")
