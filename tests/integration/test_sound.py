"""Sound in other forms than AAC, and sound that comes late, pauses, or is all there is."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from support.clip import Clip
from support.flv import AUDIO, SAMPLE_RATE, Flv, Sound, decode_errors, decode_sound, ffprobe, flashes, tones
from support.nginx_rtmp import NginxRtmp
from support.product import Product, running_product
from support.whip_sender import WhipSender

from transponder_relay.sound.speex import speex_is_missing

pytestmark = pytest.mark.integration

NAMES = {"pcma": "pcm_alaw", "pcmu": "pcm_mulaw", "speex": "speex"}
RATES = {"pcma": 8000, "pcmu": 8000, "speex": 16_000}
needs_speex = pytest.mark.skipif(speex_is_missing(), reason="libspeex is not installed (Debian: libspeex1)")


@pytest.mark.parametrize("codec", ["pcma", "pcmu", pytest.param("speex", marks=needs_speex)])
async def test_the_codec_asked_for_arrives_in_step(tmp_path: Path, server: NginxRtmp, media: Clip, codec: str) -> None:
    async with running_product(tmp_path, "--hold-seconds", "0", "--audio-codec", codec) as product:
        id_ = (await product.rest.startup("demo", server.url))["mediaSessionId"]
        async with WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            await product.rest.until_state(id_, "Live")
            await server.receives("rtmp_demo", 450_000, timeout=20)
        await product.rest.tell("terminate", id_)
    path = await server.finished("rtmp_demo")
    (stream,) = [s for s in ffprobe(path)["streams"] if s["codec_type"] == "audio"]
    assert (stream["codec_name"], int(stream["sample_rate"]), stream["channels"]) == (NAMES[codec], RATES[codec], 1)
    assert decode_errors(path) == ""
    flv = Flv.read(path)
    times = [tag.time_ms for tag in flv.tags if tag.type == AUDIO]
    assert {after - before for before, after in pairwise(times)} <= ({20} if codec == "speex" else {21, 22})
    starts = [beep.start for beep in tones(decoded(path, RATES[codec]), 1000)]
    heard = [(min(starts, key=lambda s: abs(s - flash)) - flash) * 1000 for flash in flashes(flv)[1:-1]]
    print(f"A/V skew: {min(heard):+.1f} to {max(heard):+.1f} ms")
    assert len(heard) >= 2, starts
    assert max(map(abs, heard)) <= 20


def decoded(path: Path, rate: int) -> Sound:
    """As 48 kHz, from time 0 of the file, without regard to how ms are rounded."""
    sound = np.zeros(SAMPLE_RATE * 60, np.float32)
    end = 0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            values = frame.to_ndarray().reshape(-1).astype(np.float32)
            samples = np.repeat(values / 32768 if frame.format.name.startswith("s16") else values, SAMPLE_RATE // rate)
            at = round(float(frame.pts * frame.time_base) * SAMPLE_RATE)
            at = end if abs(at - end) <= 96 else at
            end = at + len(samples)
            sound[at:end] = samples
    return sound


async def record(
    product: Product, server: NginxRtmp, sender: WhipSender, until: Callable[[Flv], bool], timeout: float = 15
) -> Flv:
    """What the server has got once that is so, in order and complete."""
    id_ = (await product.rest.startup("demo", server.url))["mediaSessionId"]
    async with sender:
        await sender.start(product.whip("demo"))
        await product.rest.until_state(id_, "Live")
        await server.receives("rtmp_demo", 1000)
        async with asyncio.timeout(timeout):
            while not until(Flv.read(server.recording("rtmp_demo"))):  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # a file says nothing when it grows
    await product.rest.tell("terminate", id_)
    path = await server.finished("rtmp_demo")
    assert decode_errors(path) == ""
    flv = Flv.read(path)
    flv.check_monotone()
    flv.check_gapless_sound()
    return flv


def sounds(count: int) -> Callable[[Flv], bool]:
    return lambda flv: len(flv.frames) >= count


async def test_sound_alone(product: Product, server: NginxRtmp, media: Clip) -> None:
    flv = await record(product, server, WhipSender(media, video=False), sounds(150))
    assert not flv.pictures
    assert len(tones(decode_sound(flv), 1000)) >= 2


async def test_a_picture_alone_has_silence_beside_it(product: Product, server: NginxRtmp, media: Clip) -> None:
    flv = await record(product, server, WhipSender(media, audio=False), sounds(150))
    assert np.abs(decode_sound(flv)).max() == 0.0
    assert abs(flv.frames[-1].time_ms - flv.pictures[-1].time_ms) <= 400
    assert abs(flv.frames[0].time_ms - flv.pictures[0].time_ms) <= 400


@pytest.mark.parametrize(
    "quiet", [[(0.0, 2.5)], [(2.5, 4.7)]], ids=["sound that comes late", "sound that stops and comes back"]
)
async def test_missing_sound_is_silence_and_what_comes_is_in_step(
    product: Product, server: NginxRtmp, media: Clip, quiet: list[tuple[float, float]]
) -> None:
    """The track was offered, but as a browser does it with a track replaced by none, nothing is sent for it."""
    flv = await record(product, server, WhipSender(media, quiet=quiet), lambda flv: len(beeps(flv)) >= 4)
    found = beeps(flv)
    heard = [min((beep - flash for beep in found), key=abs) * 1000 for flash in flashes(flv)]
    in_step = [skew for skew in heard if abs(skew) <= 400]
    print(f"A/V skew: {[f'{skew:+.1f}' for skew in in_step]} ms")
    assert len(in_step) >= 3
    assert max(map(abs, in_step)) <= 20
    assert len(found) <= len(flashes(flv)) - 1, "none while nothing was sent"


def beeps(flv: Flv) -> list[float]:
    sound = decode_sound(flv)
    return [beep.start for beep in tones(sound, 1000)] if len(sound) > SAMPLE_RATE else []
