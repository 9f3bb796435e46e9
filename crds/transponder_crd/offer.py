"""The first check of an SDP offer, before anything is made for it: bounds and shape alone."""

import re
from typing import Literal, NamedTuple

MAX_BYTES = 64 * 1024
MAX_MEDIA = 8
MAX_CODECS = 64
MAX_CANDIDATES = 100

USABLE_VIDEO = frozenset({"H264", "VP8", "VP9", "AV1", "H265"})
USABLE_AUDIO = frozenset({"opus", "PCMU", "PCMA"})
PLAYABLE_VIDEO = frozenset({"H264"})
"""A stream is played as it is sent on: its pictures are H.264."""

_STATIC_PAYLOAD_TYPES = {"0": "PCMU", "8": "PCMA"}  # RFC 3551, table 4
_ICE_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")  # RFC 8839, section 5.4
_ICE_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_FINGERPRINT = re.compile(r"[A-Za-z0-9-]+ [0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})+")  # RFC 8122, section 5
_MEDIA = re.compile(r"(?P<kind>[a-z]+) (?P<port>[0-9]{1,5})(/[0-9]+)? [A-Za-z0-9/]+(?P<formats>( [^ ]+)+) ?")
_RTPMAP = re.compile(r"rtpmap:(?P<type>[0-9]{1,3}) (?P<name>[^ /]+)/[0-9]+.*")
_DIRECTIONS = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
_PUBLISHING = {"audio": USABLE_AUDIO, "video": USABLE_VIDEO}
_PLAYING = {"audio": USABLE_AUDIO, "video": PLAYABLE_VIDEO}


class InvalidOffer(ValueError):
    """The offer breaks a rule. Neither text holds a part of the offer."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}")
        self.field = field
        self.rule = rule


class NoUsableMedia(InvalidOffer):
    """The offer is well formed, but it, or a part of it, cannot be used."""


class _Section(NamedTuple):
    """A media description, or the session's own lines (`media` is empty)."""

    media: str
    attributes: list[str]
    """Values of the a= lines."""

    @property
    def kind(self) -> str:
        return self.media.partition(" ")[0]


def check_offer(sdp: str) -> None:
    """Return when a relay can be asked to answer this publisher's offer. Raises InvalidOffer.

    SDP: RFC 8866; ICE in SDP: RFC 8839; DTLS in SDP: RFC 8122.
    """
    session, media = _checked(sdp)
    usable = [_usable(section, index, session, "send") for index, section in enumerate(media)]  # looks at all
    if not any(usable):
        raise NoUsableMedia("sdp.media", f"must send audio or video in a codec that can be used: {_names(_PUBLISHING)}")


def check_play_offer(sdp: str) -> None:
    """As `check_offer`, for the offer of a player."""
    session, media = _checked(sdp)
    usable = [_usable(section, index, session, "receive") for index, section in enumerate(media)]  # looks at all
    if not any(usable):
        raise NoUsableMedia("sdp.media", f"must receive audio or video in a codec that is sent: {_names(_PLAYING)}")


def check_single_stream(sdp: str) -> None:
    """Return when the offer, which has passed `check_offer`, sends one track of a kind at most, each in a codec that
    can be used: WHIP publishes all or nothing (RFC 9725 sections 4.4.2 and 4.4.3). Raises InvalidOffer."""
    session, media = _sections(sdp)
    seen: set[str] = set()
    for index, section in enumerate(media):
        if section.kind not in _PUBLISHING or _refused(section) or not _directed(section, session, "send"):
            continue
        if section.kind in seen:
            raise NoUsableMedia(f"sdp.media[{index}]", f"must not be a second {section.kind} track")
        seen.add(section.kind)
        if not _usable(section, index, session, "send"):
            names = ", ".join(sorted(_PUBLISHING[section.kind]))
            raise NoUsableMedia(f"sdp.media[{index}]", f"must offer a codec that can be used: {names}")


