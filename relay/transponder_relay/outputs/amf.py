"""AMF0, as far as RTMP commands need it ("Action Message Format -- AMF 0", Adobe, 2007).

Python          AMF0                            comes back as
bool            boolean                         bool
int, float      number                          float
str             string, long string             str
None            null (read: undefined too)      None
Mapping         object                          dict
EcmaArray       ECMA array                      dict
list, tuple     strict array                    list
-               date                            float (ms since 1970)
"""

import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "float | bool | str | Mapping[str, Value] | Sequence[Value] | None"

MAX_DEPTH = 8
"""Objects within objects. RTMP commands use two; the bound keeps a hostile peer from exhausting the stack."""

_NUMBER, _BOOLEAN, _STRING, _OBJECT, _NULL, _UNDEFINED = 0, 1, 2, 3, 5, 6
_ECMA_ARRAY, _OBJECT_END, _STRICT_ARRAY, _DATE, _LONG_STRING, _XML = 8, 9, 10, 11, 12, 15

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_DOUBLE = struct.Struct(">d")


class AmfError(ValueError):
    """The bytes are no AMF0, or go beyond the bounds."""


class EcmaArray(dict[str, Value]):
    """A mapping that is written as an ECMA array, as players expect of onMetaData."""


def encode(*values: Value) -> bytes:
    """The values one after the other. Raises AmfError for a key beyond 65535 bytes."""
    return b"".join(_encode(value) for value in values)


def _encode(value: Value) -> bytes:
    match value:
        case None:
            return bytes((_NULL,))
        case bool():
            return bytes((_BOOLEAN, value))
        case int() | float():
            return bytes((_NUMBER,)) + _DOUBLE.pack(value)
        case str():
            return _encode_string(value)
        case EcmaArray():
            return bytes((_ECMA_ARRAY,)) + _U32.pack(len(value)) + _encode_properties(value)
        case Mapping():
            return bytes((_OBJECT,)) + _encode_properties(value)
        case _:
            return bytes((_STRICT_ARRAY,)) + _U32.pack(len(value)) + encode(*value)


def _encode_string(text: str) -> bytes:
    raw = text.encode(errors="replace")
    if len(raw) > 0xFFFF:
        return bytes((_LONG_STRING,)) + _U32.pack(len(raw)) + raw
    return bytes((_STRING,)) + _U16.pack(len(raw)) + raw


def _encode_properties(properties: Mapping[str, Value]) -> bytes:
    parts: list[bytes] = []
    for key, value in properties.items():
        raw = key.encode(errors="replace")
        if len(raw) > 0xFFFF:
            raise AmfError("a property name must not exceed 65535 bytes")
        parts += (_U16.pack(len(raw)), raw, _encode(value))
    return b"".join(parts) + bytes((0, 0, _OBJECT_END))


def decode(data: bytes) -> list[Value]:
    """All values in `data`. Raises AmfError, and nothing else, when they are not well-formed."""
    decoder = _Decoder(data)
    values = []
    while decoder.position < len(data):
        values.append(decoder.value(0))
    return values


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self.position = 0
        self._data = data

    def value(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise AmfError(f"values are nested deeper than {MAX_DEPTH}")
        marker = self._take(1)[0]
        match marker:
            case 0:
                return self._double()
            case 1:
                return self._take(1) != b"\0"
            case 2:
                return self._text(self._u16())
            case 3:
                return self._properties(depth)
            case 5 | 6 | 13:
                return None
            case 8:
                self._u32()  # a hint of the length; the end marker decides
                return self._properties(depth)
            case 10:
                return [self.value(depth + 1) for _ in range(self._bounded_count())]
            case 11:
                milliseconds = self._double()
                self._u16()  # time zone, reserved
                return milliseconds
            case 12 | 15:
                return self._text(self._u32())
            case _:
                raise AmfError(f"unknown or unsupported type marker {marker}")

    def _properties(self, depth: int) -> dict[str, Value]:
        properties: dict[str, Value] = {}
        while True:
            key = self._text(self._u16())
            if not key and self._data[self.position : self.position + 1] == bytes((_OBJECT_END,)):
                self.position += 1
                return properties
            properties[key] = self.value(depth + 1)

    def _bounded_count(self) -> int:
        count = self._u32()
        if count > len(self._data) - self.position:
            raise AmfError("an array claims more values than there are bytes")
        return count

    def _text(self, length: int) -> str:
        return self._take(length).decode(errors="replace")

    def _double(self) -> float:
        return float(_DOUBLE.unpack(self._take(8))[0])

    def _u16(self) -> int:
        return int.from_bytes(self._take(2))

    def _u32(self) -> int:
        return int.from_bytes(self._take(4))

    def _take(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self._data):
            raise AmfError("the data ends within a value")
        taken = self._data[self.position : end]
        self.position = end
        return taken
