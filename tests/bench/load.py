"""Publishers without encoders: `python -m bench.load WHIP_URL NUMBER` until standard input ends; {name} in the URL.

Prints "connected", and at the end one JSON object: stream name → {"post": monotonic seconds of the WHIP POST, "sent":
[[CRC32 of a picture's slices, monotonic seconds after its last packet], …]}. Streams are named s0, s1, …
"""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack

from support.clip import clip
from support.whip_sender import WhipSender

RAMP = 0.2
"""Seconds between two publishers, so that their keyframes do not coincide."""


async def publish(url: str, number: int) -> dict[str, object]:
    media = clip(width=1280, height=720, bitrate="2500k")
    posts: dict[str, float] = {}
    senders: dict[str, WhipSender] = {}
    async with AsyncExitStack() as stack:
        for name in (f"s{i}" for i in range(number)):
            senders[name] = await stack.enter_async_context(WhipSender(media))
            posts[name] = time.monotonic()
            await senders[name].start(url.replace("{name}", name))
            await asyncio.sleep(RAMP)
        print("connected", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    return {
        name: {"post": posts[name], "sent": [(p.crc, p.time) for p in sender.sent]} for name, sender in senders.items()
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(publish(sys.argv[1], int(sys.argv[2])))))
