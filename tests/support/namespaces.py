"""Network namespaces: machines of their own inside this one, with no way out.

with namespaces("node", "browser") as (node, browser):
    node.run("ip", "link", ...)
    with browser:                       # sockets made here belong to it, wherever they are used
        sock = socket.socket(...)
"""

import ctypes
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """Why none can be made here."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "iptables", "ip6tables") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    name = f"try-{uuid.uuid4().hex[:8]}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return None if tried.returncode == 0 else "network namespaces cannot be made"


class Namespace:
    def __init__(self, name: str) -> None:
        self.name = name
        self._outside = -1

    def run(self, *command: str) -> None:
        subprocess.run(["ip", "netns", "exec", self.name, *command], check=True, capture_output=True, timeout=20)

    def __enter__(self) -> Self:
        """For this thread, and for what does not switch tasks but to itself."""
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        inside = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(inside)
        finally:
            os.close(inside)
        return self

    def __exit__(self, *_: object) -> None:
        _enter(self._outside)
        os.close(self._outside)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def namespaces(*names: str) -> Iterator[list[Namespace]]:
    """One for each name, gone at the end with all that is in it."""
    with ExitStack() as stack:
        made = []
        for name in names:
            unique = f"{name}-{uuid.uuid4().hex[:8]}"
            subprocess.run(["ip", "netns", "add", unique], check=True, capture_output=True)
            stack.callback(subprocess.run, ["ip", "netns", "del", unique], check=True, capture_output=True)
            made.append(Namespace(unique))
            made[-1].run("ip", "link", "set", "lo", "up")
        yield made


def wire(one: Namespace, one_addresses: list[str], other: Namespace, other_addresses: list[str]) -> None:
    """A cable between two of them, with these addresses (`address/prefix`) at its ends."""
    ends = [f"v{uuid.uuid4().hex[:10]}" for _ in range(2)]
    one.run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", other.name)
    for end, namespace, addresses in zip(ends, (one, other), (one_addresses, other_addresses), strict=True):
        for address in addresses:
            no_detection = ["nodad"] if ":" in address else []
            namespace.run("ip", "address", "add", address, "dev", end, *no_detection)
        namespace.run("ip", "link", "set", end, "up")
