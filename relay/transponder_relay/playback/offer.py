"""What of a player's SDP offer we send (RFC 8829, 6184, 4588). Pure.

Sound and picture go out as they came in, so the offer must have their very codecs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transponder_crd.offer import InvalidOffer
from transponder_relay.webrtc.sdp import (
    AUDIO_CLOCKS,
    RECEIVING,
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

DEFAULT_PROFILE = "42000a"
"""An H.264 payload type that tells no profile-level-id (RFC 6184 section 8.1)."""

_DECODES = {
    "constrained baseline": {"constrained baseline", "baseline", "main", "constrained high", "high"},
    "baseline": {"baseline"},
    "main": {"main", "high"},
    "constrained high": {"constrained high", "high"},
    "high": {"high"},
}
"""Which offered profiles decode a stream of a profile."""


@dataclass(frozen=True, slots=True)
class Playable:
    """What is being published."""

    video: bool
    """H.264, maybe after transcoding."""
    audio_codec: str | None
    """As in `AUDIO_CLOCKS`."""
    sps: bytes | None = None
    """The picture's, once it is known."""


@dataclass(frozen=True, slots=True)
class PlayedVideo:
    section: int
    payload_type: int
    rtx_payload_type: int | None
    nack: bool
    pli: bool
    fir: bool
    profile_level_id: str
    """As offered: it names the format; the stream's own is in its SPS."""


@dataclass(frozen=True, slots=True)
class PlayOffer:
    sections: tuple[MediaSection, ...]
    video: PlayedVideo | None
    audio: AudioChoice | None
    transport: OfferedTransport


def parse_play_offer(sdp: str, media: Playable) -> PlayOffer:
    """Choose one format for each kind that is published and asked for. Raises InvalidOffer."""
    session, sections = read_sdp(sdp)
    usable = on_one_transport(session, sections)
    video = _choose_video(usable, media.sps) if media.video else None
    audio = _choose_audio(usable, media.audio_codec) if media.audio_codec else None
    if video and audio and not bundle_of(session):
        audio = None  # a transport of its own, which we do not make
    if video is None and audio is None:
        has = " and ".join([*["H264"] * media.video, *([media.audio_codec] if media.audio_codec else [])])
        raise InvalidOffer("sdp.media", f"must receive what the stream has ({has}) on one transport with rtcp-mux")
    chosen = sections[video.section if video else audio.section if audio else 0]
    return PlayOffer(tuple(sections), video, audio, offered_transport(sdp, session, chosen))


def _choose_video(sections: Sequence[MediaSection], sps: bytes | None) -> PlayedVideo | None:
    """Raises InvalidOffer if pictures are asked for, and can be sent in no format: sound alone would mislead."""
    asked = [s for s in sections if s.direction in RECEIVING and is_muxed(s, "video")]
    for section in asked:
        formats = [t for t in section.payload_types if _is_mode_1(section, t)]
        if formats:
            return _video(section, min(formats, key=lambda t: _distance(_profile_level_id(section, t), sps)))
    if asked:
        raise InvalidOffer(f"sdp.media[{asked[0].index}]", "must offer H264 with packetization-mode=1")
    return None


def _video(section: MediaSection, payload_type: int) -> PlayedVideo:
    return PlayedVideo(
        section=section.index,
        payload_type=payload_type,
        rtx_payload_type=rtx_of(section, payload_type),
        nack=section.gives_feedback(payload_type, "nack"),
        pli=section.gives_feedback(payload_type, "nack pli"),
        fir=section.gives_feedback(payload_type, "ccm fir"),
        profile_level_id=_profile_level_id(section, payload_type),
    )


def _is_mode_1(section: MediaSection, payload_type: int) -> bool:
    encoding, clock = section.codecs.get(payload_type, ("", 0))
    mode = section.parameters.get(payload_type, {}).get("packetization-mode")
    return encoding.upper() == "H264" and clock == 90000 and mode == "1"


def _profile_level_id(section: MediaSection, payload_type: int) -> str:
    return section.parameters.get(payload_type, {}).get("profile-level-id") or DEFAULT_PROFILE


def _distance(profile_level_id: str, sps: bytes | None) -> int:
    """0 for the stream's own profile, 1 for one that decodes it too. Others are not refused: decoders of browsers go by
    the SPS, and most take more than their label says."""
    try:
        offered = _profile(bytes.fromhex(profile_level_id))
    except ValueError:
        return 3
    own = _profile(sps[1:4]) if sps else "constrained baseline"
    if offered == own:
        return 0
    return 1 if offered in _DECODES.get(own, ()) else 2


def _profile(profile_level_id: bytes) -> str:
    """The name of a profile by profile_idc and constraint flags (RFC 6184 table 5)."""
    idc, flags = (*profile_level_id, 0, 0)[:2]
    match idc:
        case 0x42:
            return "constrained baseline" if flags & 0x40 else "baseline"
        case 0x4D:
            return "constrained baseline" if flags & 0x80 else "main"
        case 0x64:
            return "constrained high" if flags & 0x0C == 0x0C else "high"
    return f"{idc}"


def _choose_audio(sections: Sequence[MediaSection], codec: str) -> AudioChoice | None:
    for section in sections:
        payload_type = find_audio(section, codec) if codec in AUDIO_CLOCKS else None
        if payload_type is not None and section.direction in RECEIVING and is_muxed(section, "audio"):
            stereo = section.parameters.get(payload_type, {}).get("stereo") == "1"
            return AudioChoice(section.index, payload_type, codec, AUDIO_CLOCKS[codec], stereo)
    return None
