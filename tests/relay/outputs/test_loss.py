"""Live connections that are lost, hang or crawl."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from support.nginx_rtmp import until
from support.outputs import GOOD, QUICK, Events, certificates, connected, reaches
from support.rtmp_server import Behaviour, Server, rtmp_server
from support.tags import clip, feed, shifted

from transponder_crd.control import DesiredOutput, OutputReason, OutputState, ReconnectPolicy
from transponder_relay.media import AudioTag, VideoTag
from transponder_relay.outputs.chunks import MessageType
from transponder_relay.outputs.output import Output, OutputSettings


async def test_a_reset_is_followed_by_a_new_connection() -> None:
    async with rtmp_server(Behaviour.RESET) as server, connected(server.target()) as (output, _):
        await reaches(output, OutputState.LIVE)
        await feed([output], clip()[:10])
        await reaches(output, OutputState.RETRYING)
        assert output.report().reason is OutputReason.CLOSED_BY_SERVER
        assert output.report().live_since is None
        server.behaviour = GOOD
        await reaches(output, OutputState.LIVE)
        assert output.report().reconnects == 1


async def test_time_goes_on_over_a_reconnect_and_starts_anew_with_another_publisher() -> None:
    async with rtmp_server() as server, connected(server.target()) as (output, events):
        await reaches(output, OutputState.LIVE)
        await feed([output], shifted(clip()[:20], 50_000))
        await server.until(lambda: len(server.sessions[0].messages) > 15)
        server.reset_all()
        await reaches(output, OutputState.RETRYING)
        await reaches(output, OutputState.LIVE)
        assert events.keyframes_wanted == 1
        await feed([output], shifted(clip()[:20], 53_000))
        await server.until(lambda: len(server.sessions[1].messages) > 15)
        assert server.sessions[1].messages[0].timestamp == 3000
        output.publisher_gone()
        output.publisher_connected()
        await reaches(output, OutputState.LIVE)
        await feed([output], shifted(clip()[:20], 60_000))
        await server.until(lambda: len(server.sessions[2].messages) > 15)
        assert server.sessions[2].messages[0].timestamp == 0
        assert server.sessions[1].ended_in_order


async def keep_feeding(output: Output, speed: float = 1.0) -> None:
    big = [replace(tag, body=tag.body * 40) if isinstance(tag, VideoTag) else tag for tag in clip()]
    for turn in range(100):
        await feed([output], shifted(big, turn * 3000), speed)


@pytest.mark.parametrize("loop_is_tls", [False, True], ids=["tcp", "tls"])
async def test_a_server_that_stops_reading_is_noticed(loop_is_tls: bool, tmp_path: Path) -> None:
    tls, ca_file = certificates(tmp_path) if loop_is_tls else (None, None)
    settings = replace(QUICK, ca_file=ca_file)
    async with rtmp_server(Behaviour.STOP_READING, tls) as server, connected(server.target(), settings) as (output, _):
        await reaches(output, OutputState.LIVE)
        feeding = asyncio.create_task(keep_feeding(output, speed=4))
        try:
            await until(lambda: output.report().reason is OutputReason.TIMEOUT, 12)
            assert output.report().message == "the server took no data for 1.5 s"
        finally:
            feeding.cancel()


async def test_a_slow_server_gets_whole_groups_of_pictures_and_harms_no_other() -> None:
    async with rtmp_server(Behaviour.READ_SLOWLY) as slow, rtmp_server() as good:
        settings = OutputSettings(backlog_seconds=1.5)
        async with connected(slow.target(), settings) as (late, _), connected(good.target()) as (prompt, _):
            await reaches(late, OutputState.LIVE)
            await reaches(prompt, OutputState.LIVE)
            big = [replace(tag, body=tag.body * 8) if isinstance(tag, VideoTag) else tag for tag in clip()]
            for turn in range(3):
                await feed([late, prompt], shifted(big, turn * 3000), speed=5)
                assert late.report().statistics.queued_bytes < 5 << 20
            slow.bytes_per_second = 100_000_000
            await until(lambda: late.report().statistics.queued_bytes == 0, 10)
            await feed([late, prompt], shifted(big, 9000), speed=5)
            await good.until(lambda: len(good.sessions[0].media(MessageType.VIDEO)) == 1 + 4 * 90)
            dropped = late.report().statistics.dropped_frames
            assert dropped > 0
            assert prompt.report().statistics.dropped_frames == 0
            await late.close()
            await slow.until(lambda: slow.sessions[0].closed)
    check_groups([m.body for m in slow.sessions[0].media(MessageType.VIDEO)[1:]], big)


async def test_a_keyframe_is_asked_for_when_a_full_backlog_without_one_has_drained() -> None:
    settings = OutputSettings(backlog_seconds=0.5)
    behaviour = Behaviour.READ_SLOWLY
    async with rtmp_server(behaviour) as server, connected(server.target(), settings) as (output, events):
        await reaches(output, OutputState.LIVE)
        pictures = [replace(tag, body=tag.body * 40) for tag in clip() if isinstance(tag, VideoTag)]
        await feed([output], pictures[:30], speed=10)
        await until(lambda: output.report().statistics.queued_bytes > 0)
        await feed([output], [replace(pictures[1], time=1000 + 33 * n) for n in range(60)], speed=10)
        report = output.report().statistics
        assert report.dropped_frames + report.video_frames == 90
        assert report.dropped_frames > 40
        assert events.keyframes_wanted == 0
        server.bytes_per_second = 100_000_000
        await until(lambda: events.keyframes_wanted == 1, 10)
        await feed([output], shifted(pictures[:30], 3000), speed=1)
        await until(lambda: output.report().statistics.queued_bytes == 0)
        assert output.report().statistics.video_frames == report.video_frames + 30


def check_groups(received: list[bytes], sent: list[VideoTag | AudioTag]) -> None:
    """After each gap there is a keyframe: no picture without the one before it."""
    order = [tag.body for tag in sent if isinstance(tag, VideoTag)]
    assert len(received) > 30
    expected = 0
    for body in received:
        at = order.index(body)
        assert at == expected or body[0] == 0x17, "an inter picture after a gap"
        expected = (at + 1) % len(order)


async def test_everything_ends_at_once_when_the_server_hangs() -> None:
    for behaviour in (Behaviour.SILENT, Behaviour.SILENT_AFTER_HANDSHAKE, Behaviour.STOP_READING):
        settings = OutputSettings(close_timeout=0.3)
        async with rtmp_server(behaviour) as server, connected(server.target(), settings) as (output, _):
            await until(lambda server=server: len(server.sessions) == 1)
            if behaviour is Behaviour.STOP_READING:
                await reaches(output, OutputState.LIVE)
                await feed([output], clip(), speed=100)
            async with asyncio.timeout(settings.open_timeout / 2):
                await output.close()
            await output.close()
            assert output.report().state is OutputState.CLOSING


async def test_the_last_words_stay_the_last_on_a_slow_connection() -> None:
    """What waited for the connection is not written behind them when it takes data again."""
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    settings = OutputSettings(close_timeout=5)
    async with rtmp_server(Behaviour.READ_SLOWLY) as server, connected(server.target(), settings) as (output, _):
        await reaches(output, OutputState.LIVE)
        pictures = [replace(tag, body=tag.body * 40) for tag in clip() if isinstance(tag, VideoTag)]
        await feed([output], pictures, speed=10)
        assert output.report().statistics.queued_bytes > 200_000
        closing = asyncio.create_task(output.close())
        await until(lambda: output.report().state is OutputState.CLOSING)
        server.bytes_per_second = 100_000_000
        await closing
        await server.until(lambda: server.sessions[0].closed)
    assert faults == []
    assert server.sessions[0].ended_in_order
    assert server.sessions[0].names()[-1] == "deleteStream"


async def test_media_before_and_after_the_life_of_an_output_is_no_error() -> None:
    async with rtmp_server() as server:
        output = Output(DesiredOutput(id="uid", generation=1, target=server.target()), QUICK, Events())
        for tag in clip()[:3]:
            output.video(tag) if isinstance(tag, VideoTag) else output.audio(tag)
        output.publisher_gone()
        assert output.report().state is OutputState.WAITING
        await output.close()
        output.publisher_connected()
        for tag in clip()[:3]:
            output.video(tag) if isinstance(tag, VideoTag) else output.audio(tag)
        assert server.sessions == []


async def test_the_generation_is_that_of_the_last_wish() -> None:
    output = Output(DesiredOutput(id="uid", generation=1, target=Server(GOOD).target()), QUICK, Events())
    output.update(DesiredOutput(id="uid", generation=2, target=Server(GOOD).target(), muted=True))
    assert output.report().generation == 2


async def test_a_hundred_connections_leave_nothing_open() -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with rtmp_server(Behaviour.REFUSE_PUBLISH) as server:
        policy = ReconnectPolicy(initial_seconds=0.001, max_seconds=0.002)
        async with connected(server.target(), policy=policy) as (output, _):
            await until(lambda: output.report().reconnects >= 5)
            before = open_files()
            await until(lambda: output.report().reconnects >= 105)
        await until(lambda: open_files() <= before + 2)  # two may be on their way out
