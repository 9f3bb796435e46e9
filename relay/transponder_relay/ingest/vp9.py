"""VP9 from RTP payloads to whole frames (RFC 9628). Pure.

Of several spatial layers, which nobody asks for, the base layer alone is taken: it decodes without the others.
"""

from transponder_relay.ingest.pictures import FrameDepacketiser
from transponder_relay.media import CodedPicture

_I, _P, _L, _F, _B, _E, _V = (0x80 >> bit for bit in range(7))


class Depacketiser(FrameDepacketiser):
    """Frames as a VP9 decoder takes them."""

    __slots__ = ("_ended",)

    def _begin(self) -> None:
        super()._begin()
        self._ended = False

    def resumes(self, payload: bytes) -> bool:
        start, layer = parse_descriptor(payload)
        return bool(start) and payload[0] & _B != 0 and layer == 0 and _is_keyframe(payload[start]) is True

    def _take(self, payload: bytes) -> None:
        start, layer = parse_descriptor(payload)
        if not start:
            self._damaged = True
        elif layer == 0:
            self._take_part(payload[0], payload[start:])

    def _take_part(self, flags: int, part: bytes) -> None:
        if self._ended:
            self._damaged = True
        elif flags & _B:
            self._start(part, _is_keyframe(part[0]))
        else:
            self._go_on(part)
        self._ended = bool(flags & _E)

    def _finish(self) -> CodedPicture | None:
        if self._parts and not self._ended:
            self._damaged = True
        return super()._finish()


def parse_descriptor(payload: bytes) -> tuple[int, int]:
    """Bytes of the payload descriptor (section 4.2) and the spatial layer; (0, 0) if nothing follows it."""
    try:
        size, layer = _read_descriptor(payload)
    except IndexError:
        return 0, 0
    return (size, layer) if size < len(payload) else (0, 0)


def _read_descriptor(payload: bytes) -> tuple[int, int]:
    flags, at, layer = payload[0], 1, 0
    if flags & _I:
        at += 2 if payload[at] & 0x80 else 1
    if flags & _L:
        layer = payload[at] >> 1 & 7
        at += 1 if flags & _F else 2  # TL0PICIDX in non-flexible mode
    if flags & _F and flags & _P:
        for _ in range(3):  # P_DIFF, as long as N says that another follows
            at += 1
            if not payload[at - 1] & 1:
                break
    if flags & _V:
        at = _skip_scalability_structure(payload, at)
    return at, layer


def _skip_scalability_structure(payload: bytes, at: int) -> int:
    """Section 4.2.1."""
    head = payload[at]
    at += 1
    if head & 0x10:  # Y: width and height of each spatial layer
        at += 4 * ((head >> 5) + 1)
    if head & 0x08:  # G: a picture group
        pictures = payload[at]
        at += 1
        for _ in range(pictures):
            at += 1 + (payload[at] >> 2 & 3)
    return at


def _is_keyframe(head: int) -> bool | None:
    """By the first byte of the uncompressed header; None if it cannot be one of profiles 0 to 2."""
    if head >> 6 != 2 or head & 0x30 == 0x30:
        return None
    return not head & 0x0C  # neither show_existing_frame nor frame_type 1
