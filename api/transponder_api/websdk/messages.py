"""The messages of Flashphoner's WebSDK 2.0, pure.

Each is a text frame `{"message": <name>, "data": [...]}`; what a client sends has one element in `data`. The SDK reads
`data[0]` of whatever comes before it looks at the name: `data` is always there and always an array.
"""

import json
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import from_json

from transponder_api.validation import describe
from transponder_crd.resource import StreamName


class Status(StrEnum):
    """Stream statuses. All but the first two are final: the SDK then forgets the stream."""

    PUBLISHING = "PUBLISHING"
    PLAYING = "PLAYING"
    UNPUBLISHED = "UNPUBLISHED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


class Info(StrEnum):
    """Values of `info` that pages compare against. An `info` may be any other text too."""

    STOPPED_BY_USER = "Stopped by user"
    STOPPED_BY_REST = "Stopped by rest /terminate"
    STOPPED_BY_PUBLISHER = "Stopped by publisher stop"
    STOPPED_BY_SESSION = "Stopped by session disconnect"
    SHUTDOWN = "Requested stream shutdown"
    ICE_TIMEOUT = "Failed by ICE timeout"
    ICE_KEEP_ALIVE = "Failed by ICE keep alive"
    ICE_ERROR = "Failed by ICE error"
    DTLS_ERROR = "Failed by DTLS error"
    RTP_ACTIVITY = "Failed by RTP activity"
    RTMP_ERROR = "Failed by RTMP writer error"
    PROXY_ERROR = "Failed to add stream to proxy"
    """No media session could be made: a malformed offer, no relay, no port."""
    ERROR = "Failed by error"
    NO_COMMON_CODECS = "No common codecs"
    NAME_IN_USE = "Stream name is already in use"
    ID_IN_USE = "MediaSessionId is already in use"
    ID_IS_NULL = "MediaSessionId is null"
    NOT_FOUND = "Stream not found"
    SESSION_NOT_READY = "Session not ready"


# ---------------------------------------------------------------------------------------------- client to server


class Call(NamedTuple):
    """A message as it came."""

    name: str
    argument: Any
    """The first element of `data`; None if there is none."""


class InvalidCall(ValueError):
    """The argument of a call breaks a rule. The text is for the page's `info`: it names field and rule."""


def parse_call(text: str) -> Call | None:
    """None for whatever is no message: no JSON, or JSON of another shape."""
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("message"), str):
        return None
    data = value.get("data")
    return Call(value["message"], data[0] if isinstance(data, list) and data else None)


def media_session_id(argument: object) -> str | None:
    """The id in an argument of any shape; None if there is no usable one."""
    value = argument.get("mediaSessionId") if isinstance(argument, dict) else None
    return value if isinstance(value, str) and 0 < len(value) <= 128 else None


class Argument(BaseModel):
    """The argument of a call: what is read of it. All else that the SDK sends is not looked at."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
        extra="ignore",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
    )


class Connection(Argument):
    app_key: str = "defaultApp"
    auth_token: SecretStr | None = None


class StartStream(Argument):
    """What publishStream and playStream have in common."""

    media_session_id: Annotated[str, Field(min_length=1, max_length=128)]
    name: StreamName
    sdp: Annotated[str, Field(min_length=1)]


class PublishStream(StartStream):
    rtmp_url: Annotated[Any, Field(repr=False)] = None
    """Judged when the stream is published: a bad one does not keep it from being so."""


class AvailableStream(Argument):
    media_session_id: Annotated[str, Field(min_length=1, max_length=128)]
    name: Annotated[str, Field(min_length=1)]


class SendStreamEvent(Argument):
    media_session_id: Annotated[str, Field(min_length=1, max_length=128)]
    type: Annotated[str, Field(min_length=1, max_length=64)]
    payload: JsonValue = None


class SendData(Argument):
    operation_id: str | int


A = TypeVar("A", bound=Argument)


def parse_argument(kind: type[A], argument: object) -> A:
    """Raises InvalidCall."""
    try:
        return kind.model_validate(argument)
    except ValidationError as error:
        field, rule = describe(error.errors(include_url=False, include_input=False)[0])
        raise InvalidCall(f"{field} {rule}") from None


# ---------------------------------------------------------------------------------------------- server to client


def message(name: str, *data: Any) -> str:
    """The text frame. ASCII alone, so that any string can be sent."""
    return json.dumps({"message": name, "data": data}, separators=(",", ":"), allow_nan=False)


PING = message("ping")


def user_data(app_key: str, session_id: str) -> str:
    """The answer to `connection`, which makes the page's session ESTABLISHED."""
    return message("getUserData", {"appKey": app_key, "sessionId": session_id, "status": "ESTABLISHED"})


def remote_sdp(media_session: str, sdp: str) -> str:
    return message("setRemoteSDP", media_session, sdp)


def stream_status(
    media_session: str | None, status: Status, info: str = "", name: str = "", *, published: bool = True
) -> str:
    event = {"mediaSessionId": media_session, "status": status, "name": name, "published": published}
    return message("notifyStreamStatusEvent", event | {"mediaProvider": "WebRTC"} | ({"info": info} if info else {}))


def stream_event(media_session: str, type_: str, payload: JsonValue) -> str:
    return message("notifyStreamEvent", {"mediaSessionId": media_session, "type": type_, "payload": payload})


def available(media_session: str, *, yes: bool) -> str:
    """The status is a string; the promise of the page is kept by "true" and broken by all else."""
    answer: dict[str, str] = {"id": media_session, "status": "true" if yes else "false"}
    return message("availableStream", answer if yes else answer | {"info": Info.NOT_FOUND})


def data_status(operation: str | int, *, accepted: bool, info: str) -> str:
    """The answer to sendData; any other status than these two throws in the SDK."""
    status = "ACCEPTED" if accepted else "FAILED"
    return message("DataStatusEvent", {"operationId": operation, "status": status, "info": info})
