"""`/rest-api/stream/*`: HTTP to service and back, as Flashphoner WCS words it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from transponder_api import shapes
from transponder_api.published import Published
from transponder_api.rest import EMPTY, WcsResponse, errors, wants_json
from transponder_api.stream_shapes import FindStreams, PublishedStream, TerminateStreams


async def _published(request: Request) -> Published:
    service: Published = request.app.state.published
    return service


Service = Annotated[Published, Depends(_published)]

router = APIRouter(
    prefix="/rest-api/stream",
    tags=["stream"],
    dependencies=[Depends(wants_json)],
    default_response_class=WcsResponse,
)

_NONE = "No stream is like this."


@router.post("/find", operation_id="findStreams", responses=errors(_404=_NONE))
async def find(service: Service, body: FindStreams | None = None) -> list[PublishedStream]:
    """The published streams that are like the filter, or all."""
    return await service.find(body or FindStreams())


@router.get("/find", operation_id="findStreamsWithoutFilter", responses=errors(_404=_NONE))
@router.get("/find_all", operation_id="findAllStreamsByGet", responses=errors(_404=_NONE))
async def find_all_by_get(service: Service) -> list[PublishedStream]:
    """All published streams. Flashphoner's own client sends a call without data by GET."""
    return await service.find(FindStreams())


@router.post("/find_all", operation_id="findAllStreams", responses=errors(_404=_NONE))
async def find_all(service: Service, _: shapes.Empty | None = None) -> list[PublishedStream]:
    """All published streams."""
    return await service.find(FindStreams())


@router.post(
    "/terminate",
    operation_id="terminateStreams",
    response_class=Response,
    responses=EMPTY | errors(_400="Nothing says which streams, or bad input.", _404=_NONE),
)
async def terminate(service: Service, body: TerminateStreams) -> Response:
    """End streams. Their publishers are told; transponders wait for the next publisher, but for those that came with
    the stream (`rtmpUrl` of the WebSDK, automatic start), which go with it."""
    await service.terminate(body)
    return Response()
