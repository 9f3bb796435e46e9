"""What WHIP and WHEP have in common: SDP by HTTP."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transponder_api.errors import BadRequest, Unprocessable, UnsupportedMediaType
from transponder_api.ice import SDP_FRAGMENT, entity_tag
from transponder_api.openapi import Responses, errors
from transponder_api.validation import describe
from transponder_crd.offer import InvalidOffer, NoUsableMedia
from transponder_crd.resource import StreamName

SDP = "application/sdp"
EXPOSED_HEADERS = ("Location", "ETag", "Link", "Retry-After")
"""What a page of another origin may read of an answer."""

_stream_name: TypeAdapter[str] = TypeAdapter(StreamName)

# ---------------------------------------------------------------------------------------------- OpenAPI


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


OFFER = {
    "requestBody": {
        "required": True,
        "content": {SDP: {"schema": {"type": "string"}, "example": "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n..."}},
    }
}
CREATED: Responses = {
    201: {
        "description": "The SDP answer.",
        "headers": {
            "Location": _header("Path of the session."),
            "ETag": _header("Its ICE session."),
            "Link": _header("STUN and TURN servers, if there are any (RFC 9725 section 4.6)."),
        },
        "content": {SDP: {"schema": {"type": "string"}}},
    }
}
ENDED: Responses = {200: {"description": "Ended.", "content": {}}}

CANDIDATES = {
    "requestBody": {
        "required": True,
        "content": {SDP_FRAGMENT: {"schema": {"type": "string"}, "example": "a=ice-ufrag:EsAw\r\n..."}},
    }
}
_ACCEPTED: Responses = {204: {"description": "Accepted; candidates are not needed.", "content": {}}}
ACCEPTED = _ACCEPTED | errors(
    _400="The fragment is malformed.",
    _404="There is no such session.",
    _412="`If-Match` is not the session's `ETag`.",
    _415=f"The body is no {SDP_FRAGMENT}.",
    _422="An ICE restart: it is not served, and the session goes on.",
    _428="`If-Match` is missing.",
)

# ---------------------------------------------------------------------------------------------- requests, answers


def checked_name(name: str) -> str:
    """Raises BadRequest."""
    try:
        return _stream_name.validate_python(name)
    except ValidationError as error:
        raise BadRequest("streamName", describe(error.errors()[0])[1]) from None


def checked_offer(content_type: str, body: bytes, *checks: Callable[[str], None]) -> str:
    """The offer when it passes all `checks`. Raises UnsupportedMediaType, BadRequest, Unprocessable."""
    if content_type.partition(";")[0].strip().lower() != SDP:
        raise UnsupportedMediaType("Content-Type", f"must be {SDP}")
    try:
        sdp = body.decode()
        for check in checks:
            check(sdp)
    except UnicodeDecodeError:
        raise BadRequest("sdp", "must be UTF-8") from None
    except NoUsableMedia as error:
        raise Unprocessable(error.field, error.rule) from None
    except InvalidOffer as error:
        raise BadRequest(error.field, error.rule) from None
    return sdp


def created(request: Request, answer: str, session: str, tag: str) -> Response:
    """201 with the SDP answer. `session`: the path of the session."""
    headers = {"Location": request.app.state.public_path + session, "ETag": entity_tag(tag)}
    return _with_links(Response(answer, 201, headers, media_type=SDP), request.app.state.ice_servers.links())


def endpoint_options(request: Request) -> Response:
    """RFC 9725 section 4.6: the servers also before there is an offer, to those who may publish or play. A preflight
    asks for no more than whether it may."""
    state, headers = request.app.state, request.headers
    allowed = state.token is None or state.token.is_in(headers.get("authorization", ""))
    asked = "access-control-request-method" not in headers
    return _with_links(Response(), state.ice_servers.links() if allowed and asked else ())


def _with_links(response: Response, links: Sequence[str]) -> Response:
    for link in links:
        response.headers.append("Link", link)
    if links:
        response.headers["Cache-Control"] = "no-store"
    return response


class AcceptPost:
    """Says in every answer to OPTIONS at an endpoint what may be posted there (RFC 9725, section 4.2)."""

    def __init__(self, app: ASGIApp, endpoints: tuple[str, ...]) -> None:
        self.app = app
        self.endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Accept-Post"] = SDP
            await send(message)

        asked = scope["type"] == "http" and scope["method"] == "OPTIONS" and scope["path"].startswith(self.endpoints)
        await self.app(scope, receive, with_header if asked else send)
