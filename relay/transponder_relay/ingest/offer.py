"""Which streams of an SDP offer we take (RFC 8829, 8839, 8842, 6184, 7741, 7798, 9628, 4588; AOM for AV1). Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from transponder_crd.offer import InvalidOffer
from transponder_relay.ingest.h264_parameters import sprop_nal_units
from transponder_relay.webrtc.sdp import (
    AUDIO_CLOCKS,
    SENDING,
    AudioChoice,
    MediaSection,
    OfferedTransport,
    bundle_of,
    find_audio,
    is_muxed,
    offered_transport,
    on_one_transport,
    read_sdp,
    rtx_of,
)

T = TypeVar("T")

# in order of preference: H.264 is passed on, the others cost more and more to transcode
_VIDEO_CODECS = ("H264", "VP8", "VP9", "AV1", "H265")
# where all outputs take enhanced RTMP nothing is transcoded but VP8
_VIDEO_CODECS_PASSED = ("H264", "AV1", "VP9", "H265", "VP8")
_REPEATED = {
    "VP9": ("profile-id",),
    "AV1": ("profile", "level-idx", "tier"),
    "H265": ("profile-id", "tier-flag", "level-id", "tx-mode"),
}
"""Parameters that an answer repeats."""
_SPROPS = ("sprop-parameter-sets", "sprop-vps", "sprop-sps", "sprop-pps")
_AUDIO_CODECS = ("opus", "PCMU", "PCMA")  # in order of preference


@dataclass(frozen=True, slots=True)
class VideoChoice:
    """The stream of pictures to receive."""

    section: int
    payload_type: int
    codec: str
    """H264, VP8, VP9, AV1 or H265."""
    rtx_payload_type: int | None
    nack: bool
    pli: bool
    fir: bool
    remb: bool
    packetization_mode: int
    """This and the next: of H.264."""
    profile_level_id: str | None
    parameter_sets: tuple[bytes, ...]
    """Of H.264 and H.265."""
    repeated: tuple[tuple[str, str], ...] = ()
    """Further parameters, to be repeated in the answer."""


@dataclass(frozen=True, slots=True)
class Offer:
    sections: tuple[MediaSection, ...]
    video: VideoChoice | None
    audio: AudioChoice | None
    transport: OfferedTransport


def parse_offer(sdp: str, passed: bool = False) -> Offer:
    """Choose at most one picture and one sound stream of one transport. `passed`: pictures in any codec but VP8 are
    passed on. Raises InvalidOffer."""
    codecs = _VIDEO_CODECS_PASSED if passed else _VIDEO_CODECS
    session, sections = read_sdp(sdp)
    usable = on_one_transport(session, sections)
    videos = [choice for section in usable if (choice := _choose_video(section, codecs))]
    video = min(videos, key=lambda choice: codecs.index(choice.codec), default=None)
    audio = _first(map(_choose_audio, usable))
    if video and audio and not bundle_of(session):
        audio = None  # a transport of its own, which we do not make
    if video is None and audio is None:
        raise InvalidOffer(
            "sdp.media", f"must send {', '.join(_VIDEO_CODECS)}, opus, PCMU or PCMA on one transport with rtcp-mux"
        )
    chosen = sections[video.section if video else audio.section if audio else 0]
    return Offer(tuple(sections), video, audio, offered_transport(sdp, session, chosen))


# ------------------------------------------------------------------------------------------------- choosing


def _first(choices: Iterable[T | None]) -> T | None:
    return next((c for c in choices if c is not None), None)


def _receivable(section: MediaSection, kind: str) -> bool:
    return section.direction in SENDING and is_muxed(section, kind)


def _choose_video(section: MediaSection, codecs: tuple[str, ...]) -> VideoChoice | None:
    if not _receivable(section, "video"):
        return None
    candidates = [(codec, t) for codec in codecs for t in section.payload_types if _is(codec, section, t)]
    if not candidates:
        return None
    codec = candidates[0][0]
    alike = [t for name, t in candidates if name == codec]
    best = min(alike, key=lambda t: _h264_rank(section.parameters.get(t, {})))
    parameters = section.parameters.get(best, {})
    return VideoChoice(
        section=section.index,
        payload_type=best,
        codec=codec,
        rtx_payload_type=rtx_of(section, best),
        nack=section.gives_feedback(best, "nack"),
        pli=section.gives_feedback(best, "nack pli"),
        fir=section.gives_feedback(best, "ccm fir"),
        remb=section.gives_feedback(best, "goog-remb"),
        packetization_mode=int(parameters.get("packetization-mode") == "1"),
        profile_level_id=parameters.get("profile-level-id"),
        parameter_sets=tuple(nal for name in _SPROPS for nal in sprop_nal_units(parameters.get(name, ""))),
        repeated=tuple((name, parameters[name]) for name in _REPEATED.get(codec, ()) if parameters.get(name)),
    )


def _is(codec: str, section: MediaSection, payload_type: int) -> bool:
    """Whether that payload type is the codec, in a form that can be received."""
    encoding, clock = section.codecs.get(payload_type, ("", 0))
    parameters = section.parameters.get(payload_type, {})
    if encoding.upper() != codec or clock != 90000:
        return False
    match codec:
        case "H264":
            return (parameters.get("packetization-mode") or "0") in ("0", "1")
        case "VP9":
            return (parameters.get("profile-id") or "0") == "0"  # 8 bits, 4:2:0
        case "AV1":
            return (parameters.get("profile") or "0") == "0"  # 8 or 10 bits, 4:2:0
        case "H265":
            one_stream = (parameters.get("tx-mode") or "SRST").upper() == "SRST"
            in_order = (parameters.get("sprop-max-don-diff") or "0") == "0"
            return one_stream and in_order and (parameters.get("profile-id") or "1") == "1"
        case _:
            return True


def _h264_rank(parameters: dict[str, str]) -> tuple[int, int]:
    """Mode 1 first; constrained baseline before baseline before others (hardware decoders everywhere take it)."""
    profile = parameters.get("profile-level-id", "")[:4].lower()
    return (
        0 if parameters.get("packetization-mode") == "1" else 1,
        {"42e0": 0, "4200": 1}.get(profile, 2),
    )


def _choose_audio(section: MediaSection) -> AudioChoice | None:
    if not _receivable(section, "audio"):
        return None
    for name in _AUDIO_CODECS:
        payload_type = find_audio(section, name)
        if payload_type is not None:
            parameters = section.parameters.get(payload_type, {})
            stereo = "1" in (parameters.get("stereo"), parameters.get("sprop-stereo"))
            return AudioChoice(section.index, payload_type, name, AUDIO_CLOCKS[name], stereo)
    return None
