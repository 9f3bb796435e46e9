"""Does a destination's host exist? Asked at startup, so that a misspelt host is an error and not an endless retry."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

HostCheck = Callable[[str, float], Awaitable[bool]]

_NO_SUCH_NAME = {socket.EAI_NONAME, socket.EAI_NODATA}


async def host_exists(host: str, timeout: float) -> bool:
    """False only if DNS says for certain that there is no such host; `timeout` is in seconds.

    A name server that is slow or fails must not keep a stream from starting: the relay tries again and again.
    """
    try:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        return True
    except UnicodeError:  # an empty label, or one of more than 63 characters
        return False
    except socket.gaierror as error:
        return error.errno not in _NO_SUCH_NAME
    return True
