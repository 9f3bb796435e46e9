"""The SDP answer to a player (RFC 8829 section 5.3): one stream with a track for each kind. Pure."""

from collections.abc import Iterator

from transponder_relay.playback.offer import PlayedVideo, PlayOffer
from transponder_relay.playback.outgoing import OutgoingStream
from transponder_relay.webrtc.answer import AnsweredMedia, LocalTransport, write_answer
from transponder_relay.webrtc.sdp import AudioChoice


def write_play_answer(
    offer: PlayOffer,
    video: OutgoingStream | None,
    audio: OutgoingStream | None,
    local: LocalTransport,
    cname: str,
    session_id: int,
) -> str:
    """The whole answer, lines ended by CRLF; a stream is there for each kind that the offer has chosen."""
    media = {}
    if offer.video and video:
        media[offer.video.section] = _video(offer.video, video, cname)
    if offer.audio and audio:
        media[offer.audio.section] = _audio(offer.audio, audio, cname)
    return write_answer(offer.sections, media, offer.transport, local, session_id)


def _video(choice: PlayedVideo, stream: OutgoingStream, cname: str) -> AnsweredMedia:
    payload_type, rtx = choice.payload_type, choice.rtx_payload_type
    offered = [(choice.fir, "ccm fir"), (choice.nack, "nack"), (choice.pli, "nack pli")]
    lines = [
        f"a=rtpmap:{payload_type} H264/90000",
        *(f"a=rtcp-fb:{payload_type} {what}" for there, what in offered if there),
        f"a=fmtp:{payload_type} level-asymmetry-allowed=1;packetization-mode=1"
        f";profile-level-id={choice.profile_level_id}",
    ]
    sources = [stream.ssrc]
    if rtx is not None:
        sources.append(stream.rtx_ssrc)
        lines += [f"a=rtpmap:{rtx} rtx/90000", f"a=fmtp:{rtx} apt={payload_type}"]
    lines += _sources(sources, "video", cname)
    return AnsweredMedia("sendonly", [payload_type] if rtx is None else [payload_type, rtx], lines)


def _audio(choice: AudioChoice, stream: OutgoingStream, cname: str) -> AnsweredMedia:
    payload_type = choice.payload_type
    channels = "/2" if choice.codec == "opus" else ""
    lines = [f"a=rtpmap:{payload_type} {choice.codec}/{choice.clock}{channels}"]
    if choice.codec == "opus":
        stereo = ";stereo=1;sprop-stereo=1" if choice.stereo else ""
        lines.append(f"a=fmtp:{payload_type} minptime=10;useinbandfec=1{stereo}")
    lines += _sources([stream.ssrc], "audio", cname)
    return AnsweredMedia("sendonly", [payload_type], lines)


def _sources(ssrcs: list[int], kind: str, cname: str) -> Iterator[str]:
    """The track (RFC 8830), its SSRCs and what joins them (RFC 5576)."""
    yield f"a=msid:{cname} {kind}"
    if len(ssrcs) > 1:
        yield "a=ssrc-group:FID " + " ".join(map(str, ssrcs))
    yield from (f"a=ssrc:{ssrc} cname:{cname}" for ssrc in ssrcs)
