"""The client of relays' control ports, against real HTTP servers."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.control_port import TOKEN, ControlPort, until

from transponder_crd.control import (
    DesiredRelay,
    IngestStatistics,
    OutputReport,
    OutputState,
    PublisherReport,
    PublisherState,
    RelayReport,
)
from transponder_crd.relay_host import RelayAddress
from transponder_operator import relays as relays_module
from transponder_operator.relays import RelayError, Relays

SILENCE = 0.2


class Changes(list[str]):
    """Names of streams whose relay changed."""


@pytest.fixture
async def changes() -> Changes:
    return Changes()


@pytest.fixture
async def relays(changes: Changes, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Relays]:
    monkeypatch.setattr(relays_module, "RECONNECT_SECONDS", (0.01, 0.02))
    async with Relays(changes.append, silence_seconds=SILENCE) as relays:
        yield relays


@pytest.fixture
async def port() -> AsyncIterator[ControlPort]:
    async with ControlPort("relay-1") as port:
        yield port


def report(instance: str = "relay-1", **more: object) -> RelayReport:
    return RelayReport.model_validate({"instance": instance, **more})


WAITING = OutputReport(id="t1", generation=1, state=OutputState.WAITING)


async def test_put_desired(relays: Relays, port: ControlPort) -> None:
    desired = DesiredRelay(stream_name="demo")
    await relays.put_desired(port.address, desired)
    assert port.puts == [desired]


async def test_a_refused_put_names_the_relay(relays: Relays, port: ControlPort) -> None:
    port.put_status = 400
    with pytest.raises(RelayError, match="relay-1 answered 400"):
        await relays.put_desired(port.address, DesiredRelay(stream_name="demo"))


async def test_a_put_to_nobody_does_not_show_the_token(relays: Relays) -> None:
    with pytest.raises(RelayError, match="relay-9 did not take its desired state") as caught:
        await relays.put_desired(RelayAddress("relay-9", "http://127.0.0.1:1", TOKEN), DesiredRelay(stream_name="demo"))
    assert TOKEN not in str(caught.value)


async def test_reports_are_kept_and_changes_told(relays: Relays, port: ControlPort, changes: Changes) -> None:
    port.say(report(outputs=[WAITING]))
    relays.follow("demo", port.address)
    await until(lambda: changes == ["demo"])
    assert relays.report("demo") == port.report
    port.say_outputs(state=OutputState.CONNECTING)
    await until(lambda: changes == ["demo", "demo"])


async def test_numbers_alone_are_no_change(relays: Relays, port: ControlPort, changes: Changes) -> None:
    port.say(report(outputs=[WAITING]))
    relays.follow("demo", port.address)
    await until(lambda: changes == ["demo"])
    port.say(report(outputs=[WAITING], ingest=IngestStatistics(bytes_received=10)))
    await until(lambda: relays.report("demo") == port.report)
    assert changes == ["demo"]
    publisher = PublisherReport(id="s1", state=PublisherState.WAITING)
    port.say(report(outputs=[WAITING], publisher=publisher, ingest=IngestStatistics(bytes_received=10)))
    await until(lambda: changes == ["demo", "demo"])


async def test_following_twice_is_once(relays: Relays, port: ControlPort) -> None:
    port.say(report())
    relays.follow("demo", port.address)
    await until(lambda: port.followers == 1)
    relays.follow("demo", port.address)
    await asyncio.sleep(0)
    assert port.follow_count == 1


async def test_a_broken_connection_is_made_again(relays: Relays, port: ControlPort) -> None:
    port.say(report(outputs=[WAITING]))
    relays.follow("demo", port.address)
    await until(lambda: relays.report("demo") is not None)
    port.break_connections()
    await until(lambda: port.follow_count == 2)
    assert relays.report("demo") == port.report


async def test_a_relay_that_falls_silent_has_no_report(relays: Relays, port: ControlPort, changes: Changes) -> None:
    port.say(report())
    relays.follow("demo", port.address)
    await until(lambda: changes == ["demo"])
    port.report = None  # accepts, and says nothing
    await until(lambda: relays.report("demo") is None)
    await until(lambda: len(changes) > 1)
    port.say(report())
    await until(lambda: relays.report("demo") is not None)


async def test_reports_of_another_instance_are_not_taken(relays: Relays, port: ControlPort) -> None:
    port.say(report("relay-2"))
    relays.follow("demo", port.address)
    await until(lambda: port.follow_count > 1)
    assert relays.report("demo") is None


async def test_another_address_takes_the_place_of_the_first(relays: Relays, port: ControlPort) -> None:
    port.say(report())
    relays.follow("demo", port.address)
    await until(lambda: port.followers == 1)
    async with ControlPort("relay-2") as second:
        second.say(report("relay-2"))
        relays.follow("demo", second.address)
        assert relays.report("demo") is None
        await until(lambda: relays.report("demo") == second.report)
        await until(lambda: port.followers == 0)


async def test_unfollow(relays: Relays, port: ControlPort) -> None:
    port.say(report())
    relays.follow("demo", port.address)
    await until(lambda: port.followers == 1)
    relays.unfollow("demo")
    await until(lambda: port.followers == 0)
    assert relays.report("demo") is None
    relays.unfollow("demo")
