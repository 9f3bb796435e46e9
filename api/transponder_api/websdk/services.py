"""What a session needs of the rest of the API, and the race that every stream of it is."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from transponder_api.bearer import Token
from transponder_api.metrics import Metrics
from transponder_api.players import Players
from transponder_api.settings import ApiSettings
from transponder_api.streams import Streams
from transponder_api.transponders import Transponders
from transponder_api.watching import Watched
from transponder_api.websdk.limits import Limits
from transponder_api.websdk.messages import Status
from transponder_crd.resource import RtmpTransponder, Stream


@dataclass(frozen=True)
class Services:
    settings: ApiSettings
    token: Token | None
    metrics: Metrics
    limits: Limits
    streams: Streams
    transponders: Transponders
    players: Players
    watched_streams: Watched[Stream]
    watched_transponders: Watched[RtmpTransponder]


class Ending(NamedTuple):
    """The last status of a stream."""

    status: Status
    info: str


async def unless(stopped: asyncio.Event, work: Coroutine[Any, Any, Ending], otherwise: Ending) -> Ending:
    """The ending that `work` comes to; `otherwise` as soon as `stopped` is set, and `work` is then cancelled."""
    waiting = asyncio.create_task(stopped.wait())
    working = asyncio.create_task(work)
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return otherwise if stopped.is_set() else working.result()
    finally:
        await cancelled(waiting, working)


@asynccontextmanager
async def alongside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` runs for the length of the block at most. It must not raise."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await cancelled(task)


async def cancelled(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel the tasks and return when they have ended, whatever they ended with."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
