"""What every request passes before it reaches a route (plain ASGI)."""

import asyncio
import logging
from collections.abc import Callable, Set

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transponder_api.bearer import Token
from transponder_api.errors import (
    ApiError,
    BodyTooLarge,
    InternalError,
    RequestTimeout,
    Unauthorized,
    error_response,
)

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/healthz", "/openapi.json"})
"""They tell nothing that needs a token."""


class UnexpectedErrors:
    """Turns what no one foresaw into a 500 that tells the caller nothing, and one log entry."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def observed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, observed)
        except Exception:
            if scope["type"] != "http" or started:
                raise
            log.exception("a %s request failed", scope["method"])
            await _answer(InternalError("the server failed; its log says why"), scope, receive, send)


class Leaving:
    """Once `leaving` says so, connections end with their next answer: clients then come to another server."""

    def __init__(self, app: ASGIApp, leaving: Callable[[], bool]) -> None:
        self.app, self.leaving = app, leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receive, closing if scope["type"] == "http" and self.leaving() else send)


class BearerToken:
    """Wants the token of every request but preflights and open paths."""

    def __init__(self, app: ASGIApp, token: Token, open_paths: Set[str] = OPEN_PATHS) -> None:
        self.app, self.token, self.open_paths = app, token, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "OPTIONS" or scope["path"] in self.open_paths:
            return await self.app(scope, receive, send)
        if not self.token.is_in(Headers(scope=scope).get("authorization", "")):
            error = Unauthorized("Authorization", "must be Bearer and the token", {"WWW-Authenticate": "Bearer"})
            return await _answer(error, scope, receive, send)
        await self.app(scope, receive, send)


class BodyLimit:
    """Reads the body before the route runs, so that a large or slow one costs neither memory nor a half-done call."""

    def __init__(self, app: ASGIApp, limit: int, timeout: float) -> None:
        self.app, self.limit, self.timeout = app, limit, timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            async with asyncio.timeout(self.timeout):
                body = await self._read(Headers(scope=scope), receive)
        except TimeoutError:
            late = RequestTimeout("body", f"must be here within {self.timeout:g} seconds", {"Connection": "close"})
            return await _answer(late, scope, receive, send)
        except ApiError as error:
            return await _answer(error, scope, receive, send)
        if body is not None:
            await self.app(scope, _Replay(body, receive), send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        """None: the caller is gone."""
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self.limit:
            raise self._too_large()
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self.limit:
                raise self._too_large()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> BodyTooLarge:
        # what is left of the body is not read, so the connection is of no more use
        return BodyTooLarge("body", f"must have at most {self.limit} bytes", {"Connection": "close"})


class _Replay:
    """A `receive` that gives a body read before, then what the server says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _answer(error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    await error_response(scope["path"], error)(scope, receive, send)
