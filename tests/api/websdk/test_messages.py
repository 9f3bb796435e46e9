"""The pure part of the WebSDK's messages."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_api.websdk import messages
from transponder_api.websdk.limits import Throttle
from transponder_api.websdk.messages import (
    Call,
    Info,
    InvalidCall,
    PublishStream,
    SendData,
    Status,
    media_session_id,
    parse_argument,
    parse_call,
)
from transponder_api.websdk.outbox import MAX_CHARACTERS, Outbox

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)

GOOD: dict[str, Any] = {"mediaSessionId": "id", "name": "name", "sdp": "v=0"}


@given(anything)
def test_any_json_is_a_call_or_none(value: Any) -> None:
    call = parse_call(json.dumps(value))
    assert call is None or isinstance(call.name, str)


@given(st.text())
def test_any_text_is_a_call_or_none(text: str) -> None:
    assert parse_call(text) is None or "message" in text


@given(anything)
def test_any_argument_is_parsed_or_refused(argument: Any) -> None:
    for kind in (PublishStream, SendData):
        with suppress(InvalidCall):
            parse_argument(kind, argument)
    media_session = media_session_id(argument)
    assert media_session is None or media_session


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "[]",
        "null",
        "{}",
        '{"message": 1}',
        '{"data": []}',
        "[" * 100_000,
        '{"message": "a", "data": [NaN]}',
    ],
)
def test_what_is_no_message_is_no_call(text: str) -> None:
    assert parse_call(text) is None


def test_a_call_is_a_name_and_the_first_of_its_data() -> None:
    assert parse_call('{"message": "pong", "data": [null]}') == Call("pong", None)
    assert parse_call('{"message": "pong"}') == Call("pong", None)
    assert parse_call('{"message": "sendData", "data": [{"operationId": "1"}]}') == Call(
        "sendData", {"operationId": "1"}
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "name must not be empty"),
        ({"name": "two words"}, "name must be printable text without white space"),
        ({"name": 7}, "name must be a string"),
        ({"name": "x" * 256}, "name must have at most 255 characters"),
        ({"sdp": None}, "sdp must be a string"),
        ({"sdp": ""}, "sdp must not be empty"),
    ],
)
def test_a_bad_field_is_named_with_its_rule(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidCall, match=words):
        parse_argument(PublishStream, GOOD | change)


def test_what_the_sdk_sends_beside_is_not_looked_at() -> None:
    wish = parse_argument(
        PublishStream, GOOD | {"localMediaInfo": {"devices": {}}, "custom": {"token": 1}, "record": 0}
    )
    assert (wish.media_session_id, wish.name, wish.sdp, wish.rtmp_url) == ("id", "name", "v=0", None)


def test_a_stream_key_is_in_no_repr() -> None:
    wish = parse_argument(PublishStream, GOOD | {"rtmpUrl": "rtmp://host/live/geheim"})
    assert wish.rtmp_url == "rtmp://host/live/geheim"
    assert "geheim" not in repr(wish)


@given(st.text(st.characters(codec=None)), st.text())
def test_every_message_has_an_array_as_data(text: str, other: str) -> None:
    """MUST (1.1): `data` is there and an array in every message."""
    for frame in (
        messages.PING,
        messages.user_data(text, other),
        messages.remote_sdp(text, other),
        messages.stream_status(text, Status.FAILED, other, text),
        messages.stream_event(text, other, {"a": [text]}),
        messages.available(text, yes=False),
        messages.data_status(text, accepted=True, info=other),
    ):
        assert frame.isascii()
        assert isinstance(json.loads(frame)["data"], list)


def test_wire_forms() -> None:
    """Word for word what the SDK reads."""
    assert json.loads(messages.PING) == {"message": "ping", "data": []}
    assert json.loads(messages.remote_sdp("id", "v=0\r\n")) == {"message": "setRemoteSDP", "data": ["id", "v=0\r\n"]}
    (event,) = json.loads(messages.stream_status("id", Status.UNPUBLISHED, Info.STOPPED_BY_USER, "s"))["data"]
    assert event == {
        "mediaSessionId": "id",
        "status": "UNPUBLISHED",
        "info": "Stopped by user",
        "name": "s",
        "published": True,
        "mediaProvider": "WebRTC",
    }
    assert "info" not in json.loads(messages.stream_status("id", Status.PUBLISHING))["data"][0]
    assert json.loads(messages.available("id", yes=True))["data"] == [{"id": "id", "status": "true"}]
    assert json.loads(messages.available("id", yes=False))["data"] == [
        {"id": "id", "status": "false", "info": "Stream not found"}
    ]
    (status,) = json.loads(messages.data_status("7", accepted=False, info="why"))["data"]
    assert status == {"operationId": "7", "status": "FAILED", "info": "why"}


@given(st.lists(st.tuples(st.integers(0, 300_000), st.floats(0, 10)), max_size=60))
def test_the_throttle_lets_no_more_through_than_its_rate(traffic: list[tuple[int, float]]) -> None:
    throttle, now, spent = Throttle(10, 20, 0), 0.0, 0.0
    for size, pause in traffic:
        now += pause
        now += throttle.delay(size, now)
        spent += 1 + size / 4096
        assert spent <= 20 + 10 * now + 1e-6


def test_the_throttle_does_not_hold_up_who_sends_little() -> None:
    throttle = Throttle(10, 20, 0)
    assert all(throttle.delay(100, n / 5) == 0 for n in range(1000))


async def test_the_outbox_gives_back_in_order_and_says_when_too_much_waits() -> None:
    outbox = Outbox()
    for text in ("a", "b"):
        outbox.put(text)
    assert [await outbox.take(), await outbox.take()] == ["a", "b"]
    for _ in range(4):
        outbox.put("x" * (MAX_CHARACTERS // 4))
    assert not outbox.overflow.is_set()
    outbox.put("x")
    assert outbox.overflow.is_set()
