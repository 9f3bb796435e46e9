"""An RTMP server of our own that records what it is sent, and misbehaves as told.

async with rtmp_server(Behaviour.REFUSE_PUBLISH) as server:
    target = server.target("key")
"""

import asyncio
import contextlib
import hashlib
import socket
import ssl
import struct
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum, auto

from pydantic import SecretStr

from transponder_crd.control import RtmpTarget
from transponder_relay.outputs import amf
from transponder_relay.outputs.chunks import ChunkReader, Message, MessageType, pack

USER, PASSWORD = "operator", "s3cret&pass=word"


class Behaviour(Enum):
    GOOD = auto()
    SILENT = auto()
    """Accepts the TCP connection and says nothing."""
    SILENT_AFTER_HANDSHAKE = auto()
    NOT_RTMP = auto()
    """Answers as an HTTP server does."""
    CLOSE_AT_ONCE = auto()
    REFUSE_CONNECT = auto()
    REFUSE_PUBLISH = auto()
    CLOSE_AFTER_PUBLISH = auto()
    """Hangs up where it should accept publish."""
    STOP_READING = auto()
    """Accepts publish and then reads nothing more, without closing."""
    READ_SLOWLY = auto()
    """Reads media at `Server.bytes_per_second`."""
    RESET = auto()
    """Resets the connection with the first media message."""
    ADOBE = auto()
    """Asks for USER and PASSWORD."""
    LIMELIGHT = auto()
    CHATTY = auto()
    """A good one that sets window, bandwidth and chunk size, pings, and answers in small chunks."""


