"""The names of aioice, aiortc and pylibsrtp that webrtc/ice.py, transport.py and srtp.py use and their makers do
not document.

Each test drives the real class; one that fails after an upgrade names what has changed.
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import aioice
import pylibsrtp
import pytest
import uvloop
from aioice import stun
from aioice.ice import Candidate, CandidatePair, Connection, StunProtocol
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport

from transponder_relay.webrtc.ice import IceConnection, MediaProtocol
from transponder_relay.webrtc.settings import TransportSettings
from transponder_relay.webrtc.srtp import unprotect_of
from transponder_relay.webrtc.transport import local_certificate


def arguments(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_what_transport_overrides_has_the_same_arguments() -> None:
    ours = IceConnection
    for name in ("get_component_candidates", "check_incoming", "check_complete", "data_received"):
        assert arguments(getattr(ours, name)) == arguments(getattr(Connection, name)), name
    assert arguments(MediaProtocol.datagram_received) == arguments(StunProtocol.datagram_received)
    assert arguments(MediaProtocol.request) == arguments(StunProtocol.request)
    assert arguments(StunProtocol.__init__) == ["self", "receiver"]


async def test_aioice_calls_what_is_overridden() -> None:
    """A check from outside passes request_received, check_incoming and check_complete, and nominates its pair."""
    called: list[str] = []
    trips: list[float] = []

    class Watched(IceConnection):
        def check_incoming(self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol) -> None:
            called.append("check_incoming")
            assert isinstance(addr, tuple)
            assert len(addr) == 2
            assert "PRIORITY" in message.attributes
            super().check_incoming(message, addr, protocol)

        def check_complete(self, pair: CandidatePair) -> None:
            called.append("check_complete")
            super().check_complete(pair)

    local = Watched(TransportSettings(addresses=("127.0.0.1",)), trips.append)
    remote = aioice.Connection(ice_controlling=True)
    await local.gather_candidates()
    assert [c.host for c in local.local_candidates] == ["127.0.0.1"]
    assert local._protocols
    remote._local_candidates_end = True
    await remote.get_component_candidates(1, ["127.0.0.1"])
    local.remote_username, local.remote_password = remote.local_username, remote.local_password
    remote.remote_username, remote.remote_password = local.local_username, local.local_password
    await remote.add_remote_candidate(local.local_candidates[0])
    await remote.add_remote_candidate(None)
    connecting = asyncio.create_task(local.connect())
    try:
        async with asyncio.timeout(5):
            await remote.connect()
            await local.nominated.wait()
            await connecting
        assert {"check_incoming", "check_complete"} <= set(called)
        assert trips
        assert all(0 < trip < 1 for trip in trips)
        pair = local._nominated[1]
        assert isinstance(pair, CandidatePair)
        assert pair.protocol in local._protocols
        assert pair.remote_addr in local.admitted
        assert not pair.protocol.transport.is_closing()
    finally:
        await local.close()
        await remote.close()
    assert await local.get_event() is None, "closed"


async def test_end_of_candidates_is_never_assumed() -> None:
    """Without it, connect() goes on waiting for checks from addresses that nobody told."""
    trips: list[float] = []
    local = IceConnection(TransportSettings(addresses=("127.0.0.1",)), trips.append)
    await local.gather_candidates()
    local.remote_username, local.remote_password = "abcd", "p" * 22
    connecting = asyncio.create_task(local.connect())
    done, _ = await asyncio.wait([connecting], timeout=0.3)
    assert not done
    await local.close()
    with pytest.raises(ConnectionError):
        await connecting


class Pipe:
    """What RTCDtlsTransport uses of RTCIceTransport: role, _recv and _send."""

    role = "controlled"

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.other: Pipe = self

    async def _recv(self) -> bytes:
        data = await self.queue.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        self.other.queue.put_nowait(data)


async def test_dtls_needs_three_names_of_its_transport_and_gives_srtp_sessions() -> None:
    a, b = Pipe(), Pipe()
    a.other, b.other = b, a
    certificates = [RTCCertificate.generateCertificate() for _ in range(2)]
    client = RTCDtlsTransport(a, [certificates[0]])  # type: ignore[arg-type]
    server = RTCDtlsTransport(b, [certificates[1]])  # type: ignore[arg-type]
    client._set_role("client")
    server._set_role("server")
    states: list[str] = []
    server.on("statechange", lambda: states.append(server.state))
    await asyncio.gather(client.start(server.getLocalParameters()), server.start(client.getLocalParameters()))
    assert (client.state, server.state) == ("connected", "connected")
    for sending, receiving in ((client, server), (server, client)):
        assert isinstance(sending._tx_srtp, pylibsrtp.Session)
        rtp = b"\x80\x60" + bytes(10) + b"media"
        assert receiving._rx_srtp.unprotect(sending._tx_srtp.protect(rtp)) == rtp
        assert len(sending._tx_srtp.protect(rtp)) > len(rtp), "a packet may be sent twice"
        report = b"\x80\xc9\x00\x01" + bytes(4)
        assert receiving._rx_srtp.unprotect_rtcp(sending._tx_srtp.protect_rtcp(report)) == report
        with pytest.raises(pylibsrtp.Error):
            receiving._rx_srtp.unprotect(rtp + bytes(16))
        with pytest.raises(ValueError, match="too long"):
            receiving._rx_srtp.unprotect(bytes(1501))
        with pytest.raises(ValueError, match="too long"):
            sending._tx_srtp.protect_rtcp(report + bytes(1500))
    ended = asyncio.Event()
    server.on("statechange", ended.set)
    await client.stop()
    async with asyncio.timeout(5):
        await ended.wait()
    assert states[-1] == "closed", "close_notify is told"
    await server.stop()


def test_the_short_way_into_libsrtp_does_what_its_session_does() -> None:
    def session(direction: int) -> pylibsrtp.Session:
        profile = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM
        return pylibsrtp.Session(pylibsrtp.Policy(key=bytes(range(44)), ssrc_type=direction, srtp_profile=profile))

    sending, receiving = session(pylibsrtp.Policy.SSRC_ANY_OUTBOUND), session(pylibsrtp.Policy.SSRC_ANY_INBOUND)
    unprotect = unprotect_of(receiving)
    for number, size in enumerate((1000, 0, 3, 1200)):
        rtp = b"\x80\x60" + number.to_bytes(2) + bytes(8) + bytes([number]) * size
        protected = sending.protect(rtp)
        assert unprotect(protected) == rtp
        with pytest.raises(pylibsrtp.Error):
            unprotect(protected)  # replayed
    with pytest.raises(pylibsrtp.Error):
        unprotect(b"\x80\x60\x00\x09" + bytes(40))
    with pytest.raises(ValueError, match="too long"):
        unprotect(bytes(1501))


async def test_dtls_refuses_a_certificate_that_was_not_announced() -> None:
    a, b = Pipe(), Pipe()
    a.other, b.other = b, a
    client = RTCDtlsTransport(a, [RTCCertificate.generateCertificate()])  # type: ignore[arg-type]
    server = RTCDtlsTransport(b, [RTCCertificate.generateCertificate()])  # type: ignore[arg-type]
    client._set_role("client")
    server._set_role("server")
    wrong = RTCDtlsParameters(fingerprints=[RTCDtlsFingerprint("sha-256", ":".join(["00"] * 32))])
    await asyncio.gather(client.start(server.getLocalParameters()), server.start(wrong))
    assert server.state == "failed"
    await client.stop()
    await server.stop()


def test_names_that_are_only_read() -> None:
    connection = aioice.Connection(ice_controlling=False)
    assert connection._nominated == {}
    assert connection._protocols == []
    assert connection.remote_username is None
    for name in ("host", "port", "priority", "foundation"):
        assert name in arguments(Candidate.__init__)
    assert arguments(aioice.ice.get_host_addresses) == ["use_ipv4", "use_ipv6"]
    assert aioice.candidate.candidate_priority(1, "host", 65535) == 2130706431


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_socket_tells_what_waits_to_be_sent(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """asyncio's type for datagram sockets does not have it, both loops do."""

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        endpoint: Any = (await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0)))[0]
        assert endpoint.get_write_buffer_size() == 0
        endpoint.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ask())


def test_the_certificate_is_kept_and_announced() -> None:
    first = local_certificate()
    assert local_certificate() is first
    assert {f.algorithm for f in first.getFingerprints()} >= {"sha-256"}
    assert first.expires
