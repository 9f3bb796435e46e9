"""An SDP offer read line by line into its media sections and their transport (RFC 8866, 8839, 8842, 9143). Pure.

Only what we need is kept; everything else is passed over. `transponder_crd.offer` has checked bounds and shape
by then, but nothing here relies on that.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from transponder_crd.offer import InvalidOffer

AUDIO_CLOCKS = {"opus": 48000, "PCMU": 8000, "PCMA": 8000}
"""RTP clocks of the sound codecs that we take, Hz."""

_STATIC = {0: ("PCMU", 8000), 8: ("PCMA", 8000)}
_HASHES = frozenset({"sha-256", "sha-384", "sha-512"})
SENDING = frozenset({"sendrecv", "sendonly"})
RECEIVING = frozenset({"sendrecv", "recvonly"})
_DIRECTIONS = SENDING | RECEIVING | {"inactive"}


@dataclass(slots=True)
class MediaSection:
    """One m= line of an offer with its attributes."""

    index: int
    kind: str
    port: int
    protocol: str
    payload_types: list[int]
    formats: str
    """As written: needed to reject it."""
    mid: str | None = None
    codecs: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Encoding name and clock by payload type."""
    parameters: dict[int, dict[str, str]] = field(default_factory=dict)
    """fmtp by payload type, names in lower case."""
    feedback: list[tuple[str, str]] = field(default_factory=list)
    """rtcp-fb: payload type (or *), what."""
    attributes: dict[str, str] = field(default_factory=dict)
    """The last value of every other attribute."""
    direction: str = "sendrecv"

    def gives_feedback(self, payload_type: int, what: str) -> bool:
        return ("*", what) in self.feedback or (str(payload_type), what) in self.feedback


def read_sdp(sdp: str) -> tuple[dict[str, str], list[MediaSection]]:
    """Attributes of the session, and its media sections. Raises InvalidOffer."""
    session: dict[str, str] = {}
    direction = "sendrecv"
    sections: list[MediaSection] = []
    for line in re.split(r"\r\n|\r|\n", sdp):
        if line.startswith("m="):
            sections.append(_media_line(line[2:], len(sections), direction))
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            if sections:
                _attribute(sections[-1], name, value)
            elif name in _DIRECTIONS:
                direction = name
            elif name == "group" and "group" in session:
                continue  # the first group is the transport we take
            else:
                session[name] = value
    return session, sections


def _media_line(value: str, index: int, direction: str) -> MediaSection:
    words = value.split()
    if len(words) < 4 or not words[1].split("/")[0].isdecimal():
        raise InvalidOffer(f"sdp.media[{index}]", "must be <media> <port> <protocol> <format> ...")
    types = [int(w) for w in words[3:] if w.isdecimal() and int(w) < 128]
    section = MediaSection(
        index, words[0], int(words[1].split("/")[0]), words[2], types, " ".join(words[3:]), direction=direction
    )
    section.codecs.update((t, _STATIC[t]) for t in types if t in _STATIC)
    return section


def _attribute(section: MediaSection, name: str, value: str) -> None:
    if name in _DIRECTIONS:
        section.direction = name
    elif name == "mid":
        section.mid = value
    elif name == "rtcp-fb":
        payload_type, _, what = value.partition(" ")
        section.feedback.append((payload_type, what.strip()))
    elif name in ("rtpmap", "fmtp"):
        number, _, rest = value.partition(" ")
        if number.isdecimal():
            _format(section, name, int(number), rest.strip())
    else:
        section.attributes[name] = value


def _format(section: MediaSection, name: str, payload_type: int, value: str) -> None:
    if name == "rtpmap":
        encoding, _, rest = value.partition("/")
        clock = rest.split("/")[0]
        if clock.isdecimal():
            section.codecs[payload_type] = (encoding, int(clock))
        return
    parameters = section.parameters.setdefault(payload_type, {})
    for item in value.split(";"):
        key, _, content = item.strip().partition("=")
        parameters[key.lower()] = content.strip()


def bundle_of(session: dict[str, str]) -> frozenset[str]:
    """The mids of the one transport (RFC 9143); empty without a BUNDLE group."""
    words = session.get("group", "").split()
    return frozenset(words[1:]) if words and words[0] == "BUNDLE" else frozenset()


