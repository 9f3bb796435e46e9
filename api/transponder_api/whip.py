"""WHIP (RFC 9725): a publisher's offer by HTTP POST, the relay's answer as its reply, the end by HTTP DELETE.

The answer holds all candidates of the relay, and the relay learns the publisher's from its STUN checks: neither trickle
ICE nor ICE restarts are served.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transponder_api.errors import (
    BadRequest,
    ErrorBody,
    MethodNotAllowed,
    NotAcceptable,
    NotImplementedHere,
    UnsupportedMediaType,
)
from transponder_api.streams import Streams
from transponder_api.validation import describe
from transponder_crd.offer import InvalidOffer, NoUsableMedia, check_offer
from transponder_crd.resource import StreamName, StreamSource

SDP = "application/sdp"
ENDPOINT = "/whip/"
SESSION = "/whip-session/"
EXPOSED_HEADERS = ("Location", "ETag", "Link", "Retry-After")
"""What a page of another origin may read of an answer."""

_stream_name: TypeAdapter[str] = TypeAdapter(StreamName)


async def _streams(request: Request) -> Streams:
    service: Streams = request.app.state.streams
    return service


Service = Annotated[Streams, Depends(_streams)]
router = APIRouter(tags=["whip"])


Responses = dict[int | str, dict[str, Any]]
"""OpenAPI's answers by status."""


def _errors(**texts: str) -> Responses:
    return {int(status[1:]): {"model": ErrorBody, "description": text} for status, text in texts.items()}


_OFFER = {"schema": {"type": "string"}, "example": "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n..."}
_CREATED: Responses = {
    201: {
        "description": "The SDP answer.",
        "headers": {"Location": {"description": "Path of the session.", "schema": {"type": "string"}}},
        "content": {SDP: {"schema": {"type": "string"}}},
    }
}
_ENDED: Responses = {200: {"description": "Ended.", "content": {}}}


@router.post(
    ENDPOINT + "{stream_name:path}",
    operation_id="whipPublish",
    status_code=201,
    response_class=Response,
    openapi_extra={"requestBody": {"required": True, "content": {SDP: _OFFER}}},
    responses=_CREATED
    | _errors(
        _400="The stream's name or the offer is malformed.",
        _406="The offer has nothing that can be used.",
        _409="A stream of this name is being published.",
        _413="The offer has more than 64 KiB.",
        _415="The body is no application/sdp.",
        _503="No relay was ready in time. Try again after `Retry-After` seconds.",
    ),
)
async def publish(stream_name: str, request: Request, service: Service) -> Response:
    """Publish a stream by WebRTC."""
    name, sdp = (
        _checked_name(stream_name),
        _checked_offer(request.headers.get("content-type", ""), await request.body()),
    )
    stream, answer = await service.publish(name, StreamSource.WHIP, sdp)
    location = f"{request.scope.get('root_path', '')}{SESSION}{stream.uid}"
    return Response(answer, 201, {"Location": location}, media_type=SDP)


@router.delete(
    SESSION + "{session_id}",
    operation_id="whipEnd",
    response_class=Response,
    responses=_ENDED | _errors(_404="There is no such session."),
)
async def end(session_id: str, service: Service) -> Response:
    """End a session. Its URL is the `Location` that the publisher was given."""
    await service.end(session_id, StreamSource.WHIP)
    return Response()


@router.patch(SESSION + "{_}", include_in_schema=False)
async def no_trickle(_: str) -> Response:
    """RFC 9725, section 4.3: 501 of a server that has no use for PATCH."""
    raise NotImplementedHere("trickle ICE and ICE restarts are not served; the answer has all candidates")


@router.api_route(ENDPOINT + "{_:path}", methods=["GET", "HEAD", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def reserved_at_endpoint(_: str) -> Response:
    """RFC 9725, section 4.2: kept for later versions of the protocol."""
    raise MethodNotAllowed("OPTIONS, POST")


@router.api_route(SESSION + "{_:path}", methods=["GET", "HEAD", "PUT", "POST"], include_in_schema=False)
async def reserved_at_session(_: str) -> Response:
    """RFC 9725, section 4.2: kept for later versions of the protocol."""
    raise MethodNotAllowed("DELETE, OPTIONS, PATCH")


@router.options(ENDPOINT + "{_:path}", include_in_schema=False)
@router.options(SESSION + "{_:path}", include_in_schema=False)
async def options(_: str) -> Response:
    """Not a preflight: those are answered before they get here."""
    return Response()


def _checked_name(name: str) -> str:
    try:
        return _stream_name.validate_python(name)
    except ValidationError as error:
        raise BadRequest("streamName", describe(error.errors()[0])[1]) from None


def _checked_offer(content_type: str, body: bytes) -> str:
    if content_type.partition(";")[0].strip().lower() != SDP:
        raise UnsupportedMediaType("Content-Type", f"must be {SDP}")
    try:
        sdp = body.decode()
        check_offer(sdp)
    except UnicodeDecodeError:
        raise BadRequest("sdp", "must be UTF-8") from None
    except NoUsableMedia as error:
        raise NotAcceptable(error.field, error.rule) from None
    except InvalidOffer as error:
        raise BadRequest(error.field, error.rule) from None
    return sdp


class AcceptPost:
    """Says in every answer to OPTIONS at a WHIP endpoint what may be posted there (RFC 9725, section 4.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Accept-Post"] = SDP
            await send(message)

        asked = scope["type"] == "http" and scope["method"] == "OPTIONS" and scope["path"].startswith(ENDPOINT)
        await self.app(scope, receive, with_header if asked else send)
