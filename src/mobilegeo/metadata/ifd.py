"""TIFF image file directories, the tables that EXIF and maker notes are made of.

Own rather than Pillow's: one damaged entry costs that entry alone, and neither warnings nor
exceptions come out of bytes that anyone may have written.
"""

from __future__ import annotations

import math
import struct
from typing import Literal, TypeAlias

Order = Literal["<", ">"]
ORDERS: tuple[Order, Order] = ("<", ">")
Value: TypeAlias = "str | bytes | tuple[float, ...]"
Directory: TypeAlias = "dict[int, Value]"

_ENTRY_BYTES = 12
_MAX_VALUES = 4096
"""Longer lists of numbers (the strips of a large TIFF) are left out; no tag used here is one."""

_TEXT, _RATIONAL, _SIGNED_RATIONAL = 2, 5, 10
_BYTES = (1, _TEXT, 7)
_CODES = {
    1: "B",
    _TEXT: "B",
    3: "H",
    4: "I",
    _RATIONAL: "II",
    6: "b",
    7: "B",
    8: "h",
    9: "i",
    _SIGNED_RATIONAL: "ii",
    11: "f",
    12: "d",
}


def byte_order(tiff: bytes) -> Order | None:
    """`<` or `>` by a TIFF header, `None` where there is none."""
    if tiff[:4] == b"II*\0":
        return "<"
    if tiff[:4] == b"MM\0*":
        return ">"
    return None


def read_directory(data: bytes, offset: int, order: Order) -> Directory:
    """The entries of the directory at `offset`; what cannot be read is left out.

    Returns:
        tag → text, bytes (types BYTE and UNDEFINED) or numbers; a rational is a float, NaN where
        its denominator is zero.
    """
    count = _unpack(order + "H", data, offset)
    if not count:
        return {}
    entries: Directory = {}
    for start in range(offset + 2, offset + 2 + int(count[0]) * _ENTRY_BYTES, _ENTRY_BYTES):
        head = _unpack(order + "HHI", data, start)
        if not head:
            break
        tag, kind, length = (int(part) for part in head)
        value = _value(data, start + 8, order, kind, length)
        if value is not None:
            entries.setdefault(tag, value)
    return entries


def pointer(directory: Directory, tag: int) -> int | None:
    """The offset that an entry holds."""
    offset = number(directory, tag)
    return None if offset is None else int(offset)


def number(directory: Directory, tag: int) -> float | None:
    """The first number of an entry; `None` where it is absent, no number, or not finite."""
    value = directory.get(tag)
    if not isinstance(value, tuple) or not value or not math.isfinite(value[0]):
        return None
    return value[0]


def text(directory: Directory, tag: int) -> str:
    """The text of an entry, stripped; empty where it is absent or no text."""
    value = directory.get(tag)
    return value.strip() if isinstance(value, str) else ""


def _value(data: bytes, inline_at: int, order: Order, kind: int, length: int) -> Value | None:
    code = _CODES.get(kind)
    if code is None or (kind not in _BYTES and length > _MAX_VALUES):
        return None
    size = struct.calcsize("=" + code) * length
    start = inline_at
    if size > 4:
        start = int((_unpack(order + "I", data, inline_at) or (len(data),))[0])
    raw = data[start : start + size]
    if len(raw) < size:
        return None
    if kind in _BYTES:
        is_text = kind == _TEXT
        return raw.partition(b"\0")[0].decode("utf-8", errors="replace") if is_text else raw
    numbers = struct.unpack(order + code * length, raw)
    if kind in (_RATIONAL, _SIGNED_RATIONAL):
        return tuple(
            above / below if below else math.nan
            for above, below in zip(numbers[::2], numbers[1::2], strict=True)
        )
    return tuple(float(n) for n in numbers)


def _unpack(layout: str, data: bytes, offset: int) -> tuple[float, ...]:
    size = struct.calcsize(layout)
    chunk = data[offset : offset + size] if offset >= 0 else b""
    return struct.unpack(layout, chunk) if len(chunk) == size else ()
