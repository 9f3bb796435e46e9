"""The clock of a stream, where its process is held up."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
import uvloop

from transponder_relay.clock import TICK, StreamClock

DATAGRAMS = 200


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        sender.connect(receiver.getsockname())
        yield sender, receiver


def hold_up() -> None:
    """The whole process, longer than the clock waits."""
    time.sleep(TICK + 0.1)


def test_what_came_while_the_process_was_held_up_is_read_before_the_look(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    sender, receiver = sockets
    read: list[bytes] = []
    seen: list[int] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        looked = asyncio.Event()

        def look(_now: float) -> None:
            seen.append(len(read))
            looked.set()

        loop.add_reader(receiver, lambda: read.append(receiver.recv(16)))  # one at a time, as a busy loop does
        clock = StreamClock(look)
        clock.start()
        await looked.wait()
        looked.clear()
        for _ in range(DATAGRAMS):
            sender.send(b"x")
        hold_up()
        await looked.wait()
        clock.stop()
        loop.remove_reader(receiver)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    assert seen == [0, DATAGRAMS]
