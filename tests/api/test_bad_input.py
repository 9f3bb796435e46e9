"""Bad input is a 4xx that names the field and the rule, and nothing is made of it."""

import json
from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD: dict[str, Any] = {"streamName": "name", "rtmpUrl": "rtmp://127.0.0.1/live"}
JSON = {"Content-Type": "application/json"}

STARTUPS: list[tuple[dict[str, Any], str, str]] = [
    ({"rtmpUrl": "rtmp://127.0.0.1/live"}, "streamName", "is required"),
    ({"streamName": "name"}, "rtmpUrl", "is required"),
    (GOOD | {"streamName": ""}, "streamName", "must not be empty"),
    (GOOD | {"streamName": "a b"}, "streamName", "must be printable text without white space"),
    (GOOD | {"streamName": "a\u0000"}, "streamName", "must be printable text without white space"),
    (GOOD | {"streamName": "a" * 256}, "streamName", "must have at most 255 characters"),
    (GOOD | {"streamName": 7}, "streamName", "must be a string"),
    (GOOD | {"streamName": None}, "streamName", "must be a string"),
    (GOOD | {"streamName": "\ud800"}, "streamName", "must be valid Unicode"),
    (GOOD | {"rtmpUrl": ""}, "rtmpUrl", "must not be empty"),
    (GOOD | {"rtmpUrl": "rtmp://h/" + "a" * 2048}, "rtmpUrl", "must have at most 2048 characters"),
    (GOOD | {"rtmpUrl": "http://127.0.0.1/live"}, "rtmpUrl", "must start with rtmp:// or rtmps://"),
    (GOOD | {"rtmpUrl": "rtmp:///live"}, "rtmpUrl", "must have a host"),
    (GOOD | {"rtmpUrl": "rtmp://h:0/live"}, "rtmpUrl", "must have a port from 1 to 65535"),
    (GOOD | {"rtmpUrl": "rtmp://[::g]/live"}, "rtmpUrl", "must have a valid IPv6 address in its brackets"),
    (GOOD | {"rtmpUrl": "rtmp://h/\ud800"}, "rtmpUrl", ""),
    (GOOD | {"rtmpUrl": ["rtmp://h/live"]}, "rtmpUrl", "must be a string"),
    (GOOD | {"rtmpurl": "rtmp://h/live"}, "rtmpurl", "is not a known field"),
    (GOOD | {"stream_name": "name"}, "stream_name", "is not a known field"),
    (GOOD | {"rtmpTransponderFullUrl": "true"}, "rtmpTransponderFullUrl", "must be true or false"),
    (GOOD | {"rtmpTransponderFullUrl": 1}, "rtmpTransponderFullUrl", "must be true or false"),
    (GOOD | {"rtmpFlashVersion": ""}, "rtmpFlashVersion", "must not be empty"),
    (GOOD | {"rtmpFlashVersion": "x" * 129}, "rtmpFlashVersion", "must have at most 128 characters"),
    (GOOD | {"options": "mute"}, "options", "must be a JSON object"),
    (GOOD | {"options": {"action": "unmute"}}, "options.action", "must be 'mute' or 'sound_on'"),
    (GOOD | {"options": {"volume": 3}}, "options.volume", "is not a known field"),
    (GOOD | {"options": {"action": "sound_on"}}, "options.soundFile", "is required with action sound_on"),
    (
        GOOD | {"options": {"action": "sound_on", "soundFile": "../beep.wav"}},
        "options.soundFile",
        "must be a file name",
    ),
    (GOOD | {"options": {"action": "sound_on", "soundFile": "a/b.wav"}}, "options.soundFile", "must be a file name"),
    (GOOD | {"options": {"action": "sound_on", "soundFile": ".wav\n"}}, "options.soundFile", "must be a file name"),
    (GOOD | {"options": {"action": "sound_on", "soundFile": "a.wav", "loop": 1}}, "options.loop", "must be true or"),
]


