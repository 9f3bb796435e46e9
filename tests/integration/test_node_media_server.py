"""node-media-server: publish, RTMPS, refusal, and enhanced RTMP, from WHIP to its recording."""

import asyncio
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from support.clip import Clip, vpx_clip
from support.comparison import missing_at_start
from support.flv import SAMPLE_RATE, Flv, decode_errors, flashes, tones
from support.node_media_server import NodeMediaServer, node_media_server
from support.product import running_product
from support.secret_watch import SecretWatch
from support.whip_sender import WhipSender

from transponder_relay.sound.opus import SILENCES

pytestmark = pytest.mark.integration


async def test_publish_and_rtmps_at_once(tmp_path: Path, media: Clip) -> None:
    async with (
        node_media_server(tmp_path / "nms") as server,
        running_product(tmp_path, "--hold-seconds", "0", "--rtmps-ca", str(server.ca_file)) as product,
    ):
        plain = (await product.rest.startup("demo", server.url))["mediaSessionId"]
        secure = (await product.rest.startup("demo", f"{server.tls_url}/secure", rtmpTransponderFullUrl=True))[
            "mediaSessionId"
        ]
        async with WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            for id_ in (plain, secure):
                await product.rest.until_state(id_, "Live")
            for name in ("rtmp_demo", "secure"):
                await server.receives(name, 300_000)
        for id_ in (plain, secure):
            await product.rest.tell("terminate", id_)
        await asyncio.to_thread(check, server, sender)


def check(server: NodeMediaServer, sender: WhipSender) -> None:
    for name in ("rtmp_demo", "secure"):
        (path,) = server.recordings(name)
        flv = Flv.read(path)
        assert missing_at_start(sender.sent, flv) == 0
        flv.check_monotone()
        flv.check_gapless_sound()
        assert decode_errors(path) == ""
        assert flv.metadata[0]["videocodecid"] == 7


async def test_an_unknown_authority_is_refused(tmp_path: Path, media: Clip) -> None:
    async with node_media_server(tmp_path / "nms") as server, running_product(tmp_path) as product:
        id_ = (await product.rest.startup("demo", server.tls_url))["mediaSessionId"]
        async with WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            found = await product.rest.until(id_, lambda t: bool(t["lastError"]), "refused")
        assert found["lastError"].startswith("TlsInvalid: the server's certificate is not valid"), found
        await product.rest.tell("terminate", id_)


async def test_a_server_that_says_yes_and_hangs_up(tmp_path: Path, media: Clip, secret_watch: SecretWatch) -> None:
    """It accepts publish, checks the signature then, and closes: the attempts must become rarer all the same."""
    key = secret_watch.key("key")
    async with node_media_server(tmp_path / "nms", publish_secret="s" * 16) as server:
        async with running_product(tmp_path) as product, WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            url = f"{server.url}/{key}?sign=1-bad"
            id_ = (await product.rest.startup("demo", url, rtmpTransponderFullUrl=True))["mediaSessionId"]
            found = await product.rest.until(id_, lambda t: bool(t["reconnects"] >= 2), "tried again", timeout=10)
            assert found["lastError"].startswith("ClosedByServer"), found
            await product.rest.tell("terminate", id_)
        assert server.log().count("authentication verification failed") <= 4


async def test_opus_by_enhanced_rtmp(tmp_path: Path, media: Clip) -> None:
    """Debian's FFmpeg 5.1 cannot read it; that of PyAV can."""
    options = ("--hold-seconds", "1", "--enhanced-rtmp")
    async with node_media_server(tmp_path / "nms") as server, running_product(tmp_path, *options) as product:
        id_ = (await product.rest.startup("demo", server.url))["mediaSessionId"]
        async with WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            await product.rest.until_state(id_, "Live")
            await server.receives("rtmp_demo", 500_000, timeout=20)
            assert await sender.stop() == 200
        await product.rest.until_state(id_, "WaitingForPublisher")
        await product.rest.tell("terminate", id_)
        (path,) = server.recordings("rtmp_demo")
    await asyncio.to_thread(check_opus, path, media, sender)


