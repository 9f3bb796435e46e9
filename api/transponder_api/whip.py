"""WHIP (RFC 9725): a publisher's offer by HTTP POST, the relay's answer as its reply, the end by HTTP DELETE.

The answer holds all candidates of the relay, and the relay learns the publisher's from its STUN checks: candidates that
come by PATCH are accepted and not needed. ICE restarts are not served.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from transponder_api.errors import MethodNotAllowed
from transponder_api.ice import check_patch, ice_tag
from transponder_api.openapi import errors
from transponder_api.signalling import (
    ACCEPTED,
    CANDIDATES,
    CREATED,
    ENDED,
    OFFER,
    checked_name,
    checked_offer,
    created,
    endpoint_options,
)
from transponder_api.streams import Streams
from transponder_crd.names import ANNOTATION_ICE_SESSION
from transponder_crd.offer import check_offer, check_single_stream
from transponder_crd.resource import StreamSource

ENDPOINT = "/whip/"
SESSION = "/whip-session/"


async def _streams(request: Request) -> Streams:
    service: Streams = request.app.state.streams
    return service


Service = Annotated[Streams, Depends(_streams)]
router = APIRouter(tags=["whip"])


@router.post(
    ENDPOINT + "{stream_name:path}",
    operation_id="whipPublish",
    status_code=201,
    response_class=Response,
    openapi_extra=OFFER,
    responses=CREATED
    | errors(
        _400="The stream's name or the offer is malformed.",
        _409="A stream of this name is being published.",
        _413="The offer has more than 64 KiB.",
        _415="The body is no application/sdp.",
        _422="The offer, or a track in it, has nothing that can be used.",
        _503="No relay was ready in time. Try again after `Retry-After` seconds.",
    ),
)
async def publish(stream_name: str, request: Request, service: Service) -> Response:
    """Publish a stream by WebRTC."""
    name = checked_name(stream_name)
    content_type = request.headers.get("content-type", "")
    sdp = checked_offer(content_type, await request.body(), check_offer, check_single_stream)
    tag = ice_tag(sdp)
    stream, answer = await service.publish(name, StreamSource.WHIP, sdp, {ANNOTATION_ICE_SESSION: tag})
    if await request.is_disconnected():  # it never learns of the session, which would keep the name from its next try
        await service.end(stream.uid, StreamSource.WHIP)
    return created(request, answer, f"{SESSION}{stream.uid}", tag)


@router.delete(
    SESSION + "{session_id}",
    operation_id="whipEnd",
    response_class=Response,
    responses=ENDED | errors(_404="There is no such session."),
)
async def end(session_id: str, service: Service) -> Response:
    """End a session. Its URL is the `Location` that the publisher was given."""
    await service.end(session_id, StreamSource.WHIP)
    return Response()


@router.patch(
    SESSION + "{session_id}",
    operation_id="whipCandidates",
    status_code=204,
    response_class=Response,
    openapi_extra=CANDIDATES,
    responses=ACCEPTED,
)
async def candidates(session_id: str, request: Request, service: Service) -> Response:
    """Add ICE candidates."""
    stream = await service.find(session_id, StreamSource.WHIP)
    tag = stream.metadata.annotations.get(ANNOTATION_ICE_SESSION, "")
    headers = request.headers
    check_patch(tag, headers.get("content-type", ""), headers.get("if-match"), await request.body())
    return Response(status_code=204)


@router.api_route(ENDPOINT + "{_:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def nothing_to_see_at_endpoint(_: str) -> Response:
    """RFC 9725, section 4.1: 2xx without content."""
    return Response(status_code=204)


@router.api_route(SESSION + "{session_id}", methods=["GET", "HEAD"], include_in_schema=False)
async def nothing_to_see_at_session(session_id: str, service: Service) -> Response:
    """RFC 9725, section 4.1: 2xx without content."""
    await service.find(session_id, StreamSource.WHIP)
    return Response(status_code=204)


@router.api_route(ENDPOINT + "{_:path}", methods=["PUT", "PATCH", "DELETE"], include_in_schema=False)
async def reserved_at_endpoint(_: str) -> Response:
    raise MethodNotAllowed("GET, HEAD, OPTIONS, POST")


@router.api_route(SESSION + "{_:path}", methods=["PUT", "POST"], include_in_schema=False)
async def reserved_at_session(_: str) -> Response:
    raise MethodNotAllowed("DELETE, GET, HEAD, OPTIONS, PATCH")


@router.options(ENDPOINT + "{_:path}", include_in_schema=False)
async def options_of_endpoint(_: str, request: Request) -> Response:
    return endpoint_options(request)


@router.options(SESSION + "{_:path}", include_in_schema=False)
async def options_of_session(_: str) -> Response:
    """Not a preflight: those are answered before they get here."""
    return Response()
