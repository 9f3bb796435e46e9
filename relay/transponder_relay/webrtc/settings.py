"""What a WebRTC session of either direction is told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransportSettings:
    addresses: tuple[str, ...] = ()
    """IP addresses to offer; empty: every local address and 127.0.0.1, IPv4 first. One that is not of this machine is
    taken for the outer side of a 1:1 NAT that keeps the port; several of them share one socket for each family."""
    nat: bool = False
    """Every given address is such an outer one, also where it looks like one of this machine (127.0.0.1 in a pod)."""
    port_range: tuple[int, int] | None = None
    """First and last UDP port; None: any free port."""
    connect_timeout: float = 15.0
    """Seconds from the answer to the end of the DTLS handshake."""
