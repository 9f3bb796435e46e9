"""One destination's life, against a server of our own that behaves and misbehaves."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from support.nginx_rtmp import until
from support.processes import free_port
from support.rtmp_server import PASSWORD, USER, Behaviour, Server, rtmp_server
from support.tags import clip, feed, shifted

from transponder_crd.control import DesiredOutput, OutputReason, OutputState, ReconnectPolicy, RtmpTarget
from transponder_relay.media import AudioTag, VideoTag
from transponder_relay.outputs import amf
from transponder_relay.outputs.chunks import MessageType
from transponder_relay.outputs.output import Output, OutputSettings

FAST = ReconnectPolicy(initial_seconds=0.1, max_seconds=0.2)
QUICK = OutputSettings(connect_timeout=0.3, open_timeout=0.5, close_timeout=0.5, hung_after=1.5)
GOOD = Behaviour.GOOD


class Events:
    def __init__(self) -> None:
        self.changes = 0
        self.keyframes_wanted = 0

    def on_change(self) -> None:
        self.changes += 1

    def want_keyframe(self) -> None:
        self.keyframes_wanted += 1


@contextlib.asynccontextmanager
async def connected(
    target: RtmpTarget, settings: OutputSettings = QUICK, policy: ReconnectPolicy = FAST
) -> AsyncIterator[tuple[Output, Events]]:
    """An output that was told that its publisher is there; nothing of it is left at the end."""
    before = asyncio.all_tasks()
    events = Events()
    output = Output(DesiredOutput(id="uid", generation=3, target=target, reconnect=policy), settings, events)
    output.publisher_connected()
    try:
        yield output, events
    finally:
        await output.close()
    mine = {task for task in asyncio.all_tasks() - before if task.get_name().startswith("output")}
    assert not mine


async def reaches(output: Output, state: OutputState, timeout: float = 5.0) -> None:
    await until(lambda: output.report().state is state, timeout)


async def failed_with(target: RtmpTarget, settings: OutputSettings = QUICK) -> tuple[OutputReason | None, str]:
    """Reason and message of the first failed attempt."""
    async with connected(target, settings) as (output, _):
        await reaches(output, OutputState.RETRYING)
        report = output.report()
        assert report.reconnects >= 1
        assert report.message is not None
        for secret in ("key", PASSWORD, USER, "live"):
            assert secret not in report.message
        return report.reason, report.message


# ------------------------------------------------------------------------------------------------ good servers


async def test_order_of_commands_and_headers() -> None:
    async with rtmp_server() as server, connected(server.target()) as (output, events):
        await reaches(output, OutputState.LIVE)
        await feed([output], clip())
        (session,) = server.sessions
        await output.close()
        await server.until(lambda: session.closed)
    assert session.ended_in_order
    assert session.names() == [
        "connect", "releaseStream", "FCPublish", "createStream", "publish", "FCUnpublish", "deleteStream",
    ]  # fmt: skip
    assert session.commands[4][3:] == ["key", "live"]
    first = session.messages[:4]
    assert [m.type for m in first] == [MessageType.DATA_AMF0, MessageType.VIDEO, MessageType.VIDEO, MessageType.AUDIO]
    assert [m.timestamp for m in first[:3]] == [0, 0, 0]
    assert first[1].body[:2] == b"\x17\0"
    assert first[2].body[:2] == b"\x17\1"
    assert first[3].body[:2] == b"\xaf\0"
    assert amf.decode(first[0].body) == [
        "@setDataFrame",
        "onMetaData",
        {
            "width": 320.0, "height": 180.0, "videocodecid": 7.0, "audiocodecid": 10.0, "audiodatarate": 128.0,
            "audiosamplerate": 48000.0, "audiosamplesize": 16.0, "stereo": True, "encoder": "rtmp-transponder",
        },
    ]  # fmt: skip
    assert len(session.media(MessageType.DATA_AMF0)) == 1
    assert len([m for m in session.media(MessageType.AUDIO) if m.body[1] == 0]) == 1
    assert len([m for m in session.media(MessageType.VIDEO) if m.body[1] == 0]) == 1
    assert {m.stream_id for m in session.messages} == {1}
    report = output.report()
    assert (report.state, report.generation, report.reconnects) == (OutputState.CLOSING, 3, 0)
    assert report.statistics.video_frames == 90
    assert report.statistics.dropped_frames == 0
    assert events.changes == 3  # connecting, live, closing


async def test_a_server_that_sets_windows_pings_and_answers_in_small_chunks() -> None:
    async with rtmp_server(Behaviour.CHATTY) as server, connected(server.target()) as (output, _):
        await reaches(output, OutputState.LIVE)
        (session,) = server.sessions
        await server.until(lambda: any(m.type == MessageType.ACKNOWLEDGEMENT for m in session.controls))
        await feed([output], clip()[:20])
        await server.until(lambda: len(session.messages) >= 20)
    assert (MessageType.USER_CONTROL, (7).to_bytes(2) + (1234).to_bytes(4)) in [
        (m.type, m.body) for m in session.controls
    ]
    assert (MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, (5000).to_bytes(4)) in [(m.type, m.body) for m in session.controls]
    assert ["_result", 77.0, None, 0.0] in session.commands


@pytest.mark.parametrize("behaviour", [Behaviour.ADOBE, Behaviour.LIMELIGHT])
async def test_authentication(behaviour: Behaviour) -> None:
    async with rtmp_server(behaviour) as server:
        async with connected(server.target(user=USER, password=PASSWORD)) as (output, _):
            await reaches(output, OutputState.LIVE)
            assert output.report().reconnects == 0
            assert len(server.sessions) == 3
        for user, password in ((USER, "wrong"), ("nobody", PASSWORD), (None, "")):
            target = server.target(user=user, password=password)
            reason, message = await failed_with(target)
            assert reason is OutputReason.AUTH_FAILED, message


@pytest.mark.integration
@pytest.mark.parametrize("behaviour", [Behaviour.ADOBE, Behaviour.LIMELIGHT])
async def test_the_server_of_these_tests_authenticates_as_ffmpeg_does(behaviour: Behaviour) -> None:
    async with rtmp_server(behaviour) as server:
        url = f"rtmp://{USER}:{PASSWORD}@127.0.0.1:{server.port}/live/key"
        source = ["-f", "lavfi", "-i", "testsrc=s=64x48:r=10", "-frames:v", "5", "-c:v", "libx264"]
        process = await asyncio.create_subprocess_exec("ffmpeg", "-v", "error", *source, "-f", "flv", url)
        try:
            await server.until(lambda: any(s.media(MessageType.VIDEO) for s in server.sessions), 10)
            assert len(server.sessions) == 3
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def test_a_picture_that_came_while_connecting_is_the_first() -> None:
    async with rtmp_server() as server, connected(server.target()) as (output, events):
        pictures = [tag for tag in clip() if isinstance(tag, VideoTag)]
        for tag in pictures[:5]:
            output.video(tag)
        assert output.report().state is OutputState.CONNECTING
        await reaches(output, OutputState.LIVE)
        (session,) = server.sessions
        await server.until(lambda: len(session.media(MessageType.VIDEO)) == 6)
        assert [m.body for m in session.media(MessageType.VIDEO)[1:]] == [tag.body for tag in pictures[:5]]
        assert events.keyframes_wanted == 0


async def test_an_old_keyframe_is_not_sent_but_a_new_one_asked_for() -> None:
    async with rtmp_server() as server, connected(server.target()) as (output, events):
        pictures = [tag for tag in clip() if isinstance(tag, VideoTag)]
        for tag in pictures[:20]:  # 667 ms of stream clock
            output.video(tag)
        await reaches(output, OutputState.LIVE)
        assert events.keyframes_wanted == 1
        for tag in pictures[20:35]:
            output.video(tag)
        (session,) = server.sessions
        await server.until(lambda: len(session.media(MessageType.VIDEO)) == 6)
        assert session.media(MessageType.VIDEO)[1].body == pictures[30].body
        assert session.media(MessageType.VIDEO)[1].timestamp == 0
        assert output.report().statistics.dropped_frames == 0


async def test_an_output_that_joins_between_keyframes_asks_for_one_once() -> None:
    async with rtmp_server() as server, connected(server.target()) as (output, events):
        await reaches(output, OutputState.LIVE)
        pictures = [tag for tag in clip() if isinstance(tag, VideoTag)]
        for tag in pictures[1:31]:
            output.video(tag)
        assert events.keyframes_wanted == 1
        await server.until(lambda: len(server.sessions[0].media(MessageType.VIDEO)) == 2)
        assert output.report().statistics.dropped_frames == 0


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("behaviour", "reason", "words"),
    [
        (Behaviour.REFUSE_CONNECT, OutputReason.REFUSED, "NetConnection.Connect.Rejected"),
        (Behaviour.REFUSE_PUBLISH, OutputReason.BAD_STREAM_KEY, "NetStream.Publish.BadName"),
        (Behaviour.CLOSE_AFTER_PUBLISH, OutputReason.CLOSED_BY_SERVER, "publish"),
        (Behaviour.CLOSE_AT_ONCE, OutputReason.CLOSED_BY_SERVER, "handshake"),
        (Behaviour.SILENT, OutputReason.TIMEOUT, "handshake"),
        (Behaviour.SILENT_AFTER_HANDSHAKE, OutputReason.TIMEOUT, "connect"),
        (Behaviour.NOT_RTMP, OutputReason.PROTOCOL_ERROR, "does not speak RTMP"),
    ],
)
async def test_refusals(behaviour: Behaviour, reason: OutputReason, words: str) -> None:
    async with rtmp_server(behaviour) as server:
        assert await failed_with(server.target()) == (reason, Containing(words))


class Containing:
    """Equal to any text with these words in it."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.words in other

    def __repr__(self) -> str:
        return f"<... {self.words} ...>"

    __hash__ = None  # type: ignore[assignment]


