"""Whether a relay process still answers. One that hangs never ends by itself, so its host has to end it."""

import asyncio

PROBE_SECONDS = 10.0
"""Between two probes."""

ANSWER_SECONDS = 5.0
MAX_MISSES = 3
"""Missed in a row: one may be a moment in which the whole machine stood still."""

_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n"


async def until_hung(port: int) -> None:
    """Returns when the relay whose control port this is has missed MAX_MISSES probes in a row."""
    misses = 0
    while misses < MAX_MISSES:
        await asyncio.sleep(PROBE_SECONDS)
        misses = 0 if await _answers(port) else misses + 1


async def _answers(port: int) -> bool:
    writer = None
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_REQUEST)
            return b" 200 " in await reader.readline()
    except (OSError, TimeoutError):
        return False
    finally:
        if writer:
            writer.close()
