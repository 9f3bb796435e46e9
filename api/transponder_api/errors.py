"""Errors that a caller is told of, and how they are worded.

    ApiError
        InputError                the caller's mistake: names the field and the rule
            BadRequest            400
            Unauthorized          401
            NotFound              404
            MethodNotAllowed      405
            RequestTimeout        408
            Conflict              409
            PreconditionFailed    412
            BodyTooLarge          413
            UnsupportedMediaType  415
            Unprocessable         422
            PreconditionRequired  428
        InternalError             500
        Unavailable               503, with Retry-After

The body is the JSON that Flashphoner WCS answers, with two members more: `field` and `rule`.
"""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from transponder_api.validation import describe

JSON_TYPE = "application/json;charset=UTF-8"


class ApiError(Exception):
    """`message` is a sentence without secrets; `field` and `rule` say what was wrong with the input."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(
        self, message: str, *, field: str | None = None, rule: str | None = None, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.message, self.field, self.rule, self.headers = message, field, rule, headers


class InputError(ApiError):
    """Errors of one field of the input."""

    def __init__(self, field: str, rule: str, headers: Mapping[str, str] = {}) -> None:
        super().__init__(f"{field}: {rule}", field=field, rule=rule, headers=headers)


class BadRequest(InputError):
    status = HTTPStatus.BAD_REQUEST


class Unauthorized(InputError):
    status = HTTPStatus.UNAUTHORIZED


class NotFound(InputError):
    status = HTTPStatus.NOT_FOUND


class MethodNotAllowed(InputError):
    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, allowed: str) -> None:
        super().__init__("method", f"must be one of {allowed}", {"Allow": allowed})


class RequestTimeout(InputError):
    status = HTTPStatus.REQUEST_TIMEOUT


class Conflict(InputError):
    status = HTTPStatus.CONFLICT


class PreconditionFailed(InputError):
    status = HTTPStatus.PRECONDITION_FAILED


class BodyTooLarge(InputError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMediaType(InputError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Unprocessable(InputError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class PreconditionRequired(InputError):
    status = HTTPStatus.PRECONDITION_REQUIRED


class InternalError(ApiError):
    status = HTTPStatus.INTERNAL_SERVER_ERROR


class Unavailable(ApiError):
    """The caller may try again after `retry_after` seconds (RFC 9110, section 10.2.3)."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, message: str, retry_after: int = 2) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    exception: str = Field(examples=["com.flashphoner.rest.server.exception.NotFoundException"])
    reason: str
    path: str = Field(examples=["/rest-api/push/mute"])
    error: str = Field(examples=["Not Found"])
    message: str = Field(examples=["mediaSessionId: no transponder has this id"])
    timestamp: int
    """Milliseconds since 1970."""
    status: int = Field(examples=[404])
    field: str | None = Field(None, examples=["mediaSessionId"])
    """What in the request was wrong."""
    rule: str | None = Field(None, examples=["no transponder has this id"])
    """The rule that it broke."""


def error_response(path: str, error: ApiError) -> Response:
    phrase = error.status.phrase
    exception = f"com.flashphoner.rest.server.exception.{phrase.replace(' ', '')}Exception"
    body = ErrorBody(
        exception=exception,
        reason=f"{exception}, {phrase}, {error.message}",
        path=path,
        error=phrase,
        message=error.message,
        timestamp=time.time_ns() // 1_000_000,
        status=error.status,
        field=error.field,
        rule=error.rule,
    )
    text = body.model_dump_json(exclude_none=True)
    return Response(text, error.status, dict(error.headers), media_type=JSON_TYPE)


def install_handlers(app: FastAPI) -> None:
    """Word the framework's errors as ours."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_api_error(request: Request, error: Any) -> Response:
    return error_response(request.url.path, error)


async def _on_invalid(request: Request, error: Any) -> Response:
    field, rule = describe(error.errors()[0])
    return error_response(request.url.path, BadRequest(field, rule))


async def _on_http(request: Request, error: Any) -> Response:
    """What routing and body parsing say."""
    return error_response(request.url.path, _from_http(error, request))


def _from_http(error: HTTPException, request: Request) -> ApiError:
    match error.status_code:
        case HTTPStatus.BAD_REQUEST:
            return BadRequest("body", "must be JSON")
        case HTTPStatus.NOT_FOUND:
            return NotFound("path", "there is nothing here")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return MethodNotAllowed(_allowed(request))
        case _:
            return InternalError("the server failed")


METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


def _allowed(request: Request) -> str:
    """The methods of all routes with this path (RFC 9110, section 10.2.1). The framework names those of the first."""

    def is_allowed(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return ", ".join(filter(is_allowed, METHODS))
