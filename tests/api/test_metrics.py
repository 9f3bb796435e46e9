"""What Prometheus is told: routes and outcomes are counted, and no label holds what a caller wrote."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.api import Api
from support.websdk import OFFER, PLAY_OFFER, running_websdk

from transponder_api.health import Health, create_health_app
from transponder_api.server import Door, bind, serving_all

pytestmark = pytest.mark.asyncio(loop_scope="module")

SDP = {"Content-Type": "application/sdp"}


def value(api: Api, name: str, **labels: str) -> float:
    return api.app.state.metrics.registry.get_sample_value(f"transponder_api_{name}", labels) or 0


async def test_requests_by_route_method_and_status(api: Api) -> None:
    route = "/whip/{stream_name:path}"
    before = value(api, "requests_total", method="POST", route=route, status="2xx")
    for name in ("geheim1", "geheim2/x"):
        assert (await api.request("POST", f"/whip/{name}", data=OFFER.encode(), headers=SDP)).status == 201
    assert (await api.request("POST", "/whip/geheim3", data=b"")).status == 415
    assert value(api, "requests_total", method="POST", route=route, status="2xx") == before + 2
    assert value(api, "requests_total", method="POST", route=route, status="4xx") >= 1
    assert value(api, "request_seconds_count", method="POST", route=route) >= before + 3
    assert value(api, "request_seconds_sum", method="POST", route=route) > 0


async def test_what_became_of_offers(api: Api) -> None:
    def outcomes(kind: str) -> dict[str, float]:
        names = ("answered", "conflict", "unprocessable_entity", "not_found", "service_unavailable", "error")
        return {name: value(api, "offers_total", kind=kind, outcome=name) for name in names}

    before = outcomes("publish")
    for _ in range(2):
        await api.request("POST", "/whip/demo", data=OFFER.encode(), headers=SDP)
    assert outcomes("publish") == before | {"answered": before["answered"] + 1, "conflict": before["conflict"] + 1}
    assert value(api, "offer_seconds_count", kind="publish") == before["answered"] + 1
    before = outcomes("play")
    api.relay.reply = (409, "")
    assert (await api.request("POST", "/whep/demo", data=PLAY_OFFER.encode(), headers=SDP)).status == 404
    assert outcomes("play") == before | {"not_found": before["not_found"] + 1}


async def test_labels_hold_nothing_of_a_caller(api: Api) -> None:
    for method, path in (("GET", "/geheim"), ("PROPFIND", "/healthz"), ("DELETE", "/whip-session/geheim?geheim")):
        await api.request(method, path)
    await api.startup("geheim", "rtmp://geheim.example/geheim")
    text = generate_latest(api.app.state.metrics.registry).decode()
    assert "geheim" not in text.lower()
    assert value(api, "requests_total", method="GET", route="none", status="4xx") >= 1
    assert value(api, "requests_total", method="other", route="/healthz", status="4xx") >= 1


async def test_sessions_of_the_websdk_and_their_streams(tmp_path: Path) -> None:
    async with running_websdk(tmp_path) as server:
        metrics = server.api.app.state.metrics

        def live() -> tuple[float, float, float]:
            kinds = (value(server.api, "websdk_streams", kind=kind) for kind in ("publish", "play"))
            return value(server.api, "websdk_sessions"), *kinds  # type: ignore[return-value]

        assert (live(), metrics.live_streams()) == ((0, 0, 0), 0)
        async with server.client() as client:
            await server.publishing(client, "one", "stream")
            assert (live(), metrics.live_streams()) == ((1, 1, 0), 1)
            await client.unpublish("one")
            await client.status("one")
            assert live() == (1, 0, 0)
        await server.until(lambda: live() == (0, 0, 0))


async def test_the_port_of_metrics_and_probes(api: Api) -> None:
    health = Health("the control key")
    listener = bind("127.0.0.1", 0)
    base = "http://{}:{}".format(*listener.getsockname())

    async def get(path: str) -> tuple[int, str]:
        async with api.session.get(base + path) as answer:
            return answer.status, await answer.text()

    async with serving_all([Door(create_health_app(health, api.app.state.metrics.registry), listener)]):
        assert await get("/healthz") == (200, "ok\n")
        assert await get("/readyz") == (503, "not ready: the control key\n")
        health.waiting_for = ""
        assert await get("/readyz") == (200, "ok\n")
        status, text = await get("/metrics")
        families: dict[str, Any] = {family.name: family for family in text_string_to_metric_families(text)}
    assert status == 200
    assert {"transponder_api_requests", "transponder_api_offers", "transponder_api_websdk_sessions"} <= families.keys()
    with pytest.raises(aiohttp.ClientError):
        await get("/healthz")
