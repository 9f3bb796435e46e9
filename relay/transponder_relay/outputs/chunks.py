"""The RTMP chunk stream (Adobe's RTMP specification 1.0, section 5.3), without I/O."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

DEFAULT_CHUNK_SIZE = 128
"""Bytes; in force in each direction until its sender says otherwise."""
CHUNK_SIZE = 60_000
"""Bytes; what outputs set. One value for all, so that a tag is split once for all of them."""

_EXTENDED = 0xFFFFFF
_MAX_CHUNK_STREAMS = 32
_THREE_WORDS = struct.Struct(">III")
_FOUR_WORDS = struct.Struct(">IIII")
_HEADER_LENGTHS = (11, 7, 3, 0)


class MessageType(IntEnum):
    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACKNOWLEDGEMENT_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    COMMAND_AMF3 = 17
    DATA_AMF0 = 18
    COMMAND_AMF0 = 20


class ChunkStream(IntEnum):
    """Where outputs put what. 2 is fixed by the specification, the others are the sender's choice."""

    CONTROL = 2
    COMMAND = 3
    AUDIO = 4
    METADATA = 5
    VIDEO = 6


class Message(NamedTuple):
    type: int
    stream_id: int
    timestamp: int
    """ms, modulo 2^32."""
    body: bytes


class ChunkError(ValueError):
    """The bytes are no chunk stream, or go beyond the bounds."""


# ------------------------------------------------------------------------------------------------ writing


def header(chunk_stream: int, message_type: int, stream_id: int, timestamp: int, length: int) -> bytes:
    """A type 0 chunk header (5.3.1.2.1), 12 bytes, or 16 with an extended timestamp. `chunk_stream` is 2...63."""
    second = length << 8 | message_type
    third = int.from_bytes(stream_id.to_bytes(4, "little"))
    if timestamp < _EXTENDED:
        return _THREE_WORDS.pack(chunk_stream << 24 | timestamp, second, third)
    return _FOUR_WORDS.pack(chunk_stream << 24 | _EXTENDED, second, third, timestamp)


def split(body: bytes, chunk_stream: int, timestamp: int, chunk_size: int = CHUNK_SIZE) -> bytes:
    """The body as it follows its type 0 header: a type 3 header before each further chunk, which repeats the
    extended timestamp if there is one (5.3.1.3)."""
    if len(body) <= chunk_size:
        return body
    separator = bytes((0xC0 | chunk_stream,))
    if timestamp >= _EXTENDED:
        separator += timestamp.to_bytes(4)
    return separator.join(body[at : at + chunk_size] for at in range(0, len(body), chunk_size))


def pack(message: Message, chunk_stream: int, chunk_size: int = CHUNK_SIZE) -> bytes:
    """The whole message on the wire."""
    start = header(chunk_stream, message.type, message.stream_id, message.timestamp, len(message.body))
    return start + split(message.body, chunk_stream, message.timestamp, chunk_size)


# ------------------------------------------------------------------------------------------------ reading


@dataclass(slots=True)
class _Incoming:
    """What the headers of one chunk stream have said so far."""

    timestamp: int = 0
    delta: int = 0
    length: int = 0
    type: int = 0
    stream_id: int = 0
    extended: bool = False
    body: bytearray = field(default_factory=bytearray)


class ChunkReader:
    """Bytes in, messages out. Obeys Set Chunk Size and Abort itself and does not pass them on."""

    def __init__(self, max_message: int = 1 << 16) -> None:
        """`max_message`: bytes of the longest body accepted."""
        self._max_message = max_message
        self._chunk_size = DEFAULT_CHUNK_SIZE
        self._buffer = bytearray()
        self._streams: dict[int, _Incoming] = {}

    def receive(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes; run it to its end. Raises ChunkError."""
        self._buffer += data
        while (parsed := self._chunk()) is not None:
            length, stream = parsed
            del self._buffer[:length]
            if len(stream.body) < stream.length:
                continue
            message = Message(stream.type, stream.stream_id, stream.timestamp, bytes(stream.body))
            stream.body.clear()
            if not self._obey(message):
                yield message

    def _chunk(self) -> tuple[int, _Incoming] | None:
        """Take the first chunk of the buffer: its length, and its stream with its payload added. None: incomplete."""
        basic = self._basic_header()
        if basic is None:
            return None
        kind, number, at = basic
        stream = self._stream(number, kind)
        head = self._buffer[at : at + _HEADER_LENGTHS[kind]]
        at += len(head)
        if len(head) < _HEADER_LENGTHS[kind]:
            return None
        stamp = int.from_bytes(head[:3]) if kind < 3 else 0
        extended = stamp == _EXTENDED if kind < 3 else stream.extended
        if extended:
            if len(self._buffer) < at + 4:
                return None
            stamp = int.from_bytes(self._buffer[at : at + 4])
            at += 4
        length = int.from_bytes(head[3:6]) if kind < 2 else stream.length
        if length > self._max_message:
            raise ChunkError(f"a message of {length} bytes exceeds {self._max_message}")
        end = at + min(self._chunk_size, length - len(stream.body))
        if len(self._buffer) < end:
            return None
        self._begin(stream, kind, head, stamp, extended)
        stream.body += self._buffer[at:end]
        return end, stream

    def _basic_header(self) -> tuple[int, int, int] | None:
        """Type, chunk stream and length of the basic header (5.3.1.1)."""
        buffer = self._buffer
        if not buffer:
            return None
        kind, number = buffer[0] >> 6, buffer[0] & 0x3F
        if number > 1:
            return kind, number, 1
        size = number + 2
        if len(buffer) < size:
            return None
        return kind, 64 + int.from_bytes(buffer[1:size], "little"), size

    def _stream(self, number: int, kind: int) -> _Incoming:
        stream = self._streams.get(number)
        if stream is None:
            if kind > 1:
                raise ChunkError("a chunk stream begins without a full header")
            if len(self._streams) == _MAX_CHUNK_STREAMS:
                raise ChunkError(f"more than {_MAX_CHUNK_STREAMS} chunk streams")
            stream = self._streams[number] = _Incoming()
        if stream.body and kind != 3:
            raise ChunkError("a message begins within another one of its chunk stream")
        return stream

    @staticmethod
    def _begin(stream: _Incoming, kind: int, head: bytearray, stamp: int, extended: bool) -> None:
        """Note what the header of a chunk says, unless it goes on with a message."""
        if stream.body:
            return
        if kind < 3:
            stream.delta, stream.extended = stamp, extended
        if kind < 2:
            stream.length, stream.type = int.from_bytes(head[3:6]), head[6]
        if kind == 0:
            stream.timestamp, stream.stream_id = stamp, int.from_bytes(head[7:11], "little")
        else:
            stream.timestamp = (stream.timestamp + stream.delta) & 0xFFFFFFFF

    def _obey(self, message: Message) -> bool:
        if message.type not in (MessageType.SET_CHUNK_SIZE, MessageType.ABORT):
            return False
        if len(message.body) < 4:
            raise ChunkError("a protocol control message is too short")
        number = int.from_bytes(message.body[:4])
        if message.type == MessageType.ABORT:
            if number in self._streams:
                self._streams[number].body.clear()
        elif not 1 <= number <= 0x7FFFFFFF:
            raise ChunkError(f"a chunk size of {number} bytes")
        else:
            self._chunk_size = number
        return True
