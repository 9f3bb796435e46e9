"""What is sent arrives: pictures bit by bit, sound as AAC, both on one clock; mute and inserted sounds are heard."""

import asyncio
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import pytest
from support.clip import Clip
from support.comparison import missing_at_end, missing_at_start
from support.flv import SAMPLE_RATE, Flv, Sound, decode_errors, decode_sound, ffprobe, skews, tone_level
from support.nginx_rtmp import NginxRtmp
from support.product import Product
from support.secret_watch import SecretWatch
from support.sounds import RATE, tone, wav
from support.whip_sender import WhipSender

pytestmark = pytest.mark.integration

MARGIN = 0.15
"""Seconds that what was sent before a call may still be on its way when the call returns."""


async def test_pictures_and_sound_arrive_at_two_destinations(
    product: Product, server: NginxRtmp, media: Clip, secret_watch: SecretWatch
) -> None:
    """Two destinations at once: one by prefix, one whose URL holds the key, a token and a password."""
    key = secret_watch.key("key")
    user, password, token = secret_watch.key("user"), secret_watch.key("password"), secret_watch.key("token")
    by_key = server.url.replace("rtmp://", f"rtmp://{user}:{password}@") + f"/{key}?token={token}"
    first = await product.rest.startup("demo", server.url)
    second = await product.rest.startup("demo", by_key, rtmpTransponderFullUrl=True)
    async with WhipSender(media) as sender:
        await sender.start(product.whip("demo"))
        for started in (first, second):
            await product.rest.until_state(started["mediaSessionId"], "Live")
        await server.receives("rtmp_demo", 900_000, timeout=20)
        assert not secret_watch.found_in(str(await product.rest.find_all()))
    for started in (first, second):
        await product.rest.tell("terminate", started["mediaSessionId"])
    for name in ("rtmp_demo", key):
        check_recording(await server.finished(name), sender)
    assert sender.counts.plis <= 2, "the source makes keyframes by itself"


def check_recording(path: Path, sender: WhipSender) -> None:
    flv = Flv.read(path)
    assert missing_at_start(sender.sent, flv) == 0
    assert missing_at_end(sender.sent, flv) == 0
    flv.check_monotone()
    flv.check_gapless_sound()
    assert decode_errors(path) == ""
    streams = {s["codec_type"]: s for s in ffprobe(path)["streams"]}
    assert (streams["video"]["codec_name"], streams["video"]["width"], streams["video"]["height"]) == ("h264", 640, 360)
    assert (streams["audio"]["codec_name"], streams["audio"]["profile"]) == ("aac", "LC")
    assert (streams["audio"]["sample_rate"], streams["audio"]["channels"]) == ("48000", 2)
    measured = skews(flv)
    print(f"A/V skew: median {median(measured):+.1f} ms, {min(measured):+.1f} to {max(measured):+.1f} ms")
    assert len(measured) >= 5
    assert max(map(abs, measured)) <= 20


async def test_mute_is_silence_and_an_inserted_sound_is_the_file(
    product: Product, server: NginxRtmp, media: Clip
) -> None:
    (product.sounds / "tone.wav").write_bytes(wav(tone(440, 1.5), RATE))
    started = await product.rest.startup("demo", server.url, options={"action": "mute"})
    id_ = started["mediaSessionId"]
    rest = product.rest
    async with WhipSender(media) as sender:
        await sender.start(product.whip("demo"))
        found = await rest.until_state(id_, "Live")
        assert (found["muted"], found["options"]) == (True, {"action": "mute"})
        await server.receives("rtmp_demo", 100_000)
        muted_from, muted_to = await stay(server, 1.5)
        await rest.tell("unmute", id_)
        live_from, live_to = await stay(server, 2.2)
        await rest.tell("sound_on", id_, soundFile="tone.wav", loop=True)
        assert (await rest.find_all())[0]["soundEnabled"] is True, "sound_on returns when the file plays"
        loop_from, loop_to = await stay(server, 2.5)
        await rest.tell("mute", id_)
        both_from, both_to = await stay(server, 0.6)
        await rest.tell("unmute", id_)
        await rest.tell("sound_off", id_)
        assert (await rest.find_all())[0]["soundEnabled"] is False
        again_from, again_to = await stay(server, 2.2)
        await rest.tell("sound_on", id_, soundFile="tone.wav", loop=False)
        once = recorded(server)
        assert (await rest.find_all())[0]["soundEnabled"] is True, "sound_on returns when the file plays"
        await rest.until(id_, lambda t: not t["soundEnabled"], "at the end of the file", 5)
        assert 1.0 <= recorded(server) - once <= 2.0, "the file has 1.5 s"
        after_from, after_to = await stay(server, 2.2)
    await rest.tell("terminate", id_)
    flv = Flv.read(await server.finished("rtmp_demo"))
    flv.check_gapless_sound()
    sound = decode_sound(flv)
    assert peak(part(sound, muted_from, muted_to)) < 1e-3, "mute from the start is silence"
    assert peak(part(sound, both_from, both_to)) < 1e-3, "mute silences the inserted sound too"
    for start, end in ((live_from, live_to), (again_from, again_to), (after_from, after_to)):
        live = part(sound, start, end)
        assert levels(live, 1000).max() > 0.3, f"live beeps between {start:.1f} s and {end:.1f} s"
        assert levels(live, 440).max() < 0.05, "no tone of the file among them"
    looped = part(sound, loop_from, loop_to)
    heard = levels(looped, 440)
    assert 0.45 < heard.min() <= heard.max() < 0.55, "the tone of the file, at its level, over its end and beginning"
    assert levels(looped, 1000).max() < 0.05, "no live sound below it"


async def stay(server: NginxRtmp, seconds: float) -> tuple[float, float]:
    """Let that much be recorded; the times in the recording."""
    start = recorded(server)
    async with asyncio.timeout(seconds + 10):
        while (now := recorded(server)) < start + seconds:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # a file says nothing when it grows
    return start, now


def recorded(server: NginxRtmp) -> float:
    """The time of the last sound in the recording."""
    return Flv.read(server.recording("rtmp_demo")).frames[-1].time_ms / 1000


def part(sound: Sound, start: float, end: float) -> Sound:
    return sound[int((start + MARGIN) * SAMPLE_RATE) : int(end * SAMPLE_RATE)]


def peak(sound: Sound) -> float:
    return float(np.abs(sound).max())


def levels(sound: Sound, hertz: float) -> npt.NDArray[np.float64]:
    """Amplitude of one frequency in each stretch of 50 ms."""
    return tone_level(sound, hertz, window=0.05)[SAMPLE_RATE // 40 + 1 : -SAMPLE_RATE // 40 - 1]
