"""Which ports media takes."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from transponder_relay.webrtc.sockets import PUBLISHER_PORTS, bind_host, player_ports, udp_socket


@pytest.fixture
def block() -> tuple[int, int]:
    """Four UDP ports that are free for IPv4 and IPv6."""
    for first in range(42000, 60000, 7):
        with ExitStack() as held:
            try:
                for port in range(first, first + 4):
                    held.enter_context(udp_socket("0.0.0.0", (port, port)))
                    held.enter_context(udp_socket("::", (port, port)))
            except OSError:
                continue
            return first, first + 3
    raise AssertionError("no four free ports in a row")


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def test_publishers_take_the_ports_that_players_may_not(block: tuple[int, int], held: ExitStack) -> None:
    first, last = block
    publishers = {port_of(held.enter_context(udp_socket("0.0.0.0", block))) for _ in range(2)}
    assert publishers == {first, first + 1}
    assert player_ports(block) == (first + 2, last)
    assert port_of(held.enter_context(udp_socket("0.0.0.0", block))) in (first + 2, last), "a third one finds its place"


def test_a_full_audience_leaves_room_for_a_publisher_and_the_next(block: tuple[int, int], held: ExitStack) -> None:
    players = player_ports(block)
    for _ in range(2):
        held.enter_context(udp_socket("0.0.0.0", players))
    with pytest.raises(OSError, match=rf"all ports of {block[0] + 2}-{block[1]} are in use"):
        udp_socket("0.0.0.0", players)
    for _ in range(PUBLISHER_PORTS):
        held.enter_context(udp_socket("0.0.0.0", block))
    with pytest.raises(OSError, match="all ports"):
        udp_socket("0.0.0.0", block)


def test_ipv4_and_ipv6_do_not_take_each_others_ports(block: tuple[int, int], held: ExitStack) -> None:
    for host in ("0.0.0.0", "::"):
        assert len({port_of(held.enter_context(udp_socket(host, block))) for _ in range(4)}) == 4


@pytest.mark.parametrize(("ports", "players"), [((5, 5), (5, 5)), ((5, 6), (6, 6)), ((5, 7), (7, 7)), (None, None)])
def test_a_small_range_still_has_a_port_for_players(
    ports: tuple[int, int] | None, players: tuple[int, int] | None
) -> None:
    assert player_ports(ports) == players


def test_where_to_bind() -> None:
    assert bind_host("127.0.0.1") == "127.0.0.1"
    assert bind_host("::1") == "::1"
    assert bind_host("203.0.113.7") == "0.0.0.0"
    assert bind_host("2001:db8::7") == "::"
    assert bind_host("127.0.0.1", outer=True) == "0.0.0.0"
    assert bind_host("::1", outer=True) == "::"


def test_an_error_that_is_not_about_a_port_is_told_as_it_is() -> None:
    with pytest.raises(OSError, match="Cannot assign"):
        udp_socket("203.0.113.7", (50000, 50001))
