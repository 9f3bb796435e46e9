"""The client of relays' control ports: desired states in, the latest report of each relay kept."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp

from transponder_crd.control import HEARTBEAT_SECONDS, DesiredRelay, IngestStatistics, OutputStatistics, RelayReport
from transponder_crd.relay_host import RelayAddress
from transponder_crd.tasks import happens
from transponder_operator.work_queue import TransientError

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 3 * HEARTBEAT_SECONDS
"""A relay that says nothing for so long is not there."""

PUT_SECONDS = 5.0
IDLE_SECONDS = 5.0
"""How long a connection is kept for the next desired state."""
CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = (0.05, 0.2, 1.0, 2.0, 5.0)
"""Delays between attempts to hear a relay again; the last one stays."""

FIRST_REPORT_SECONDS = 1.0
"""How long one may be waited for."""

MAX_REPORT_BYTES = 1 << 20


class RelayError(TransientError):
    """A relay did not take its desired state; the text names the relay, never its token."""


@dataclass(slots=True)
class _Link:
    address: RelayAddress
    report: RelayReport | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    tried: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """There was a report, or the first attempt to get one failed."""


class Relays:
    """Follows one relay for each stream. `on_change(stream name)` is called when a report changed in more than numbers,
    and when a relay fell silent. An async context manager: at its end nothing is followed any more."""

    def __init__(self, on_change: Callable[[str], None], silence_seconds: float = SILENCE_SECONDS) -> None:
        self._on_change = on_change
        self._silence_seconds = silence_seconds
        self._links: dict[str, _Link] = {}
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(
            trust_env=False,  # relays are reached directly, whatever proxy the environment names
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS),
            read_bufsize=MAX_REPORT_BYTES // 2,  # aiohttp takes lines of twice as much
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [link.task for link in self._links.values() if link.task]
        for stream_name in list(self._links):
            self.unfollow(stream_name)
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client:
            await self._client.close()
            self._client = None

    def _http(self) -> aiohttp.ClientSession:
        if self._client is None:
            raise RuntimeError("Relays is used outside its context")
        return self._client

    async def put_desired(self, address: RelayAddress, desired: DesiredRelay) -> None:
        """Returns once the relay has taken it. Raises RelayError."""
        try:
            async with self._http().put(
                f"{address.url}/desired",
                data=desired.model_dump_json(),
                headers={**_bearer(address), "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=PUT_SECONDS),
            ) as response:
                if response.status != 204:
                    raise RelayError(f"{address.instance} answered {response.status} to its desired state")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RelayError(f"{address.instance} did not take its desired state: {_cause(error)}") from None

    def follow(self, stream_name: str, address: RelayAddress) -> None:
        """Hear the relay at `address` for this stream, and no other. Called again with the same address: no change."""
        link = self._links.get(stream_name)
        if link and link.address == address:
            return
        self.unfollow(stream_name)
        link = self._links[stream_name] = _Link(address)
        link.task = asyncio.create_task(self._hear(stream_name, link), name=f"follow {address.instance}")

    def unfollow(self, stream_name: str) -> None:
        link = self._links.pop(stream_name, None)
        if link and link.task:
            link.task.cancel()

    def report(self, stream_name: str) -> RelayReport | None:
        """The latest report of the relay that is followed; None before the first, and while it is silent."""
        link = self._links.get(stream_name)
        return link.report if link else None

    async def first_report(self, stream_name: str) -> None:
        """Wait a moment for the first report of the relay that is followed; returns at once if it came long ago, or if
        it cannot be got."""
        if link := self._links.get(stream_name):
            await happens(link.tried, within=FIRST_REPORT_SECONDS)
            link.tried.set()

    async def _hear(self, stream_name: str, link: _Link) -> None:
        failures = 0
        while True:
            heard = await self._read_reports(stream_name, link)
            link.tried.set()
            failures = 0 if heard else failures + 1
            # One broken connection is made again in no time. Only a relay that cannot be heard then is silent.
            if failures and link.report:
                link.report = None
                logger.warning("relay %s: silent", link.address.instance)
            self._on_change(stream_name)  # the host may have another relay by now
            await asyncio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)])

    async def _read_reports(self, stream_name: str, link: _Link) -> bool:
        """Take reports until the connection ends or falls silent. Whether there was any."""
        heard = False
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=self._silence_seconds)
        url = f"{link.address.url}/observed"
        try:
            async with self._http().get(url, headers=_bearer(link.address), timeout=timeout) as response:
                response.raise_for_status()
                async for line in response.content:
                    report = RelayReport.model_validate_json(line)
                    if report.instance != link.address.instance:
                        return False
                    self._take(stream_name, link, report)
                    heard = True
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            logger.debug("relay %s: %s", link.address.instance, _cause(error))
        return heard

    def _take(self, stream_name: str, link: _Link, report: RelayReport) -> None:
        old, link.report = link.report, report
        link.tried.set()
        if old is None or without_statistics(old) != without_statistics(report):
            self._on_change(stream_name)


def without_statistics(report: RelayReport) -> RelayReport:
    """The report with its counters at 0: equal for two reports between which nothing happened but media."""
    outputs = [output.model_copy(update={"statistics": OutputStatistics()}) for output in report.outputs]
    return report.model_copy(update={"ingest": IngestStatistics(), "outputs": outputs})


def _bearer(address: RelayAddress) -> dict[str, str]:
    return {"Authorization": f"Bearer {address.token}"}


def _cause(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, ValueError) else str(error) or type(error).__name__
