"""Bad input over real HTTP: a clear 4xx that names the field and the rule, and nothing is created."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.product import Answer, Product
from support.secret_watch import SecretWatch

from transponder_crd.resource import RtmpTransponder, Secret, Stream
from transponder_crd.sqlite_store import SqliteStore

pytestmark = pytest.mark.integration

GOOD: dict[str, Any] = {"streamName": "demo", "rtmpUrl": "rtmp://127.0.0.1:1935/live"}
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"

STARTUPS: list[tuple[str, dict[str, Any], int, str]] = [
    ("no stream name", {"rtmpUrl": GOOD["rtmpUrl"]}, 400, "streamName"),
    ("no URL", {"streamName": "demo"}, 400, "rtmpUrl"),
    ("empty stream name", {**GOOD, "streamName": ""}, 400, "streamName"),
    ("stream name with a line break", {**GOOD, "streamName": "a\nb"}, 400, "streamName"),
    ("stream name of 256 characters", {**GOOD, "streamName": "a" * 256}, 400, "streamName"),
    ("stream name is a number", {**GOOD, "streamName": 7}, 400, "streamName"),
    ("URL is null", {**GOOD, "rtmpUrl": None}, 400, "rtmpUrl"),
    ("URL is a list", {**GOOD, "rtmpUrl": [GOOD["rtmpUrl"]]}, 400, "rtmpUrl"),
    ("URL of another scheme", {**GOOD, "rtmpUrl": "http://127.0.0.1/live"}, 400, "rtmpUrl"),
    ("URL without host", {**GOOD, "rtmpUrl": "rtmp:///live"}, 400, "rtmpUrl"),
    ("URL with a bad port", {**GOOD, "rtmpUrl": "rtmp://127.0.0.1:70000/live"}, 400, "rtmpUrl"),
    ("URL with white space", {**GOOD, "rtmpUrl": "rtmp://127.0.0.1/li ve"}, 400, "rtmpUrl"),
    ("URL of 2,049 characters", {**GOOD, "rtmpUrl": "rtmp://127.0.0.1/live/".ljust(2049, "a")}, 400, "rtmpUrl"),
    ("unknown field", {**GOOD, "rtmpURL": GOOD["rtmpUrl"]}, 400, "rtmpURL"),
    ("full URL is no boolean", {**GOOD, "rtmpTransponderFullUrl": "maybe"}, 400, "rtmpTransponderFullUrl"),
    ("options is a list", {**GOOD, "options": []}, 400, "options"),
    ("unknown action", {**GOOD, "options": {"action": "explode"}}, 400, "action"),
    ("sound_on without file", {**GOOD, "options": {"action": "sound_on"}}, 400, "soundFile"),
    ("sound file is missing", {**GOOD, "options": {"action": "sound_on", "soundFile": "none.wav"}}, 404, "soundFile"),
    ("sound file leaves", {**GOOD, "options": {"action": "sound_on", "soundFile": "../a.wav"}}, 400, "soundFile"),
]

CALLS = ["terminate", "mute", "unmute", "sound_on", "sound_off"]


def sound(call: str) -> dict[str, Any]:
    return {"soundFile": "tone.wav", "loop": False} if call == "sound_on" else {}


def assert_refused(answer: Answer, status: int, path: str, field: str, case: str) -> None:
    """The error body of WCS: the status again, the path, and a text that names the field."""
    assert answer.status == status, f"{case}: {answer.status} {answer.text}"
    body = answer.body
    assert {"exception", "reason", "path", "error", "message", "timestamp", "status"} <= body.keys(), f"{case}: {body}"
    assert (body["status"], body["path"]) == (status, path), f"{case}: {body}"
    assert field in body["message"], f"{case}: {body['message']!r} does not name {field}"
    assert len(body["message"]) > len(field) + 5, f"{case}: {body['message']!r} gives no rule"


async def test_startup_refuses_bad_input(product: Product) -> None:
    for case, body, status, field in STARTUPS:
        answer = await product.rest.push("startup", body)
        assert_refused(answer, status, "/rest-api/push/startup", field, case)
    headers = {"Content-Type": "application/json"}
    for raw in (b"{", b"[1]", b"", b'{"streamName": "\xff"}'):
        answer = await product.rest.request("POST", "/rest-api/push/startup", data=raw, headers=headers)
        assert answer.status == 400, f"{raw!r}: {answer.status} {answer.text}"
        assert answer.body["message"], raw
    huge = json.dumps({**GOOD, "options": {"pad": "x" * 70_000}}).encode()
    answer = await product.rest.request("POST", "/rest-api/push/startup", data=huge, headers=headers)
    assert answer.status == 413, answer.text
    await assert_nothing_left(product)


async def test_a_refused_url_is_not_repeated(product: Product, secret_watch: SecretWatch) -> None:
    password, token = secret_watch.key("password"), secret_watch.key("token")
    urls = (f"rtmp://user:{password}@127.0.0.1:70000/live", f"http://127.0.0.1/live/{token}", f"rtmp://h h/?k={token}")
    for url in urls:
        answer = await product.rest.push("startup", {"streamName": "demo", "rtmpUrl": url})
        assert_refused(answer, 400, "/rest-api/push/startup", "rtmpUrl", "a URL with a secret")
        assert not secret_watch.found_in(answer.text), answer.text
    await assert_nothing_left(product)


async def test_calls_by_id_refuse_bad_input(product: Product) -> None:
    for call in CALLS:
        path = f"/rest-api/push/{call}"
        answer = await product.rest.push(call, {"mediaSessionId": UNKNOWN_ID, **sound(call)})
        assert_refused(answer, 404, path, "mediaSessionId", f"{call} of an unknown id")
        assert_refused(await product.rest.push(call, sound(call)), 400, path, "mediaSessionId", f"{call} without id")
        wrong = await product.rest.push(call, {"mediaSessionId": 7, **sound(call)})
        assert_refused(wrong, 400, path, "mediaSessionId", f"{call} with a number")
    unknown = await product.rest.push("find", {"stream": "demo"})
    assert_refused(unknown, 400, "/rest-api/push/find", "stream", "find by an unknown field")
    assert (await product.rest.push("find", {"streamName": "demo"})).status == 404
    await assert_nothing_left(product)


async def test_sound_files_that_are_missing_or_leave_the_folder(product: Product, tmp_path: Path) -> None:
    (tmp_path / "outside.wav").write_bytes(b"RIFF")
    (product.sounds / "text.wav").write_text("no sound at all")
    started = await product.rest.startup("demo", GOOD["rtmpUrl"])
    path = "/rest-api/push/sound_on"
    for file, status in (("none.wav", 404), ("../outside.wav", 400), ("/etc/hostname", 400), ("..", 400), ("", 400)):
        answer = await product.rest.push(
            "sound_on", {"mediaSessionId": started["mediaSessionId"], "soundFile": file, "loop": False}
        )
        assert_refused(answer, status, path, "soundFile", f"sound file {file!r}")
    found = (await product.rest.find_all())[0]
    assert found["soundEnabled"] is False
    await product.rest.tell("terminate", started["mediaSessionId"])
    await assert_nothing_left(product)


OFFER_WITHOUT_CODEC = "\r\n".join(
    [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuvwx",
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
        "a=setup:actpass",
        "a=mid:0",
        "a=sendonly",
        "a=rtcp-mux",
        "a=rtpmap:96 H261/90000",
        "",
    ]
)


async def test_whip_refuses_bad_offers(product: Product) -> None:
    sdp = {"Content-Type": "application/sdp"}
    refused: list[tuple[str, bytes, dict[str, str], set[int]]] = [
        ("empty", b"", sdp, {400}),
        ("not SDP", b"hello", sdp, {400}),
        ("not UTF-8", b"v=0\r\n\xff\xfe", sdp, {400}),
        ("more than 64 KiB", b"v=0\r\n" + b"a=x\r\n" * 14_000, sdp, {413}),
        ("no usable codec", OFFER_WITHOUT_CODEC.encode(), sdp, {400, 406, 422}),
        ("no fingerprint", OFFER_WITHOUT_CODEC.replace("a=fingerprint", "a=x").encode(), sdp, {400, 406, 422}),
        ("another content type", OFFER_WITHOUT_CODEC.encode(), {"Content-Type": "text/plain"}, {415}),
    ]
    for case, body, headers, statuses in refused:
        answer = await product.rest.request("POST", "/whip/demo", data=body, headers=headers)
        assert answer.status in statuses, f"{case}: {answer.status} {answer.text}"
        assert answer.body["message"], f"{case}: {answer.text}"
        assert "Location" not in answer.headers, case
    bad_name = await product.rest.request("POST", "/whip/" + "a" * 300, data=b"v=0", headers=sdp)
    assert bad_name.status == 400, bad_name.text
    assert (await product.rest.request("DELETE", f"/whip/demo/{UNKNOWN_ID}")).status in (404, 405)
    assert (await product.rest.request("PUT", "/whip/demo")).status == 405
    await assert_nothing_left(product)


async def assert_nothing_left(product: Product) -> None:
    """No transponder by REST, no relay process, and no object of any kind in the store that the product leaves."""
    assert (await product.rest.push("find_all")).status == 404
    assert await product.until_relays(lambda relays: not relays) == []
    await product.stop()
    store = SqliteStore.open(store_file(product.data))
    try:
        for kind in (RtmpTransponder, Stream, Secret):
            assert (await store.list(kind)).items == [], f"{kind.__name__} left behind"
    finally:
        store.close()


def store_file(data: Path) -> Path:
    """The one SQLite file of a data folder."""
    files = [f for f in data.iterdir() if f.is_file() and f.read_bytes()[:15] == b"SQLite format 3"]
    assert len(files) == 1, sorted(data.iterdir())
    return files[0]
