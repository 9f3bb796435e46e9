"""WHIP as RFC 9725 has it, against a relay's control port."""

import asyncio
import json
import re
from typing import Any

import pytest
from support.api import ANSWER, INSTANCE, Api
from yarl import URL

from transponder_api.ice import ice_tag
from transponder_api.metrics import Metrics
from transponder_api.relay_client import RelayClient
from transponder_api.settings import ApiSettings
from transponder_api.streams import Streams
from transponder_crd.meta import ObjectMeta
from transponder_crd.names import stream_object_name
from transponder_crd.relay_host import RelayAddress
from transponder_crd.resource import Stream, StreamPhase, StreamSource, StreamSpec, StreamStatus
from transponder_crd.waiting import wait_for

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
        "a=sendonly",
        "a=rtpmap:102 H264/90000",
        "",
    ]
)


async def publish(api: Api, name: str = "demo", offer: str = OFFER, **headers: str) -> Any:
    return await api.request("POST", f"/whip/{name}", data=offer.encode(), headers=SDP | headers)


async def test_post_creates_a_session(api: Api) -> None:
    """Section 4.2: 201, Location, application/sdp, the answer."""
    answer = await publish(api)
    assert (answer.status, answer.text) == (201, ANSWER)
    assert answer.headers["Content-Type"] == "application/sdp"
    _, (stream,), _ = await api.stored()
    assert answer.headers["Location"] == f"/whip-session/{stream.uid}"
    assert answer.headers["ETag"] == f'"{ice_tag(OFFER)}"'
    assert "Link" not in answer.headers, "no STUN or TURN server, no extension"
    assert (stream.name, stream.spec.name, stream.spec.source) == (stream_object_name("demo"), "demo", "whip")
    (offer,) = api.relay.offers
    assert (offer.publisher_id, offer.sdp) == (stream.uid, OFFER)


async def test_delete_ends_the_session(api: Api) -> None:
    location = (await publish(api)).headers["Location"]
    ended = await api.request("DELETE", location)
    assert (ended.status, ended.text) == (200, "")
    assert await api.stored() == ([], [], [])
    assert (await api.request("DELETE", location)).status == 404
    assert (await publish(api)).status == 201


async def test_delete_of_an_unknown_session(api: Api) -> None:
    _, (location,) = await publish(api), ["/whip-session/00000000-0000-4000-8000-000000000000"]
    assert (await api.request("DELETE", location)).status == 404
    spec = StreamSpec(name="other", source=StreamSource.WEBSDK)
    other = await api.store.create(Stream(metadata=ObjectMeta(name="other"), spec=spec))
    assert (await api.request("DELETE", f"/whip-session/{other.uid}")).status == 404


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/b/c", "a/b/c"), ("key%3Fds=1%26a=2", "key?ds=1&a=2"), ("%D0%BA%D0%BB%D1%8E%D1%87", "ключ"), ("a%2Fb", "a/b")],
)
async def test_any_stream_name_can_be_published(api: Api, path: str, name: str) -> None:
    url = URL(f"{api.base}/whip/{path}", encoded=True)
    async with api.session.post(url, data=OFFER.encode(), headers=SDP) as response:
        assert response.status == 201
    _, (stream,), _ = await api.stored()
    assert stream.spec.name == name


