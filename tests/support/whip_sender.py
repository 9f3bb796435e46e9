"""A WebRTC publisher of pre-encoded media for tests: WHIP, ICE, DTLS-SRTP, RTP with retransmissions, sender reports.

    async with WhipSender(clip()) as sender:
        await sender.start("http://127.0.0.1:8081/whip/name")
        ...                         # it sends until the end of the block, in real time
    sender.sent                     # every picture: CRC of its slices, times

Without HTTP: `answer = await ...(await sender.offer())`, then `await sender.accept(answer)`. No encoder runs, so what a
relay sends on can be compared bit by bit. Independent of the relay's own code: aioice is the ICE agent, aiortc reads
SDP and RTCP.
"""

import asyncio
import random
import secrets
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urljoin

import aiohttp
import aioice
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtp import RtcpPacket, RtcpPsfbPacket, RtcpRrPacket, RtcpRtpfbPacket, unpack_remb_fci
from aiortc.sdp import MediaDescription, SessionDescription
from support.clip import FPS, GOP, SOUND_PACKET, Clip
from support.rtp_sender import RtpStream, packetise_picture
from support.sender_offer import OPUS, RTX, VIDEO, SenderTransport, write_offer

_NTP_EPOCH = 2208988800


@dataclass(frozen=True, slots=True)
class SentPicture:
    number: int
    """Counts from 0 at `number / 30` s of media time."""
    crc: int
    """CRC-32 over the slices."""
    keyframe: bool
    time: float
    """time.monotonic() after its last packet was sent."""


@dataclass(slots=True)
class SenderCounts:
    """What happened so far."""

    packets: int = 0
    lost: int = 0
    """Dropped on purpose, retransmissions too."""
    retransmitted: int = 0
    plis: int = 0
    nacks: int = 0
    """Sequence numbers asked for."""
    reports: int = 0
    rembs: list[int] = field(default_factory=list)
    """bit/s, in order."""


class _Loopback(aioice.Connection):
    """An ICE agent with one socket, at the address given."""

    def __init__(self, address: str) -> None:
        super().__init__(ice_controlling=True)
        self._address = address

    async def get_component_candidates(
        self, component: int, addresses: list[str], timeout: int = 5
    ) -> list[aioice.Candidate]:
        return await super().get_component_candidates(component, [self._address], timeout)


class _IceOfDtls:
    """The part of RTCIceTransport that RTCDtlsTransport uses."""

    role = "controlling"

    def __init__(self, connection: aioice.Connection) -> None:
        self._recv = connection.recv
        self._send = connection.send


