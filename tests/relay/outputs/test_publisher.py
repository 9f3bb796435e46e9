"""The RTMP session without I/O: the exact bytes, and every answer a server may give."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from transponder_crd.control import OutputReason, RtmpTarget
from transponder_relay.outputs import amf, auth
from transponder_relay.outputs.chunks import ChunkReader, Message, MessageType, pack
from transponder_relay.outputs.failure import Failure
from transponder_relay.outputs.publisher import Challenge, Phase, Publisher

S0S1 = b"\3" + bytes(range(256)) * 6
URL = "rtmp://p5.flashphoner.com:1935/live/?user1&pass1"
TARGET = RtmpTarget(
    host="p5.flashphoner.com",
    port=1935,
    app=SecretStr("live/?user1&pass1"),
    tc_url=SecretStr(URL),
    stream_name=SecretStr("rtmp_stream1"),
    flash_version="FMLE/3.0",
)

CONNECT_BODY = bytes.fromhex(
    "020007 636f6e6e656374 003ff0000000000000 03"  # connect, 1, {
    "0003 617070 020011 6c6976652f3f7573657231267061737331"  # app
    "0008 666c617368566572 020008 464d4c452f332e30"  # flashVer
    "0005 746355726c 020030 72746d703a2f2f70352e666c61736870686f6e65722e636f6d3a31393335"  # tcUrl
    "2f6c6976652f3f7573657231267061737331"
    "0004 66706164 0100"  # fpad
    "000b 617564696f436f64656373 0040afce0000000000"  # audioCodecs 4071
    "000b 766964656f436f64656373 00406f800000000000"  # videoCodecs 252
    "000e 6f626a656374456e636f64696e67 000000000000000000"  # objectEncoding 0
    "000c 6361706162696c6974696573 00402e000000000000"  # capabilities 15
    "000d 766964656f46756e6374696f6e 003ff0000000000000"  # videoFunction 1
    "0004 74797065 02000a 6e6f6e70726976617465"  # type
    "000009"
)
# chunk stream 3, 270 bytes, AMF0 command, message stream 0; a new chunk every 128 bytes
CONNECT = bytes.fromhex("03 000000 00010e 14 00000000") + b"\xc3".join(
    (CONNECT_BODY[:128], CONNECT_BODY[128:256], CONNECT_BODY[256:])
)


def reply(*values: amf.Value) -> bytes:
    return pack(Message(MessageType.COMMAND_AMF0, 0, 0, amf.encode(*values)), 3, 128)


def status(code: str, level: str = "status", description: str = "") -> dict[str, amf.Value]:
    return {"level": level, "code": code, "description": description}


CONNECTED = reply("_result", 1, {}, status("NetConnection.Connect.Success"))
CREATED = reply("_result", 4, None, 1)
STARTED = reply("onStatus", 0, None, status("NetStream.Publish.Start"))


def at(phase: Phase, target: RtmpTarget = TARGET) -> Publisher:
    """A session that has come as far as `phase`."""
    publisher = Publisher(target)
    c1 = publisher.start()
    steps = {Phase.CONNECT: S0S1 + c1[1:], Phase.CREATE_STREAM: CONNECTED, Phase.PUBLISH: CREATED, Phase.LIVE: STARTED}
    for reached, data in steps.items():
        if publisher.phase is phase:
            break
        publisher.receive(data)
        assert publisher.phase is reached
    return publisher


def test_handshake() -> None:
    publisher = Publisher(TARGET)
    c0c1 = publisher.start()
    assert len(c0c1) == 1537
    assert c0c1[:9] == b"\3" + bytes(8)
    assert publisher.receive(S0S1[:1000]) == b""
    assert publisher.receive(S0S1[1000:] + c0c1[1:500]) == S0S1[1:]
    assert publisher.receive(c0c1[500:]) == CONNECT


def test_the_connect_command_begins_as_that_of_the_server_it_replaces() -> None:
    """251 bytes there; `type` adds 19."""
    assert len(CONNECT_BODY) == 251 + 19
    name, transaction, properties = amf.decode(CONNECT_BODY)
    assert (name, transaction) == ("connect", 1)
    assert list(properties.items()) == [  # type: ignore[union-attr]
        ("app", "live/?user1&pass1"), ("flashVer", "FMLE/3.0"), ("tcUrl", URL), ("fpad", False), ("audioCodecs", 4071),
        ("videoCodecs", 252), ("objectEncoding", 0), ("capabilities", 15), ("videoFunction", 1), ("type", "nonprivate"),
    ]  # fmt: skip


def test_bytes_from_connect_to_publish() -> None:
    name = "02000c 72746d705f73747265616d31"
    assert at(Phase.CONNECT).receive(CONNECTED) == bytes.fromhex(
        "02 000000 000004 01 00000000 0000ea60"
        "03 000000 000029 14 00000000 02000d 72656c6561736553747265616d 004000000000000000 05" + name +
        "03 000000 000025 14 00000000 020009 46435075626c697368 004008000000000000 05" + name +
        "03 000000 000019 14 00000000 02000c 63726561746553747265616d 004010000000000000 05"
    )  # fmt: skip
    assert at(Phase.CREATE_STREAM).receive(reply("_result", 4, None, 5)) == bytes.fromhex(
        "03 000000 00002a 14 05000000 020007 7075626c697368 004014000000000000 05" + name + "020004 6c697665"
    )
    publisher = at(Phase.PUBLISH)
    assert publisher.receive(STARTED) == b""
    assert (publisher.phase, publisher.stream_id) == (Phase.LIVE, 1)
    assert publisher.finish() == bytes.fromhex(
        "03 000000 000027 14 00000000 02000b 4643556e7075626c697368 004018000000000000 05" + name +
        "03 000000 000022 14 00000000 02000c 64656c65746553747265616d 00401c000000000000 05 003ff0000000000000"
    )  # fmt: skip
    assert publisher.finish() == b""


def test_all_of_it_in_one_read_byte_by_byte_or_split_anywhere() -> None:
    publisher = Publisher(TARGET)
    wire = S0S1 + publisher.start()[1:] + CONNECTED + CREATED + STARTED
    answers = b"".join(publisher.receive(wire[i : i + 1]) for i in range(len(wire)))
    whole = Publisher(TARGET)
    assert whole.receive(wire) == answers
    assert whole.phase is publisher.phase is Phase.LIVE


@pytest.mark.parametrize(
    ("phase", "answer", "reason", "message"),
    [
        (Phase.CONNECT, reply("_error", 1, None, status("NetConnection.Connect.Rejected", "error", "rtmp_stream1")),
         OutputReason.REFUSED, "the server answered connect with NetConnection.Connect.Rejected"),
        (Phase.CONNECT, reply("_error", 1, None, status("NetConnection.Connect.InvalidApp", "error")),
         OutputReason.REFUSED, "the server answered connect with NetConnection.Connect.InvalidApp"),
        (Phase.CONNECT, reply("_error", 1), OutputReason.REFUSED, "the server answered connect with an error"),
        (Phase.CONNECT, reply("_error", 1, None, status("rtmp_stream1 is bad", "error")),
         OutputReason.REFUSED, "the server answered connect with an error"),
        (Phase.CONNECT, reply("close", 0, None), OutputReason.CLOSED_BY_SERVER, "the server said close"),
        (Phase.CREATE_STREAM, reply("_error", 4, None, status("NetStream.Failed", "error")),
         OutputReason.REFUSED, "the server answered createStream with NetStream.Failed"),
        (Phase.CREATE_STREAM, reply("_result", 4, None), OutputReason.PROTOCOL_ERROR,
         "the server answered createStream without a stream number"),
        (Phase.PUBLISH, reply("onStatus", 0, None, status("NetStream.Publish.BadName", "error")),
         OutputReason.BAD_STREAM_KEY, "the server answered publish with NetStream.Publish.BadName"),
        (Phase.PUBLISH, reply("onStatus", 0, None, status("NetStream.Publish.Denied", "error")),
         OutputReason.BAD_STREAM_KEY, "the server answered publish with NetStream.Publish.Denied"),
        (Phase.PUBLISH, reply("onStatus", 0, None, status("NetStream.Authenticate.Failed", "error")),
         OutputReason.AUTH_FAILED, "the server answered publish with NetStream.Authenticate.Failed"),
        (Phase.LIVE, reply("onStatus", 0, None, status("NetStream.Unpublish.Success")),
         OutputReason.CLOSED_BY_SERVER, "the server ended the stream: NetStream.Unpublish.Success"),
        (Phase.HANDSHAKE, b"HTTP/1.1 400", OutputReason.PROTOCOL_ERROR,
         "the server does not speak RTMP: its version byte is not 3"),
        (Phase.CONNECT, b"\xff" * 20, OutputReason.PROTOCOL_ERROR,
         "the server does not speak RTMP: a chunk stream begins without a full header"),
    ],
)  # fmt: skip
def test_refusals(phase: Phase, answer: bytes, reason: OutputReason, message: str) -> None:
    with pytest.raises(Failure) as caught:
        at(phase).receive(answer)
    assert (caught.value.reason, caught.value.message) == (reason, message)


@pytest.mark.parametrize(
    "harmless",
    [
        reply("_error", 2, None, status("NetStream.Failed", "error")),
        reply("_result", 3, None),
        reply("onFCPublish", 0, None, status("NetStream.Publish.Start")),
        reply("onBWDone", 0, None, 0),
        reply("_result", 4, None, 9),
        reply(),
        reply(1, 2),
    ],
)
def test_other_answers_change_nothing(harmless: bytes) -> None:
    publisher = at(Phase.CONNECT)
    assert publisher.receive(harmless) == b""
    assert publisher.phase is Phase.CONNECT


def test_amf3_command_messages() -> None:
    publisher = at(Phase.PUBLISH)
    body = b"\0" + amf.encode("onStatus", 0, None, status("NetStream.Publish.Start"))
    publisher.receive(pack(Message(MessageType.COMMAND_AMF3, 1, 0, body), 3, 128))
    assert publisher.phase is Phase.LIVE


def test_the_challenge_is_answered_in_app_and_tc_url() -> None:
    target = TARGET.model_copy(update={"app": SecretStr("live"), "user": "u", "password": SecretStr("p")})
    need = status("NetConnection.Connect.Rejected", "error", "[ code=403 need auth; authmod=adobe ] : ")
    with pytest.raises(Challenge) as caught:
        at(Phase.CONNECT, target).receive(reply("_error", 1, None, need))
    assert caught.value.query == "authmod=adobe&user=u"
    assert "u" not in str(caught.value).split()
    again = Publisher(target, caught.value.query)
    sent = again.receive(S0S1 + again.start()[1:])[1536:]
    (message,) = ChunkReader().receive(sent)
    properties = amf.decode(message.body)[2]
    assert isinstance(properties, dict)
    assert properties["app"] == "live?authmod=adobe&user=u"
    assert properties["tcUrl"] == f"{URL}&authmod=adobe&user=u"


@given(st.binary(max_size=400))
def test_any_bytes_give_answers_or_the_documented_errors(data: bytes) -> None:
    publisher = at(Phase.CONNECT)
    with contextlib.suppress(Failure, Challenge):
        publisher.receive(data)


def test_repr_and_text_tell_no_secrets() -> None:
    text = f"{Publisher(TARGET)!r} {TARGET!r} {auth.Credentials('user', 'pw')!r}"
    assert not any(secret in text for secret in ("pass1", "rtmp_stream1", "pw", "'user'"))


# ------------------------------------------------------------------------------------------------ authentication

NEED = "[ AccessManager.Reject ] : [ authmod={} ] : ?reason=needauth&user=u&"


def test_adobe_answer() -> None:
    description = NEED.format("adobe") + "salt=SALT&challenge=CHAL&opaque=OPAQ "
    # base64(md5(base64(md5("u" "SALT" "p")) "OPAQ" "00c0ffee")), computed with openssl
    assert auth.answer(description, auth.Credentials("u", "p"), "live", "00c0ffee") == (
        "authmod=adobe&user=u&challenge=00c0ffee&response=Wir/x4c60I/lWULnoezMQw==&opaque=OPAQ"
    )


def test_limelight_answer() -> None:
    description = NEED.format("llnw") + "nonce=NONCE"
    # md5(md5("u:live:p") ":NONCE:00000001:00c0ffee:auth:" md5("publish:/live/_definst_")), computed with md5sum
    assert auth.answer(description, auth.Credentials("u", "p"), "live", "00c0ffee") == (
        "authmod=llnw&user=u&nonce=NONCE&cnonce=00c0ffee&nc=00000001&response=a00af4e0e607e3f23507842dc2927b52"
    )


@pytest.mark.parametrize(
    ("description", "credentials"),
    [
        ("[ authmod=adobe ] : ?reason=authfailed&opaque=x", auth.Credentials("u", "p")),
        ("[ authmod=adobe ] : ?reason=nosuchuser", auth.Credentials("u", "p")),
        ("[ code=403 need auth; authmod=kerberos ]", auth.Credentials("u", "p")),
        ("[ code=403 need auth; authmod=adobe ]", None),
        ("code=403 need auth", None),
    ],
)
def test_no_answer(description: str, credentials: auth.Credentials | None) -> None:
    with pytest.raises(Failure) as caught:
        auth.answer(description, credentials, "live", "00c0ffee")
    assert caught.value.reason is OutputReason.AUTH_FAILED
