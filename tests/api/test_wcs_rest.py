"""What holds for all REST calls of Flashphoner WCS: how they may be sent, and what their answers have in common."""

import time

import pytest
from support.api import Api

URL = "rtmp://127.0.0.1:1935/live"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("media_type", ["application/json", "application/json;charset=UTF-8", "Application/JSON"])
async def test_content_type_of_requests(api: Api, media_type: str) -> None:
    """Request: POST, application/json; the SDK's helper adds charset=UTF-8."""
    body = '{"streamName": "ü", "rtmpUrl": "rtmp://127.0.0.1/live"}'.encode()
    headers = {"Content-Type": media_type}
    answer = await api.request("POST", "/rest-api/push/startup", data=body, headers=headers)
    assert (answer.status, answer.body["streamName"]) == (200, "rtmp_ü")


@pytest.mark.parametrize("call", ["push/find_all", "stream/find_all"])
async def test_calls_without_data(api: Api, call: str) -> None:
    """Bodyless calls: POST with Content-Length 0, GET, or an empty object."""
    answers = [
        await api.request("POST", f"/rest-api/{call}", data=b"", headers={"Content-Type": "application/json"}),
        await api.request("POST", f"/rest-api/{call}"),
        await api.request("POST", f"/rest-api/{call}", json={}),
        await api.request("GET", f"/rest-api/{call}"),
    ]
    assert [answer.status for answer in answers] == [404] * 4


async def test_void_is_200_with_an_empty_body(api: Api) -> None:
    """Success is 200 only; void is Content-Length 0, and anything else is JSON."""
    id_ = (await api.startup())["mediaSessionId"]
    (api.sounds / "a.wav").write_bytes(b"RIFF")
    for call, more in (("mute", {}), ("unmute", {}), ("sound_on", {"soundFile": "a.wav", "loop": False})):
        answer = await api.push(call, {"mediaSessionId": id_, **more})
        assert (answer.status, answer.text, answer.headers["Content-Length"]) == (200, "", "0")
    for call in ("sound_off", "terminate"):
        answer = await api.push(call, {"mediaSessionId": id_})
        assert (answer.status, answer.text, answer.headers["Content-Length"]) == (200, "", "0")


async def test_type_of_answers(api: Api) -> None:
    """Response type: application/json;charset=UTF-8, errors too."""
    await api.startup()
    for path in ("push/find_all", "stream/find_all", "nothing"):
        answer = await api.request("GET", f"/rest-api/{path}")
        assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"


@pytest.mark.parametrize("call", ["push/startup", "push/find_all", "stream/find", "stream/terminate"])
async def test_preflight(api: Api, call: str) -> None:
    """CORS: rest_access_control_allow_origin=*, allow_headers=content-type,x-requested-with, allow_methods=POST."""
    headers = {
        "Origin": "http://page.example:9091",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-requested-with",
    }
    answer = await api.request("OPTIONS", f"/rest-api/{call}", headers=headers)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {"GET", "POST"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert "content-type" in allowed
    assert "x-requested-with" in allowed
    # browsers ignore it beside *, and with a cookie of a proxy in front it would let any page act as its user
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_body_of_errors(api: Api) -> None:
    """Error body: exception, reason, path, error, message, timestamp, status."""
    answer = await api.push("mute", {"mediaSessionId": "eume87rjk3df1i9u14elffga6t"})
    message = "mediaSessionId: no transponder has this id"
    exception = "com.flashphoner.rest.server.exception.NotFoundException"
    timestamp = answer.body.pop("timestamp")
    assert abs(timestamp - time.time() * 1000) < 60_000
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
