"""A publisher goes and comes back within `holdSeconds`: one RTMP session, one clock, the last picture between."""

import asyncio
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.clip import Clip
from support.comparison import missing_at_end, missing_at_start
from support.flv import SAMPLE_RATE, Flv, Picture, brightness, decode_errors, decode_sound, missing_references
from support.nginx_rtmp import NginxRtmp
from support.product import Product, running_product
from support.whip_sender import WhipRefused, WhipSender

pytestmark = pytest.mark.integration

HOLD_SECONDS = 4


async def test_the_rtmp_session_outlives_its_publisher(tmp_path: Path, server: NginxRtmp, media: Clip) -> None:
    async with running_product(tmp_path, "--hold-seconds", str(HOLD_SECONDS)) as product:
        id_ = (await product.rest.startup("demo", server.url))["mediaSessionId"]
        first = await published(product, server, media, id_, seconds=2.0)
        holding = await product.rest.until_state(id_, "Holding", timeout=3)
        assert (holding["width"], holding["height"]) == (640, 360), "of the picture that is shown"
        gone_at = last_time(server)
        await recorded(server, gone_at + 2.5)
        second = await published(product, server, media, id_, seconds=1.5)
        await product.rest.until_state(id_, "Holding", timeout=3)
        found = await product.rest.until_state(id_, "WaitingForPublisher", timeout=HOLD_SECONDS + 3)
        assert (found["reconnects"], found["lastError"]) == (0, None)
        path = await server.finished("rtmp_demo")
        await product.rest.tell("terminate", id_)
    assert server.access_log().count("PUBLISH") == 1, "one session for both"
    await asyncio.to_thread(check, path, first, second)


async def published(product: Product, server: NginxRtmp, media: Clip, id_: str, seconds: float) -> WhipSender:
    """Publish, as soon as the name is free, so much, and stop by WHIP DELETE."""
    async with asyncio.timeout(10):
        while True:
            sender = WhipSender(media)
            try:
                await sender.start(product.whip("demo"))
                break
            except WhipRefused as refusal:
                await sender.vanish()
                if refusal.status != 409:
                    raise
                await asyncio.sleep(0.05)
    async with sender:
        await product.rest.until_state(id_, "Live")
        await server.receives("rtmp_demo", 30_000)
        await recorded(server, last_time(server) + seconds)
        assert await sender.stop() == 200
    return sender


async def recorded(server: NginxRtmp, until: float) -> None:
    async with asyncio.timeout(15):
        while last_time(server) < until:  # noqa: ASYNC110 - a file says nothing when it grows
            await asyncio.sleep(0.05)


def last_time(server: NginxRtmp) -> float:
    return Flv.read(server.recording("rtmp_demo")).frames[-1].time_ms / 1000


def check(path: Path, first: WhipSender, second: WhipSender) -> None:
    flv = Flv.read(path)
    assert decode_errors(path) == ""
    assert missing_references(path) == []
    flv.check_monotone()
    flv.check_gapless_sound()
    assert len(flv.video_headers) == 1, "both publishers send the same parameter sets"
    live = {picture.crc for sender in (first, second) for picture in sender.sent}
    stills = [picture for picture in flv.pictures if picture.crc not in live]
    away, back = between(flv, stills)
    early, late = parts(flv, away, back, stills)
    assert missing_at_start(first.sent, early) == missing_at_end(first.sent, early) == 0
    assert missing_at_start(second.sent, late) == missing_at_end(second.sent, late) == 0
    check_stills(flv, stills, away, back)
    check_silence(flv, away, back)


def between(flv: Flv, stills: list[Picture]) -> tuple[int, int]:
    """Times of the last picture before the first still, and of the first after those of the first hold."""
    times = [picture.time_ms for picture in flv.pictures]
    start = times.index(stills[0].time_ms)
    end = next(at for at in range(start, len(times)) if flv.pictures[at] not in stills)
    return times[start - 1], times[end]


def parts(flv: Flv, away: int, back: int, stills: list[Picture]) -> tuple[Flv, Flv]:
    """What the two publishers sent."""
    ends = next(still.time_ms for still in stills if still.time_ms > back)
    early = [tag for tag in flv.tags if tag.time_ms <= away]
    late = [tag for tag in flv.tags if back <= tag.time_ms < ends]
    return Flv(early), Flv([*flv.video_headers, *late])


def check_stills(flv: Flv, stills: list[Picture], away: int, back: int) -> None:
    assert all(still.keyframe for still in stills)
    times = [away, *(still.time_ms for still in stills if still.time_ms < back), back]
    assert len(times) >= 4
    assert all(900 <= after - before <= 1300 for before, after in pairwise(times[:-1])), times
    for one, other in pairwise(still for still in stills if still.time_ms < back):
        assert one.crc != other.crc, "they differ in idr_pic_id"
    shown = dict(brightness(flv))
    keyframe = [p for p in flv.pictures if p.keyframe and p.time_ms <= away][-1]
    assert {shown[still.time_ms / 1000] for still in stills if still.time_ms < back} == {shown[keyframe.time_ms / 1000]}


def check_silence(flv: Flv, away: int, back: int) -> None:
    sound = decode_sound(flv)
    assert np.abs(sound[(away + 300) * SAMPLE_RATE // 1000 : (back - 100) * SAMPLE_RATE // 1000]).max() < 1e-3
    for start, end in ((0, away), (back, back + 1200)):
        assert np.abs(sound[start * SAMPLE_RATE // 1000 : end * SAMPLE_RATE // 1000]).max() > 0.3, "beeps"
