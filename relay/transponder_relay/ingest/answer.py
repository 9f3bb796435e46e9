"""The text of the SDP answer (RFC 8829 section 5.3). Pure.

One codec for each accepted media section, so that the sender has no choice; no header extensions, hence no
transport-wide congestion control (REMB governs) and no video orientation (the browser rotates before it encodes).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from transponder_relay.ingest.offer import AudioChoice, Offer, VideoChoice
from transponder_relay.ingest.sdp import MediaSection
from transponder_relay.ingest.settings import IngestSettings


@dataclass(frozen=True, slots=True)
class IceCandidate:
    """A host candidate of component 1 over UDP (RFC 8839 section 5.1)."""

    foundation: str
    priority: int
    address: str
    port: int

    def __str__(self) -> str:
        return f"candidate:{self.foundation} 1 udp {self.priority} {self.address} {self.port} typ host"


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """Our side of ICE and DTLS."""

    ufrag: str
    pwd: str = field(repr=False)
    fingerprint: str
    """Hash function and value, as in a=fingerprint."""
    candidates: Sequence[IceCandidate]
    """At least one, best first."""


def write_answer(offer: Offer, local: LocalTransport, settings: IngestSettings, session_id: int) -> str:
    """The whole answer, lines ended by CRLF."""
    mids = " ".join(s.mid for s in offer.accepted if s.mid is not None)
    lines = ["v=0", f"o=- {session_id} 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    if offer.bundled:
        lines.append(f"a=group:BUNDLE {mids}")
    lines.append("a=msid-semantic: WMS *")
    for section in offer.sections:
        if offer.video and section.index == offer.video.section:
            lines += _accepted(section, offer, local, _video(offer.video, settings))
        elif offer.audio and section.index == offer.audio.section:
            lines += _accepted(section, offer, local, _audio(offer.audio))
        else:
            lines += _rejected(section)
    return "".join(line + "\r\n" for line in lines)


def _rejected(section: MediaSection) -> list[str]:
    mid = [f"a=mid:{section.mid}"] if section.mid is not None else []
    return [f"m={section.kind} 0 {section.protocol} {section.formats}", "c=IN IP4 0.0.0.0", *mid, "a=inactive"]


def _accepted(section: MediaSection, offer: Offer, local: LocalTransport, media: "_Media") -> list[str]:
    default = local.candidates[0]
    family = "IP6" if ":" in default.address else "IP4"
    lines = [
        f"m={section.kind} {default.port} {section.protocol} {' '.join(map(str, media.payload_types))}",
        f"c=IN {family} {default.address}",
        *media.bandwidth,
        f"a=rtcp:9 IN {family} {'::' if family == 'IP6' else '0.0.0.0'}",
        *(f"a={candidate}" for candidate in local.candidates),
        "a=end-of-candidates",
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.pwd}",
        f"a=fingerprint:{local.fingerprint}",
        f"a=setup:{'active' if offer.dtls_client else 'passive'}",
    ]
    if section.mid is not None:
        lines.append(f"a=mid:{section.mid}")
    lines += ["a=recvonly", "a=rtcp-mux"]
    if offer.reduced_size:
        lines.append("a=rtcp-rsize")
    return lines + media.formats


@dataclass(frozen=True, slots=True)
class _Media:
    payload_types: Sequence[int]
    formats: list[str]
    bandwidth: Sequence[str] = ()


def _video(choice: VideoChoice, settings: IngestSettings) -> _Media:
    payload_type = choice.payload_type
    offered = [
        (choice.remb, "goog-remb"),
        (choice.fir, "ccm fir"),
        (choice.nack, "nack"),
        (choice.pli, "nack pli"),
    ]
    profile = f";profile-level-id={choice.profile_level_id}" if choice.profile_level_id else ""
    start = min(settings.start_bitrate, settings.max_bitrate) // 1000
    formats = [
        f"a=rtpmap:{payload_type} H264/90000",
        *(f"a=rtcp-fb:{payload_type} {what}" for there, what in offered if there),
        f"a=fmtp:{payload_type} level-asymmetry-allowed=1;packetization-mode={choice.packetization_mode}{profile}"
        f";x-google-start-bitrate={start}",
    ]
    rtx = choice.rtx_payload_type
    if rtx is not None:
        formats += [f"a=rtpmap:{rtx} rtx/90000", f"a=fmtp:{rtx} apt={payload_type}"]
    payload_types = [payload_type] if rtx is None else [payload_type, rtx]
    # the cap as the browsers read it: without, Chrome stays below 2.5 Mbit/s at any size
    bandwidth = (f"b=AS:{settings.max_bitrate // 1000}", f"b=TIAS:{settings.max_bitrate}")
    return _Media(payload_types, formats, bandwidth)


def _audio(choice: AudioChoice) -> _Media:
    payload_type = choice.payload_type
    if choice.codec != "opus":
        return _Media([payload_type], [f"a=rtpmap:{payload_type} {choice.codec}/{choice.clock}"])
    stereo = ";stereo=1" if choice.stereo else ""
    return _Media(
        [payload_type],
        [f"a=rtpmap:{payload_type} opus/48000/2", f"a=fmtp:{payload_type} minptime=10;useinbandfec=1{stereo}"],
    )
