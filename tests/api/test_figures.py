"""Bitrate and pictures a second in the answers of `find`: of the relay, never kept."""

import time
from typing import Any

import pytest
from support.api import INSTANCE, Api

from transponder_crd.control import OutputReport, OutputState, OutputStatistics, RelayReport
from transponder_crd.resource import RtmpTransponder, TransponderPhase

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def live(api: Api, phase: TransponderPhase = TransponderPhase.LIVE) -> str:
    """The id of a transponder in that phase, whose relay tells 2.5 Mbit/s."""
    id_: str = (await api.startup())["mediaSessionId"]
    item = await api.transponder(id_)
    await api.settled(item)

    def in_phase(now: RtmpTransponder) -> RtmpTransponder:
        return now.model_copy(update={"status": now.status.model_copy(update={"phase": phase})})

    await api.store.update_status(in_phase(await api.transponder(id_)))
    statistics = OutputStatistics(bytes_sent=1000, bitrate=2_500_000.4, frame_rate=29.97)
    output = OutputReport(id=id_, generation=1, state=OutputState.LIVE, statistics=statistics)
    api.relay.report = RelayReport(instance=INSTANCE, outputs=[output])
    return id_


def figures(answer: Any) -> tuple[Any, Any]:
    return answer["bitrate"], answer["fps"]


async def test_a_live_one_has_what_its_relay_tells(api: Api) -> None:
    id_ = await live(api)
    versions = [item.metadata.resource_version for item in (await api.stored())[0]]
    assert figures(await api.found(id_)) == (2_500_000, 30.0)
    for path in ("find", "find_all"):
        (by_get,) = (await api.request("GET", f"/rest-api/push/{path}")).body
        assert figures(by_get) == (2_500_000, 30.0)
    assert [item.metadata.resource_version for item in (await api.stored())[0]] == versions, "nothing was written"


@pytest.mark.parametrize("phase", [TransponderPhase.WAITING_FOR_PUBLISHER, TransponderPhase.RECONNECTING])
async def test_others_have_none(api: Api, phase: TransponderPhase) -> None:
    assert figures(await api.found(await live(api, phase))) == (None, None)


async def test_a_relay_that_cannot_tell_harms_nothing(api: Api) -> None:
    id_ = await live(api)
    api.relay.report = None
    assert figures(await api.found(id_)) == (None, None)
    api.relay.silent = True
    began = time.monotonic()
    assert figures(await api.found(id_)) == (None, None)
    assert time.monotonic() - began < 3
    api.directory.instance = None
    assert figures(await api.found(id_)) == (None, None)


async def test_a_list_of_very_many_live_streams_asks_no_relay(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = await live(api)
    monkeypatch.setattr("transponder_api.figures.MOST_RELAYS", 0)
    assert figures(await api.found(id_)) == (None, None)
