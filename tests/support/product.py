"""The real product, started as its users start it: `transponder local` as a child process."""

import asyncio
import json
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from support.processes import Program, clean_environment, free_port

TRANSPONDER = Path(sys.executable).with_name("transponder")
START_SECONDS = 20.0
END_SECONDS = 12.0
MANGLED = re.compile(r"^Traceback|^\S+ +(ERROR|CRITICAL)\b|never awaited|never retrieved")
"""What no good run writes to its log."""

Transponder = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: `body` is the parsed JSON, or None where the body is empty."""

    status: int
    body: Any
    headers: Mapping[str, str]
    text: str


class Rest:
    """The REST calls of the product, over real HTTP."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._session = aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(total=20))

    async def close(self) -> None:
        await self._session.close()

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        async with self._session.request(method, self.base + path, **options) as response:
            text = await response.text()
            is_json = "json" in response.headers.get("Content-Type", "") and text
            return Answer(response.status, json.loads(text) if is_json else None, response.headers.copy(), text)

    async def push(self, call: str, body: Any = None) -> Answer:
        """POST /rest-api/push/<call>."""
        options = {} if body is None else {"json": body}
        return await self.request("POST", f"/rest-api/push/{call}", **options)

    async def startup(self, stream_name: str, rtmp_url: str, **extra: Any) -> Transponder:
        answer = await self.push("startup", {"streamName": stream_name, "rtmpUrl": rtmp_url, **extra})
        assert answer.status == 200, f"startup: {answer.status} {answer.text}"
        started: Transponder = answer.body
        return started

    async def tell(self, call: str, media_session_id: str, **extra: Any) -> None:
        """mute, unmute, sound_on, sound_off, terminate: 200 with an empty body."""
        answer = await self.push(call, {"mediaSessionId": media_session_id, **extra})
        assert (answer.status, answer.text) == (200, ""), f"{call}: {answer.status} {answer.text}"

    async def find_all(self) -> list[Transponder]:
        """All transponders; 404 is none."""
        answer = await self.push("find_all")
        assert answer.status in (200, 404), answer.text
        return answer.body if answer.status == 200 else []

    async def until(
        self, media_session_id: str, good: Callable[[Transponder], bool], what: str, timeout: float = 15
    ) -> Transponder:
        """The transponder once `good` says so; AssertionError with its last state after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            found = [t for t in await self.find_all() if t["mediaSessionId"] == media_session_id]
            if found and good(found[0]):
                return found[0]
            assert time.monotonic() < deadline, f"not {what} within {timeout} s: {found}"
            await asyncio.sleep(0.05)

    async def until_state(self, media_session_id: str, state: str, timeout: float = 15) -> Transponder:
        return await self.until(media_session_id, lambda t: bool(t["state"] == state), state, timeout)


@dataclass
class Product:
    """A running `transponder local`."""

    program: Program
    rest: Rest
    data: Path
    sounds: Path
    base: str

    def whip(self, stream_name: str) -> str:
        """The WHIP URL of a stream."""
        return f"{self.base}/whip/{stream_name}"

    @property
    def websdk(self) -> str:
        """The WebSDK's URL, as the product printed it."""
        match = re.search(r"^WebSDK +(ws://\S+)$", self.log(), re.MULTILINE)
        assert match, self.log()
        return match[1]

    def log(self) -> str:
        return self.program.text()

    def zygotes(self) -> list[int]:
        """pids of the process that relays are forked from: a child of the product, one but for moments."""
        top = self.program.process.pid
        ours = self.program.processes()
        return [pid for pid, command in ours.items() if "zygote" in command and _parent(pid) == top]

    def relays(self) -> list[int]:
        """pids of the relay processes: what the zygote has forked."""
        zygotes = self.zygotes()
        return [pid for pid in self.program.processes() if _parent(pid) in zygotes]

    async def until_relays(self, good: Callable[[list[int]], bool], timeout: float = 10) -> list[int]:
        deadline = time.monotonic() + timeout
        while not good(relays := self.relays()):
            assert time.monotonic() < deadline, f"relays after {timeout} s: {relays}"
            await asyncio.sleep(0.05)
        return relays

    async def stop(self) -> None:
        """Ctrl-C: ends in order with exit code 0, and nothing of it lives on."""
        await self.rest.close()
        try:
            code = await self.program.end(signal.SIGINT, END_SECONDS)
            left = await self.program.none_left(2)
        finally:
            await self.program.destroy()
        assert code == 0, f"exit code {code}\n{self.log()}"
        assert not left, f"processes left: {left}"


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    except OSError:
        return 0


async def start_product(
    folder: Path, *options: str, port: int | None = None, environment: Mapping[str, str] | None = None
) -> Product:
    """Start the product with its data in `folder`/data; back once it answers /healthz.

    `environment`: more variables.
    """
    port = port or free_port()
    data, sounds = folder / "data", folder / "sounds"
    sounds.mkdir(parents=True, exist_ok=True)
    command = [str(TRANSPONDER), "local", "--data", str(data), "--host", "127.0.0.1", "--http-port", str(port)]
    command += ["--ws-port", "0", "--sounds", str(sounds), "--media-address", "127.0.0.1", *options]
    program = await Program.start(command, folder / "product.log", clean_environment(folder, environment), folder)
    product = Product(program, Rest(f"http://127.0.0.1:{port}"), data, sounds, f"http://127.0.0.1:{port}")
    try:
        await _until_healthy(product)
    except BaseException:
        await product.rest.close()
        await program.destroy()
        raise
    return product


async def _until_healthy(product: Product) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert product.program.running, f"the product ended at once:\n{product.log()}"
        try:
            if (await product.rest.request("GET", "/healthz")).status == 200:
                return
        except aiohttp.ClientError:
            pass
        assert time.monotonic() < deadline, f"no /healthz within {START_SECONDS} s:\n{product.log()}"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running_product(
    folder: Path, *options: str, port: int | None = None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Product]:
    """The product for the length of the block; ends it by Ctrl-C if the block has not."""
    product = await start_product(folder, *options, port=port, environment=environment)
    try:
        yield product
        if product.program.running:
            await product.stop()
    finally:
        await product.rest.close()
        await product.program.destroy()
