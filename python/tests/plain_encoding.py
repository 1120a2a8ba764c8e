"""The plain encoding of builtins written a second time, to check the native halves against."""

import datetime
import decimal
import hashlib
import pathlib
import struct
import uuid


def _size(count: int) -> bytes:
    return struct.pack("<Q", count)


def _framed(tag: int, payload: bytes) -> bytes:
    return bytes([tag]) + _size(len(payload)) + payload


def _typed(name: str, child: object) -> bytes:
    return _framed(0x20, name.encode()) + encode(child)


def encode(value: object) -> bytes:
    """The encoding; any other value is a digest leaf of its type's name."""
    kind = type(value)
    if value is None:
        return b"\x00"
    if kind is bool:
        return b"\x02" if value else b"\x01"
    if kind is int:
        return _framed(3, value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True))
    if kind is float:
        return b"\x04" + struct.pack("<d", value)
    if kind is complex:
        return b"\x05" + struct.pack("<dd", value.real, value.imag)
    if kind is str:
        return _framed(6, value.encode("utf-8", "surrogatepass"))
    if kind is bytes:
        return _framed(7, value)
    if kind in (tuple, list, set, frozenset):
        tag = {tuple: 0x10, list: 0x11, set: 0x12, frozenset: 0x13}[kind]
        return bytes([tag]) + _size(len(value)) + b"".join(map(encode, value))
    if kind is dict:
        pairs = b"".join(encode(key) + encode(each) for key, each in value.items())
        return b"\x14" + _size(len(value)) + pairs
    return _standard(value)


def _standard(value: object) -> bytes:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind is datetime.date:
        return _typed(name, (value.year, value.month, value.day))
    if kind is datetime.timedelta:
        return _typed(name, (value.days, value.seconds, value.microseconds))
    if kind is datetime.datetime:
        fields = ["year", "month", "day", "hour", "minute", "second", "microsecond", "fold"]
        return _typed(name, (*(getattr(value, field) for field in fields), value.tzinfo))
    if kind is datetime.time:
        fields = ["hour", "minute", "second", "microsecond", "fold"]
        return _typed(name, (*(getattr(value, field) for field in fields), value.tzinfo))
    if kind is decimal.Decimal:
        return _typed(name, (str(value),))
    if kind is uuid.UUID:
        return _typed(name, (value.int,))
    if kind is range:
        return _typed(name, (value.start, value.stop, value.step))
    if kind in (pathlib.PosixPath, pathlib.PurePosixPath):
        return _typed(f"pathlib.{kind.__name__}", str(value))
    return b"\x30" + hashlib.sha256(name.encode()).digest()