@pytest.mark.parametrize(("body", "field", "rule"), STARTUPS)
async def test_startup_names_field_and_rule(api: Api, body: dict[str, Any], field: str, rule: str) -> None:
    answer = await api.push("startup", body)
    assert answer.status == 400, answer.text
    assert answer.body["field"] == field
    assert answer.body["rule"].startswith(rule), answer.body
    assert answer.body["message"] == f"{field}: {answer.body['rule']}"
    assert await api.stored() == ([], [], [])


BODIES: list[tuple[bytes, str]] = [
    (b"", "body: is required"),
    (b"{", "body: must be JSON"),
    (b"streamName=a", "body: must be JSON"),
    (b"[]", "body: must be a JSON object"),
    (b'"text"', "body: must be a JSON object"),
    (b"null", "body: must be a JSON object"),
    (b'{"streamName": "\xff"}', "body: must be JSON"),
    (b"[" * 60_000, "body: must be JSON"),
    (b'{"mediaSessionId": "a", "mediaSessionId2": 1}', "mediaSessionId2: is not a known field"),
    (b'{"mediaSessionId": 12}', "mediaSessionId: must be a string"),
    (b'{"mediaSessionId": ""}', "mediaSessionId: must not be empty"),
]


@pytest.mark.parametrize(("body", "message"), BODIES)
async def test_calls_by_id_name_what_is_wrong(api: Api, body: bytes, message: str) -> None:
    answer = await api.request("POST", "/rest-api/push/mute", data=body, headers=JSON)
    assert (answer.status, answer.body["message"]) == (400, message)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"streamName": ""}, "streamName"),
        ({"name": "a"}, "name"),
        ({"rtmpUrl": 1}, "rtmpUrl"),
        ([], "body"),
    ],
)
async def test_find_names_what_is_wrong(api: Api, body: Any, field: str) -> None:
    answer = await api.push("find", body)
    assert (answer.status, answer.body["field"]) == (400, field)


@pytest.mark.parametrize("file", ["../beep.wav", "/etc/hostname", "..", "", "a\\b.wav", "a\x00.wav", "x" * 129])
async def test_sound_on_takes_no_path(api: Api, file: str) -> None:
    started = await api.startup()
    body = {"mediaSessionId": started["mediaSessionId"], "soundFile": file, "loop": False}
    answer = await api.push("sound_on", body)
    assert (answer.status, answer.body["field"]) == (400, "soundFile")


async def test_the_body_of_find_all_is_empty(api: Api) -> None:
    answer = await api.push("find_all", {"streamName": "a"})
    assert (answer.status, answer.body["field"]) == (400, "streamName")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/sdp"])
async def test_a_body_must_be_sent_as_json(api: Api, content_type: str) -> None:
    data = json.dumps(GOOD).encode()
    headers = {"Content-Type": content_type}
    answer = await api.request("POST", "/rest-api/push/startup", data=data, headers=headers)
    assert (answer.status, answer.body["field"]) == (415, "Content-Type")


@pytest.mark.parametrize("content_type", ["application/json;charset=UTF-8", "Application/JSON", "application/x+json"])
async def test_json_has_more_than_one_name(api: Api, content_type: str) -> None:
    data = json.dumps(GOOD).encode()
    headers = {"Content-Type": content_type}
    assert (await api.request("POST", "/rest-api/push/startup", data=data, headers=headers)).status == 200


async def test_the_error_body_is_that_of_wcs(api: Api) -> None:
    answer = await api.push("mute", {"mediaSessionId": "x"})
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    timestamp = answer.body.pop("timestamp")
    assert isinstance(timestamp, int)
    exception = "com.flashphoner.rest.server.exception.NotFoundException"
    message = "mediaSessionId: no transponder has this id"
    assert answer.body == {
        "exception": exception,
        "reason": f"{exception}, Not Found, {message}",
        "path": "/rest-api/push/mute",
        "error": "Not Found",
        "message": message,
        "status": 404,
        "field": "mediaSessionId",
        "rule": "no transponder has this id",
    }


@pytest.mark.parametrize("path", ["/rest-api/push/nothing", "/rest-api/push/startup/", "/docs", "/redoc", "/whip"])
async def test_unknown_paths(api: Api, path: str) -> None:
    answer = await api.request("GET", path)
    assert (answer.status, answer.body["field"]) == (404, "path")
