"""VP8 from RTP payloads to whole frames (RFC 7741). Pure."""

from transponder_relay.ingest.pictures import FrameDepacketiser

_START_CODE = b"\x9d\x01\x2a"


class Depacketiser(FrameDepacketiser):
    """Frames as a VP8 decoder takes them (RFC 6386 section 9.1)."""

    __slots__ = ()

    def resumes(self, payload: bytes) -> bool:
        start = descriptor_size(payload)
        return bool(start) and _begins_frame(payload) and _is_keyframe(payload[start : start + 10]) is True

    def _take(self, payload: bytes) -> None:
        start = descriptor_size(payload)
        if not start:
            self._damaged = True
        elif _begins_frame(payload):
            frame = payload[start:]
            self._start(frame, _is_keyframe(frame))
        else:
            self._go_on(payload[start:])


def descriptor_size(payload: bytes) -> int:
    """Bytes of the payload descriptor (section 4.2); 0 if nothing follows it."""
    size = 1
    if payload and payload[0] & 0x80:  # X
        flags = payload[1] if len(payload) > 1 else 0
        size = 2
        if flags & 0x80:  # I: a picture ID of 7 or 15 bits
            size += 2 if len(payload) > 2 and payload[2] & 0x80 else 1
        if flags & 0x40:  # L: TL0PICIDX
            size += 1
        if flags & 0x30:  # T, K: both in one byte
            size += 1
    return size if size < len(payload) else 0


def _begins_frame(payload: bytes) -> bool:
    """S is set, of partition 0."""
    return payload[0] & 0x17 == 0x10


def _is_keyframe(frame: bytes) -> bool | None:
    """By the frame tag; None if the frame cannot be one."""
    if len(frame) < 3:
        return None
    if frame[0] & 1:
        return False
    return True if len(frame) >= 10 and frame[3:6] == _START_CODE else None
