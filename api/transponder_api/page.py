"""The web page at `/`: the static files of the folder `page`, read once, without any build step."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

FOLDER = Path(__file__).with_suffix("")
INDEX = "index.html"
PREFIX = "/page/"

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What the folder may hold. Written down, since Python's own table depends on the machine."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",  # nothing of another host, nothing inline
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",  # forms are read by scripts, never sent
        "frame-ancestors 'none'",  # no other site can have a user click here unawares
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",  # no text ever becomes markup
    )
)

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=(), display-capture=(), usb=(), payment=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class PageFile:
    """One file as it is sent."""

    body: bytes
    media_type: str

    @property
    def etag(self) -> str:
        """A strong validator (RFC 9110, section 8.8.3)."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


def page_files(folder: Path = FOLDER) -> dict[str, PageFile]:
    """URL path → file; the index is at `/`. Raises OSError, or KeyError for a file of a type that is not served."""
    return {_path(file.name): PageFile(file.read_bytes(), MEDIA_TYPES[file.suffix]) for file in folder.iterdir()}


def page_router(files: Mapping[str, PageFile]) -> APIRouter:
    """A route for each file. There is no lookup by name: a path that is not one of `files` is a 404 of the API."""
    router = APIRouter(include_in_schema=False)
    for path, file in files.items():
        router.add_api_route(path, _endpoint(file), methods=["GET", "HEAD"])
    return router


def _path(name: str) -> str:
    return "/" if name == INDEX else PREFIX + name


def _endpoint(file: PageFile) -> Callable[[Request], Awaitable[Response]]:
    # each visit asks whether the file is still the same: modules of two versions never meet
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-cache", "ETag": file.etag}

    async def endpoint(request: Request) -> Response:
        if _matches(request.headers.get("if-none-match", ""), file.etag):
            return Response(status_code=304, headers=headers)
        return Response(file.body, headers=headers, media_type=file.media_type)

    return endpoint


def _matches(if_none_match: str, etag: str) -> bool:
    """RFC 9110, section 13.1.2: weak comparison."""
    given = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in given or "*" in given
