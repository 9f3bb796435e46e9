"""Playing in the style of WHEP (draft-ietf-wish-whep): a player's offer by HTTP POST, the relay's answer as its reply,
the end by HTTP DELETE. The session's URL tells the stream and the player: nothing of it is kept here."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response

from transponder_api.errors import MethodNotAllowed
from transponder_api.ice import TAG_LENGTH, check_patch
from transponder_api.openapi import errors
from transponder_api.players import Players
from transponder_api.signalling import (
    ACCEPTED,
    CANDIDATES,
    CREATED,
    ENDED,
    OFFER,
    SDP,
    checked_name,
    checked_offer,
    created,
    endpoint_options,
)
from transponder_crd.offer import check_play_offer

ENDPOINT = "/whep/"
SESSION = "/whep-session/"


async def _players(request: Request) -> Players:
    service: Players = request.app.state.players
    return service


Service = Annotated[Players, Depends(_players)]
router = APIRouter(tags=["whep"])


@router.post(
    ENDPOINT + "{stream_name:path}",
    operation_id="whepPlay",
    status_code=201,
    response_class=Response,
    openapi_extra=OFFER,
    responses=CREATED
    | errors(
        _400="The stream's name or the offer is malformed.",
        _404="No stream of this name is being published.",
        _413="The offer has more than 64 KiB.",
        _415="The body is no application/sdp.",
        _422="The offer does not take what the stream has.",
        _503="The relay did not answer, or has as many players as it takes. Try again after `Retry-After` seconds.",
    ),
)
async def play(stream_name: str, request: Request, service: Service) -> Response:
    """Play a stream by WebRTC."""
    name = checked_name(stream_name)
    sdp = checked_offer(request.headers.get("content-type", ""), await request.body(), check_play_offer)
    player_id, answer = await service.play(name, sdp)
    session = f"{SESSION}{player_id}/{quote(name, safe='')}"
    return created(request, answer, session, player_id[-TAG_LENGTH:])


@router.delete(
    SESSION + "{player_id}/{stream_name:path}",
    operation_id="whepEnd",
    response_class=Response,
    responses=ENDED | errors(_404="There is no such session."),
)
async def end(player_id: str, stream_name: str, service: Service) -> Response:
    """End a session. Its URL is the `Location` that the player was given."""
    await service.stop(stream_name, player_id)
    return Response()


@router.patch(
    SESSION + "{player_id}/{stream_name:path}",
    operation_id="whepCandidates",
    status_code=204,
    response_class=Response,
    openapi_extra=CANDIDATES,
    responses=ACCEPTED,
)
async def candidates(player_id: str, stream_name: str, request: Request, service: Service) -> Response:
    """Add ICE candidates."""
    await service.find(stream_name, player_id)
    headers = request.headers
    tag = player_id[-TAG_LENGTH:]
    check_patch(tag, headers.get("content-type", ""), headers.get("if-match"), await request.body())
    return Response(status_code=204)


@router.api_route(ENDPOINT + "{_:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def nothing_to_see_at_endpoint(_: str) -> Response:
    """No content; its type tells a player that this is a WHEP endpoint."""
    return Response(media_type=SDP)


@router.api_route(SESSION + "{player_id}/{stream_name:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def nothing_to_see_at_session(player_id: str, stream_name: str, service: Service) -> Response:
    await service.find(stream_name, player_id)
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