async def test_nobody_listens() -> None:
    target = Server(GOOD, free_port()).target()
    assert await failed_with(target) == (OutputReason.UNREACHABLE, "connection refused")


async def test_the_name_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    target = Server(GOOD, 1935).target(host="nowhere.invalid")
    assert await failed_with(target) == (OutputReason.UNREACHABLE, "the host name does not resolve")


async def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(10) and [])
    try:
        target = Server(GOOD, 1935).target(host="slow.invalid")
        settings = replace(QUICK, resolve_timeout=0.2)
        assert await failed_with(target, settings) == (OutputReason.UNREACHABLE, "the name server did not answer")
    finally:
        release.set()


async def test_all_addresses_of_a_name_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    async with rtmp_server() as server:

        def two(_host: str, port: int, **more: int) -> list[object]:
            return [*real("127.0.0.99", port, **more), *real("127.0.0.1", port, **more)]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        async with connected(server.target(host="two.invalid")) as (output, _):
            await reaches(output, OutputState.LIVE)
            assert output.report().reconnects == 0


async def test_given_up_after_the_last_attempt() -> None:
    async with rtmp_server(Behaviour.REFUSE_PUBLISH) as server:
        policy = FAST.model_copy(update={"max_attempts": 3})
        async with connected(server.target(), policy=policy) as (output, events):
            await reaches(output, OutputState.FAILED)
            assert len(server.sessions) == output.report().reconnects == 3
            assert output.report().reason is OutputReason.BAD_STREAM_KEY
            assert events.changes == 3  # connecting, retrying, failed: attempts are counted, not told
            output.publisher_gone()
            server.behaviour = GOOD
            output.publisher_connected()
            await reaches(output, OutputState.LIVE)
            assert output.report().reason is None


