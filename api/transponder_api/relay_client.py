"""The API's words to a relay: offers to answer, players to follow and to end, stream events, figures."""

import re
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from transponder_crd.control import (
    HEARTBEAT_SECONDS,
    Answer,
    Offer,
    PlayerEvent,
    PlayOffer,
    Refusal,
    RelayReport,
    StreamEvent,
)
from transponder_crd.relay_host import RelayAddress

M = TypeVar("M", bound=BaseModel)

PLAYER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
IDLE_SECONDS = 5.0
"""How long a connection is kept for the next call: relays come and go."""
LINE_BUFFER = 1 << 20
"""Bytes of a line of events that may be read ahead."""


class RelayUnreachable(Exception):
    """No answer, or none that a relay gives. The text holds no address and no token."""


class OfferRefused(Exception):
    """The relay does not take this offer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.field}: {refusal.rule}")
        self.field, self.rule = refusal.field, refusal.rule


class NothingToPlay(Exception):
    """Nothing is being published at this relay."""


class RelayBusy(Exception):
    """The relay has as many players as it takes."""


class NoSuchPlayer(Exception):
    """The relay knows no player of that id, or no longer."""


class RelayClient:
    """Use it as a context manager within a running event loop. All calls raise RelayUnreachable; a `timeout` is in
    seconds."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            trust_env=False,  # relays are in the same cluster or machine: a proxy must not see their tokens
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def offer(self, address: RelayAddress, offer: Offer, timeout: float) -> Answer:
        """Raises OfferRefused."""
        status, body = await self._call("POST", address, "/offer", offer, timeout)
        if status == 400:
            raise OfferRefused(_parse(Refusal, body))
        return _parse(Answer, _expect(200, status, body))

    async def report(self, address: RelayAddress, timeout: float) -> RelayReport:
        """How the relay is now."""
        return _parse(RelayReport, _expect(200, *await self._call("GET", address, "/report", None, timeout)))

    async def play(self, address: RelayAddress, offer: PlayOffer, timeout: float) -> Answer:
        """Raises OfferRefused, NothingToPlay, RelayBusy."""
        status, body = await self._call("POST", address, "/players", offer, timeout)
        if status == 400:
            raise OfferRefused(_parse(Refusal, body))
        if status == 409:
            raise NothingToPlay
        if status == 503:
            raise RelayBusy
        return _parse(Answer, _expect(200, status, body))

    async def stop_player(self, address: RelayAddress, player_id: str, timeout: float) -> None:
        """Raises NoSuchPlayer."""
        status, body = await self._call("DELETE", address, _player_path(player_id), None, timeout)
        if status == 404:
            raise NoSuchPlayer
        _expect(204, status, body)

    async def send_event(self, address: RelayAddress, event: StreamEvent, timeout: float) -> None:
        """Hand the event to all players of the relay."""
        _expect(204, *await self._call("POST", address, "/stream-events", event, timeout))

    async def player_events(self, address: RelayAddress, player_id: str) -> AsyncGenerator[PlayerEvent, None]:
        """What the relay says of that player, until it ends it. Raises NoSuchPlayer."""
        # the relay sends an empty line now and then, so that its silence means that it is gone
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=3 * HEARTBEAT_SECONDS)
        try:
            async with self._request("GET", address, _player_path(player_id), None, timeout) as response:
                if response.status == 404:
                    raise NoSuchPlayer
                _expect(200, response.status)
                async for line in response.content:
                    if line.strip():
                        yield _parse(PlayerEvent, line)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:  # ValueError: a line beyond all bounds
            raise RelayUnreachable(f"the relay was lost: {type(error).__name__}") from None

    async def _call(
        self, method: str, address: RelayAddress, path: str, message: BaseModel | None, timeout: float
    ) -> tuple[int, bytes]:
        try:
            limit = aiohttp.ClientTimeout(total=timeout)
            async with self._request(method, address, path, message, limit) as response:
                return response.status, await response.read()
        except TimeoutError:
            raise RelayUnreachable("the relay did not answer in time") from None
        except aiohttp.ClientError as error:
            raise RelayUnreachable(f"the relay cannot be reached: {type(error).__name__}") from None

    def _request(
        self,
        method: str,
        address: RelayAddress,
        path: str,
        message: BaseModel | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.client._RequestContextManager:
        if self._session is None:
            raise RelayUnreachable("the API is not started")
        return self._session.request(
            method,
            f"{address.url}{path}",
            data=None if message is None else message.model_dump_json(),
            headers={"Authorization": f"Bearer {address.token}", "Content-Type": "application/json"},
            timeout=timeout,
            allow_redirects=False,
            read_bufsize=LINE_BUFFER,
        )


def _player_path(player_id: str) -> str:
    """Raises NoSuchPlayer for what can be no id: it comes from a URL that anyone may write."""
    if not PLAYER_ID.fullmatch(player_id):
        raise NoSuchPlayer
    return f"/players/{player_id}"


def _expect(wanted: int, status: int, body: bytes = b"") -> bytes:
    if status != wanted:
        raise RelayUnreachable(f"the relay answered with status {status}")
    return body


def _parse(kind: type[M], body: bytes) -> M:
    try:
        return kind.model_validate_json(body)
    except ValidationError:
        raise RelayUnreachable(f"the relay's answer is no {kind.__name__}") from None