async def test_409_while_the_name_is_published(api: Api) -> None:
    answers = await asyncio.gather(*(publish(api) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]
    assert {a.body["field"] for a in answers if a.status == 409} == {"streamName"}
    assert len(api.relay.offers) == 1


async def test_an_ended_stream_makes_way(api: Api) -> None:
    await publish(api)
    _, (old,), _ = await api.stored()
    ended = old.model_copy(update={"status": StreamStatus(phase=StreamPhase.ENDED)})
    await api.store.update_status(ended)
    again = asyncio.create_task(publish(api))
    await api.push("find_all")  # so that the call above has begun
    assert not again.done()
    await api.store.delete(Stream, old.name)
    assert (await again).status == 201


async def test_409_if_an_ended_stream_stays(impatient_api: Api) -> None:
    api = impatient_api
    await publish(api)
    _, (old,), _ = await api.stored()
    await api.store.update_status(old.model_copy(update={"status": StreamStatus(phase=StreamPhase.ENDED)}))
    assert (await publish(api)).status == 409


def without(line: str) -> str:
    return "".join(kept + "\r\n" for kept in OFFER.split("\r\n")[:-1] if not kept.startswith(line))


SECOND = "m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=sendonly\r\na=rtpmap:102 H264/90000\r\n"

BAD_OFFERS: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("empty", b"", SDP, 400, "sdp"),
    ("not SDP", b"hello", SDP, 400, "sdp"),
    ("not UTF-8", OFFER.encode() + b"\xff", SDP, 400, "sdp"),
    ("no ICE", without("a=ice-ufrag").encode(), SDP, 400, "sdp.ice-ufrag"),
    ("no DTLS", without("a=fingerprint").encode(), SDP, 400, "sdp.fingerprint"),
    ("no codec", OFFER.replace("H264", "VP7").encode(), SDP, 422, "sdp.media"),
    ("receives only", OFFER.replace("sendonly", "recvonly").encode(), SDP, 422, "sdp.media"),
    ("two pictures", (OFFER + SECOND).encode(), SDP, 422, "sdp.media[1]"),
    ("a part of no use", (OFFER + SECOND.replace("video", "audio")).encode(), SDP, 422, "sdp.media[1]"),
    ("huge", OFFER.encode() + b"a=x\r\n" * 14_000, SDP, 413, "body"),
    ("text", OFFER.encode(), {"Content-Type": "text/plain"}, 415, "Content-Type"),
    ("trickle", OFFER.encode(), {"Content-Type": "application/trickle-ice-sdpfrag"}, 415, "Content-Type"),
]


@pytest.mark.parametrize(("case", "body", "headers", "status", "field"), BAD_OFFERS)
async def test_bad_offers(api: Api, case: str, body: bytes, headers: dict[str, str], status: int, field: str) -> None:
    """Section 4.2: 400 malformed, 415 another media type; sections 4.4.2, 4.4.3: 422 if it, or a part of it, is of no
    use."""
    answer = await api.request("POST", "/whip/demo", data=body, headers=headers)
    assert (answer.status, answer.body["field"]) == (status, field)
    assert "Location" not in answer.headers
    assert await api.stored() == ([], [], [])
    assert api.relay.offers == []


async def test_parameters_of_the_content_type_do_not_matter(api: Api) -> None:
    headers = {"Content-Type": "Application/SDP; charset=utf-8"}
    assert (await api.request("POST", "/whip/demo", data=OFFER.encode(), headers=headers)).status == 201


@pytest.mark.parametrize("path", ["/whip/", "/whip/a%20b", "/whip/" + "a" * 256, "/whip/a%00b"])
async def test_bad_names(api: Api, path: str) -> None:
    async with api.session.post(URL(api.base + path, encoded=True), data=OFFER.encode(), headers=SDP) as response:
        assert (response.status, (await response.json())["field"]) == (400, "streamName")


async def test_the_relay_refuses_the_offer(api: Api) -> None:
    api.relay.reply = (400, json.dumps({"field": "sdp.media[0]", "rule": "must be H.264"}))
    answer = await publish(api)
    assert (answer.status, answer.body["message"]) == (422, "sdp.media[0]: must be H.264")
    assert await api.stored() == ([], [], [])


@pytest.mark.parametrize(
    "reply",
    [
        (400, json.dumps({"field": "publisherId", "rule": "must be the publisher that this relay waits for"})),
        (400, "nonsense"),
        (200, "{}"),
        (401, ""),
        (500, ""),
        (302, ""),
    ],
)
async def test_503_if_the_relay_fails(api: Api, reply: tuple[int, str]) -> None:
    api.relay.reply = reply
    answer = await publish(api)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert await api.stored() == ([], [], [])


async def test_503_if_no_relay_comes(impatient_api: Api) -> None:
    impatient_api.statuses.relays_ready = False
    answer = await publish(impatient_api)
    assert (answer.status, answer.body["message"]) == (503, "no relay was ready in time")
    assert int(answer.headers["Retry-After"]) > 0
    assert await impatient_api.stored() == ([], [], [])


async def test_a_publisher_that_has_left_keeps_no_name(api: Api) -> None:
    """It gives up while its relay starts, and tries again: not to be told that the name is in use."""
    api.statuses.relays_ready = False
    posting = asyncio.create_task(publish(api))
    stream = await wait_for(api.store, Stream, stream_object_name("demo"), lambda now: now is not None, 5)
    assert stream
    posting.cancel()
    await asyncio.wait({posting})
    ready = StreamStatus(phase=StreamPhase.READY, relay_pod=INSTANCE)
    await api.store.update_status(stream.model_copy(update={"status": ready}))
    await asyncio.wait_for(api.relay.offered.wait(), 5)
    await wait_for(api.store, Stream, stream.name, lambda now: now is None, 5)


