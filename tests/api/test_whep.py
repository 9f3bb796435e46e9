"""Playing in the style of WHEP, against a relay's control port."""

import json
from typing import Any

import pytest
from support.api import ANSWER, Api
from yarl import URL

from transponder_api.ice import ice_tag

pytestmark = pytest.mark.asyncio(loop_scope="module")

SDP = {"Content-Type": "application/sdp"}
OFFER = "\r\n".join(
    [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "m=video 9 UDP/TLS/RTP/SAVPF 102",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuvwx",
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
        "a=setup:actpass",
        "a=recvonly",
        "a=rtpmap:102 H264/90000",
        "",
    ]
)
FRAGMENT = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=end-of-candidates\r\n"
SDPFRAG = "application/trickle-ice-sdpfrag"


async def play(api: Api, name: str = "demo", offer: str = OFFER) -> Any:
    url = URL(f"{api.base}/whep/{name}", encoded=True)
    async with api.session.post(url, data=offer.encode(), headers=SDP) as response:
        return response.status, response.headers.copy(), await response.text()


async def test_post_creates_a_session(api: Api) -> None:
    status, headers, text = await play(api)
    assert (status, text, headers["Content-Type"]) == (201, ANSWER, "application/sdp")
    assert headers["ETag"] == f'"{ice_tag(OFFER)}"'
    empty, _, player_id, name = headers["Location"].split("/")
    assert (empty, name) == ("", "demo")
    assert headers["Location"].startswith("/whep-session/")
    ended = await api.request("DELETE", headers["Location"])
    assert (ended.status, ended.text) == (200, "")
    assert api.relay.stopped_players == [player_id]
    assert await api.stored() == ([], [], []), "playing stores nothing"


async def test_ids_of_players_cannot_be_guessed(api: Api) -> None:
    first, second = [(await play(api))[1]["Location"] for _ in range(2)]
    assert first != second
    assert len(first.split("/")[2]) == 48


@pytest.mark.parametrize("name", ["a/b/c", "key%3Fds=1%26a=2", "%D0%BA%D0%BB%D1%8E%D1%87", "a%2Fb", "100%25"])
async def test_any_stream_name_comes_back_in_the_location(api: Api, name: str) -> None:
    _, headers, _ = await play(api, name)
    url = URL(api.base + headers["Location"], encoded=True)
    async with api.session.delete(url) as response:
        assert response.status == 200
    assert len(api.relay.stopped_players) == 1


@pytest.mark.parametrize(
    ("reply", "status", "field"),
    [
        ((409, json.dumps({"field": "streamName", "rule": "must be published"})), 404, "streamName"),
        ((400, json.dumps({"field": "sdp.media[0]", "rule": "must offer H264"})), 422, "sdp.media[0]"),
        ((503, "full"), 503, None),
        ((500, ""), 503, None),
        ((200, "nonsense"), 503, None),
    ],
)
async def test_what_the_relay_refuses(api: Api, reply: tuple[int, str], status: int, field: str | None) -> None:
    api.relay.reply = reply
    got, headers, text = await play(api)
    assert (got, json.loads(text).get("field")) == (status, field)
    assert "Location" not in headers
    assert status != 503 or int(headers["Retry-After"]) > 0


async def test_404_without_a_relay(api: Api) -> None:
    api.directory.instance = None
    assert (await play(api))[0] == 404
    assert (await api.request("DELETE", f"/whep-session/{'a' * 48}/demo")).status == 404


@pytest.mark.parametrize(
    ("body", "headers", "status", "field"),
    [
        (b"", SDP, 400, "sdp"),
        (OFFER.encode() + b"\xff", SDP, 400, "sdp"),
        (OFFER.replace("recvonly", "sendonly").encode(), SDP, 422, "sdp.media"),
        (OFFER.replace("H264", "VP8").encode(), SDP, 422, "sdp.media"),
        (OFFER.encode() + b"a=x\r\n" * 14_000, SDP, 413, "body"),
        (OFFER.encode(), {"Content-Type": "text/plain"}, 415, "Content-Type"),
    ],
)
async def test_bad_offers(api: Api, body: bytes, headers: dict[str, str], status: int, field: str) -> None:
    answer = await api.request("POST", "/whep/demo", data=body, headers=headers)
    assert (answer.status, answer.body["field"]) == (status, field)


@pytest.mark.parametrize("name", ["", "a%20b", "a" * 256, "a%00b"])
async def test_bad_names(api: Api, name: str) -> None:
    status, _, text = await play(api, name)
    assert (status, json.loads(text)["field"]) == (400, "streamName")


@pytest.mark.parametrize("player_id", ["a%20b", "..%2F..%2Fdesired", "a" * 65, "%D0%BA"])
async def test_what_can_be_no_id_does_not_reach_the_relay(api: Api, player_id: str) -> None:
    async with api.session.delete(URL(f"{api.base}/whep-session/{player_id}/demo", encoded=True)) as response:
        assert response.status == 404
    assert api.relay.stopped_players == []


@pytest.mark.parametrize(
    ("body", "content_type", "if_match", "status"),
    [
        (FRAGMENT, SDPFRAG, None, 428),
        (FRAGMENT, SDPFRAG, '"other"', 412),
        (FRAGMENT, SDPFRAG, "*", 204),
        (FRAGMENT, SDPFRAG, f'"{ice_tag(OFFER)}"', 204),
        (FRAGMENT.replace("abcd", "efgh"), SDPFRAG, "*", 422),
        ("nonsense", SDPFRAG, "*", 400),
        (FRAGMENT, "text/plain", "*", 415),
    ],
)
async def test_patch(api: Api, body: str, content_type: str, if_match: str | None, status: int) -> None:
    """As at a WHIP session: trickle ICE is served, ICE restarts are not."""
    location = (await play(api))[1]["Location"]
    headers = {"Content-Type": content_type} | ({} if if_match is None else {"If-Match": if_match})
    answer = await api.request("PATCH", location, data=body, headers=headers)
    assert answer.status == status
    assert "ETag" not in answer.headers
    assert (await api.request("DELETE", location)).status == 200


async def test_other_methods(api: Api) -> None:
    for method in ("GET", "HEAD"):
        answer = await api.request(method, "/whep/demo")
        assert (answer.status, answer.text, answer.headers["Content-Type"]) == (200, "", "application/sdp")
    location = (await play(api))[1]["Location"]
    assert (await api.request("GET", location)).status == 204
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await api.request(method, "/whep/demo")).headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    for method in ("PUT", "POST"):
        assert (await api.request(method, location)).status == 405


async def test_options_and_cors(api: Api) -> None:
    plain = await api.request("OPTIONS", "/whep/demo")
    assert (plain.status, plain.headers["Accept-Post"]) == (200, "application/sdp")
    headers = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    preflight = await api.request("OPTIONS", "/whep/demo", headers=headers)
    assert (preflight.status, preflight.headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert preflight.headers["Accept-Post"] == "application/sdp"
    headers["Access-Control-Request-Method"] = "PATCH"
    assert (await api.request("OPTIONS", "/whep-session/x/demo", headers=headers)).status == 200


async def test_openapi_tells_of_it(api: Api) -> None:
    paths = (await api.request("GET", "/openapi.json")).body["paths"]
    assert set(paths["/whep/{stream_name}"]["post"]["responses"]) == {"201", "400", "404", "413", "415", "422", "503"}
    assert {"delete", "patch"} <= set(paths["/whep-session/{player_id}/{stream_name}"])
    assert set(paths["/rest-api/push/mute"]["post"]["responses"]).isdisjoint({"422"})
