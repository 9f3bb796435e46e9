"""The text of an SDP answer (RFC 8829 section 5.3). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from transponder_relay.webrtc.sdp import MediaSection, OfferedTransport


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


@dataclass(frozen=True, slots=True)
class AnsweredMedia:
    """What is particular to an accepted media section."""

    direction: Literal["recvonly", "sendonly"]
    payload_types: Sequence[int]
    formats: list[str]
    """The lines that tell codecs and sources."""
    bandwidth: Sequence[str] = ()
    """b= lines."""


def write_answer(
    sections: Sequence[MediaSection],
    media: Mapping[int, AnsweredMedia],
    offered: OfferedTransport,
    local: LocalTransport,
    session_id: int,
) -> str:
    """The whole answer, lines ended by CRLF; `media` by the index of its section, those without are rejected."""
    mids = " ".join(s.mid for s in sections if s.index in media and s.mid is not None)
    lines = ["v=0", f"o=- {session_id} 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    if offered.bundled:
        lines.append(f"a=group:BUNDLE {mids}")
    lines.append("a=msid-semantic: WMS *")
    for section in sections:
        answered = media.get(section.index)
        lines += _accepted(section, answered, offered, local) if answered else _rejected(section)
    return "".join(line + "\r\n" for line in lines)


def _rejected(section: MediaSection) -> list[str]:
    mid = [f"a=mid:{section.mid}"] if section.mid is not None else []
    return [f"m={section.kind} 0 {section.protocol} {section.formats}", "c=IN IP4 0.0.0.0", *mid, "a=inactive"]


def _accepted(
    section: MediaSection, media: AnsweredMedia, offered: OfferedTransport, local: LocalTransport
) -> list[str]:
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
        f"a=setup:{'active' if offered.dtls_client else 'passive'}",
    ]
    if section.mid is not None:
        lines.append(f"a=mid:{section.mid}")
    lines += [f"a={media.direction}", "a=rtcp-mux", "a=rtcp-mux-only"]
    if offered.reduced_size:
        lines.append("a=rtcp-rsize")
    return lines + media.formats
