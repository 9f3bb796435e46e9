"""The run of the demo: what is started, in which order, and what is asked of it."""

import asyncio
import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.publishers import publisher
from demo.verdict import Marks, contact_sheet, examine
from support.flv import Flv, Interval
from support.nginx_rtmp import NginxRtmp, nginx_rtmp
from support.product import Product, Transponder, running_product
from support.sounds import RATE, tone, wav

STREAM = "demo"
TONE_HERTZ = 440.0


class DemoError(Exception):
    """Something is wrong; the text is a sentence for people."""


@dataclass(frozen=True)
class Plan:
    seconds: float
    """From live to terminate."""
    out: Path
    rtmp_url: str | None = None
    """Another server than the demo's own; it may hold a stream key and is never printed."""


class Progress:
    """One line for each step, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:5.1f} s] {text}", flush=True)


async def show(plan: Plan) -> None:
    """Raises DemoError. Everything that is started is ended, however this ends."""
    progress = Progress()
    with tempfile.TemporaryDirectory(prefix="transponder-demo-") as name:
        folder = Path(name)
        try:
            marks = await _perform(plan, folder, progress)
        except (AssertionError, TimeoutError, OSError) as problem:
            raise DemoError(str(problem) or type(problem).__name__) from problem
        if plan.rtmp_url is None:
            _report(plan, folder, marks, progress)
    progress.say("done")


async def _perform(plan: Plan, folder: Path, progress: Progress) -> Marks:
    async with AsyncExitStack() as stack:
        server = None
        if plan.rtmp_url is None:
            server = await stack.enter_async_context(nginx_rtmp(folder / "nginx"))
        progress.say(f"RTMP server: {'nginx at ' + server.url if server else 'the one you named'}")
        product = await stack.enter_async_context(running_product(folder))
        progress.say(f"product: transponder local at {product.base}")
        (product.sounds / "tone.wav").write_bytes(wav(tone(TONE_HERTZ, 30), RATE))
        who = await stack.enter_async_context(publisher(product.whip(STREAM), folder))
        progress.say(f"publisher: {who}")
        return await Calls(plan, product, server, progress).run()


class Calls:
    """The REST calls of the demo, in order, with the time of the recording at which each was in effect."""

    def __init__(self, plan: Plan, product: Product, server: NginxRtmp | None, progress: Progress) -> None:
        self._plan = plan
        self._rest = product.rest
        self._server = server
        self._progress = progress
        self._id = ""

    async def run(self) -> Marks:
        await self._startup()
        live = await self._wait("live sound", 0.3)
        await self._call("mute")
        muted = await self._wait("silence", 0.15)
        await self._call("unmute")
        await self._wait("live sound", 0.2)
        await self._call("sound_on", soundFile="tone.wav", loop=True)
        sound = await self._wait(f"a tone of {TONE_HERTZ:.0f} Hz", 0.15)
        await self._call("sound_off")
        live_again = await self._wait("live sound", 0.2)
        await self._call("terminate")
        if self._server:
            await self._server.finished(f"rtmp_{STREAM}")
        return Marks(live, muted, sound, live_again)

    async def _startup(self) -> None:
        url = self._plan.rtmp_url or (self._server.url if self._server else "")
        full_url = self._plan.rtmp_url is not None
        body = {"streamName": STREAM, "rtmpUrl": url, "rtmpTransponderFullUrl": full_url}
        answer = await self._rest.push("startup", body)
        if answer.status != 200:
            raise DemoError(f"startup was refused: {answer.body['message']}")
        self._id = answer.body["mediaSessionId"]
        self._progress.say(f"startup: {answer.body['rtmpUrl']}")
        live = await self._until_live()
        if self._server:
            await self._server.receives(f"rtmp_{STREAM}", 50_000)
        self._progress.say(f"live: {live['width']}x{live['height']}")

    async def _until_live(self) -> Transponder:
        settled = ("Live", "Reconnecting", "Failed")
        found = await self._rest.until(self._id, lambda t: t["state"] in settled and t["width"] > 0, "settled", 30)
        if found["state"] != "Live":
            raise DemoError(f"the RTMP server does not take the stream: {found['lastError']}")
        return found

    async def _call(self, call: str, **extra: Any) -> None:
        await self._rest.tell(call, self._id, **extra)
        self._progress.say(call)

    async def _wait(self, what: str, share: float) -> Interval:
        """Let the show go on for its share of the time, live all along; the part of the recording that this is."""
        seconds = self._plan.seconds * share
        self._progress.say(f"  {what} for {seconds:.0f} s")
        start, deadline = self._time(), time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(1.0, left))
            await self._until_live()
        return Interval(start, self._time())

    def _time(self) -> float:
        """Where the recording is now, in seconds."""
        if self._server is None:
            return 0.0
        return Flv.read(self._server.recording(f"rtmp_{STREAM}")).frames[-1].time_ms / 1000


def _report(plan: Plan, folder: Path, marks: Marks, progress: Progress) -> None:
    """Keep the recording and say what is in it. Raises DemoError for what is wrong."""
    plan.out.mkdir(parents=True, exist_ok=True)
    flv, sheet = plan.out / "demo.flv", plan.out / "contact-sheet.png"
    shutil.copyfile(folder / "nginx" / "recordings" / f"rtmp_{STREAM}.flv", flv)
    progress.say(f"received: {flv} ({flv.stat().st_size / 1e6:.1f} MB)")
    contact_sheet(flv, sheet, marks.live_again.end)
    progress.say(f"contact sheet: {sheet}")
    findings = examine(flv, marks, TONE_HERTZ)
    for finding in findings:
        progress.say(f"{'good' if finding.good else 'BAD '}  {finding.text}")
    bad = [finding.text for finding in findings if not finding.good]
    if bad:
        raise DemoError("; ".join(bad))
