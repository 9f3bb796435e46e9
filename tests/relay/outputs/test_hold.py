"""Without a publisher a live session is held for a while, then ended; a publisher that returns goes on in it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from support.outputs import FAST, QUICK, Events, reaches
from support.rtmp_server import Behaviour, Server, rtmp_server
from support.tags import clip, feed, shifted

from transponder_crd.control import DesiredOutput, OutputReason, OutputState
from transponder_relay.media import VideoTag
from transponder_relay.outputs.chunks import MessageType
from transponder_relay.outputs.output import Output


@contextlib.asynccontextmanager
async def live(server: Server, hold: float) -> AsyncIterator[tuple[Output, Events]]:
    """An output that has sent a second of media."""
    events = Events()
    desired = DesiredOutput(id="uid", generation=1, target=server.target(), reconnect=FAST, hold_seconds=hold)
    output = Output(desired, QUICK, events)
    output.publisher_connected()
    try:
        await reaches(output, OutputState.LIVE)
        await feed([output], clip()[:80])
        yield output, events
    finally:
        await output.close()


def keyframe(time: int) -> VideoTag:
    (first, *_) = shifted([tag for tag in clip() if isinstance(tag, VideoTag)][:1], time)
    assert isinstance(first, VideoTag)
    return first


async def test_the_session_goes_on_with_the_next_publisher() -> None:
    async with rtmp_server() as server, live(server, hold=5) as (output, events):
        since, changes = output.report().live_since, events.changes
        output.publisher_gone()
        output.publisher_gone()
        assert output.report().state is OutputState.HOLDING
        assert output.report().live_since == since
        output.still(keyframe(4000))
        await feed([output], [tag for tag in shifted(clip()[:40], 4000) if not isinstance(tag, VideoTag)])
        output.publisher_connected()
        assert output.report().state is OutputState.LIVE
        assert output.report().live_since == since
        assert events.changes == changes + 2
        output.still(keyframe(5000))  # no picture of the new one yet
        await feed([output], shifted(clip()[:40], 6000))
        output.still(keyframe(9000))  # too late: the new one is seen
        (session,) = server.sessions
        await output.close()
        await server.until(lambda: session.closed)
        pictures = [m.timestamp for m in session.media(MessageType.VIDEO)]
        assert {4000, 5000, 6000} <= set(pictures)
        assert 9000 not in pictures
        assert pictures == sorted(pictures)
        assert len([m for m in session.media(MessageType.VIDEO) if m.body[1] == 0]) == 1
        assert output.report().reconnects == 0


async def test_it_ends_when_nobody_comes() -> None:
    async with rtmp_server() as server, live(server, hold=0.3) as (output, _):
        output.publisher_gone()
        await reaches(output, OutputState.WAITING)
        (session,) = server.sessions
        await server.until(lambda: session.closed)
        assert session.ended_in_order
        output.still(keyframe(9000))
        output.publisher_connected()
        await reaches(output, OutputState.LIVE)
        output.still(keyframe(9000))  # of a publisher that this session has not seen
        await feed([output], shifted(clip()[:5], 20_000))
        await server.until(lambda: bool(server.sessions[1].media(MessageType.VIDEO)[1:]))
        assert server.sessions[1].media(MessageType.VIDEO)[1].timestamp == 0


async def test_a_session_that_is_lost_is_not_made_again_for_nobody() -> None:
    async with rtmp_server() as server, live(server, hold=5) as (output, _):
        output.publisher_gone()
        server.reset_all()
        await reaches(output, OutputState.WAITING)
        assert output.report().reason is OutputReason.CLOSED_BY_SERVER
        assert len(server.sessions) == 1
        output.publisher_connected()
        await reaches(output, OutputState.LIVE)
        assert output.report().reason is None


async def test_without_a_live_session_there_is_nothing_to_hold() -> None:
    async with rtmp_server(Behaviour.SILENT) as server:
        desired = DesiredOutput(id="uid", generation=1, target=server.target(), reconnect=FAST, hold_seconds=5)
        output = Output(desired, QUICK, Events())
        output.publisher_connected()
        output.publisher_gone()
        assert output.report().state is OutputState.WAITING
        await output.close()


async def test_a_held_session_can_be_closed() -> None:
    async with rtmp_server() as server, live(server, hold=5) as (output, _):
        output.publisher_gone()
        await output.close()
        assert output.report().state is OutputState.CLOSING
        (session,) = server.sessions
        await server.until(lambda: session.closed)
        assert session.ended_in_order


async def test_a_server_that_stops_reading_is_noticed_while_held() -> None:
    async with rtmp_server(Behaviour.STOP_READING) as server, live(server, hold=30) as (output, _):
        output.publisher_gone()

        async def repeat() -> None:
            for second in range(1000):
                output.still(keyframe(4000 + 1000 * second))
                await asyncio.sleep(0.001)

        repeating = asyncio.create_task(repeat())
        try:
            await reaches(output, OutputState.WAITING, timeout=10)
        finally:
            repeating.cancel()
        assert output.report().reason is OutputReason.TIMEOUT
