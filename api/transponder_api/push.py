"""`/rest-api/push/*`: HTTP to service and back, as Flashphoner WCS words it."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request, Response

from transponder_api import shapes
from transponder_api.figures import Figures
from transponder_api.rest import EMPTY, WcsResponse, errors, wants_json
from transponder_api.transponders import Transponders
from transponder_api.views import transponder_view


async def _transponders(request: Request) -> Transponders:
    service: Transponders = request.app.state.transponders
    return service


async def _figures(request: Request) -> Figures:
    figures: Figures = request.app.state.figures
    return figures


Service = Annotated[Transponders, Depends(_transponders)]
Told = Annotated[Figures, Depends(_figures)]

router = APIRouter(
    prefix="/rest-api/push",
    tags=["push"],
    dependencies=[Depends(wants_json)],
    default_response_class=WcsResponse,
)


_UNKNOWN = "No transponder has this id."
_NONE = "No transponder is like this."


@router.post(
    "/startup",
    operation_id="startup",
    responses=errors(_404="There is no such sound file.", _409="A transponder of this stream and URL exists."),
)
async def startup(
    service: Service,
    body: Annotated[
        shapes.Startup,
        Body(
            openapi_examples={
                "plain": {"value": {"streamName": "stream1", "rtmpUrl": "rtmp://rtmp.example.com:1935/live"}},
                "muted": {
                    "value": {
                        "streamName": "stream1",
                        "rtmpUrl": "rtmp://rtmp.example.com:1935/live",
                        "options": {"action": "mute"},
                    }
                },
                "sound": {
                    "value": {
                        "streamName": "stream1",
                        "rtmpUrl": "rtmp://rtmp.example.com:1935/live",
                        "options": {"action": "sound_on", "soundFile": "sample.wav", "loop": True},
                    }
                },
                "full URL": {
                    "value": {
                        "streamName": "stream1",
                        "rtmpUrl": "rtmp://rtmp.example.com:1935/live/name-there",
                        "rtmpTransponderFullUrl": True,
                        "rtmpFlashVersion": "FMLE/3.0",
                    }
                },
            }
        ),
    ],
) -> shapes.Transponder:
    """Send a stream to an RTMP server.

    Answers at once: relay and connection follow, and `state` of a later `find` says how they do. A stream that is not
    published yet is no error: its transponder waits for the publisher.
    """
    return transponder_view(await service.start(body), service.settings.defaults)


async def _found(service: Transponders, figures: Figures, wish: shapes.Find) -> list[shapes.Transponder]:
    url = wish.rtmp_url.get_secret_value() if wish.rtmp_url is not None else None
    found = await service.find(wish.stream_name, url)
    told = await figures.of(found)
    return [transponder_view(item, service.settings.defaults, told.get(item.uid)) for item in found]


@router.post("/find", operation_id="find", responses=errors(_404=_NONE))
async def find(service: Service, figures: Told, body: shapes.Find | None = None) -> list[shapes.Transponder]:
    """The transponders of a stream, of a URL, of both, or all."""
    return await _found(service, figures, body or shapes.Find())


@router.get("/find", operation_id="findWithoutFilter", responses=errors(_404=_NONE))
@router.get("/find_all", operation_id="findAllByGet", responses=errors(_404=_NONE))
async def find_all_by_get(service: Service, figures: Told) -> list[shapes.Transponder]:
    """All transponders. Flashphoner's own client sends a call without data by GET."""
    return await _found(service, figures, shapes.Find())


@router.post("/find_all", operation_id="findAll", responses=errors(_404=_NONE))
async def find_all(service: Service, figures: Told, _: shapes.Empty | None = None) -> list[shapes.Transponder]:
    """All transponders."""
    return await _found(service, figures, shapes.Find())


@router.post("/terminate", operation_id="terminate", response_class=Response, responses=EMPTY | errors(_404=_UNKNOWN))
async def terminate(service: Service, body: shapes.ById) -> Response:
    """End a transponder; its RTMP session is closed in order."""
    await service.terminate(body.media_session_id)
    return Response()


@router.post("/mute", operation_id="mute", response_class=Response, responses=EMPTY | errors(_404=_UNKNOWN))
async def mute(service: Service, body: shapes.ById) -> Response:
    """Send silence. Returns when it is in effect."""
    await service.mute(body.media_session_id, muted=True)
    return Response()


@router.post("/unmute", operation_id="unmute", response_class=Response, responses=EMPTY | errors(_404=_UNKNOWN))
async def unmute(service: Service, body: shapes.ById) -> Response:
    """Send sound again. Returns when it is in effect."""
    await service.mute(body.media_session_id, muted=False)
    return Response()


@router.post(
    "/sound_on",
    operation_id="soundOn",
    response_class=Response,
    responses=EMPTY | errors(_404="No transponder has this id, or there is no such sound file."),
)
async def sound_on(service: Service, body: shapes.SoundOn) -> Response:
    """Send a sound file instead of the live audio, from its start. Returns when it is in effect."""
    await service.sound_on(body)
    return Response()


@router.post("/sound_off", operation_id="soundOff", response_class=Response, responses=EMPTY | errors(_404=_UNKNOWN))
async def sound_off(service: Service, body: shapes.ById) -> Response:
    """Send the live audio again. Returns when it is in effect."""
    await service.sound_off(body.media_session_id)
    return Response()