def check_opus(path: Path, media: Clip, sender: WhipSender) -> None:
    flv = Flv.read(path)
    assert flv.metadata[-1]["audiocodecid"] == int.from_bytes(b"Opus")
    crcs = [picture.crc for picture in flv.pictures]
    assert crcs[: len(sender.sent)] == [picture.crc for picture in sender.sent]
    with av.open(str(path)) as container:
        assert [s.codec_context.name for s in container.streams.audio] == ["opus"]
        assert [s.codec_context.name for s in container.streams.video] == ["h264"]
        packets = [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]
    passed = [(time, packet) for time, packet in packets if packet in set(media.sound)]
    assert len(passed) > 100
    times = [time for time, _ in packets]
    assert times == sorted(set(times))
    assert max(after - before for before, after in pairwise(times)) <= 21
    last = passed[-1][0]
    held = [packet for time, packet in packets if time > last]
    assert set(held) == {SILENCES[960]}, "silence while the session was held"
    assert 25 <= len(held) <= 60
    heard = beeps_after_flashes(flv, path, until=last / 1000 - 0.2)
    print(f"A/V skew: {min(heard):+.1f} to {max(heard):+.1f} ms")
    assert len(heard) >= 2
    assert max(map(abs, heard)) <= 20


def beeps_after_flashes(flv: Flv, path: Path, until: float) -> list[float]:
    """ms by which each beep comes after its flash, as FFmpeg decodes them. `until`, s: the sender may have stopped
    between a later flash and its beep."""
    sound = np.zeros(SAMPLE_RATE * 60, np.float32)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            at = round(float(frame.pts * frame.time_base) * SAMPLE_RATE)
            samples = frame.to_ndarray()[0]
            sound[at : at + len(samples)] = samples
    starts = [beep.start for beep in tones(sound, 1000)]
    return [(min(starts, key=lambda s: abs(s - flash)) - flash) * 1000 for flash in flashes(flv)[1:] if flash < until]


async def test_vp9_by_enhanced_rtmp(tmp_path: Path) -> None:
    """Bit by bit, and over a hold."""
    async with node_media_server(tmp_path / "nms") as server, running_product(tmp_path, "--enhanced-rtmp") as product:
        id_ = (await product.rest.startup("demo", server.url))["mediaSessionId"]
        async with WhipSender(vpx_clip("VP9")) as sender:
            await sender.start(product.whip("demo"))
            await product.rest.until_state(id_, "Live")
            live = await product.rest.until(id_, lambda t: bool(t["width"]), "told the size")
            assert (live["width"], live["height"]) == (640, 360)
            path = await server.receives("rtmp_demo", 500_000, timeout=20)
            assert await sender.stop() == 200
            await product.rest.until_state(id_, "Holding")
            last = len(pictures(path))
            async with asyncio.timeout(5):
                while len(pictures(path)) < last + 2:  # noqa: ASYNC110 - a file says nothing when it grows
                    await asyncio.sleep(0.1)
        await product.rest.tell("terminate", id_)
    frames = [bytes(nal) for picture in vpx_clip("VP9").pictures for nal in picture.nals]
    received = pictures(path)
    assert received[0] in frames
    start = frames.index(received[0])
    assert received[: last - 1] == frames[start : start + last - 1]
    keyframes = [frame for frame in received[: last + 1] if is_keyframe(frame)]
    assert received[last + 1] == keyframes[-1], "the last keyframe stands while the publisher is away"
    with av.open(str(path)) as container:
        assert [s.codec_context.name for s in (*container.streams.video, *container.streams.audio)] == ["vp9", "opus"]
        decoded = list(container.decode(video=0))
    assert len(decoded) >= last
    assert {(frame.width, frame.height) for frame in decoded} == {(640, 360)}


def pictures(path: Path) -> list[bytes]:
    """VP9 frames of a recording."""
    return [tag.body[5:] for tag in Flv.read(path).tags if tag.type == 9 and tag.body[0] & 15 == 1]


def is_keyframe(frame: bytes) -> bool:
    return not frame[0] & 0x0C
