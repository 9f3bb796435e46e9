"""UDP sockets for media: which address and port of this machine a candidate stands for."""

import errno
import random
import socket
from collections.abc import Sequence

from aioice.ice import get_host_addresses

PUBLISHER_PORTS = 2
"""At the start of a range: for a publisher, and for the next one while the sockets of that are being closed."""

SOCKET_BUFFER = 1 << 20
"""Bytes asked of the kernel for each direction: about 2 s of 4 Mbit/s."""

Range = tuple[int, int]
"""First and last port."""


def player_ports(ports: Range | None) -> Range | None:
    """What players may take of a range: an audience must not keep the publisher from coming back."""
    if ports is None:
        return None
    first, last = ports
    return first + min(PUBLISHER_PORTS, last - first), last


def bind_host(address: str, *, outer: bool = False) -> str:
    """Where to bind for a candidate of that address. One that is not of this machine is the outer side of a NAT; all
    of a family share one socket, since the NAT shows its port under each of them. `outer`: it is one in any case."""
    if outer:
        return _everywhere(address)
    if address in ("127.0.0.1", "::1") or address in get_host_addresses(use_ipv4=True, use_ipv6=True):
        return address
    return _everywhere(address)


def _everywhere(address: str) -> str:
    return "::" if ":" in address else "0.0.0.0"


def udp_socket(host: str, ports: Range | None) -> socket.socket:
    """Bound to `host`, at a free port of the range. Raises OSError, which says so when none is free."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if sock.family == socket.AF_INET6:
            # else "::" takes the port of IPv4 too, and a small range is full sooner
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        _bind(sock, host, ports)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, host: str, ports: Range | None) -> None:
    if ports is None:
        sock.bind((host, 0))
        return
    for port in _order(*ports):
        try:
            sock.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return
    first, last = ports
    raise OSError(errno.EADDRINUSE, f"all ports of {first}-{last} are in use")


def _order(first: int, last: int) -> Sequence[int]:
    """At random, but those that players may not take come first."""
    ports = range(first, last + 1)
    own, others = ports[:PUBLISHER_PORTS], ports[PUBLISHER_PORTS:]
    return [*random.sample(own, len(own)), *random.sample(others, len(others))]
