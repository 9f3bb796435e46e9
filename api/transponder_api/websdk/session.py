"""One WebSocket: its greeting, its pings, and the end of its streams. Nothing of it is kept elsewhere."""

import asyncio
import logging
import time
from contextlib import suppress
from secrets import token_hex
from typing import Any, NamedTuple

from starlette.websockets import WebSocket, WebSocketDisconnect

from transponder_api.websdk import messages
from transponder_api.websdk.calls import Calls
from transponder_api.websdk.limits import Throttle
from transponder_api.websdk.messages import Call, Connection, InvalidCall, parse_argument, parse_call
from transponder_api.websdk.outbox import Outbox
from transponder_api.websdk.services import Services, cancelled

log = logging.getLogger(__name__)


class Close(NamedTuple):
    """How the server ends a WebSocket (RFC 6455 section 7.4)."""

    code: int
    reason: str


class Session:
    """Run it once, on an accepted WebSocket."""

    def __init__(self, websocket: WebSocket, services: Services) -> None:
        self._websocket, self._services = websocket, services
        self._limits = services.limits
        self._outbox = Outbox()
        self._calls = Calls(services, self._outbox)
        self._connected = asyncio.Event()
        self._unanswered = 0

    async def run(self) -> None:
        """Until one side ends it. Then its streams are over."""
        with self._services.metrics.websdk_sessions.track_inprogress():
            await self._run()

    async def _run(self) -> None:
        courses = (self._read(), self._write(), self._watch_outbox(), self._keep_alive())
        parts = [asyncio.create_task(course) for course in courses]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancelled(*parts)
            await self._calls.end()
        closes = [part.result() for part in done]
        if None not in closes:  # else the client has ended it
            await self._close(closes[0])

    # ------------------------------------------------------------------------------------------ its parts

    async def _read(self) -> Close | None:
        throttle = Throttle(self._limits.message_rate, self._limits.message_burst, time.monotonic())
        while True:
            frame = await self._websocket.receive()
            if frame["type"] == "websocket.disconnect":
                return None
            text = frame.get("text")
            delay = throttle.delay(len(text or frame.get("bytes") or ""), time.monotonic())
            if delay:
                await asyncio.sleep(delay)
            call = parse_call(text) if text else None
            close = self._handle(call) if call else None
            if close is not None:
                return close

    def _handle(self, call: Call) -> Close | None:
        """Nothing that is called waits: a slow call must not keep pongs from being read."""
        try:
            match call.name:
                case "connection":
                    return self._on_connection(call.argument)
                case "pong":
                    self._unanswered = 0
                case _:
                    self._calls.handle(call)
        except Exception:
            log.exception("%s failed", call.name[:32])
        return None

    async def _write(self) -> None:
        with suppress(WebSocketDisconnect):
            while True:
                await self._websocket.send_text(await self._outbox.take())

    async def _watch_outbox(self) -> Close:
        await self._outbox.overflow.wait()
        return Close(1008, "messages are not being read")

    async def _keep_alive(self) -> Close:
        try:
            async with asyncio.timeout(self._limits.connection):
                await self._connected.wait()
        except TimeoutError:
            return Close(1008, "connection was expected")
        while True:
            await asyncio.sleep(self._services.settings.keep_alive_interval)
            if self._unanswered >= self._services.settings.keep_alive_probes:
                return Close(1001, "pings are not being answered")
            self._unanswered += 1
            self._outbox.put(messages.PING)

    async def _close(self, close: Close | None) -> None:
        if close is None:
            return
        log.info("a session was ended: %s", close.reason)
        try:
            async with asyncio.timeout(self._limits.send):
                await self._websocket.close(close.code, close.reason)
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            pass  # the transport is closed when this returns

    # ------------------------------------------------------------------------------------------ the greeting

    def _on_connection(self, argument: Any) -> Close | None:
        if self._connected.is_set():  # a second getUserData would make pages publish twice
            return None
        try:
            wish = parse_argument(Connection, argument)
        except InvalidCall as error:
            return Close(1008, str(error))
        if not self._allowed(wish):
            return Close(1008, "authToken must be the token of this server")
        self._connected.set()
        self._calls.ready = True
        self._outbox.put(messages.user_data(wish.app_key, token_hex(16)))
        return None

    def _allowed(self, wish: Connection) -> bool:
        token = self._services.token
        given = wish.auth_token.get_secret_value() if wish.auth_token else ""
        return token is None or token.equals(given.encode())
