"""Which streams of an SDP offer we take (RFC 8829, 8839, 8842, 6184, 4588). Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from transponder_crd.offer import InvalidOffer
from transponder_relay.ingest.h264_parameters import sprop_nal_units
from transponder_relay.ingest.sdp import SENDING, MediaSection, bundle_of, read_sdp

T = TypeVar("T")

_AUDIO_CODECS = (("opus", 48000), ("PCMU", 8000), ("PCMA", 8000))  # in order of preference
_HASHES = frozenset({"sha-256", "sha-384", "sha-512"})


@dataclass(frozen=True, slots=True)
class VideoChoice:
    """The H.264 stream to receive."""

    section: int
    payload_type: int
    rtx_payload_type: int | None
    nack: bool
    pli: bool
    fir: bool
    remb: bool
    packetization_mode: int
    profile_level_id: str | None
    parameter_sets: tuple[bytes, ...]

    @property
    def codec(self) -> str:
        return "H264"


@dataclass(frozen=True, slots=True)
class AudioChoice:
    section: int
    payload_type: int
    codec: str
    """opus, PCMU or PCMA."""
    clock: int
    """RTP clock, Hz."""
    stereo: bool


@dataclass(frozen=True, slots=True)
class Offer:
    sections: tuple[MediaSection, ...]
    video: VideoChoice | None
    audio: AudioChoice | None
    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    fingerprints: tuple[tuple[str, str], ...]
    """Hash function and value."""
    dtls_client: bool
    """Whether we are the DTLS client: always, unless the offerer can only be the client itself."""
    bundled: bool
    reduced_size: bool

    @property
    def accepted(self) -> tuple[MediaSection, ...]:
        chosen = {c.section for c in (self.video, self.audio) if c}
        return tuple(s for s in self.sections if s.index in chosen)


def parse_offer(sdp: str) -> Offer:
    """Choose at most one H.264 and one sound stream of one transport. Raises InvalidOffer."""
    session, sections = read_sdp(sdp)
    bundle = bundle_of(session)
    usable = [s for s in sections if s.port or "bundle-only" in s.attributes]
    if bundle:
        usable = [s for s in usable if s.mid in bundle]
    video = _first(map(_choose_video, usable))
    audio = _first(map(_choose_audio, usable))
    if video and audio and not bundle:
        audio = None  # a transport of its own, which we do not make
    if video is None and audio is None:
        raise InvalidOffer("sdp.media", "must send H264, opus, PCMU or PCMA on one transport with rtcp-mux")
    chosen = sections[video.section if video else audio.section if audio else 0]
    return Offer(
        sections=tuple(sections),
        video=video,
        audio=audio,
        ice_ufrag=_required("ice-ufrag", chosen, session),
        ice_pwd=_required("ice-pwd", chosen, session),
        fingerprints=_fingerprints(sdp),
        dtls_client=_dtls_client(chosen, session),
        bundled=bool(bundle),
        reduced_size="rtcp-rsize" in chosen.attributes,
    )


# ------------------------------------------------------------------------------------------------- choosing


def _first(choices: Iterable[T | None]) -> T | None:
    return next((c for c in choices if c is not None), None)


def _receivable(section: MediaSection, kind: str) -> bool:
    attributes = section.attributes
    muxed = "rtcp-mux" in attributes or "rtcp-mux-only" in attributes
    return section.kind == kind and section.direction in SENDING and muxed and "SAVP" in section.protocol


def _choose_video(section: MediaSection) -> VideoChoice | None:
    if not _receivable(section, "video"):
        return None
    candidates = [t for t in section.payload_types if _is_h264(section, t)]
    if not candidates:
        return None
    best = min(candidates, key=lambda t: _h264_rank(section.parameters.get(t, {})))
    parameters = section.parameters.get(best, {})
    return VideoChoice(
        section=section.index,
        payload_type=best,
        rtx_payload_type=_rtx_of(section, best),
        nack=section.gives_feedback(best, "nack"),
        pli=section.gives_feedback(best, "nack pli"),
        fir=section.gives_feedback(best, "ccm fir"),
        remb=section.gives_feedback(best, "goog-remb"),
        packetization_mode=int(parameters.get("packetization-mode") or 0),
        profile_level_id=parameters.get("profile-level-id"),
        parameter_sets=tuple(sprop_nal_units(parameters.get("sprop-parameter-sets", ""))),
    )


def _is_h264(section: MediaSection, payload_type: int) -> bool:
    encoding, clock = section.codecs.get(payload_type, ("", 0))
    mode = section.parameters.get(payload_type, {}).get("packetization-mode") or "0"
    return encoding.upper() == "H264" and clock == 90000 and mode in ("0", "1")


def _h264_rank(parameters: dict[str, str]) -> tuple[int, int]:
    """Mode 1 first; constrained baseline before baseline before others (hardware decoders everywhere take it)."""
    profile = parameters.get("profile-level-id", "")[:4].lower()
    return (
        0 if parameters.get("packetization-mode") == "1" else 1,
        {"42e0": 0, "4200": 1}.get(profile, 2),
    )


def _rtx_of(section: MediaSection, payload_type: int) -> int | None:
    for candidate in section.payload_types:
        if section.codecs.get(candidate, ("",))[0].lower() == "rtx":
            apt = section.parameters.get(candidate, {}).get("apt")
            if apt == str(payload_type):
                return candidate
    return None


def _choose_audio(section: MediaSection) -> AudioChoice | None:
    if not _receivable(section, "audio"):
        return None
    for name, clock in _AUDIO_CODECS:
        for payload_type in section.payload_types:
            encoding, rate = section.codecs.get(payload_type, ("", 0))
            if encoding.lower() == name.lower() and rate == clock:
                parameters = section.parameters.get(payload_type, {})
                stereo = "1" in (parameters.get("stereo"), parameters.get("sprop-stereo"))
                return AudioChoice(section.index, payload_type, name, clock, stereo)
    return None


# ------------------------------------------------------------------------------------------------- transport


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
