"""Servers that refuse, are not there, or show a certificate that is not theirs."""

import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support.outputs import FAST, GOOD, QUICK, Containing, certificates, connected, failed_with, reaches
from support.processes import free_port
from support.rtmp_server import Behaviour, Server, rtmp_server
from support.tags import clip, feed

from transponder_crd.control import OutputReason, OutputState
from transponder_relay.outputs.chunks import MessageType


@pytest.mark.parametrize(
    ("behaviour", "reason", "words"),
    [
        (Behaviour.REFUSE_CONNECT, OutputReason.REFUSED, "NetConnection.Connect.Rejected"),
        (Behaviour.REFUSE_PUBLISH, OutputReason.BAD_STREAM_KEY, "NetStream.Publish.BadName"),
        (Behaviour.CLOSE_AFTER_PUBLISH, OutputReason.CLOSED_BY_SERVER, "publish"),
        (Behaviour.CLOSE_AT_ONCE, OutputReason.CLOSED_BY_SERVER, "handshake"),
        (Behaviour.SILENT, OutputReason.TIMEOUT, "handshake"),
        (Behaviour.SILENT_AFTER_HANDSHAKE, OutputReason.TIMEOUT, "connect"),
        (Behaviour.NOT_RTMP, OutputReason.PROTOCOL_ERROR, "does not speak RTMP"),
    ],
)
async def test_refusals(behaviour: Behaviour, reason: OutputReason, words: str) -> None:
    async with rtmp_server(behaviour) as server:
        assert await failed_with(server.target()) == (reason, Containing(words))


async def test_nobody_listens() -> None:
    target = Server(GOOD, free_port()).target()
    assert await failed_with(target) == (OutputReason.UNREACHABLE, "connection refused")


async def test_the_name_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    target = Server(GOOD, 1935).target(host="nowhere.invalid")
    assert await failed_with(target) == (OutputReason.UNREACHABLE, "the host name does not resolve")


async def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(10) and [])
    try:
        target = Server(GOOD, 1935).target(host="slow.invalid")
        settings = replace(QUICK, resolve_timeout=0.2)
        assert await failed_with(target, settings) == (OutputReason.UNREACHABLE, "the name server did not answer")
    finally:
        release.set()


async def test_all_addresses_of_a_name_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    async with rtmp_server() as server:

        def two(_host: str, port: int, **more: int) -> list[object]:
            return [*real("127.0.0.99", port, **more), *real("127.0.0.1", port, **more)]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        async with connected(server.target(host="two.invalid")) as (output, _):
            await reaches(output, OutputState.LIVE)
            assert output.report().reconnects == 0


async def test_given_up_after_the_last_attempt() -> None:
    async with rtmp_server(Behaviour.REFUSE_PUBLISH) as server:
        policy = FAST.model_copy(update={"max_attempts": 3})
        async with connected(server.target(), policy=policy) as (output, events):
            await reaches(output, OutputState.FAILED)
            assert len(server.sessions) == output.report().reconnects == 3
            assert output.report().reason is OutputReason.BAD_STREAM_KEY
            assert events.changes == 3  # connecting, retrying, failed: attempts are counted, not told
            output.publisher_gone()
            server.behaviour = GOOD
            output.publisher_connected()
            await reaches(output, OutputState.LIVE)
            assert output.report().reason is None


# ------------------------------------------------------------------------------------------------ TLS


async def test_rtmps(tmp_path: Path) -> None:
    tls, ca_file = certificates(tmp_path)
    async with rtmp_server(tls=tls) as server:
        async with connected(server.target(), replace(QUICK, ca_file=ca_file)) as (output, _):
            await reaches(output, OutputState.LIVE)
            await feed([output], clip())
            (session,) = server.sessions
            await server.until(lambda: len(session.media(MessageType.VIDEO)) == 91)
        await server.until(lambda: session.closed)
        assert session.names()[-1] == "deleteStream"


async def test_a_certificate_of_an_unknown_authority(tmp_path: Path) -> None:
    tls, _ = certificates(tmp_path)
    async with rtmp_server(tls=tls) as server:
        reason, message = await failed_with(server.target())
    assert reason is OutputReason.TLS_INVALID
    assert "certificate" in message
    assert server.sessions == []


async def test_a_certificate_of_another_host(tmp_path: Path) -> None:
    tls, ca_file = certificates(tmp_path, "example.org")
    async with rtmp_server(tls=tls) as server:
        reason, message = await failed_with(server.target(), replace(QUICK, ca_file=ca_file))
    assert (reason, message) == (OutputReason.TLS_INVALID, Containing("mismatch"))


async def test_tls_to_a_server_without_it() -> None:
    async with rtmp_server(Behaviour.NOT_RTMP) as server:
        server.tls = True
        reason, _ = await failed_with(server.target())
    assert reason is OutputReason.TLS_INVALID


async def test_a_server_that_is_silent_in_the_tls_handshake() -> None:
    async with rtmp_server(Behaviour.SILENT) as server:
        server.tls = True
        reason, message = await failed_with(server.target())
    assert (reason, message) == (OutputReason.TIMEOUT, Containing("TLS handshake"))


async def test_a_file_of_authorities_that_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    for prepare in (lambda: None, lambda: broken.write_text("no certificate")):
        prepare()
        target = Server(GOOD, 1, tls=True).target()
        reason, _ = await failed_with(target, replace(QUICK, ca_file=broken))
        assert reason is OutputReason.TLS_INVALID
