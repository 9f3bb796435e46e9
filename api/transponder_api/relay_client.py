"""The API's one word to a relay: here is an offer, answer it."""

from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from transponder_crd.control import Answer, Offer, Refusal
from transponder_crd.relay_host import RelayAddress

M = TypeVar("M", bound=BaseModel)


class RelayUnreachable(Exception):
    """No answer, or none that a relay gives. The text holds no address and no token."""


class OfferRefused(Exception):
    """The relay does not take this offer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.field}: {refusal.rule}")
        self.field, self.rule = refusal.field, refusal.rule


class RelayClient:
    """Use it as a context manager within a running event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # relays are in the same cluster or machine: a proxy of the environment must not see their tokens
        self._session = aiohttp.ClientSession(trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def offer(self, address: RelayAddress, offer: Offer, timeout: float) -> Answer:
        """Raises OfferRefused, RelayUnreachable; `timeout` is in seconds."""
        status, body = await self._post(address, offer, timeout)
        if status == 200:
            return _parse(Answer, body)
        if status == 400:
            raise OfferRefused(_parse(Refusal, body))
        raise RelayUnreachable(f"the relay answered with status {status}")

    async def _post(self, address: RelayAddress, offer: Offer, timeout: float) -> tuple[int, bytes]:
        if self._session is None:
            raise RelayUnreachable("the API is not started")
        try:
            async with self._session.post(
                f"{address.url}/offer",
                data=offer.model_dump_json(),
                headers={"Authorization": f"Bearer {address.token}", "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,
            ) as response:
                return response.status, await response.read()
        except TimeoutError:
            raise RelayUnreachable("the relay did not answer in time") from None
        except aiohttp.ClientError as error:
            raise RelayUnreachable(f"the relay cannot be reached: {type(error).__name__}") from None


def _parse(kind: type[M], body: bytes) -> M:
    try:
        return kind.model_validate_json(body)
    except ValidationError:
        raise RelayUnreachable(f"the relay's answer is no {kind.__name__}") from None
