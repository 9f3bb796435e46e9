"""What a good server sees of one destination's life."""

import asyncio
import contextlib

import pytest
from support.outputs import connected, failed_with, reaches
from support.rtmp_server import PASSWORD, USER, Behaviour, rtmp_server
from support.tags import clip, feed

from transponder_crd.control import OutputReason, OutputState
from transponder_relay.media import AudioTag, VideoTag
from transponder_relay.outputs import amf
from transponder_relay.outputs.chunks import MessageType


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


async def test_what_is_sent_together_leaves_at_the_end_in_order() -> None:
    async with rtmp_server() as server, connected(server.target()) as (output, _):
        with output.together():  # no connection yet
            pass
        await reaches(output, OutputState.LIVE)
        (session,) = server.sessions
        await feed([output], clip()[:30])
        await server.until(lambda: len(session.messages) == 33)  # with metadata and two sequence headers
        assert output._sender is not None
        connection = output._sender._connection
        sounds = [tag for tag in clip()[30:] if isinstance(tag, AudioTag)][:4]

        def handed_over() -> int:
            return connection.acknowledged() + connection.outstanding()

        def send_and_fail() -> None:
            with output.together():
                for tag in sounds:
                    output.audio(tag)
                assert handed_over() == before
                raise RuntimeError

        before = handed_over()
        with pytest.raises(RuntimeError):
            send_and_fail()
        assert handed_over() == before + sum(12 + len(tag.body) for tag in sounds), "sent in spite of the fault"
        await server.until(lambda: len(session.messages) == 37)
    assert [m.body for m in session.messages[33:]] == [tag.body for tag in sounds]


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
