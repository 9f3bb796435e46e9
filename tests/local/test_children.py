"""Relays as real child processes of a real zygote."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.control_port import until

from transponder_crd.control import RelayReport
from transponder_crd.relay_host import RelayAddress
from transponder_local import children, liveness
from transponder_local.children import ChildRelays, how_it_ended, restart_delay
from transponder_relay.settings import RelaySettings


class Host(ChildRelays):
    def __init__(self) -> None:
        self.woken: list[str] = []
        super().__init__(RelaySettings(instance="", stream_name="", token=""), self.woken.append)

    async def ready(self, stream_name: str = "demo") -> RelayAddress:
        await self.ensure(stream_name, [])
        await until(lambda: self._relays[stream_name].address is not None, 10)
        address = await self.address(stream_name)
        assert address is not None
        return address

    def pid(self, stream_name: str = "demo") -> int:
        process = self._relays[stream_name].process
        assert process is not None
        return process.pid

    def zygote_pid(self) -> int:
        assert self._zygote is not None
        return self._zygote._process.pid


@pytest.fixture
async def host(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    monkeypatch.setattr(children, "FIRST_RESTART_SECONDS", 0.05)
    host = Host()
    yield host
    await host.close()


def alive(pid: int) -> bool:
    """A process that ended but that nobody has asked about yet is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def observed(address: RelayAddress) -> RelayReport:
    """The first report; it shows that the relay serves."""
    headers = {"Authorization": f"Bearer {address.token}"}
    async with aiohttp.ClientSession() as client, client.get(f"{address.url}/observed", headers=headers) as response:
        return RelayReport.model_validate_json(await response.content.readline())


async def test_a_relay_starts_once_serves_and_ends(host: Host) -> None:
    assert await host.ensure("demo", []) is None
    address = await host.ready()
    assert host.woken == ["demo"]
    assert await host.ensure("demo", []) == address
    assert (await observed(address)).instance == address.instance
    assert address.token not in repr(address)
    pid = host.pid()
    await host.delete("demo")
    assert not alive(pid)
    assert await host.address("demo") is None
    await host.delete("demo")


async def test_a_killed_relay_is_replaced_by_another_instance(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    first = await host.ready()
    await host.ready("other")
    other = host.pid("other")
    host.woken.clear()
    os.kill(host.pid(), signal.SIGKILL)
    await until(lambda: host.woken == ["demo", "demo"])  # it ended; a new one is ready
    second = await host.ready()
    assert second.instance != first.instance
    assert (await observed(second)).instance == second.instance
    assert alive(other)
    assert "relay was ended by SIGKILL; a new one in" in caplog.text


async def test_a_killed_zygote_is_replaced_and_so_are_its_relays(host: Host) -> None:
    first = await host.ready()
    pid, zygote = host.pid(), host.zygote_pid()
    host.woken.clear()
    os.kill(zygote, signal.SIGKILL)
    await until(lambda: len(host.woken) >= 2, 15)
    second = await host.ready()
    assert second.instance != first.instance
    assert host.zygote_pid() != zygote
    assert not alive(pid)
    assert (await observed(second)).instance == second.instance


async def test_a_relay_that_hangs_is_killed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transponder_local.zygote.GRACE_SECONDS", 0.2)
    await observed(await host.ready())
    pid = host.pid()
    os.kill(pid, signal.SIGSTOP)
    await host.delete("demo")
    assert not alive(pid)


async def test_a_relay_that_does_not_answer_is_replaced(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(liveness, "PROBE_SECONDS", 0.02)
    monkeypatch.setattr(liveness, "ANSWER_SECONDS", 0.2)
    first = await host.ready()
    await observed(first)
    pid = host.pid()
    await asyncio.sleep(0.1)  # some probes that are answered
    assert host.pid() == pid
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: "was ended by SIGKILL" in caplog.text)
    assert not alive(pid)
    assert (await observed(await host.ready())).instance != first.instance
    assert "stream demo: relay hangs" in caplog.text


async def test_close_leaves_nothing(host: Host) -> None:
    for name in ("a", "b", "c"):
        await observed(await host.ready(name))
    pids = [host.pid(name) for name in ("a", "b", "c")] + [host.zygote_pid()]
    await host.close()
    assert not any(alive(pid) for pid in pids)


async def test_kill_ends_all_at_once(host: Host) -> None:
    await observed(await host.ready())
    pids = [host.pid(), host.zygote_pid()]
    host.kill()
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_deletion_during_the_start_leaves_nothing(host: Host) -> None:
    await host.prepare()
    await host.ensure("demo", [])
    await asyncio.sleep(0)
    await host.delete("demo")
    zygote = host.zygote_pid()

    def childless() -> bool:
        with open(f"/proc/{zygote}/task/{zygote}/children") as children:
            return not children.read().split()

    await until(childless, 8)


def test_delays_double_up_to_a_limit() -> None:
    assert [restart_delay(n) for n in (1, 2, 3, 5, 6, 100)] == [1.0, 2.0, 4.0, 16.0, 30.0, 30.0]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, "ended with its zygote"),
        (1, "ended with code 1"),
        (-9, "was ended by SIGKILL"),
        (-64, "was ended by SIG"),
    ],
)
def test_ends_in_words(status: int | None, words: str) -> None:
    assert how_it_ended(status).startswith(words)


async def test_a_relay_that_is_ended_while_it_starts_harms_no_other(host: Host) -> None:
    await observed(await host.ready("other"))
    other = host.pid("other")
    for _ in range(30):
        while await host.ensure("demo", []) is None:  # noqa: ASYNC110 - as often as the loop can
            await asyncio.sleep(0)
        await asyncio.wait_for(host.delete("demo"), 4)  # a signal that got lost takes the whole grace
    assert alive(other)
