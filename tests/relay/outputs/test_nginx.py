"""Against nginx-rtmp, which records: what arrives is what was handed over."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import uvloop
from support.flv import Flv, crc_of_slices, decode_errors, ffprobe, nal_units, skews
from support.nginx_rtmp import NginxRtmp, nginx_rtmp, until
from support.tags import clip, feed, shifted

from transponder_crd.control import DesiredOutput, OutputState, ReconnectPolicy, RtmpTarget
from transponder_relay.media import AudioTag, VideoTag
from transponder_relay.outputs.output import Output, OutputSettings

pytestmark = pytest.mark.integration


class Events:
    def __init__(self) -> None:
        self.keyframes_wanted = 0

    def on_change(self) -> None:
        pass

    def want_keyframe(self) -> None:
        self.keyframes_wanted += 1


def output_to(server: NginxRtmp, name: str, events: Events | None = None) -> Output:
    target = RtmpTarget(
        host="127.0.0.1", port=server.port, app="live", tc_url=server.url, stream_name=name, flash_version="FMLE/3.0"
    )
    policy = ReconnectPolicy(initial_seconds=0.1, max_seconds=0.2)
    desired = DesiredOutput(id=name, generation=1, target=target, reconnect=policy)
    return Output(desired, OutputSettings(), events or Events())


async def live(output: Output) -> None:
    await until(lambda: output.report().state is OutputState.LIVE)


async def record(folder: Path) -> Path:
    async with nginx_rtmp(folder) as server:
        output = output_to(server, "key")
        output.publisher_connected()
        await live(output)
        await feed([output], clip())
        await output.close()
        return await server.finished("key")


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_what_arrives_is_what_was_sent(tmp_path: Path, run: Callable[..., Path]) -> None:
    path = run(record(tmp_path))
    flv = Flv.read(path)
    sent = [tag for tag in clip() if isinstance(tag, VideoTag)]
    assert [p.crc for p in flv.pictures] == [crc_of_slices(nal_units(tag.body[5:])) for tag in sent]
    assert [p.time_ms for p in flv.pictures] == [tag.time for tag in sent]
    assert [f.raw for f in flv.frames] == [tag.body[2:] for tag in clip() if isinstance(tag, AudioTag)]
    flv.check_monotone()
    flv.check_gapless_sound()
    assert decode_errors(path) == ""
    streams = {s["codec_name"]: s for s in ffprobe(path)["streams"]}
    assert (streams["h264"]["width"], streams["h264"]["height"]) == (320, 180)
    assert (streams["aac"]["sample_rate"], streams["aac"]["channels"], streams["aac"]["profile"]) == ("48000", 2, "LC")
    assert len(flv.video_headers) == 1
    found = skews(flv)
    assert len(found) == 2
    assert all(abs(skew) <= 1.0 for skew in found), found


async def test_another_size_gives_one_new_header_and_no_reconnect(tmp_path: Path) -> None:
    small = shifted(clip(160, 96), 3000)
    async with nginx_rtmp(tmp_path) as server:
        output = output_to(server, "key")
        output.publisher_connected()
        await live(output)
        await feed([output], [*clip(), *small])
        await output.close()
        path = await server.finished("key")
        assert server.access_log().count("PUBLISH") == 1
    flv = Flv.read(path)
    assert len(flv.video_headers) == 2
    assert decode_errors(path) == ""
    flv.check_monotone()


async def test_sound_alone(tmp_path: Path) -> None:
    async with nginx_rtmp(tmp_path) as server:
        output = output_to(server, "key")
        output.publisher_connected()
        await live(output)
        await feed([output], [tag for tag in clip() if isinstance(tag, AudioTag)])
        await output.close()
        flv = Flv.read(await server.finished("key"))
    assert flv.frames[0].time_ms == 0
    assert 1900 < flv.frames[-1].time_ms < 2100  # the first second was spent waiting for a picture


async def test_a_second_publication_follows_the_first(tmp_path: Path) -> None:
    """nginx refuses a name that is still published: the old session must have ended first."""
    async with nginx_rtmp(tmp_path, extra="drop_idle_publisher 60s;") as server:
        output = output_to(server, "key")
        for _ in range(3):
            output.publisher_connected()
            await live(output)
            await feed([output], clip()[:40])
            output.publisher_gone()
            assert output.report().state is OutputState.WAITING
        await output.close()
        await until(lambda: server.access_log().count("PUBLISH") == 3)
        assert output.report().reconnects == 0


async def test_a_server_that_returns_gets_the_stream_again_on_a_running_clock(tmp_path: Path) -> None:
    events = Events()
    async with nginx_rtmp(tmp_path / "one") as server:
        output = output_to(server, "key", events)
        output.publisher_connected()
        await live(output)
        await feed([output], clip())
    await until(lambda: output.report().state is OutputState.RETRYING)
    async with nginx_rtmp(tmp_path / "two", port=server.port) as again:
        await feed([output], shifted(clip(), 3000))
        await live(output)
        await feed([output], shifted(clip(), 6000))
        assert output.report().reconnects >= 1
        await output.close()
        path = await again.finished("key")
    flv = Flv.read(path)
    assert flv.pictures[0].keyframe
    # nginx records from the time of the first tag on; the spacing is what counts here
    assert len(flv.pictures) >= 60
    assert all(30 <= after.time_ms - before.time_ms <= 35 for before, after in pairwise(flv.pictures[-60:]))
    assert decode_errors(path) == ""


async def test_refused_by_nginx(tmp_path: Path) -> None:
    async with nginx_rtmp(tmp_path, extra="deny publish all;") as server:
        output = output_to(server, "key")
        output.publisher_connected()
        await until(lambda: output.report().state is OutputState.RETRYING)
        assert output.report().reason is not None
        assert "key" not in str(output.report().message)
        await output.close()


def test_times_are_those_of_ffmpeg(tmp_path: Path) -> None:
    path = asyncio.run(record(tmp_path))
    starts = {s["codec_name"]: float(s["start_time"]) for s in ffprobe(path)["streams"]}
    assert starts == {"h264": 0.0, "aac": 0.0}
