"""The SDP answer to a publisher (RFC 8829 section 5.3). Pure.

One codec for each accepted media section, so that the sender has no choice; no header extensions, hence no
transport-wide congestion control (REMB governs) and no video orientation (the browser rotates before it encodes).
"""

from transponder_relay.ingest.offer import Offer, VideoChoice
from transponder_relay.ingest.settings import IngestSettings
from transponder_relay.webrtc.answer import AnsweredMedia, LocalTransport
from transponder_relay.webrtc.answer import write_answer as write_text
from transponder_relay.webrtc.sdp import AudioChoice


def write_answer(offer: Offer, local: LocalTransport, settings: IngestSettings, session_id: int) -> str:
    """The whole answer, lines ended by CRLF."""
    media = {}
    if offer.video:
        media[offer.video.section] = _video(offer.video, settings)
    if offer.audio:
        media[offer.audio.section] = _audio(offer.audio)
    return write_text(offer.sections, media, offer.transport, local, session_id)


def _video(choice: VideoChoice, settings: IngestSettings) -> AnsweredMedia:
    payload_type = choice.payload_type
    offered = [
        (choice.remb, "goog-remb"),
        (choice.fir, "ccm fir"),
        (choice.nack, "nack"),
        (choice.pli, "nack pli"),
    ]
    start = min(settings.start_bitrate, settings.max_bitrate) // 1000
    formats = [
        f"a=rtpmap:{payload_type} {choice.codec}/90000",
        *(f"a=rtcp-fb:{payload_type} {what}" for there, what in offered if there),
        f"a=fmtp:{payload_type} {_parameters(choice)}x-google-start-bitrate={start}",
    ]
    rtx = choice.rtx_payload_type
    if rtx is not None:
        formats += [f"a=rtpmap:{rtx} rtx/90000", f"a=fmtp:{rtx} apt={payload_type}"]
    payload_types = [payload_type] if rtx is None else [payload_type, rtx]
    # the cap as the browsers read it: without, Chrome stays below 2.5 Mbit/s at any size
    bandwidth = (f"b=AS:{settings.max_bitrate // 1000}", f"b=TIAS:{settings.max_bitrate}")
    return AnsweredMedia("recvonly", payload_types, formats, bandwidth)


def _parameters(choice: VideoChoice) -> str:
    """What of the fmtp line is the codec's."""
    match choice.codec:
        case "H264":
            profile = f"profile-level-id={choice.profile_level_id};" if choice.profile_level_id else ""
            return f"level-asymmetry-allowed=1;packetization-mode={choice.packetization_mode};{profile}"
        case _:
            return "".join(f"{name}={value};" for name, value in choice.repeated)


def _audio(choice: AudioChoice) -> AnsweredMedia:
    payload_type = choice.payload_type
    if choice.codec != "opus":
        return AnsweredMedia("recvonly", [payload_type], [f"a=rtpmap:{payload_type} {choice.codec}/{choice.clock}"])
    stereo = ";stereo=1" if choice.stereo else ""
    return AnsweredMedia(
        "recvonly",
        [payload_type],
        [f"a=rtpmap:{payload_type} opus/48000/2", f"a=fmtp:{payload_type} minptime=10;useinbandfec=1{stereo}"],
    )
