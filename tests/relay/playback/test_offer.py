"""Offers of players, and the answers to them, read by another implementation."""

import re
from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from transponder_crd.offer import InvalidOffer, check_play_offer
from transponder_relay.playback.answer import write_play_answer
from transponder_relay.playback.offer import Playable, parse_play_offer
from transponder_relay.playback.outgoing import OutgoingStream
from transponder_relay.webrtc.answer import IceCandidate, LocalTransport

CHROMIUM = (Path(__file__).parents[2] / "wire" / "play-offer-chromium-156.sdp").read_bytes().decode()
LOCAL = LocalTransport("abcd", "p" * 22, "sha-256 " + ":".join(["AB"] * 32), [IceCandidate("1", 9, "192.0.2.7", 40000)])
BOTH = Playable(True, "opus")


def answer_to(sdp: str, media: Playable = BOTH) -> str:
    offer = parse_play_offer(sdp, media)
    video = OutgoingStream(offer.video.payload_type, 90_000) if offer.video else None
    audio = OutgoingStream(offer.audio.payload_type, offer.audio.clock) if offer.audio else None
    return write_play_answer(offer, video, audio, LOCAL, "name", 42)


def test_the_answer_to_chromium() -> None:
    check_play_offer(CHROMIUM)
    text = answer_to(CHROMIUM)
    assert re.sub(r"[^\r\n]", "", text).replace("\r\n", "") == "", "CRLF throughout"
    sound, picture = SessionDescription.parse(text).media
    assert (sound.direction, picture.direction) == ("sendonly", "sendonly")
    assert (sound.msid, picture.msid) == ("name audio", "name video"), "two tracks of one stream"
    assert [c.mimeType for c in sound.rtp.codecs] == ["audio/opus"]
    assert [c.mimeType for c in picture.rtp.codecs] == ["video/H264", "video/rtx"]
    h264, rtx = picture.rtp.codecs
    assert h264.parameters["packetization-mode"] == "1"
    assert h264.parameters["profile-level-id"] == "42e01f"
    assert rtx.parameters == {"apt": h264.payloadType}
    assert {f"{f.type} {f.parameter or ''}".strip() for f in h264.rtcpFeedback} == {"ccm fir", "nack", "nack pli"}
    (group,) = picture.ssrc_group
    assert group.semantic == "FID"
    assert group.items == [s.ssrc for s in picture.ssrc]
    assert sound.rtcp_mux
    assert picture.rtcp_mux
    assert text.count("a=rtcp-mux-only") == 2, "RFC 9725 section 4.4.1"


@pytest.mark.parametrize(
    ("sps", "offered", "chosen"),
    [
        (None, ["42001f", "42e01f", "640c1f"], "42e01f"),
        ("42c01f", ["42001f", "42e01f", "4d001f"], "42e01f"),
        ("42c01f", ["4d001f", "42001f"], "4d001f"),
        ("42001f", ["42e01f", "42001f"], "42001f"),
        ("4d001f", ["42e01f", "4d001f", "64001f"], "4d001f"),
        ("4d401f", ["42e01f", "64001f"], "64001f"),
        ("640c1f", ["42e01f", "64001f"], "64001f"),
        ("64001f", ["42e01f", "64001f"], "64001f"),
        ("64001f", ["42e01f"], "42e01f"),
        ("7a001f", ["42e01f", "zzz"], "42e01f"),
    ],
)
def test_the_format_that_decodes_the_stream(sps: str | None, offered: list[str], chosen: str) -> None:
    types = range(100, 100 + len(offered))
    head, _, video = CHROMIUM.partition("m=video ")
    lines = [line for line in video.splitlines() if not re.match(r"a=(rtpmap|fmtp|rtcp-fb)", line)]
    lines[0] = "9 UDP/TLS/RTP/SAVPF " + " ".join(map(str, types))
    for payload_type, profile in zip(types, offered, strict=True):
        lines += [
            f"a=rtpmap:{payload_type} H264/90000",
            f"a=fmtp:{payload_type} packetization-mode=1;profile-level-id={profile}",
        ]
    sdp = head + "m=video " + "\r\n".join(lines) + "\r\n"
    own = None if sps is None else b"\x67" + bytes.fromhex(sps)
    offer = parse_play_offer(sdp, Playable(True, "opus", own))
    assert offer.video is not None
    assert offer.video.profile_level_id == chosen


@pytest.mark.parametrize(
    ("media", "accepted"),
    [
        (Playable(True, None), ["video"]),
        (Playable(False, "opus"), ["audio"]),
        (Playable(False, "PCMU"), ["audio"]),
        (Playable(True, "PCMA"), ["audio", "video"]),
    ],
)
def test_only_what_is_published_is_answered(media: Playable, accepted: list[str]) -> None:
    answer = SessionDescription.parse(answer_to(CHROMIUM, media))
    assert [m.kind for m in answer.media if m.port] == accepted
    assert len(answer.media) == 2
    if media.audio_codec:
        assert answer.media[0].rtp.codecs[0].mimeType == f"audio/{media.audio_codec}"
        assert answer.media[0].rtp.codecs[0].clockRate == (48000 if media.audio_codec == "opus" else 8000)


def test_a_browser_without_h264_is_refused_and_not_given_sound_alone() -> None:
    with pytest.raises(InvalidOffer, match="must offer H264 with packetization-mode=1"):
        parse_play_offer(CHROMIUM.replace("H264", "VP8"), BOTH)
    with pytest.raises(InvalidOffer, match=r"must receive what the stream has \(opus\)"):
        parse_play_offer(CHROMIUM.replace("opus", "speex"), Playable(False, "opus"))


@pytest.mark.parametrize("line", ["a=recvonly", "a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=rtcp-mux"])
def test_an_offer_that_lacks_something(line: str) -> None:
    sdp = (
        CHROMIUM.replace("a=recvonly", "a=sendonly")
        if line == "a=recvonly"
        else re.sub(rf"{line}\S*.*\r\n", "", CHROMIUM)
    )
    with pytest.raises(InvalidOffer):
        parse_play_offer(sdp, BOTH)


def test_stereo_is_told_if_it_is_asked_for() -> None:
    sdp = CHROMIUM.replace("useinbandfec=1", "useinbandfec=1;stereo=1")
    assert "useinbandfec=1;stereo=1;sprop-stereo=1\r\n" in answer_to(sdp)


@given(st.text(alphabet="vmar=:0123456789 \r\n-/abcdefgHOL;%*", max_size=300), st.integers(0, len(CHROMIUM)))
def test_any_text_gives_an_offer_or_invalid_offer(noise: str, at: int) -> None:
    for sdp in (noise, CHROMIUM[:at] + noise + CHROMIUM[at:], CHROMIUM[:at]):
        try:
            parse_play_offer(sdp, BOTH)
        except InvalidOffer:
            continue