@dataclass
class Session:
    """One connection as the server saw it."""

    commands: list[list[amf.Value]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    """Audio, video and data."""
    controls: list[Message] = field(default_factory=list)
    handshake_and_commands: bytearray = field(default_factory=bytearray)
    """All bytes up to the one that completed publish."""
    published: bool = False
    ended_in_order: bool = False
    """By deleteStream and FIN."""
    closed: bool = False

    def names(self) -> list[amf.Value]:
        return [command[0] for command in self.commands]

    def media(self, message_type: MessageType) -> list[Message]:
        return [message for message in self.messages if message.type == message_type]


@dataclass
class Server:
    behaviour: Behaviour
    """May be changed; new connections see it."""
    port: int = 0
    tls: bool = False
    bytes_per_second: int = 20_000
    sessions: list[Session] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    most_at_once: int = 0
    """Connections."""

    def target(
        self, name: str = "key", host: str = "127.0.0.1", user: str | None = None, password: str = ""
    ) -> RtmpTarget:
        return RtmpTarget(
            tls=self.tls,
            host=host,
            port=self.port,
            app=SecretStr("live"),
            tc_url=SecretStr(f"rtmp{'s' * self.tls}://{host}:{self.port}/live"),
            stream_name=SecretStr(name),
            flash_version="FMLE/3.0",
            user=user,
            password=SecretStr(password) if user else None,
        )

    async def until(self, condition: object, timeout: float = 5.0) -> None:
        """Return when `condition()` holds; it is looked at after everything that a session receives."""
        assert callable(condition)
        async with asyncio.timeout(timeout), self.changed:
            await self.changed.wait_for(condition)

    def reset_all(self) -> None:
        """Break all connections off with a TCP reset."""
        for writer in self.writers:
            reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def rtmp_server(
    behaviour: Behaviour = Behaviour.GOOD, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Server]:
    server = Server(behaviour, tls=tls is not None)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        session = Session()
        server.sessions.append(session)
        server.writers.add(writer)
        server.most_at_once = max(server.most_at_once, len(server.writers))
        try:
            await _Dialogue(server, session, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            server.writers.discard(writer)
            session.closed = True
            writer.transport.abort()
            async with server.changed:
                server.changed.notify_all()

    # The small window makes a peer that stops reading felt at once.
    listener = socket.create_server(("127.0.0.1", port))
    if behaviour in (Behaviour.STOP_READING, Behaviour.READ_SLOWLY):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    accepting = await asyncio.start_server(serve, sock=listener, ssl=tls, limit=16 * 1024)
    server.port = listener.getsockname()[1]
    try:
        yield server
    finally:
        accepting.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await accepting.wait_closed()


class _Dialogue:
    def __init__(
        self, server: Server, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server, self.session, self.reader, self.writer = server, session, reader, writer
        self.behaviour = server.behaviour
        self.chunk_size = 128

    async def run(self) -> None:
        match self.behaviour:
            case Behaviour.SILENT:
                await self._for_ever()
            case Behaviour.CLOSE_AT_ONCE:
                return
            case Behaviour.NOT_RTMP:
                self.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                await self._for_ever()
        await self._handshake()
        if self.behaviour is Behaviour.SILENT_AFTER_HANDSHAKE:
            await self._for_ever()
        chunks = ChunkReader(max_message=16 << 20)
        while data := await self.reader.read(16 * 1024):
            if not self.session.published:
                self.session.handshake_and_commands += data
            for message in chunks.receive(data):
                await self._message(message)
            async with self.server.changed:
                self.server.changed.notify_all()
            if self.session.published:
                await self._linger(len(data))
        self.session.ended_in_order = "deleteStream" in self.session.names()

    async def _for_ever(self) -> None:
        await asyncio.Event().wait()

    async def _linger(self, size: int) -> None:
        if self.behaviour is Behaviour.STOP_READING:
            await self._for_ever()
        if self.behaviour is Behaviour.READ_SLOWLY:
            await asyncio.sleep(size / self.server.bytes_per_second)

    async def _handshake(self) -> None:
        c0c1 = await self.reader.readexactly(1537)
        assert c0c1[0] == 3
        s1 = bytes(8) + bytes(n % 251 for n in range(1528))  # version 0: the simple handshake
        self.writer.write(b"\3" + s1 + c0c1[1:])
        c2 = await self.reader.readexactly(1536)
        assert c2[8:] == s1[8:]
        self.session.handshake_and_commands += c0c1 + c2

    async def _message(self, message: Message) -> None:
        session = self.session
        if message.type == MessageType.COMMAND_AMF0:
            command = amf.decode(message.body)
            session.commands.append(command)
            await self._command(command)
        elif message.type in (MessageType.AUDIO, MessageType.VIDEO, MessageType.DATA_AMF0):
            if self.behaviour is Behaviour.RESET:
                reset(self.writer)
                raise ConnectionResetError
            session.messages.append(message)
        else:
            session.controls.append(message)

    async def _command(self, command: list[amf.Value]) -> None:
        name, transaction = command[0], command[1]
        if name == "connect":
            properties = command[2]
            assert isinstance(properties, dict)
            self._connect(str(properties["app"]))
        elif name == "createStream":
            self._say("_result", transaction, None, 1)
        elif name == "publish":
            self._publish(str(command[3]))

    def _connect(self, app: str) -> None:
        if self.behaviour is Behaviour.CHATTY:
            self._control(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, (5000).to_bytes(4))
            self._control(MessageType.SET_PEER_BANDWIDTH, (5000).to_bytes(4) + b"\2")
            self._control(MessageType.SET_CHUNK_SIZE, (16).to_bytes(4))
            self.chunk_size = 16
            self._control(MessageType.USER_CONTROL, (6).to_bytes(2) + (1234).to_bytes(4))
            self._say("onBWDone", 0, None, 8192)
            self._say("_onbwcheck", 77, None)
        description = self._demand(app)
        if self.behaviour is Behaviour.REFUSE_CONNECT:
            description = "no application for the key 'key'"
        if description is not None:
            info: amf.Value = {"level": "error", "code": "NetConnection.Connect.Rejected", "description": description}
            self._say("_error", 1, None, info)
            self.writer.close()
            return
        info = {"level": "status", "code": "NetConnection.Connect.Success", "description": "Connection succeeded."}
        self._say("_result", 1, {"fmsVer": "FMS/3,0,1,123", "capabilities": 31}, info)

    def _publish(self, stream_key: str) -> None:
        if self.behaviour is Behaviour.CLOSE_AFTER_PUBLISH:
            self.writer.close()
            return
        refused = self.behaviour is Behaviour.REFUSE_PUBLISH
        level, code = ("error", "NetStream.Publish.BadName") if refused else ("status", "NetStream.Publish.Start")
        self._say(
            "onStatus", 0, None, {"level": level, "code": code, "description": f"the key '{stream_key}'"}, stream=1
        )
        self.session.published = not refused
        if self.behaviour is Behaviour.CHATTY:
            for _ in range(200):  # enough to fill the window
                self._say("onFCPublish", 0, None, {"code": "NetStream.Publish.Start", "description": "key"})

    def _say(self, *values: amf.Value, stream: int = 0) -> None:
        self.writer.write(pack(Message(MessageType.COMMAND_AMF0, stream, 0, amf.encode(*values)), 3, self.chunk_size))

    def _control(self, message_type: MessageType, body: bytes) -> None:
        self.writer.write(pack(Message(message_type, 0, 0, body), 2, self.chunk_size))

    # -------------------------------------------------------------------------------------------- authentication

    def _demand(self, app: str) -> str | None:
        """The description of a refusal, or None when the credentials are good (or none are needed)."""
        scheme = {Behaviour.ADOBE: "adobe", Behaviour.LIMELIGHT: "llnw"}.get(self.behaviour)
        if scheme is None:
            return None
        path, _, query = app.partition("?")
        asked = {key: value for key, _, value in (part.partition("=") for part in query.split("&"))}
        if "user" not in asked:
            return f"[ AccessManager.Reject ] : [ code=403 need auth; authmod={scheme} ] : "
        if asked["user"] != USER:
            return f"[ AccessManager.Reject ] : [ authmod={scheme} ] : ?reason=nosuchuser&opaque=x"
        if "response" not in asked:
            more = "salt=c2FsdA==&challenge=AAAA&opaque=T1BB" if scheme == "adobe" else "nonce=Tm9uY2U="
            return f"[ AccessManager.Reject ] : [ authmod={scheme} ] : ?reason=needauth&user={USER}&{more}"
        expected = _adobe_response(asked) if scheme == "adobe" else _limelight_response(asked, path)
        if asked["response"] != expected:
            return f"[ AccessManager.Reject ] : [ authmod={scheme} ] : ?reason=authfailed&opaque=x"
        return None


def _adobe_response(asked: dict[str, str]) -> str:
    first = b64encode(hashlib.md5((USER + "c2FsdA==" + PASSWORD).encode()).digest())  # noqa: S324 - the scheme's
    return b64encode(hashlib.md5(first + b"T1BB" + asked["challenge"].encode()).digest()).decode()  # noqa: S324


def _limelight_response(asked: dict[str, str], app: str) -> str:
    def digest(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode()).hexdigest()  # noqa: S324 - the scheme's

    who = digest(USER, "live", PASSWORD)
    what = digest("publish", f"/{app}/_definst_")
    return digest(who, "Tm9uY2U=", asked["nc"], asked["cnonce"], "auth", what)
