"""What comes and goes around a destination: its name, its certificate, a server that says yes and hangs up."""

import asyncio
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trustme
from support.nginx_rtmp import until
from support.outputs import QUICK, Containing, connected, failed_with, reaches
from support.rtmp_server import Behaviour, rtmp_server
from support.tags import clip, feed

from transponder_crd.control import OutputReason, OutputState, ReconnectPolicy
from transponder_relay.media import VideoTag
from transponder_relay.outputs.backoff import Backoff
from transponder_relay.outputs.output import Output


class FlappingName:
    """`socket.getaddrinfo` for a name that exists, or does not, as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exists = True
        self.asked = 0
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: int, **more: Any) -> list[Any]:
        if host != "flapping.invalid":
            return list(self._real(host, port, **more))
        self.asked += 1
        if not self.exists:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return list(self._real("127.0.0.1", port, **more))


async def test_a_name_that_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    name = FlappingName(monkeypatch)
    name.exists = False
    async with rtmp_server() as server, connected(server.target(host="flapping.invalid")) as (output, _):
        for _ in range(2):
            await reaches(output, OutputState.RETRYING)
            await until(lambda asked=name.asked: name.asked >= asked + 2)  # type: ignore[misc]
            assert output.report().reason is OutputReason.UNREACHABLE
            name.exists = True
            await reaches(output, OutputState.LIVE)
            assert output.report().reason is None
            await feed([output], clip()[:5])
            asked, name.exists = name.asked, False
            await feed([output], clip()[5:20])
            assert output.report().state is OutputState.LIVE, "a live connection needs no name"
            assert name.asked == asked
            server.reset_all()
        await reaches(output, OutputState.RETRYING)
    assert len(server.sessions) == 2


async def test_a_certificate_that_has_expired(tmp_path: Path) -> None:
    authority = trustme.CA()
    past = datetime.now(UTC) - timedelta(days=1)
    certificate = authority.issue_cert("127.0.0.1", not_before=past - timedelta(days=1), not_after=past)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    async with rtmp_server(tls=context) as server:
        reason, message = await failed_with(server.target(), replace(QUICK, ca_file=ca_file))
    assert (reason, message) == (OutputReason.TLS_INVALID, Containing("expired"))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What outputs wait between their attempts, s."""
    taken: list[float] = []
    failed = Backoff.failed

    def noting(backoff: Backoff) -> float | None:
        delay = failed(backoff)
        taken.append(delay or 0.0)
        return delay

    monkeypatch.setattr(Backoff, "failed", noting)
    return taken


async def test_attempts_become_rarer_while_a_server_says_yes_and_hangs_up(waits: list[float]) -> None:
    """Each time it is live for a moment: that is no progress, and the wait doubles all the same."""
    policy = ReconnectPolicy(initial_seconds=0.1, max_seconds=60)

    async def feed_for_ever(output: Output) -> None:
        keyframe = next(tag for tag in clip() if isinstance(tag, VideoTag))
        await feed([output], [replace(keyframe, time=33 * number) for number in range(3000)], speed=1)

    async with rtmp_server(Behaviour.RESET) as server, connected(server.target(), policy=policy) as (output, events):
        feeding = asyncio.create_task(feed_for_ever(output))
        try:
            await until(lambda: len(server.sessions) == 5, 20)
        finally:
            feeding.cancel()
        assert events.changes >= 8, "live each time"
    assert len(waits) >= 4
    assert all(after > 1.2 * before for before, after in pairwise(waits)), waits


async def test_the_wait_begins_anew_after_real_progress(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    """Five seconds live with more than 4 KiB taken: here a tenth of a second, so that the test is short."""
    monkeypatch.setattr("transponder_relay.outputs.backoff.PROGRESS_SECONDS", 0.1)
    policy = ReconnectPolicy(initial_seconds=0.1, max_seconds=60)
    async with (
        rtmp_server(Behaviour.REFUSE_PUBLISH) as server,
        connected(server.target(), policy=policy) as (output, _),
    ):
        await until(lambda: len(waits) >= 3)
        server.behaviour = Behaviour.GOOD
        await reaches(output, OutputState.LIVE)
        await feed([output], clip(), speed=2)
        assert waits[-1] > 0.3
        attempts = len(waits)
        server.reset_all()
        await until(lambda: len(waits) > attempts)
        assert waits[attempts] < 0.2
