"""Captures what a sender sends into this folder: PYTHONPATH=tests .venv/bin/python -m wire.capture chromium video/H264

Senders: chromium [codec], firefox [codec], aiortc, ffmpeg. The packets are decrypted. `captures.json` then says of each
file who sent it, and what was negotiated.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from support.chromium import chromium_program, chromium_publisher
from support.firefox import firefox_program, firefox_publisher
from support.rtpdump import Captured, write
from support.whip_door import whip_door

from transponder_relay.ingest.offer import parse_offer
from transponder_relay.ingest.session import IngestSettings, PublisherSession
from transponder_relay.ingest.timeline import Timeline
from transponder_relay.media import AccessUnit, CodedPicture, SoundPacket
from transponder_relay.webrtc.rtcp import SenderReport, parse_rtcp
from transponder_relay.webrtc.rtp import is_rtcp

HERE = Path(__file__).parent
PICTURES = 45
LONGEST = 15.0
SETTINGS = replace(
    IngestSettings(addresses=(os.environ.get("OWN_ADDRESS", "127.0.0.1"),)), max_bitrate=150_000, start_bitrate=150_000
)


class Events:
    """Says when enough came."""

    def __init__(self) -> None:
        self.pictures = 0
        self.reporters: set[int] = set()
        self.enough = asyncio.Event()

    def look(self) -> None:
        if self.pictures >= PICTURES and len(self.reporters) >= 2:
            self.enough.set()

    def on_connected(self, video_codec: str | None, audio_codec: str | None) -> None: ...
    def on_sound(self, packet: SoundPacket, position: int) -> None: ...
    def on_ended(self, reason: str) -> None: ...

    def on_video(self, picture: AccessUnit | CodedPicture, time_ms: int) -> None:
        self.pictures += 1
        self.look()


class Tap(PublisherSession):
    """A session that keeps what comes in."""

    def __init__(self) -> None:
        self.events = Events()
        self.packets: list[Captured] = []
        self.offer = ""
        super().__init__(SETTINGS, Timeline(), self.events)

    async def answer(self, offer_sdp: str) -> str:
        self.offer = offer_sdp
        return await super().answer(offer_sdp)

    def on_rtp(self, data: bytes, arrival: float) -> None:
        self.packets.append(Captured(arrival, False, data))
        super().on_rtp(data, arrival)

    def on_rtcp(self, data: bytes, arrival: float) -> None:
        self.packets.append(Captured(arrival, True, data))
        self.events.reporters |= {item.ssrc for item in parse_rtcp(data) if isinstance(item, SenderReport)}
        self.events.look()
        super().on_rtcp(data, arrival)


@asynccontextmanager
async def tapped() -> AsyncIterator[Tap]:
    tap = Tap()
    try:
        yield tap
        with suppress(TimeoutError):
            await asyncio.wait_for(tap.events.enough.wait(), LONGEST)
    finally:
        await tap.close()


async def chromium(codec: str) -> tuple[Tap, str]:
    name = program_version(chromium_program())
    with tempfile.TemporaryDirectory() as folder:
        async with tapped() as tap, whip_door(tap.answer) as url:
            size = {"width": 320, "height": 180, "fps": 15}
            async with chromium_publisher(url, Path(folder), codec=codec, **size) as page:
                await page.connected()
                await tap.events.enough.wait()
    return tap, name


async def firefox(codec: str) -> tuple[Tap, str]:
    """Where it finds another address than loopback: see tests/integration/test_firefox.py. OWN_ADDRESS is to be it."""
    name = program_version(firefox_program())
    with tempfile.TemporaryDirectory() as folder:
        size = {"width": 320, "height": 180, "fps": 15}
        async with (
            tapped() as tap,
            whip_door(tap.answer) as url,
            firefox_publisher(url, Path(folder), **size) as page,
        ):
            await page.connected()
            await tap.events.enough.wait()
    return tap, name


async def aiortc(codec: str) -> tuple[Tap, str]:
    async with tapped() as tap:
        connection = RTCPeerConnection()
        for track in (AudioStreamTrack(), VideoStreamTrack()):
            connection.addTrack(track)
        await connection.setLocalDescription(await connection.createOffer())
        answer = await tap.answer(connection.localDescription.sdp)
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await tap.events.enough.wait()
        await connection.close()
    return tap, f"aiortc {version('aiortc')}"


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, packets: list[Captured]) -> None:
        self._packets = packets

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._packets.append(Captured(time.monotonic(), is_rtcp(data), data))


FFMPEG_VIDEO = [
    *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-profile:v", "baseline", "-tune", "zerolatency"),
    *("-g", "30", "-slices", "2", "-b:v", "100k", "-payload_type", "96"),
]
FFMPEG_CHOICE = {
    "video": {"codec": "H264", "payload_type": 96, "rtx_payload_type": None},
    "audio": {"codec": "PCMA", "payload_type": 8, "clock": 8000, "stereo": False},
}


async def ffmpeg() -> tuple[list[Captured], str]:
    """Plain RTP of H.264 with several slices, and G.711; RTP and RTCP of each go to one port."""
    packets: list[Captured] = []
    loop = asyncio.get_running_loop()
    transports = [
        (await loop.create_datagram_endpoint(lambda: _Socket(packets), local_addr=("127.0.0.1", 0)))[0]
        for _ in range(2)
    ]
    ports = [transport.get_extra_info("sockname")[1] for transport in transports]
    sources = ["testsrc=size=320x180:rate=15", "sine=sample_rate=8000"]
    inputs = [word for source in sources for word in ("-re", "-t", "6", "-f", "lavfi", "-i", source)]
    to = [f"rtp://127.0.0.1:{port}?rtcpport={port}&pkt_size=1200" for port in ports]
    outputs = ["-map", "0", *FFMPEG_VIDEO, "-f", "rtp", to[0], "-map", "1", "-c:a", "pcm_alaw", "-f", "rtp", to[1]]
    program = await asyncio.create_subprocess_exec(
        "ffmpeg", "-v", "error", *inputs, *outputs, stdout=subprocess.DEVNULL
    )
    await program.wait()
    for transport in transports:
        transport.close()
    return packets, program_version("ffmpeg")


def program_version(program: str | None) -> str:
    assert program, "the sender is not installed"
    command = [program, "-version" if program == "ffmpeg" else "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()


def choice_of(offer: str) -> dict[str, Any]:
    """What was negotiated, as `read_choice` of the tests takes it."""
    parsed = parse_offer(offer)
    video, audio = parsed.video, parsed.audio
    assert video, "no picture was offered"
    assert audio, "no sound was offered"
    return {
        "video": {name: getattr(video, name) for name in ("codec", "payload_type", "rtx_payload_type")},
        "audio": {name: getattr(audio, name) for name in ("codec", "payload_type", "clock", "stereo")},
    }


async def main(sender: str, codec: str = "") -> None:
    if sender == "ffmpeg":
        packets, name = await ffmpeg()
        choice: dict[str, Any] = FFMPEG_CHOICE
    else:
        tap, name = await {"chromium": chromium, "firefox": firefox, "aiortc": aiortc}[sender](codec)
        packets, choice = tap.packets, choice_of(tap.offer)
    path = HERE / f"{sender}-{choice['video']['codec'].lower()}.rtpdump"
    write(path, [packet._replace(seconds=packet.seconds - packets[0].seconds) for packet in packets])
    index = HERE / "captures.json"
    known = json.loads(index.read_text()) if index.exists() else {}
    known[path.name] = {"sender": name, **choice}
    index.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
