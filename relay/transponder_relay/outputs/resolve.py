"""Host names to addresses, so that a name server that does not answer harms nobody else."""

import asyncio
import ipaddress
import socket
import threading
from typing import TypeAlias

AddressInfo: TypeAlias = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


async def resolve(host: str, port: int) -> list[AddressInfo]:
    """As `socket.getaddrinfo` for TCP. Raises OSError (socket.gaierror). May be cancelled at any time."""
    if _is_address(host):
        return _look_up(host, port, socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[AddressInfo]] = loop.create_future()

    def settle(addresses: list[AddressInfo], error: OSError | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def work() -> None:
        addresses: list[AddressInfo] = []
        error = None
        try:
            addresses = _look_up(host, port)
        except (OSError, UnicodeError) as problem:
            error = problem if isinstance(problem, OSError) else OSError("not a host name")
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, addresses, error)

    # A thread of its own: in a shared pool a few names that hang would hold up all others, and the end of the program.
    threading.Thread(target=work, name="resolve", daemon=True).start()
    return await found


def _look_up(host: str, port: int, flags: int = 0) -> list[AddressInfo]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
