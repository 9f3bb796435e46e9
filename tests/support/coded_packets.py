"""RTP payloads of a clip that is not H.264, and a depacketiser fed with them."""

from collections.abc import Sequence

from support.clip import Clip
from support.rtp_sender import packetise_picture

from transponder_relay.ingest.pictures import Depacketiser
from transponder_relay.media import CodedPicture

Packet = tuple[bytes, int, bool]
"""Payload, RTP time, marker."""


def packets_of(media: Clip, count: int, limit: int = 1150, first: int = 0) -> list[Packet]:
    return [
        (payload, number * 3000, index == len(payloads) - 1)
        for number in range(first, first + count)
        for picture in [media.pictures[number]]
        for payloads in [packetise_picture(media.codec, picture.nals, number, picture.keyframe, limit)]
        for index, payload in enumerate(payloads)
    ]


def feed(depacketiser: Depacketiser[CodedPicture], packets: Sequence[Packet | None]) -> list[CodedPicture]:
    pictures: list[CodedPicture] = []
    for packet in packets:
        if packet is None:
            depacketiser.gap()
        else:
            pictures.extend(depacketiser.push(*packet, 0.0))
    return pictures