async def test_503_if_the_relay_is_silent(impatient_api: Api) -> None:
    impatient_api.relay.silent = True
    answer = await publish(impatient_api)
    assert (answer.status, answer.body["message"]) == (503, "the relay did not answer in time")
    assert await impatient_api.stored() == ([], [], [])


async def test_503_if_the_relay_cannot_be_reached(api: Api, unused_tcp_port: int) -> None:
    right, api.relay.url = api.relay.url, f"http://127.0.0.1:{unused_tcp_port}"
    answer = await publish(api)
    api.relay.url = right
    assert (answer.status, await api.stored()) == (503, ([], [], []))
    assert str(unused_tcp_port) not in answer.text


@pytest.mark.parametrize("instance", [None, "relay-2"])
async def test_503_if_the_relay_is_another_by_now(api: Api, instance: str | None) -> None:
    api.directory.instance = instance
    assert (await publish(api)).status == 503
    assert await api.stored() == ([], [], [])
    assert api.relay.offers == []


async def test_a_directory_that_hears_of_the_relay_a_moment_later(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cluster pods and Streams are two watches."""
    real, looks = api.directory.address, []

    async def address(stream_name: str) -> RelayAddress | None:
        looks.append(stream_name)
        known = await real(stream_name)
        former = known._replace(instance="relay-before") if known else None
        return (None, former, known)[min(len(looks), 3) - 1]

    monkeypatch.setattr(api.directory, "address", address)
    assert (await publish(api)).status == 201
    assert looks == ["demo"] * 3


async def test_503_if_the_stream_is_ended_meanwhile(api: Api) -> None:
    api.statuses.relays_ready = False
    call = asyncio.create_task(publish(api))
    name = stream_object_name("demo")
    await wait_for(api.store, Stream, name, lambda now: now is not None, 5)
    await api.store.delete(Stream, name)
    assert (await call).status == 503


async def test_the_offer_goes_out_when_the_relay_is_ready(api: Api) -> None:
    api.statuses.relays_ready = False
    call = asyncio.create_task(publish(api))
    stream = await wait_for(api.store, Stream, stream_object_name("demo"), lambda now: now is not None, 5)
    assert stream is not None
    assert api.relay.offers == []
    status = StreamStatus(phase=StreamPhase.READY, relay_pod=INSTANCE)
    await api.store.update_status(stream.model_copy(update={"status": status}))
    assert (await call).status == 201


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_nothing_to_see(api: Api, method: str) -> None:
    """Section 4.1: 2xx without content at endpoints and sessions."""
    answer = await api.request(method, "/whip/demo")
    assert (answer.status, answer.text) == (204, "")
    answer = await api.request(method, (await publish(api)).headers["Location"])
    assert (answer.status, answer.text) == (204, "")
    assert (await api.request(method, "/whip-session/none")).status == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "SEARCH"])
async def test_405_at_the_endpoint(api: Api, method: str) -> None:
    answer = await api.request(method, "/whip/demo")
    assert answer.status == 405
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("method", ["PUT", "POST", "SEARCH"])
async def test_405_at_the_session(api: Api, method: str) -> None:
    location = (await publish(api)).headers["Location"]
    answer = await api.request(method, location)
    assert answer.status == 405
    assert "DELETE" in answer.headers["Allow"]


FRAGMENT = """a=group:BUNDLE 0\r
m=video 9 UDP/TLS/RTP/SAVPF 102\r
a=mid:0\r
a=ice-ufrag:abcd\r
a=ice-pwd:abcdefghijklmnopqrstuvwx\r
a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r
a=candidate:2 1 tcp 1518280447 nowhere.local 9 typ host tcptype active\r
a=end-of-candidates\r
"""
ONLY_CANDIDATES = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n"
RESTART = FRAGMENT.replace("abcd\r", "efgh\r").replace("abcdefghij", "0123456789")
SDPFRAG = "application/trickle-ice-sdpfrag"
MINE = f'"{ice_tag(OFFER)}"'

PATCHES: list[tuple[str, str | bytes, str, str | None, int]] = [
    ("4.3.2: candidates are taken, those of no use too", FRAGMENT, SDPFRAG, MINE, 204),
    ("4.3.2: without credentials", ONLY_CANDIDATES, SDPFRAG, MINE, 204),
    ("4.3.1: any session's tag will do", FRAGMENT, SDPFRAG, "*", 204),
    ("4.3.1: a list of tags", FRAGMENT, SDPFRAG, f'"other", {MINE}', 204),
    ("4.3.1: parameters of the type", FRAGMENT, f"{SDPFRAG}; charset=utf-8", MINE, 204),
    ("4.3.1: another type", FRAGMENT, "application/sdp", MINE, 415),
    ("4.3.1: malformed", "candidates", SDPFRAG, MINE, 400),
    ("4.3.1: empty", "", SDPFRAG, MINE, 400),
    ("4.3.1: no UTF-8", b"a=\xff", SDPFRAG, MINE, 400),
    ("4.3.1: half of the credentials", FRAGMENT.replace("a=ice-pwd", "a=x"), SDPFRAG, MINE, 400),
    ("4.3.1: no entity tag", FRAGMENT, SDPFRAG, None, 428),
    ("4.3.1: an outdated entity tag", FRAGMENT, SDPFRAG, '"other"', 412),
    ("4.3.1: a weak entity tag never matches (RFC 9110, 13.1.1)", FRAGMENT, SDPFRAG, f"W/{MINE}", 412),
    ("4.3.1: no entity tag at all", FRAGMENT, SDPFRAG, "nonsense", 412),
    ("4.3.1, 4.3.3: an ICE restart", RESTART, SDPFRAG, "*", 422),
    ("4.3.1, 4.3.3: an ICE restart of this session", RESTART, SDPFRAG, MINE, 422),
]


@pytest.mark.parametrize(("case", "body", "content_type", "if_match", "status"), PATCHES)
async def test_patch(
    api: Api, case: str, body: str | bytes, content_type: str, if_match: str | None, status: int
) -> None:
    """Trickle ICE is served, ICE restarts are not; the session goes on, whatever is asked (section 4.3.3)."""
    location = (await publish(api)).headers["Location"]
    headers = {"Content-Type": content_type} | ({} if if_match is None else {"If-Match": if_match})
    answer = await api.request("PATCH", location, data=body, headers=headers)
    assert answer.status == status, answer.text
    assert "ETag" not in answer.headers, "section 4.3.2"
    assert status != 204 or answer.text == ""
    assert len((await api.stored())[1]) == 1
    assert (await api.request("DELETE", location, headers={"If-Match": '"other"'})).status == 200, (
        "4.3.1: not asked for"
    )


async def test_patch_of_an_unknown_session(api: Api) -> None:
    headers = {"Content-Type": SDPFRAG, "If-Match": "*"}
    assert (await api.request("PATCH", "/whip-session/none", data=FRAGMENT, headers=headers)).status == 404


async def test_every_session_has_an_entity_tag_of_its_own(api: Api) -> None:
    """Section 4.3.1: it identifies the ICE session."""
    first = await publish(api, "one")
    second = await publish(api, "two", OFFER.replace("a=ice-ufrag:abcd", "a=ice-ufrag:abce"))
    assert first.headers["ETag"] != second.headers["ETag"]
    assert re.fullmatch(r'"[\x21\x23-\x7e]+"', first.headers["ETag"]), "strong (RFC 9110, 8.8.3)"


async def test_options_says_what_may_be_posted(api: Api) -> None:
    """Section 4.2: Accept-Post, in a preflight too."""
    plain = await api.request("OPTIONS", "/whip/demo")
    assert (plain.status, plain.headers["Accept-Post"]) == (200, "application/sdp")
    headers = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    preflight = await api.request("OPTIONS", "/whip/demo", headers=headers)
    assert (preflight.status, preflight.headers["Accept-Post"]) == (200, "application/sdp")
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    headers["Access-Control-Request-Method"] = "DELETE"
    assert (await api.request("OPTIONS", "/whip-session/x", headers=headers)).status == 200


async def test_a_page_may_read_the_location(api: Api) -> None:
    answer = await publish(api, Origin="https://page.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {"Location", "ETag"} <= {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}


async def test_a_call_that_is_cut_off_leaves_nothing(api: Api) -> None:
    """As the server does at its end with calls that take too long."""
    api.relay.silent = True
    async with RelayClient() as client:
        service = Streams(api.store, api.directory, client, ApiSettings(), Metrics())
        call = asyncio.create_task(service.publish("demo", StreamSource.WHIP, OFFER))
        await asyncio.wait_for(api.relay.offered.wait(), 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert await api.stored() == ([], [], [])
