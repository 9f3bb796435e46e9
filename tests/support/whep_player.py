"""A WebRTC player for tests: WHEP, ICE, DTLS-SRTP, RTP put in order, NACK, RTX, PLI.

    async with WhepPlayer() as player:
        await player.start("http://127.0.0.1:8081/whep/name")
        await player.until(lambda: len(player.pictures) >= 30)
    player.pictures                 # every whole picture: CRC of its slices, RTP time

Without HTTP: `answer = ...(await player.offer())`, then `await player.accept(answer)`. Independent of the relay's own
code: aioice is the ICE agent; aiortc reads SDP, RTP, RTCP and the H.264 payloads.
"""

import asyncio
import contextlib
import random
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin

import aiohttp
import aioice
from aiortc.codecs.h264 import H264PayloadDescriptor
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtp import RtcpByePacket, RtcpPacket, RtcpPsfbPacket, RtcpRtpfbPacket, RtcpSrPacket, RtpPacket
from aiortc.sdp import MediaDescription, SessionDescription
from support.clip import slice_crc
from support.sender_offer import OPUS, RTX
from support.sender_offer import VIDEO as H264
from support.whip_sender import _IceOfDtls, _Loopback

FORMAT = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"


@dataclass(frozen=True, slots=True)
class ReceivedPicture:
    crc: int
    """CRC-32 over the slices."""
    keyframe: bool
    parameter_sets: tuple[bytes, ...]
    """Those that came with it."""
    time: int
    """RTP time."""
    arrival: float
    """time.monotonic() of its last packet."""


@dataclass(slots=True)
class PlayerCounts:
    packets: int = 0
    lost: int = 0
    """Dropped on purpose as they came."""
    retransmitted: int = 0
    nacks: int = 0
    """Sequence numbers asked for."""
    byes: int = 0
    reports: dict[int, list[Any]] = field(default_factory=dict)
    """Sender reports by SSRC."""