def _checked(sdp: str) -> tuple[_Section, list[_Section]]:
    """The session's lines and the media descriptions, within all bounds."""
    if not sdp.strip():
        raise InvalidOffer("sdp", "must not be empty")
    if len(sdp.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise InvalidOffer("sdp", f"must be at most {MAX_BYTES} bytes long")
    session, media = _sections(sdp)
    if not 1 <= len(media) <= MAX_MEDIA:
        raise InvalidOffer("sdp.media", f"must have 1 to {MAX_MEDIA} media descriptions (m= lines)")
    attributes = [attribute for section in (session, *media) for attribute in section.attributes]
    if sum(attribute.startswith("candidate:") for attribute in attributes) > MAX_CANDIDATES:
        raise InvalidOffer("sdp.candidate", f"must be there at most {MAX_CANDIDATES} times")
    _require(attributes, "ice-ufrag", _ICE_UFRAG, "4 to 256 ICE characters")
    _require(attributes, "ice-pwd", _ICE_PWD, "22 to 256 ICE characters")
    _require(attributes, "fingerprint", _FINGERPRINT, "a hash function and its hexadecimal pairs")
    return session, media


def _names(codecs: dict[str, frozenset[str]]) -> str:
    return ", ".join([*sorted(codecs["video"]), *sorted(codecs["audio"])])


def _sections(sdp: str) -> tuple[_Section, list[_Section]]:
    lines = re.split(r"\r\n|\n|\r", sdp.rstrip("\r\n"))
    if lines[0] != "v=0":
        raise InvalidOffer("sdp", "must be a session description that begins with v=0")
    sections = [_Section("", [])]
    for line in lines:
        if not re.match(r"[a-z]=", line):
            raise InvalidOffer("sdp", "must have only lines of the form <letter>=<value>")
        if line.startswith("m="):
            sections.append(_Section(line[2:], []))
        elif line.startswith("a="):
            sections[-1].attributes.append(line[2:])
    return sections[0], sections[1:]


def _require(attributes: list[str], name: str, rule: re.Pattern[str], words: str) -> None:
    values = [attribute.removeprefix(f"{name}:") for attribute in attributes if attribute.startswith(f"{name}:")]
    if not values or not all(map(rule.fullmatch, values)):
        raise InvalidOffer(f"sdp.{name}", f"must be given (a={name}) as {words}")


def _usable(section: _Section, index: int, session: _Section, use: Literal["send", "receive"]) -> bool:
    match = _MEDIA.fullmatch(section.media)
    if match is None:
        raise InvalidOffer(f"sdp.media[{index}]", "must be <media> <port> <protocol> <format> ...")
    formats = match["formats"].split()
    if len(formats) > MAX_CODECS:
        raise InvalidOffer(f"sdp.media[{index}]", f"must have at most {MAX_CODECS} formats")
    usable = (_PUBLISHING if use == "send" else _PLAYING).get(section.kind, frozenset())
    names = {name.lower() for name in usable}
    return (
        not _refused(section)
        and _directed(section, session, use)
        and any(name.lower() in names for name in _codecs(section, formats))
    )


def _refused(section: _Section) -> bool:
    """Port 0, which in a bundle may also mean "no transport of its own" (RFC 9143 section 6)."""
    return section.media.split()[1:2] == ["0"] and "bundle-only" not in section.attributes


def _directed(section: _Section, session: _Section, use: Literal["send", "receive"]) -> bool:
    stated = [attribute for attribute in session.attributes + section.attributes if attribute in _DIRECTIONS]
    return not stated or stated[-1] in {"sendrecv", "sendonly" if use == "send" else "recvonly"}


def _codecs(section: _Section, formats: list[str]) -> list[str]:
    """Encoding names of the payload types in the m= line; a mapping overrides the static ones."""
    mapped = {match["type"]: match["name"] for match in map(_RTPMAP.fullmatch, section.attributes) if match}
    return [name for name in ((_STATIC_PAYLOAD_TYPES | mapped).get(payload_type) for payload_type in formats) if name]