# ------------------------------------------------------------------------------------------------ losing a live one


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
        await feed([output], shifted(pictures, 3000), speed=10)
        await until(lambda: output.report().statistics.queued_bytes == 0)
        assert output.report().statistics.video_frames == report.video_frames + 90


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
            began = time.monotonic()
            await output.close()
            assert time.monotonic() - began < 1.0
            await output.close()
            assert output.report().state is OutputState.CLOSING


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


# ------------------------------------------------------------------------------------------------ TLS


def certificates(folder: Path, name: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the file of its authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return context, ca_file


async def test_rtmps(tmp_path: Path) -> None:
    tls, ca_file = certificates(tmp_path)
    async with rtmp_server(tls=tls) as server:
        async with connected(server.target(), replace(QUICK, ca_file=ca_file)) as (output, _):
            await reaches(output, OutputState.LIVE)
            await feed([output], clip())
            (session,) = server.sessions
            await server.until(lambda: len(session.media(MessageType.VIDEO)) == 91)
        await server.until(lambda: session.closed)
        assert session.names()[-1] == "deleteStream"


async def test_a_certificate_of_an_unknown_authority(tmp_path: Path) -> None:
    tls, _ = certificates(tmp_path)
    async with rtmp_server(tls=tls) as server:
        reason, message = await failed_with(server.target())
    assert reason is OutputReason.TLS_INVALID
    assert "certificate" in message
    assert server.sessions == []


async def test_a_certificate_of_another_host(tmp_path: Path) -> None:
    tls, ca_file = certificates(tmp_path, "example.org")
    async with rtmp_server(tls=tls) as server:
        reason, message = await failed_with(server.target(), replace(QUICK, ca_file=ca_file))
    assert (reason, message) == (OutputReason.TLS_INVALID, Containing("mismatch"))


async def test_tls_to_a_server_without_it() -> None:
    async with rtmp_server(Behaviour.NOT_RTMP) as server:
        server.tls = True
        reason, _ = await failed_with(server.target())
    assert reason is OutputReason.TLS_INVALID


async def test_a_server_that_is_silent_in_the_tls_handshake() -> None:
    async with rtmp_server(Behaviour.SILENT) as server:
        server.tls = True
        reason, message = await failed_with(server.target())
    assert (reason, message) == (OutputReason.TIMEOUT, Containing("TLS handshake"))


async def test_a_file_of_authorities_that_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    for prepare in (lambda: None, lambda: broken.write_text("no certificate")):
        prepare()
        target = Server(GOOD, 1, tls=True).target()
        reason, _ = await failed_with(target, replace(QUICK, ca_file=broken))
        assert reason is OutputReason.TLS_INVALID
