"""One player: its SDP offer answered, media sent to it, its feedback heard, its end told."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from transponder_crd.control import PlayerState
from transponder_relay.playback.answer import write_play_answer
from transponder_relay.playback.offer import Playable, PlayOffer, parse_play_offer
from transponder_relay.playback.outgoing import OutgoingStream
from transponder_relay.webrtc import rtcp
from transponder_relay.webrtc.connecting import ICE_KEEP_ALIVE, STOPPED_BY_USER, connect
from transponder_relay.webrtc.rtp import InvalidPacket
from transponder_relay.webrtc.settings import TransportSettings
from transponder_relay.webrtc.transport import MediaTransport

HEAD_START = 0.2
"""Seconds from the connection to the first picture: pages of the WebSDK begin to look at their video when they hear of
PLAYING, which takes the longer way, and wait for ever for the `resize` event of a picture that came before."""
REPORT_INTERVAL = 1.0
"""Seconds between two sender reports."""
MAX_RESENT = 500
"""Packets sent again between two reports: whoever loses more is not helped by more."""
PICTURE_CLOCK = 90_000

Clock = Callable[[float], float]
"""The stream clock in ms at a moment of `time.monotonic()`."""


class PlayerEvents(Protocol):
    """Called in the event loop; must not raise."""

    def on_player_state(self, player: "Player") -> None:
        """`player.state` is another one now. An ended player is to be closed."""
        ...

    def on_keyframe_wanted(self) -> None:
        """The player cannot go on, or begin, without a keyframe."""
        ...


class Player:
    """Takes one offer; `close` it in the end, whatever happened. Media is sent while it is connected, and nothing
    waits for it: what its socket does not take is lost."""

    def __init__(self, player_id: str, settings: TransportSettings, clock: Clock, events: PlayerEvents) -> None:
        self.id = player_id
        self.state = PlayerState.CONNECTING
        self.reason: str | None = None
        self._settings = settings
        self._clock = clock
        self._events = events
        self._cname = secrets.token_urlsafe(12)
        self._transport = MediaTransport(settings, self)
        self._video: OutgoingStream | None = None
        self._audio: OutgoingStream | None = None
        self._audio_divisor = 1
        self._resent = 0
        self._is_awaited = False
        """The head start is over."""
        self._connecting: asyncio.Task[None] | None = None
        self._tick: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------------------------------ for the owner

    async def answer(self, sdp: str, media: Playable) -> str:
        """The SDP answer with all candidates. Raises InvalidOffer; OSError if no socket can be opened."""
        offer = parse_play_offer(sdp, media)
        local = await self._transport.gather()
        if offer.video:
            rtx = offer.video.rtx_payload_type
            self._video = OutgoingStream(
                offer.video.payload_type, PICTURE_CLOCK, rtx_type=rtx, history=offer.video.nack
            )
        if offer.audio:
            self._audio = OutgoingStream(offer.audio.payload_type, offer.audio.clock)
            self._audio_divisor = 48_000 // offer.audio.clock
        self._transport.prepare(offer.transport)
        self._connecting = asyncio.create_task(self._connect(offer))
        return write_play_answer(offer, self._video, self._audio, local, self._cname, secrets.randbits(62))

    def video(self, payloads: Sequence[bytes], keyframe: bool, time_ms: int) -> None:
        """Send a picture; the first one is a keyframe, after the head start. `time_ms`: stream clock."""
        stream = self._video
        if stream is None or not (stream.started or (keyframe and self._is_awaited)):
            return
        begins = not stream.started
        rtp_time, last, send = time_ms * (PICTURE_CLOCK // 1000), len(payloads) - 1, self._transport.send_rtp
        for index, payload in enumerate(payloads):
            send(stream.packet(rtp_time, index == last, payload))
        if begins:
            self._report(stream)

    def sound(self, payload: bytes, position: int) -> None:
        """Send a packet of sound. `position`: of its first sample, in 48 kHz samples of the stream clock."""
        stream = self._audio
        if stream is None:
            return
        begins = not stream.started
        self._transport.send_rtp(stream.packet(position // self._audio_divisor, begins, payload))
        if begins:
            self._report(stream)

    def end(self, reason: str) -> None:
        """Send nothing more; the owner is told, once."""
        if self.state is not PlayerState.ENDED:
            self.reason = reason
            self._become(PlayerState.ENDED)

    async def close(self) -> None:
        """Tell the peer by RTCP BYE and DTLS, close the sockets; idempotent and bounded."""
        self.state = PlayerState.ENDED
        if self._tick is not None:
            self._tick.cancel()
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
            await asyncio.wait({self._connecting})  # raises nothing of what it raised
        ssrcs = [stream.ssrc for stream in (self._video, self._audio) if stream and stream.started]
        if ssrcs:
            head = rtcp.receiver_report(ssrcs[0]) + rtcp.source_description(ssrcs[0], self._cname.encode())
            self._transport.send_rtcp(head + rtcp.goodbye(ssrcs))
        await self._transport.close()

    # ------------------------------------------------------------------------------------------ connecting

    async def _connect(self, offer: PlayOffer) -> None:
        failure = await connect(self._transport, offer.transport, self._settings.connect_timeout)
        if failure is not None:
            self.end(failure)
        if self.state is PlayerState.ENDED:
            return
        self._become(PlayerState.CONNECTED)
        self._on_tick()
        if self._video:
            await asyncio.sleep(HEAD_START)
            self._is_awaited = True
            self._events.on_keyframe_wanted()

    def _become(self, state: PlayerState) -> None:
        self.state = state
        self._events.on_player_state(self)

    # ------------------------------------------------------------------------------------------ transport's events

    def on_rtp(self, data: bytes, arrival: float) -> None:
        """A player sends nothing that we want."""

    def on_rtcp(self, data: bytes, arrival: float) -> None:
        if self.state is not PlayerState.CONNECTED or self._video is None:
            return
        try:
            items = rtcp.parse_rtcp(data)
        except InvalidPacket:
            return
        ssrc = self._video.ssrc
        for item in items:
            if isinstance(item, rtcp.PacketRequest) and item.ssrc == ssrc:
                self._send_again(self._video, item.sequences, arrival)
            elif isinstance(item, rtcp.KeyframeRequest) and ssrc in item.ssrcs:
                self._events.on_keyframe_wanted()

    def on_round_trip(self, seconds: float) -> None:
        """Of no use to a sender that answers what it is asked."""

    def on_transport_closed(self, by_peer: bool) -> None:
        self.end(STOPPED_BY_USER if by_peer else ICE_KEEP_ALIVE)

    def _send_again(self, stream: OutgoingStream, sequences: Sequence[int], now: float) -> None:
        for sequence in sequences:
            packet = stream.again(sequence, now) if self._resent < MAX_RESENT else None
            if packet is not None:
                self._resent += 1
                self._transport.send_rtp(packet)

    # ------------------------------------------------------------------------------------------ reports

    def _on_tick(self) -> None:
        if self.state is not PlayerState.CONNECTED:
            return
        self._resent = 0
        for stream in (self._video, self._audio):
            if stream and stream.started:
                self._report(stream)
        self._tick = asyncio.get_running_loop().call_later(REPORT_INTERVAL, self._on_tick)

    def _report(self, stream: OutgoingStream) -> None:
        """Both streams run by the stream clock, so their reports join them exactly (RFC 3550 section 6.4.1)."""
        stream_time = int(self._clock(time.monotonic()) * stream.clock / 1000)
        report = stream.report(time.time() + rtcp.NTP_EPOCH, stream_time)
        self._transport.send_rtcp(report + rtcp.source_description(stream.ssrc, self._cname.encode()))
