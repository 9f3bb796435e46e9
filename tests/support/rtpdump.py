"""Captured RTP and RTCP packets in the binary format of rtptools (rtpdump), which Wireshark reads as well."""

from collections.abc import Iterable
from pathlib import Path
from struct import Struct
from typing import NamedTuple

_MAGIC = b"#!rtpplay1.0 127.0.0.1/9\n"
_FILE_HEADER = Struct("!IIIHH")  # start in s and µs, source address and port, padding
_RECORD = Struct("!HHI")  # bytes with this header, bytes of RTP (0 for RTCP), ms since the start


class Captured(NamedTuple):
    seconds: float
    """Since the first packet; the format keeps milliseconds."""
    control: bool
    """RTCP, else RTP; both decrypted."""
    data: bytes


def write(path: Path, packets: Iterable[Captured]) -> None:
    out = bytearray(_MAGIC + _FILE_HEADER.pack(0, 0, 0, 0, 0))
    for packet in packets:
        size = len(packet.data)
        out += _RECORD.pack(size + _RECORD.size, 0 if packet.control else size, round(packet.seconds * 1000))
        out += packet.data
    path.write_bytes(out)


def read(path: Path) -> list[Captured]:
    """Raises ValueError for another format."""
    data = path.read_bytes()
    if not data.startswith(b"#!rtpplay1.0 "):
        raise ValueError("not an rtpdump file")
    at = data.index(b"\n") + 1 + _FILE_HEADER.size
    packets = []
    while at < len(data):
        length, rtp, offset = _RECORD.unpack_from(data, at)
        packets.append(Captured(offset / 1000, rtp == 0, data[at + _RECORD.size : at + length]))
        at += length
    return packets
