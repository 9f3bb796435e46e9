"""What all calls of Flashphoner's REST API have in common."""

from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse

from transponder_api.errors import JSON_TYPE, ErrorBody, UnsupportedMediaType

Responses = dict[int | str, dict[str, Any]]
"""OpenAPI's answers by status."""

EMPTY: Responses = {200: {"description": "Done; the body is empty.", "content": {}}}


class WcsResponse(JSONResponse):
    media_type = JSON_TYPE


async def wants_json(request: Request) -> None:
    """A form or plain text is refused, not guessed at: browsers send those across sites without asking first."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if await request.body() and media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType("Content-Type", "must be application/json")


def errors(**texts: str) -> Responses:
    """OpenAPI's `responses` of the given statuses (`_404="..."`)."""
    always = {
        "_400": "Bad input: `field` and `rule` say what.",
        "_413": "The body has more than 64 KiB.",
        "_415": "The body is no JSON.",
        "_500": "The server failed.",
    }
    texts = dict(sorted((always | texts).items()))
    return {int(status[1:]): {"model": ErrorBody, "description": text} for status, text in texts.items()}
