"""The publishing side of RTMP without I/O (Adobe's RTMP specification 1.0): bytes in, bytes out.

start() ─► C0 C1 ─► receive(S0 S1 S2) ─► C2, connect ─► ... ─► publish ─► receive(onStatus) ─► live ─► finish()
"""

import os
import re
from collections.abc import Mapping
from enum import StrEnum

from transponder_crd.control import OutputReason, RtmpTarget
from transponder_relay.outputs import amf, auth, enhanced
from transponder_relay.outputs.chunks import (
    CHUNK_SIZE,
    DEFAULT_CHUNK_SIZE,
    ChunkError,
    ChunkReader,
    ChunkStream,
    Message,
    MessageType,
    pack,
)
from transponder_relay.outputs.failure import Failure

_VERSION = 3
_HANDSHAKE_SIZE = 1536
_PING_REQUEST, _PING_RESPONSE = 6, 7  # user control events, 7.1.7
_CONNECT, _RELEASE_STREAM, _FC_PUBLISH, _CREATE_STREAM, _PUBLISH, _FC_UNPUBLISH, _DELETE_STREAM = range(1, 8)
_STATUS_CODE = re.compile(r"Net(Connection|Stream)(\.[A-Za-z0-9]{1,32}){1,4}")
_KEY_REFUSED = re.compile(r"NetStream\.Publish\.(BadName|Denied|Rejected|Unauthorized)")


class Phase(StrEnum):
    """How far the session has come; the values complete "the server did not answer ..."."""

    HANDSHAKE = "the RTMP handshake"
    CONNECT = "connect"
    CREATE_STREAM = "createStream"
    PUBLISH = "publish"
    LIVE = "the stream"
    FINISHED = "the end of the stream"


class Challenge(Exception):
    """The server wants credentials: connect anew with this query. It is a secret."""

    def __init__(self, query: str) -> None:
        super().__init__("the server asks for credentials")
        self.query = query


