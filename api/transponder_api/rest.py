"""What all calls of Flashphoner's REST API have in common."""

from fastapi import Request
from starlette.responses import JSONResponse

from transponder_api import openapi
from transponder_api.errors import JSON_TYPE, UnsupportedMediaType
from transponder_api.openapi import Responses

EMPTY: Responses = {200: {"description": "Done; the body is empty.", "content": {}}}


class WcsResponse(JSONResponse):
    media_type = JSON_TYPE


async def wants_json(request: Request) -> None:
    """A form or plain text is refused, not guessed at: browsers send those across sites without asking first."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if await request.body() and media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType("Content-Type", "must be application/json")


def errors(**texts: str) -> Responses:
    """Those that every call may have, and `texts` (`_404="..."`)."""
    always = {
        "_400": "Bad input: `field` and `rule` say what.",
        "_413": "The body has more than 64 KiB.",
        "_415": "The body is no JSON.",
        "_500": "The server failed.",
    }
    return openapi.errors(**dict(sorted((always | texts).items())))
