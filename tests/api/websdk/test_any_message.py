"""Any JSON, in any order, of any size: never a crash, never a hung session, never a stream left behind."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.websdk import OFFER, WebSdkClient, WebSdkServer, running_websdk

from transponder_api.websdk.app import MAX_MESSAGE
from transponder_api.websdk.limits import Limits
from transponder_crd.resource import StreamPhase

IDS = ("id-1", "id-2")
NAMES = ("one", "two")
FINAL = {"FAILED", "UNPUBLISHED", "STOPPED"}
CALLS = [
    *("connection", "pong", "ping", "publishStream", "unPublishStream", "playStream", "stopStream"),
    *("availableStream", "sendStreamEvent", "sendData", "pushLogs", "snapshot", "sessionDebug"),
    *("getUserData", "notifyStreamStatusEvent"),
]


class Phase(NamedTuple):
    """The reconciler writes this of a stream, if there is one."""

    name: str
    phase: StreamPhase


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
arguments = st.fixed_dictionaries(
    {},
    optional={
        "mediaSessionId": st.sampled_from(IDS) | anything,
        "name": st.sampled_from(NAMES) | anything,
        "sdp": st.sampled_from([OFFER, OFFER, OFFER.replace("sendonly", "recvonly"), "v=0", ""]) | anything,
        "rtmpUrl": st.sampled_from(["rtmp://127.0.0.1:9/live", "rtmp://x:y@127.0.0.1/live/key", ""]) | anything,
        "operationId": st.text(max_size=8) | anything,
        "type": st.sampled_from(["data", "audioMuted"]) | anything,
        "payload": anything,
        "appKey": anything,
    },
)
published = st.builds(
    lambda media_session, name: {"mediaSessionId": media_session, "name": name, "sdp": OFFER},
    st.sampled_from(IDS),
    st.sampled_from(NAMES),
)
calls = st.builds(
    lambda name, data: json.dumps({"message": name, "data": data}),
    st.sampled_from(CALLS) | st.text(max_size=8),
    st.lists(published | arguments | anything, max_size=2) | anything,
)
publish = st.builds(lambda argument: json.dumps({"message": "publishStream", "data": [argument]}), published)
sized = st.sampled_from([4096, 70_000, MAX_MESSAGE - 100, MAX_MESSAGE + 1]).map(
    lambda size: json.dumps({"message": "pushLogs", "data": [{"logs": "x" * size}]})
)
phases = st.builds(
    Phase, st.sampled_from(NAMES), st.sampled_from([StreamPhase.CONNECTING, StreamPhase.PUBLISHING, StreamPhase.ENDED])
)
steps = st.lists(
    calls | publish | phases | st.text(max_size=20) | anything.map(json.dumps) | sized | st.binary(max_size=9)
)


class Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


class Running:
    """A server on a loop of its own, since hypothesis runs no coroutines."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def __enter__(self) -> "Running":
        limits = Limits(start=0.5, grace=0.02)
        self.server: WebSdkServer = self.run(self._stack.enter_async_context(running_websdk(self._folder, limits)))
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stack.aclose())
        self._runner.close()

    def run(self, work: Any) -> Any:
        return self._runner.run(work)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("api")) as started:
        yield started


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_any_message_in_any_order(running: Running, sent: list[str | bytes | Phase]) -> None:
    errors = Errors()
    logging.getLogger().addHandler(errors)
    try:
        running.run(_session(running.server, sent))
    finally:
        logging.getLogger().removeHandler(errors)
    assert not errors.texts


async def _session(server: WebSdkServer, sent: list[str | bytes | Phase]) -> None:
    async with server.client() as client:
        too_long = any(isinstance(step, str) and len(step.encode()) > MAX_MESSAGE for step in sent)
        try:
            for step in sent:
                await _take(server, client, step)
            await _answers_all(client, sent)
            assert not too_long
        except ConnectionError:
            assert too_long
            assert await client.closed() == 1009
    for name in NAMES:
        await server.gone(name)
    await server.api.reset()


async def _take(server: WebSdkServer, client: WebSdkClient, step: str | bytes | Phase) -> None:
    if isinstance(step, str):
        await client.socket.send_str(step)
    elif isinstance(step, bytes):
        await client.socket.send_bytes(step)
    elif step.name in await server.names():
        await server.phase(step.name, step.phase)


async def _answers_all(client: WebSdkClient, sent: list[str | bytes | Phase]) -> None:
    """Each stream that was asked for has a last status, once all are ended; then the session still answers."""
    asked = Counter(media_session for step in sent for media_session in _published(step))
    for media_session in IDS:
        await client.unpublish(media_session)
    while any(_finals(client)[media_session] < asked[media_session] for media_session in IDS):
        await client.next()
    await client.call("availableStream", {"mediaSessionId": "probe", "name": "x"})
    while (await client.until("availableStream"))[0]["id"] != "probe":
        pass


def _finals(client: WebSdkClient) -> Counter[str]:
    events = [received.data[0] for received in client.received if received.name == "notifyStreamStatusEvent"]
    return Counter(str(event["mediaSessionId"]) for event in events if event["status"] in FINAL)


def _published(step: str | bytes | Phase) -> Iterator[str]:
    """The id of a call that is to be answered by a status."""
    try:
        call = json.loads(step) if isinstance(step, str) else None
        if call["message"] == "publishStream" and call["data"][0]["mediaSessionId"] in IDS:
            json.dumps(call, allow_nan=False)
            yield call["data"][0]["mediaSessionId"]
    except (ValueError, TypeError, KeyError, IndexError):
        return
