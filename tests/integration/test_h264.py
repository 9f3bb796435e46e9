"""H.264 as encoders send it: cut in several ways, with parameter sets anywhere, and in sizes that change."""

import base64
from dataclasses import replace
from itertools import pairwise

import pytest
from support.clip import GOP, Clip, clip, vpx_clip
from support.comparison import missing_at_end, missing_at_start
from support.flv import Flv, decode_errors
from support.nginx_rtmp import NginxRtmp
from support.product import Product
from support.rtmp_server import Server, rtmp_server
from support.whip_sender import WhipSender

from transponder_relay.outputs import amf
from transponder_relay.outputs.chunks import MessageType

pytestmark = pytest.mark.integration

LIMIT = 1000
"""Bytes of a slice."""
LARGE, SMALL = (640, 360), (320, 180)


def single_nal_units() -> WhipSender:
    """Packetization mode 0: each slice in a packet of its own; parameter sets in the offer alone."""
    source = clip(seconds=4, more=f":slice-max-size={LIMIT}")
    sets = source.pictures[0].nals[:2]
    bare = tuple(replace(p, nals=tuple(n for n in p.nals if n[0] & 31 in (1, 5))) for p in source.pictures)
    assert max(len(n) for p in bare for n in p.nals) <= 1150
    assert max(len(p.nals) for p in bare) > 3
    sprop = ",".join(base64.b64encode(nal).decode() for nal in sets)
    return WhipSender(replace(source, pictures=bare), h264=f"packetization-mode=0;sprop-parameter-sets={sprop};")


def several_slices() -> WhipSender:
    """Packetization mode 1: fragments, aggregates, and parameter sets before each keyframe."""
    return WhipSender(clip(seconds=4, slices=4), payload_limit=600)


@pytest.mark.parametrize("make", [single_nal_units, several_slices])
async def test_every_way_of_cutting_arrives_bit_by_bit(product: Product, server: NginxRtmp, make) -> None:  # type: ignore[no-untyped-def]
    started = await product.rest.startup("demo", server.url)
    async with make() as sender:
        await sender.start(product.whip("demo"))
        await product.rest.until_state(started["mediaSessionId"], "Live")
        await server.receives("rtmp_demo", 300_000, timeout=20)
    await product.rest.tell("terminate", started["mediaSessionId"])
    path = await server.finished("rtmp_demo")
    flv = Flv.read(path)
    assert missing_at_start(sender.sent, flv) == 0
    assert missing_at_end(sender.sent, flv) == 0
    assert len(flv.video_headers) == 1
    assert decode_errors(path) == ""
    assert sender.counts.plis <= 2


def sizes(codec: str) -> Clip:
    """2 s large, 2 s small, and again."""
    if codec == "H264":
        return clip(seconds=4).cut(GOP).then(clip(seconds=2, width=320, height=180))
    return vpx_clip(codec, seconds=4).cut(GOP).then(vpx_clip(codec, seconds=2, width=320, height=180))


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_a_size_that_changes_is_told_once_without_reconnecting(
    product: Product, server: NginxRtmp, codec: str
) -> None:
    """One destination keeps the recording, the other what it was told besides."""
    async with rtmp_server() as listener:
        ids = [
            (await product.rest.startup("demo", url))["mediaSessionId"]
            for url in (server.url, f"rtmp://127.0.0.1:{listener.port}/live")
        ]
        async with WhipSender(sizes(codec)) as sender:
            await sender.start(product.whip("demo"))
            for size in (LARGE, SMALL, LARGE, SMALL):
                await product.rest.until(ids[0], lambda t: (t["width"], t["height"]) == size, f"{size}", 8)  # noqa: B023
            await server.receives("rtmp_demo", server.recording("rtmp_demo").stat().st_size + 10_000)
            assert [(t["state"], t["reconnects"]) for t in await product.rest.find_all()] == [("Live", 0)] * 2
        for id_ in ids:
            await product.rest.tell("terminate", id_)
    check_told(listener)
    path = await server.finished("rtmp_demo")
    assert decode_errors(path) == ""
    flv = Flv.read(path)
    flv.check_monotone()
    flv.check_gapless_sound()
    longest = max(b.time_ms - a.time_ms for a, b in pairwise(flv.pictures))
    assert longest <= (40 if codec == "H264" else 400), "of VP8 a busy machine may leave some out"


def check_told(listener: Server) -> None:
    """Metadata and sequence header once for each size, right before the keyframe in that size."""
    (session,) = listener.sessions
    told = [m for m in session.messages if m.type in (MessageType.DATA_AMF0, MessageType.VIDEO)]
    metadata = [m for m in told if m.type == MessageType.DATA_AMF0]
    headers = [m for m in told if m.type == MessageType.VIDEO and m.body[1] == 0]
    sizes = [(int(o["width"]), int(o["height"])) for m in metadata if isinstance(o := amf.decode(m.body)[-1], dict)]
    assert sizes == [LARGE, SMALL, LARGE, SMALL]
    assert len(headers) == 4
    for header in headers:
        at = told.index(header)
        assert told[at - 1] in metadata
        assert told[at + 1].body[:2] == b"\x17\x01"