class Publisher:
    """One RTMP session. Once a method has raised, the session is over."""

    def __init__(self, target: RtmpTarget, query: str = "") -> None:
        """`query`: that of the Challenge which ended the session before."""
        self.phase = Phase.HANDSHAKE
        self.stream_id = 0
        """Message stream of the media, once live."""
        self._target = target
        self._query = query
        self._name = target.stream_name.get_secret_value()
        self._handshake = bytearray()
        self._reader = ChunkReader()
        self._chunk_size = DEFAULT_CHUNK_SIZE
        self._received = 0
        self._acknowledged = 0
        self._window = 0

    def start(self) -> bytes:
        """C0 and C1 (5.2.2, 5.2.3)."""
        return bytes((_VERSION,)) + bytes(8) + os.urandom(_HANDSHAKE_SIZE - 8)

    def receive(self, data: bytes) -> bytes:
        """What to answer, often nothing. Raises Failure, Challenge."""
        self._received += len(data)
        answer = b""
        if self.phase is Phase.HANDSHAKE:
            answer, data = self._shake_hands(data)
        try:
            for message in self._reader.receive(data):
                answer += self._message(message)
        except (ChunkError, amf.AmfError) as error:
            raise Failure(OutputReason.PROTOCOL_ERROR, f"the server does not speak RTMP: {error}") from None
        return answer + self._acknowledge()

    def finish(self) -> bytes:
        """The last words of a live session: FCUnpublish and deleteStream."""
        if self.phase is not Phase.LIVE:
            return b""
        self.phase = Phase.FINISHED
        return self._command("FCUnpublish", _FC_UNPUBLISH, None, self._name) + self._command(
            "deleteStream", _DELETE_STREAM, None, self.stream_id
        )

    # -------------------------------------------------------------------------------------------- opening

    def _shake_hands(self, data: bytes) -> tuple[bytes, bytes]:
        """What to answer, and what follows the handshake in `data`."""
        before = len(self._handshake)
        self._handshake += data
        if self._handshake and self._handshake[0] != _VERSION:
            raise Failure(OutputReason.PROTOCOL_ERROR, "the server does not speak RTMP: its version byte is not 3")
        answer = b""
        s1_end, s2_end = 1 + _HANDSHAKE_SIZE, 1 + 2 * _HANDSHAKE_SIZE
        if before < s1_end <= len(self._handshake):
            answer = bytes(self._handshake[1:s1_end])  # C2 echoes S1 (5.2.4)
        if len(self._handshake) < s2_end:
            return answer, b""
        rest = bytes(self._handshake[s2_end:])
        self._handshake.clear()
        self.phase = Phase.CONNECT
        return answer + self._connect(), rest

    def _connect(self) -> bytes:
        target = self._target
        properties: dict[str, amf.Value] = {
            "app": self._with_query(target.app.get_secret_value()),
            "flashVer": target.flash_version,
            "tcUrl": self._with_query(target.tc_url.get_secret_value()),
            "fpad": False,
            "audioCodecs": 0x0FE7,  # all of 7.2.1.1's but those of no use since 2000, as FFmpeg says
            "videoCodecs": 252,
            "objectEncoding": 0,
            "capabilities": 15,
            "videoFunction": 1,
            "type": "nonprivate",
        }
        if target.enhanced:
            properties |= enhanced.CAPABILITIES
        return self._command("connect", _CONNECT, properties)

    def _with_query(self, text: str) -> str:
        if not self._query:
            return text
        return f"{text}{'&' if '?' in text else '?'}{self._query}"

    def _connected(self) -> bytes:
        self.phase = Phase.CREATE_STREAM
        answer = self._control(MessageType.SET_CHUNK_SIZE, CHUNK_SIZE.to_bytes(4))
        self._chunk_size = CHUNK_SIZE
        answer += self._command("releaseStream", _RELEASE_STREAM, None, self._name)
        answer += self._command("FCPublish", _FC_PUBLISH, None, self._name)
        return answer + self._command("createStream", _CREATE_STREAM, None)

    def _stream_created(self, number: amf.Value) -> bytes:
        if not isinstance(number, float) or not 0 <= number <= 0xFFFFFFFF:
            raise Failure(OutputReason.PROTOCOL_ERROR, "the server answered createStream without a stream number")
        self.phase = Phase.PUBLISH
        self.stream_id = int(number)
        return self._command("publish", _PUBLISH, None, self._name, "live", stream_id=self.stream_id)

    # -------------------------------------------------------------------------------------------- messages

    def _message(self, message: Message) -> bytes:
        match message.type:
            case MessageType.COMMAND_AMF0:
                return self._called(message.body)
            case MessageType.COMMAND_AMF3:  # AMF0 after one byte, as all servers send it
                return self._called(message.body[1:])
            case MessageType.USER_CONTROL if message.body[:2] == _PING_REQUEST.to_bytes(2):
                return self._control(MessageType.USER_CONTROL, _PING_RESPONSE.to_bytes(2) + message.body[2:6])
            case MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE:
                self._window = int.from_bytes(message.body[:4])
            case MessageType.SET_PEER_BANDWIDTH if len(message.body) >= 4:
                return self._control(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, message.body[:4])
        return b""

    def _acknowledge(self) -> bytes:
        """Tell the bytes received when half the server's window is full (5.4.3)."""
        if not self._window or self._received - self._acknowledged < self._window // 2:
            return b""
        self._acknowledged = self._received
        return self._control(MessageType.ACKNOWLEDGEMENT, (self._received & 0xFFFFFFFF).to_bytes(4))

    def _called(self, body: bytes) -> bytes:
        values = amf.decode(body)
        name, transaction = (*values, None, None)[:2]
        information = _information(values)
        match name:
            case "_result" if transaction == _CONNECT and self.phase is Phase.CONNECT:
                self._judge(information)
                return self._connected()
            case "_result" if transaction == _CREATE_STREAM and self.phase is Phase.CREATE_STREAM:
                return self._stream_created(values[3] if len(values) > 3 else None)
            case "_error" if transaction in (_CONNECT, _CREATE_STREAM):
                raise self._refusal(information)
            case "onStatus":
                self._judge(information)
            case "_onbwcheck" if isinstance(transaction, float):
                return self._command("_result", transaction, None, 0)
            case "close":
                raise Failure(OutputReason.CLOSED_BY_SERVER, "the server said close")
        return b""

    def _judge(self, information: Mapping[str, amf.Value]) -> None:
        """Go live, go on, or raise, as the status says (7.2.1.1, 7.2.2.6)."""
        code = information.get("code")
        if information.get("level") == "error" or code in ("NetConnection.Connect.Rejected", "NetStream.Failed"):
            raise self._refusal(information)
        if code == "NetStream.Publish.Start" and self.phase is Phase.PUBLISH:
            self.phase = Phase.LIVE
        elif code in ("NetStream.Unpublish.Success", "NetConnection.Connect.Closed") and self.phase is Phase.LIVE:
            raise Failure(OutputReason.CLOSED_BY_SERVER, f"the server ended the stream: {code}")

    def _refusal(self, information: Mapping[str, amf.Value]) -> Failure | Challenge:
        description = str(information.get("description", ""))
        target = self._target
        if self.phase is Phase.CONNECT and auth.asks_for_credentials(description):
            credentials = (
                auth.Credentials(target.user, target.password.get_secret_value())
                if target.user and target.password
                else None
            )
            return Challenge(auth.answer(description, credentials, target.app.get_secret_value(), os.urandom(4).hex()))
        # The description may hold the stream key; a code of the known form cannot.
        code = str(information.get("code", ""))
        words = code if _STATUS_CODE.fullmatch(code) and self._name not in code else "an error"
        reason = OutputReason.REFUSED
        if _KEY_REFUSED.fullmatch(code):
            reason = OutputReason.BAD_STREAM_KEY
        elif "Auth" in code or "authmod=" in description:
            reason = OutputReason.AUTH_FAILED
        return Failure(reason, f"the server answered {self.phase} with {words}")

    # -------------------------------------------------------------------------------------------- writing

    def _command(self, name: str, transaction: float, *arguments: amf.Value, stream_id: int = 0) -> bytes:
        message = Message(MessageType.COMMAND_AMF0, stream_id, 0, amf.encode(name, transaction, *arguments))
        return pack(message, ChunkStream.COMMAND, self._chunk_size)

    def _control(self, message_type: MessageType, body: bytes) -> bytes:
        return pack(Message(message_type, 0, 0, body), ChunkStream.CONTROL, self._chunk_size)


def _information(values: list[amf.Value]) -> Mapping[str, amf.Value]:
    """The information object of a response: the last object in it."""
    return next((value for value in reversed(values) if isinstance(value, Mapping)), {})
