"""The SDP offer of a test sender, in the form of Chromium's."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

H264, RTX, OPUS = 102, 103, 111


@dataclass(frozen=True, slots=True)
class SenderTransport:
    ufrag: str
    pwd: str
    fingerprint: str
    """SHA-256."""
    setup: str
    candidates: Sequence[str]


def write_offer(transport: SenderTransport, cname: str, sound: int | None, picture: int | None, rtx: int | None) -> str:
    """`sound`, `picture`, `rtx`: the SSRC of each, or None to leave it out."""
    mids = [mid for mid, ssrc in (("0", sound), ("1", picture)) if ssrc is not None]
    lines = [
        "v=0",
        f"o=- {secrets.randbits(62)} 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(mids)}",
        "a=msid-semantic: WMS stream",
    ]
    if sound is not None:
        lines += _section("audio", "0", [OPUS], transport)
        lines += _sound(sound, cname)
    if picture is not None:
        lines += _section("video", "1", [H264] if rtx is None else [H264, RTX], transport)
        lines += _picture(picture, rtx, cname)
    return "".join(line + "\r\n" for line in lines)


def _section(kind: str, mid: str, payload_types: Sequence[int], transport: SenderTransport) -> Iterator[str]:
    yield f"m={kind} 9 UDP/TLS/RTP/SAVPF {' '.join(map(str, payload_types))}"
    yield "c=IN IP4 0.0.0.0"
    yield "a=rtcp:9 IN IP4 0.0.0.0"
    yield from (f"a=candidate:{candidate}" for candidate in transport.candidates)
    yield f"a=ice-ufrag:{transport.ufrag}"
    yield f"a=ice-pwd:{transport.pwd}"
    yield "a=ice-options:trickle"
    yield f"a=fingerprint:sha-256 {transport.fingerprint}"
    yield f"a=setup:{transport.setup}"
    yield f"a=mid:{mid}"
    yield "a=sendonly"
    yield f"a=msid:stream {kind}"
    yield "a=rtcp-mux"
    yield "a=rtcp-rsize"


def _sound(ssrc: int, cname: str) -> Iterator[str]:
    yield f"a=rtpmap:{OPUS} opus/48000/2"
    yield f"a=fmtp:{OPUS} minptime=10;useinbandfec=1"
    yield f"a=ssrc:{ssrc} cname:{cname}"


def _picture(ssrc: int, rtx: int | None, cname: str) -> Iterator[str]:
    yield f"a=rtpmap:{H264} H264/90000"
    yield from (f"a=rtcp-fb:{H264} {f}" for f in ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"))
    yield f"a=fmtp:{H264} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
    if rtx is not None:
        yield f"a=rtpmap:{RTX} rtx/90000"
        yield f"a=fmtp:{RTX} apt={H264}"
        yield f"a=ssrc-group:FID {ssrc} {rtx}"
        yield f"a=ssrc:{rtx} cname:{cname}"
    yield f"a=ssrc:{ssrc} cname:{cname}"
