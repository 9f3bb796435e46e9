"""What an RTMP server in a pod has recorded, held against what was sent."""

import asyncio
from itertools import pairwise
from pathlib import Path

from support.flv import Flv, decode_errors, skews
from support.rtmp_peer import RtmpPeer
from support.whip_sender import WhipSender


async def whole_recording(peer: RtmpPeer, key: str, folder: Path) -> Flv:
    """Once the server has closed it: H.264 and AAC-LC by ffprobe in the pod; whole, in order, without gaps."""
    await peer.finished(key)
    streams = {stream["codec_type"]: stream for stream in (await peer.probe(key))["streams"]}
    assert set(streams) == {"video", "audio"}
    assert streams["video"]["codec_name"] == "h264"
    assert (streams["audio"]["codec_name"], streams["audio"]["profile"]) == ("aac", "LC")
    path = await peer.fetch(key, folder)
    assert await asyncio.to_thread(decode_errors, path) == ""
    flv = Flv.read(path)
    flv.check_monotone()
    flv.check_gapless_sound()
    assert flv.pictures[0].keyframe
    return flv


def check_against(sender: WhipSender, flv: Flv) -> None:
    """The sender's pictures, bit by bit, and no picture between them missing; the sound in step."""
    sent = [picture.crc for picture in sender.sent]
    places = [sent.index(picture.crc) for picture in flv.pictures]
    assert all(after == before + 1 for before, after in pairwise(places)), "a picture is lost or out of order"
    found = skews(flv)
    print(f"{len(places)} pictures, A/V skew {[f'{skew:+.1f}' for skew in found]} ms")
    assert len(found) >= 2
    assert max(map(abs, found)) <= 20