def on_one_transport(session: dict[str, str], sections: Sequence[MediaSection]) -> list[MediaSection]:
    """Those that may be accepted: of the bundle, if there is one."""
    usable = [s for s in sections if s.port or "bundle-only" in s.attributes]
    bundle = bundle_of(session)
    return [s for s in usable if s.mid in bundle] if bundle else usable


# ------------------------------------------------------------------------------------------------- codecs


def is_muxed(section: MediaSection, kind: str) -> bool:
    """Whether it is SRTP of that kind with RTCP on the same port."""
    attributes = section.attributes
    muxed = "rtcp-mux" in attributes or "rtcp-mux-only" in attributes
    return section.kind == kind and muxed and "SAVP" in section.protocol


def find_audio(section: MediaSection, name: str) -> int | None:
    """The first payload type of that sound codec, by its name in `AUDIO_CLOCKS`."""
    for payload_type in section.payload_types:
        encoding, rate = section.codecs.get(payload_type, ("", 0))
        if encoding.lower() == name.lower() and rate == AUDIO_CLOCKS[name]:
            return payload_type
    return None


def rtx_of(section: MediaSection, payload_type: int) -> int | None:
    """The payload type of its retransmissions (RFC 4588 section 8.1)."""
    for candidate in section.payload_types:
        if section.codecs.get(candidate, ("",))[0].lower() == "rtx":
            apt = section.parameters.get(candidate, {}).get("apt")
            if apt == str(payload_type):
                return candidate
    return None


# ------------------------------------------------------------------------------------------------- transport


@dataclass(frozen=True, slots=True)
class AudioChoice:
    """The stream of sound to receive, or to send."""

    section: int
    payload_type: int
    codec: str
    """opus, PCMU or PCMA."""
    clock: int
    """RTP clock, Hz."""
    stereo: bool


@dataclass(frozen=True, slots=True)
class OfferedTransport:
    """The peer's side of ICE and DTLS."""

    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    fingerprints: tuple[tuple[str, str], ...]
    """Hash function and value."""
    dtls_client: bool
    """Whether we are the DTLS client: always, unless the offerer can only be the client itself."""
    bundled: bool
    reduced_size: bool
    """RTCP need not be compound (RFC 5506)."""


def offered_transport(sdp: str, session: dict[str, str], chosen: MediaSection) -> OfferedTransport:
    """The transport of the chosen section. Raises InvalidOffer."""
    return OfferedTransport(
        ice_ufrag=_required("ice-ufrag", chosen, session),
        ice_pwd=_required("ice-pwd", chosen, session),
        fingerprints=_fingerprints(sdp),
        dtls_client=_dtls_client(chosen, session),
        bundled=bool(bundle_of(session)),
        reduced_size="rtcp-rsize" in chosen.attributes,
    )


def _required(name: str, section: MediaSection, session: dict[str, str]) -> str:
    value = section.attributes.get(name) or session.get(name)
    if not value:
        raise InvalidOffer(f"sdp.{name}", f"must be given (a={name})")
    return value


def _fingerprints(sdp: str) -> tuple[tuple[str, str], ...]:
    """All of them, each once: under one transport they speak of one certificate."""
    found: dict[tuple[str, str], None] = {}
    for match in re.finditer(r"^a=fingerprint:(\S+) ([0-9A-Fa-f:]+)\s*$", sdp, re.MULTILINE):
        if match[1].lower() in _HASHES:
            found[match[1].lower(), match[2].upper()] = None
    if not found:
        raise InvalidOffer("sdp.fingerprint", "must be given (a=fingerprint) with sha-256, sha-384 or sha-512")
    return tuple(found)


def _dtls_client(section: MediaSection, session: dict[str, str]) -> bool:
    """As client we can begin the moment ICE is done, instead of waiting for the peer (RFC 8842 section 5.3)."""
    setup = section.attributes.get("setup") or session.get("setup") or "actpass"
    if setup not in ("actpass", "active", "passive"):
        raise InvalidOffer("sdp.setup", "must be actpass, active or passive")
    return setup != "active"