class WhepPlayer:
    def __init__(
        self,
        *,
        video: bool = True,
        audio: bool = True,
        rtx: bool = True,
        loss: float = 0.0,
        seed: int = 1,
        video_format: str = FORMAT,
        token: str | None = None,
    ) -> None:
        """`loss`: share of the picture's packets dropped as they come, to be asked for again. `video_format`: fmtp."""
        self.pictures: list[ReceivedPicture] = []
        self.sound: list[tuple[int, bytes]] = []
        """RTP time and payload."""
        self.counts = PlayerCounts()
        self.answer = ""
        self.resource: str | None = None
        """The WHEP session's URL."""
        self.etag: str | None = None
        self.closed_by_peer = asyncio.Event()
        self._video, self._audio, self._rtx, self._format, self._token = video, audio, rtx, video_format, token
        self._loss, self._random = loss, random.Random(seed)
        self._ice = _Loopback("127.0.0.1")
        self._certificate = RTCCertificate.generateCertificate()
        self._ice_of_dtls = _IceOfDtls(self._ice)
        self._ice_of_dtls._recv = self._receive  # type: ignore[method-assign]
        self._dtls: Any = RTCDtlsTransport(self._ice_of_dtls, [self._certificate])  # type: ignore[arg-type]
        self._dtls._handle_rtp_data = self._on_rtp
        self._dtls._handle_rtcp_data = self._on_rtcp
        self._dtls.on("statechange", lambda: self._dtls.state == "closed" and self._on_closed())
        self._changed = asyncio.Event()
        self._ssrcs: dict[str, int] = {}
        self._held: dict[int, RtpPacket] = {}
        self._missing: dict[int, float] = {}  # asked for at
        self._next: int | None = None
        self._highest = 0
        self._parts: list[bytes] = []

    # ------------------------------------------------------------------------------------------ signalling

    async def start(self, url: str) -> None:
        """Play by WHEP; returns when DTLS is up. Raises AssertionError with the answer if it is no 201."""
        headers = {"Content-Type": "application/sdp"} | self._authorization()
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data=await self.offer(), headers=headers) as response,
        ):
            text = await response.text()
            assert response.status == 201, f"{response.status} {text}"
            self.resource = urljoin(str(response.url), response.headers["Location"])
            self.etag = response.headers["ETag"]
        await self.accept(text)

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    async def offer(self) -> str:
        """An offer to receive without candidates, as the WebSDK's."""
        await self._ice.gather_candidates()
        kinds = [*["audio"] * self._audio, *["video"] * self._video]
        lines = ["v=0", f"o=- {secrets.randbits(62)} 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        lines.append("a=group:BUNDLE " + " ".join(str(mid) for mid in range(len(kinds))))
        for mid, kind in enumerate(kinds):
            lines += self._section(kind, mid)
        return "".join(line + "\r\n" for line in lines)

    def _section(self, kind: str, mid: int) -> list[str]:
        fingerprint = next(f for f in self._certificate.getFingerprints() if f.algorithm == "sha-256")
        types = [OPUS] if kind == "audio" else [H264, RTX] if self._rtx else [H264]
        lines = [
            f"m={kind} 9 UDP/TLS/RTP/SAVPF {' '.join(map(str, types))}",
            "c=IN IP4 0.0.0.0",
            f"a=ice-ufrag:{self._ice.local_username}",
            f"a=ice-pwd:{self._ice.local_password}",
            "a=ice-options:trickle",
            f"a=fingerprint:sha-256 {fingerprint.value}",
            "a=setup:actpass",
            f"a=mid:{mid}",
            "a=recvonly",
            "a=rtcp-mux",
            "a=rtcp-rsize",
        ]
        if kind == "audio":
            return [*lines, f"a=rtpmap:{OPUS} opus/48000/2", f"a=fmtp:{OPUS} minptime=10;useinbandfec=1"]
        lines += [f"a=rtpmap:{H264} H264/90000", f"a=fmtp:{H264} {self._format}"]
        lines += [f"a=rtcp-fb:{H264} {what}" for what in ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")]
        return [*lines, f"a=rtpmap:{RTX} rtx/90000", f"a=fmtp:{RTX} apt={H264}"] if self._rtx else lines

    async def accept(self, answer: str) -> None:
        """Connect as the answer says; returns when DTLS is up."""
        self.answer = answer
        media = [m for m in SessionDescription.parse(answer).media if m.port]
        assert media, "the answer rejects everything"
        for section in media:
            assert section.direction == "sendonly"
            self._ssrcs[section.kind] = section.ssrc[0].ssrc
        await self._connect(media[0], answer)

    async def _connect(self, transport: MediaDescription, answer: str) -> None:
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

    # ------------------------------------------------------------------------------------------ media

    async def until(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _receive(self) -> bytes:
        """The next datagram that is not lost; before decryption, or what is sent again would be taken for a replay."""
        while True:
            data = await self._ice.recv()
            is_video = data[0] > 127 and data[1] & 127 == H264
            if not is_video or self._next is None or self._random.random() >= self._loss:
                return data
            self.counts.lost += 1

    async def _on_rtp(self, data: bytes, arrival_time_ms: int) -> None:
        packet = RtpPacket.parse(data)
        self.counts.packets += 1
        if packet.payload_type == OPUS:
            assert packet.ssrc == self._ssrcs["audio"]
            self.sound.append((packet.timestamp, packet.payload))
        elif packet.payload_type == RTX:
            self.counts.retransmitted += 1
            packet.sequence_number = struct.unpack_from("!H", packet.payload)[0]
            packet.payload = packet.payload[2:]
            self._take(packet)
        else:
            assert (packet.payload_type, packet.ssrc) == (H264, self._ssrcs["video"])
            self._take(packet)
        await self._ask()
        self._changed.set()

    def _take(self, packet: RtpPacket) -> None:
        sequence = packet.sequence_number
        if self._next is None:
            self._next = self._highest = sequence
        ahead = sequence - self._highest & 0xFFFF
        if 0 < ahead < 0x8000:
            for step in range(1, ahead):
                self._missing[self._highest + step & 0xFFFF] = float("-inf")
            self._highest = sequence
        self._missing.pop(sequence, None)
        if sequence - self._next & 0xFFFF < 0x8000:
            self._held[sequence] = packet
        while self._next in self._held:
            self._join(self._held.pop(self._next))
            self._next = self._next + 1 & 0xFFFF

    def _join(self, packet: RtpPacket) -> None:
        self._parts.append(H264PayloadDescriptor.parse(packet.payload)[1])
        if not packet.marker:
            return
        nals = b"".join(self._parts).split(b"\0\0\0\1")[1:]
        self._parts = []
        kinds = [nal[0] & 31 for nal in nals]
        sets = tuple(nal for nal in nals if nal[0] & 31 in (7, 8))
        self.pictures.append(
            ReceivedPicture(slice_crc(nals), 5 in kinds, sets, packet.timestamp, time.monotonic()),
        )

    # ------------------------------------------------------------------------------------------ feedback

    async def _ask(self) -> None:
        """NACK what is missing, each 60 ms until it comes."""
        now = time.monotonic()
        due = [sequence for sequence, asked in self._missing.items() if now - asked > 0.06]
        if due:
            self._missing.update(dict.fromkeys(due, now))
            self.counts.nacks += len(due)
            await self.send_rtcp(RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=self._ssrcs["video"], lost=due))

    async def ask_for_keyframe(self, form: str = "pli") -> None:
        ssrc = self._ssrcs["video"]
        if form == "pli":
            await self.send_rtcp(RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=ssrc))
        else:
            fci = struct.pack("!IBxxx", ssrc, 1)
            await self.send_rtcp(RtcpPsfbPacket(fmt=4, ssrc=1, media_ssrc=0, fci=fci))

    async def send_rtcp(self, packet: Any) -> None:
        with contextlib.suppress(ConnectionError):
            await self._dtls._send_rtp(bytes(packet))

    async def _on_rtcp(self, data: bytes) -> None:
        for packet in RtcpPacket.parse(data):
            if isinstance(packet, RtcpSrPacket):
                self.counts.reports.setdefault(packet.ssrc, []).append(packet.sender_info)
            elif isinstance(packet, RtcpByePacket):
                self.counts.byes += 1
        self._changed.set()

    def reports(self, kind: str) -> list[Any]:
        return self.counts.reports.get(self._ssrcs[kind], [])

    def _on_closed(self) -> None:
        self.closed_by_peer.set()
        self._changed.set()

    # ------------------------------------------------------------------------------------------ end

    async def stop(self) -> int | None:
        """WHEP DELETE if it was started so (its status is returned), DTLS close_notify, sockets."""
        status = None
        if self.resource:
            resource, self.resource = self.resource, None
            async with aiohttp.ClientSession() as http, http.delete(resource, headers=self._authorization()) as answer:
                status = answer.status
        await self._dtls.stop()
        await self.vanish()
        return status

    async def vanish(self) -> None:
        """Be gone without a word."""
        await self._ice.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.stop()
        else:
            await self.vanish()
