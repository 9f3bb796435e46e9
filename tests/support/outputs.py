"""An output in a test: fast settings, its events, and the states it reaches."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import trustme
from support.nginx_rtmp import until
from support.rtmp_server import PASSWORD, USER, Behaviour

from transponder_crd.control import DesiredOutput, OutputReason, OutputState, ReconnectPolicy, RtmpTarget
from transponder_relay.outputs.output import Output, OutputSettings

FAST = ReconnectPolicy(initial_seconds=0.1, max_seconds=0.2)
QUICK = OutputSettings(connect_timeout=0.3, open_timeout=0.5, close_timeout=0.5, hung_after=1.5)
GOOD = Behaviour.GOOD


class Events:
    def __init__(self) -> None:
        self.changes = 0
        self.keyframes_wanted = 0

    def on_change(self) -> None:
        self.changes += 1

    def want_keyframe(self) -> None:
        self.keyframes_wanted += 1


@contextlib.asynccontextmanager
async def connected(
    target: RtmpTarget, settings: OutputSettings = QUICK, policy: ReconnectPolicy = FAST
) -> AsyncIterator[tuple[Output, Events]]:
    """An output that was told that its publisher is there; nothing of it is left at the end."""
    before = asyncio.all_tasks()
    events = Events()
    output = Output(DesiredOutput(id="uid", generation=3, target=target, reconnect=policy), settings, events)
    output.publisher_connected()
    try:
        yield output, events
    finally:
        await output.close()
    mine = {task for task in asyncio.all_tasks() - before if task.get_name().startswith("output")}
    assert not mine


async def reaches(output: Output, state: OutputState, timeout: float = 5.0) -> None:
    await until(lambda: output.report().state is state, timeout)


async def failed_with(target: RtmpTarget, settings: OutputSettings = QUICK) -> tuple[OutputReason | None, str]:
    """Reason and message of the first failed attempt."""
    async with connected(target, settings) as (output, _):
        await reaches(output, OutputState.RETRYING)
        report = output.report()
        assert report.reconnects >= 1
        assert report.message is not None
        for secret in ("key", PASSWORD, USER, "live"):
            assert secret not in report.message
        return report.reason, report.message


class Containing:
    """Equal to any text with these words in it."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.words in other

    def __repr__(self) -> str:
        return f"<... {self.words} ...>"

    __hash__ = None  # type: ignore[assignment]


def certificates(folder: Path, name: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the file of its authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return context, ca_file
