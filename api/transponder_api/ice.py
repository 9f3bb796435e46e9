"""ICE by HTTP PATCH (RFC 9725 section 4.3, RFC 8840): which session is meant, and what of it is served. Pure.

An ICE session is known by its entity tag, which is made from the offerer's ICE user name and password. Candidates are
accepted and not needed: the relay learns the peer's address from its connectivity checks. ICE restarts are refused.
"""

import re
from hashlib import sha256

from transponder_api.errors import (
    BadRequest,
    PreconditionFailed,
    PreconditionRequired,
    Unprocessable,
    UnsupportedMediaType,
)

SDP_FRAGMENT = "application/trickle-ice-sdpfrag"

TAG_LENGTH = 16
"""Hex digits."""

_CREDENTIAL = re.compile(r"^a=ice-(?P<name>ufrag|pwd):(?P<value>[A-Za-z0-9+/]+)\s*$", re.MULTILINE)
_ENTITY_TAG = re.compile(r'(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)"')


def ice_tag(sdp: str) -> str:
    """The mark of the offer's ICE session: hex digits. An offer without credentials has one too."""
    found = _credentials(sdp)
    identity = ":".join((found.get("ufrag", ""), found.get("pwd", "")))
    return sha256(identity.encode()).hexdigest()[:TAG_LENGTH]


def entity_tag(tag: str) -> str:
    """As an ETag's value: strong (RFC 9110 section 8.8.3)."""
    return f'"{tag}"'


def check_patch(tag: str, content_type: str, if_match: str | None, body: bytes) -> None:
    """Return when the request brings candidates for the ICE session of that tag: the answer is a 204.

    Raises UnsupportedMediaType, BadRequest, PreconditionRequired (RFC 6585 section 3), PreconditionFailed (RFC 9110
    section 13.1.1), Unprocessable (an ICE restart); the session goes on, whatever is raised.
    """
    if content_type.partition(";")[0].strip().lower() != SDP_FRAGMENT:
        raise UnsupportedMediaType("Content-Type", f"must be {SDP_FRAGMENT}")
    fragment = _fragment(body)
    found = _credentials(fragment)
    if len(found) == 1:
        raise BadRequest("sdpfrag", "must have a=ice-ufrag and a=ice-pwd, or neither")
    if if_match is None:
        raise PreconditionRequired("If-Match", "must be the ETag of the session, or * for an ICE restart")
    if not _matches(if_match, tag):
        raise PreconditionFailed("If-Match", "is not the ETag of this session")
    if found and ice_tag(fragment) != tag:
        raise Unprocessable("sdpfrag.ice-ufrag", "must be that of the offer: ICE restarts are not served")


def _fragment(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise BadRequest("sdpfrag", "must be UTF-8") from None
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line]
    if not lines or not all(re.match(r"[a-z]=.", line) for line in lines):
        raise BadRequest("sdpfrag", "must have lines of the form <letter>=<value>")
    return text


def _credentials(sdp: str) -> dict[str, str]:
    """The first user name and the first password: one transport has the same in all its sections."""
    found: dict[str, str] = {}
    for match in _CREDENTIAL.finditer(sdp):
        found.setdefault(match["name"], match["value"])
    return found


def _matches(if_match: str, tag: str) -> bool:
    """By strong comparison: a weak tag never matches."""
    return if_match.strip() == "*" or any(
        match["tag"] == tag and not match["weak"] for match in _ENTITY_TAG.finditer(if_match)
    )