class WhipSender:
    def __init__(
        self,
        clip: Clip,
        *,
        video: bool = True,
        audio: bool = True,
        rtx: bool = True,
        loss: float = 0.0,
        nack_delay: float = 0.0,
        seed: int = 1,
        on_pli: Literal["jump", "ignore"] = "jump",
        reports: Literal["chrome", "soon", "never"] = "chrome",
        setup: Literal["actpass", "active", "passive"] = "actpass",
        candidates: bool = True,
        payload_limit: int = 1150,
        h264: str = "packetization-mode=1;",
        quiet: Sequence[tuple[float, float]] = (),
        address: str = "127.0.0.1",
        token: str | None = None,
    ) -> None:
        """`loss`: share of RTP packets dropped before the wire. `nack_delay`: seconds before a NACK is answered.
        `on_pli`: the media jumps to its next keyframe, or nothing happens. `reports`: sender reports as Chrome sends
        them (video after 0.5 s and each 1 s, audio after 2.5 s and each 5 s), at once and each 1 s, or not at all.
        `h264`: what of the fmtp line tells how H.264 is sent. `quiet`: from and to, in seconds, when no sound is sent.
        `candidates`: put them into the offer. `token`: bearer token of the WHIP requests."""
        self.sent: list[SentPicture] = []
        self.counts = SenderCounts()
        self.connected = asyncio.Event()
        self.resource: str | None = None
        """The WHIP session's URL."""
        self.answer = ""
        self._clip, self._video, self._audio, self._rtx = clip, video, audio, rtx
        self._loss, self._nack_delay, self._random = loss, nack_delay, random.Random(seed)
        self._jumps, self._reports, self._setup = on_pli == "jump", reports, setup
        self._h264, self._quiet = h264, quiet
        self._offers_candidates, self._limit, self._token = candidates, payload_limit, token
        self._ice = _Loopback(address)
        self._certificate = RTCCertificate.generateCertificate()
        self._dtls: Any = RTCDtlsTransport(_IceOfDtls(self._ice), [self._certificate])  # type: ignore[arg-type]
        self._dtls._handle_rtcp_data = self._on_rtcp
        self._pictures = self._stream(VIDEO)
        self._sound = self._stream(OPUS)
        self._again = self._stream(RTX)
        self._cname = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None
        self._resends: set[asyncio.TimerHandle] = set()
        self._started = 0.0
        self._shift = 0  # pictures by which the clip is ahead of media time, after jumps
        self._sound_shift = 0  # packets
        self._next_shift: tuple[int, int] | None = None  # from that packet on, that shift
        self._wants_keyframe = False
        self._closed = False
        self._closed_by_peer = asyncio.Event()
        self._dtls.on("statechange", lambda: self._dtls.state == "closed" and self._closed_by_peer.set())

    def _stream(self, payload_type: int) -> RtpStream:
        bits = self._random.getrandbits
        return RtpStream(payload_type, bits(32), bits(16), bits(32))

    # ------------------------------------------------------------------------------------------ signalling

    async def start(self, url: str) -> None:
        """Publish by WHIP; returns when DTLS is up. Raises WhipRefused."""
        headers = {"Content-Type": "application/sdp"} | self._authorization()
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http,
            http.post(url, data=await self.offer(), headers=headers) as response,
        ):
            text = await response.text()
            if response.status != 201:
                raise WhipRefused(response.status, text)
            self.resource = urljoin(str(response.url), response.headers["Location"])
        await self.accept(text)

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    async def offer(self) -> str:
        """The SDP offer, as a browser writes it."""
        await self._ice.gather_candidates()
        fingerprint = next(f for f in self._certificate.getFingerprints() if f.algorithm == "sha-256")
        return write_offer(
            SenderTransport(
                self._ice.local_username,
                self._ice.local_password,
                fingerprint.value,
                self._setup,
                [c.to_sdp() for c in self._ice.local_candidates] if self._offers_candidates else [],
            ),
            self._cname,
            sound=self._sound.ssrc if self._audio else None,
            picture=self._pictures.ssrc if self._video else None,
            rtx=self._again.ssrc if self._rtx else None,
            codec=self._clip.codec,
            h264=self._h264,
        )

    async def accept(self, answer: str) -> None:
        """Connect as the answer says, and begin to send; returns when DTLS is up."""
        self.answer = answer
        media = [m for m in SessionDescription.parse(answer).media if m.port]
        assert media, "the answer rejects everything"
        for section in media:
            self._check(section)
        transport = media[0]
        self._ice.remote_username = transport.ice.usernameFragment
        self._ice.remote_password = transport.ice.password
        for line in answer.splitlines():
            if line.startswith("a=candidate:"):
                await self._ice.add_remote_candidate(aioice.Candidate.from_sdp(line[12:]))
        await self._ice.add_remote_candidate(None)
        async with asyncio.timeout(15):
            await self._ice.connect()
            self._dtls._set_role("server" if transport.dtls.role == "client" else "client")
            await self._dtls.start(transport.dtls)
        if self._dtls.state != "connected":
            raise ConnectionError(f"DTLS is {self._dtls.state}")
        self.connected.set()
        self._task = asyncio.create_task(self._send_media())

    def _check(self, section: MediaDescription) -> None:
        types = {c.payloadType: c for c in section.rtp.codecs}
        if section.kind == "video":
            assert types[VIDEO].mimeType == f"video/{self._clip.codec}"
            assert not self._rtx or types[RTX].parameters["apt"] == VIDEO
        else:
            assert types[OPUS].mimeType == "audio/opus"

    # ------------------------------------------------------------------------------------------ media

    async def _send_media(self) -> None:
        self._started = time.monotonic() + 0.02
        number = packet = 0
        due_reports = self._first_reports()
        while True:
            # a picture leaves when it is taken, a sound packet when its 20 ms are over
            next_picture = number / FPS if self._video else float("inf")
            next_sound = (packet + 1) * SOUND_PACKET / 48000 if self._audio else float("inf")
            await asyncio.sleep(self._started + min(next_picture, next_sound) - time.monotonic())
            if next_picture <= next_sound:
                self._send_picture(number)
                number += 1
            else:
                if not any(start <= next_sound < end for start, end in self._quiet):
                    self._send_sound(packet)
                packet += 1
            media_time = time.monotonic() - self._started
            for stream, (due, period) in due_reports.items():
                if media_time >= due:
                    due_reports[stream] = (due + period, period)
                    self._send_report(stream)

    def _first_reports(self) -> dict[RtpStream, tuple[float, float]]:
        if self._reports == "never":
            return {}
        soon = self._reports == "soon"
        reports = {}
        if self._video:
            reports[self._pictures] = (0.05, 1.0) if soon else (0.5, 1.0)
        if self._audio:
            reports[self._sound] = (0.05, 1.0) if soon else (2.5, 5.0)
        return reports

    def _send_picture(self, number: int) -> None:
        pictures = self._clip.pictures
        at = (number + self._shift) % len(pictures)
        if self._wants_keyframe and at % 3 == 0:  # only there a jump is a whole number of sound packets
            self._wants_keyframe = False
            self._shift += -at % GOP
            at = (number + self._shift) % len(pictures)
            self._next_shift = (number * 5 // 3, self._shift * 5 // 3)
        picture = pictures[at]
        payloads = packetise_picture(self._clip.codec, picture.nals, number, picture.keyframe, self._limit)
        for index, payload in enumerate(payloads):
            self._emit(self._pictures.packet(number * 90000 // FPS, index == len(payloads) - 1, payload))
        self.sent.append(SentPicture(number, picture.crc, picture.keyframe, time.monotonic()))

    def _send_sound(self, packet: int) -> None:
        if self._next_shift and packet >= self._next_shift[0]:
            self._sound_shift, self._next_shift = self._next_shift[1], None
        whole = len(self._clip.pictures) * 5 // 3
        payload = self._clip.sound[(packet + self._sound_shift) % whole]
        self._emit(self._sound.packet(packet * SOUND_PACKET, packet == 0, payload))

    def number_of(self, rtp_time: int) -> int:
        """Of the picture with that RTP time, wrapped or not."""
        return (rtp_time - self._pictures.base_time & 0xFFFFFFFF) * FPS // 90000

    def _emit(self, packet: bytes) -> None:
        self.counts.packets += 1
        if self._random.random() < self._loss:
            self.counts.lost += 1
            return
        self._send(self._dtls._tx_srtp.protect(packet))

    def _send(self, data: bytes) -> None:
        pair = self._ice._nominated.get(1)
        if pair and not self._closed:
            pair.protocol.transport.sendto(data, pair.remote_addr)

    def _send_report(self, stream: RtpStream) -> None:
        clock = 90000 if stream is self._pictures else 48000
        wall, media_time = time.time() + _NTP_EPOCH, time.monotonic() - self._started
        report = struct.pack(
            "!BBHIIIIII", 0x80, 200, 6, stream.ssrc, int(wall), int(wall % 1 * 2**32),
            stream.time(int(media_time * clock)), stream.packets, stream.octets & 0xFFFFFFFF,
        )  # fmt: skip
        chunk = struct.pack("!IBB", stream.ssrc, 1, len(self._cname)) + self._cname.encode()
        chunk += bytes(4 - len(chunk) % 4)
        self._send(self._dtls._tx_srtp.protect_rtcp(report + struct.pack("!BBH", 0x81, 202, len(chunk) // 4) + chunk))

    # ------------------------------------------------------------------------------------------ feedback

    async def _on_rtcp(self, data: bytes) -> None:
        for packet in RtcpPacket.parse(data):
            if isinstance(packet, RtcpRtpfbPacket) and packet.fmt == 1:
                assert packet.media_ssrc == self._pictures.ssrc
                self.counts.nacks += len(packet.lost)
                self._resend_later(packet.lost)
            elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == 1:
                assert packet.media_ssrc == self._pictures.ssrc
                self.counts.plis += 1
                self._wants_keyframe = self._jumps
            elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == 15:
                self.counts.rembs.append(unpack_remb_fci(packet.fci)[0])
            elif isinstance(packet, RtcpRrPacket):
                self.counts.reports += 1

    def _resend_later(self, sequences: list[int]) -> None:
        def resend() -> None:
            self._resends.discard(handle)
            for sequence in sequences:
                self._resend(sequence)

        handle = asyncio.get_running_loop().call_later(self._nack_delay, resend)
        self._resends.add(handle)

    def _resend(self, sequence: int) -> None:
        packet = self._pictures.sent(sequence)
        if packet is None or self._closed:
            return
        self.counts.retransmitted += 1
        if self._rtx:
            self._again.base_time = self._pictures.base_time
            self._emit(self._again.packet(packet.time, packet.marker, struct.pack("!H", sequence) + packet.payload))
        else:
            header = struct.pack(
                "!BBHII", 0x80, VIDEO | packet.marker << 7, sequence, self._pictures.time(packet.time),
                self._pictures.ssrc,
            )  # fmt: skip
            self._emit(header + packet.payload)

    # ------------------------------------------------------------------------------------------ end

    async def pause(self) -> None:
        """Send no more media; the connection stays up."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def say_goodbye(self) -> None:
        """RTCP BYE of all streams."""
        ssrcs = [s.ssrc for s, there in ((self._pictures, self._video), (self._sound, self._audio)) if there]
        bye = struct.pack("!BBHI", 0x80, 201, 1, ssrcs[0])
        bye += struct.pack("!BBH", 0x80 | len(ssrcs), 203, len(ssrcs)) + b"".join(struct.pack("!I", s) for s in ssrcs)
        self._send(self._dtls._tx_srtp.protect_rtcp(bye))

    async def stop(self) -> int | None:
        """End in order: WHIP DELETE if it was started by WHIP (its status is returned), DTLS close_notify, sockets."""
        if self._closed:
            return None
        status = None
        await self.pause()
        if self.resource:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
                http.delete(self.resource, headers=self._authorization()) as response,
            ):
                status = response.status
        await self._dtls.stop()
        await self.vanish()
        return status

    async def closed_by_peer(self, timeout: float) -> None:
        """Return when the peer has closed DTLS. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            await self._closed_by_peer.wait()

    async def vanish(self) -> None:
        """Be gone without a word."""
        await self.pause()
        self._closed = True
        for handle in self._resends:
            handle.cancel()
        await self._ice.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.stop()
        else:  # whatever the test was about, do not hide it behind a failing DELETE
            await self.vanish()


class WhipRefused(Exception):
    """The WHIP endpoint answered with an error."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"WHIP answered {status}: {body[:200]}")
        self.status = status
        self.body = body
