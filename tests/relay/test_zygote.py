"""The zygote as its host sees it: real processes, real sockets."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

TOKEN = "zygote-test-token"


class Host:
    """What the child-process host does, reduced to the protocol."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "transponder_relay.zygote"]
            self.process = subprocess.Popen(command, stdin=theirs.fileno())
        self.socket.settimeout(10)
        self.lines = self.socket.makefile("rb")
        assert self.next() == {"ready": True}

    def next(self) -> dict[str, Any]:
        return json.loads(self.lines.readline())

    def start(self, instance: str) -> tuple[int, str, int]:
        """pid, base URL of the control port, read end of the log."""
        listener = socket.create_server(("127.0.0.1", 0))
        log_read, log_write = os.pipe()
        settings = {"instance": instance, "streamName": "s", "token": TOKEN}
        request = json.dumps({"start": instance, "settings": settings}).encode() + b"\n"
        socket.send_fds(self.socket, [request], [listener.fileno(), log_write])
        started = self.next()
        assert started["started"] == instance
        port = listener.getsockname()[1]
        listener.close()
        os.close(log_write)
        return started["pid"], f"http://127.0.0.1:{port}", log_read

    def close(self) -> None:
        self.lines.close()
        self.socket.close()
        self.process.wait(10)


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


def get(url: str, token: str = TOKEN) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - a URL of our own
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def gone(pid: int, log: int) -> bool:
    """The relay's end of its log pipe closes when it ends, whoever its parent is by then."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        readable, _, _ = select.select([log], [], [], 1)
        if readable and os.read(log, 65536) == b"":
            return True
    return False


def test_a_started_relay_serves_its_control_port_and_ends_on_sigterm(host: Host) -> None:
    pid, url, log = host.start("r1")
    assert get(url + "/healthz", token="") == (200, b"ok\n")
    assert get(url + "/observed", token="wrong")[0] == 401
    assert b"transponder_ingest_received_packets_total 0.0" in get(url + "/metrics")[1]
    os.kill(pid, signal.SIGTERM)
    assert host.next() == {"exited": "r1", "pid": pid, "status": 0}
    os.close(log)


def test_a_killed_relay_is_reported_and_others_live_on(host: Host) -> None:
    first, _, first_log = host.start("r1")
    _, url, second_log = host.start("r2")
    os.kill(first, signal.SIGKILL)
    assert host.next() == {"exited": "r1", "pid": first, "status": -signal.SIGKILL}
    assert get(url + "/readyz", token="")[0] == 200
    os.close(first_log)
    os.close(second_log)


def test_relays_end_when_the_host_is_gone(host: Host) -> None:
    pid, _, log = host.start("r1")
    host.socket.shutdown(socket.SHUT_RDWR)
    assert gone(pid, log)
    assert host.process.wait(10) == 0
    os.close(log)


def test_relays_end_when_the_zygote_is_killed(host: Host) -> None:
    pid, url, log = host.start("r1")
    assert get(url + "/healthz", token="")[0] == 200
    host.process.kill()
    assert gone(pid, log)
    os.close(log)


def test_the_token_is_in_no_command_line_and_no_log(host: Host) -> None:
    pid, url, log = host.start("r1")
    get(url + "/healthz", token="")
    with open(f"/proc/{pid}/cmdline", "rb") as command_line:
        assert TOKEN.encode() not in command_line.read()
    os.kill(pid, signal.SIGTERM)
    host.next()
    written = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(log, 65536):
            written += chunk
    assert TOKEN.encode() not in written
    os.close(log)
