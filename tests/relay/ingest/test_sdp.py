"""Offers of real and unusual senders, and the answers to them, read by another implementation."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from transponder_crd.offer import InvalidOffer, check_offer
from transponder_relay.ingest.answer import write_answer
from transponder_relay.ingest.offer import parse_offer
from transponder_relay.ingest.settings import IngestSettings
from transponder_relay.webrtc.answer import IceCandidate, LocalTransport

WIRE = Path(__file__).parents[2] / "wire"
CHROMIUM = (WIRE / "offer-chromium-156.sdp").read_bytes().decode()
OBS = (WIRE / "offer-obs-like.sdp").read_bytes().decode()

LOCAL = LocalTransport(
    ufrag="abcd",
    pwd="p" * 22,
    fingerprint="sha-256 " + ":".join(["AB"] * 32),
    candidates=[IceCandidate("1", 2130706431, "192.0.2.7", 40000), IceCandidate("2", 2130706175, "2001:db8::7", 40001)],
)


def answer_to(offer: str, settings: IngestSettings | None = None) -> str:
    return write_answer(parse_offer(offer), LOCAL, settings or IngestSettings(), 42)


def without(offer: str, pattern: str) -> str:
    """The offer without the lines that match."""
    return "".join(line for line in offer.splitlines(keepends=True) if not re.match(pattern, line))


def sections(sdp: str) -> list[str]:
    return re.split(r"(?=^m=)", sdp, flags=re.MULTILINE)[1:]


def test_chromium() -> None:
    check_offer(CHROMIUM)
    offer = parse_offer(CHROMIUM)
    assert offer.video is not None
    assert (offer.video.payload_type, offer.video.rtx_payload_type) == (108, 109)
    assert (offer.video.nack, offer.video.pli, offer.video.remb) == (True, True, True)
    assert (offer.video.packetization_mode, offer.video.profile_level_id) == (1, "42e01f")
    assert offer.audio is not None
    assert (offer.audio.payload_type, offer.audio.codec, offer.audio.stereo) == (111, "opus", False)
    assert (offer.transport.dtls_client, offer.transport.bundled, offer.transport.reduced_size) == (True, True, True)
    assert len(offer.transport.fingerprints) == 1


def test_the_answer_to_chromium() -> None:
    """MUST (WCS compatibility notes, 1.9 item 2): all candidates, and H.264 first where VP8 was."""
    text = answer_to(CHROMIUM, IngestSettings(max_bitrate=2_000_000))
    assert re.sub(r"[^\r\n]", "", text).replace("\r\n", "") == "", "CRLF throughout"
    answer = SessionDescription.parse(text)
    assert [(m.kind, m.direction, m.rtp.muxId) for m in answer.media] == [
        ("audio", "recvonly", "0"),
        ("video", "recvonly", "1"),
    ]
    assert answer.group[0].items == ["0", "1"]
    sound, picture = answer.media
    assert [c.mimeType for c in sound.rtp.codecs] == ["audio/opus"]
    assert [(c.payloadType, c.mimeType) for c in picture.rtp.codecs] == [(108, "video/H264"), (109, "video/rtx")]
    assert picture.rtp.codecs[0].parameters == {
        "level-asymmetry-allowed": "1",
        "packetization-mode": "1",
        "profile-level-id": "42e01f",
        "x-google-start-bitrate": "2000",
    }
    feedback = {f"{f.type} {f.parameter or ''}".strip() for f in picture.rtp.codecs[0].rtcpFeedback}
    assert feedback == {"goog-remb", "ccm fir", "nack", "nack pli"}
    assert picture.rtp.codecs[1].parameters == {"apt": 108}
    for media in answer.media:
        assert media.rtp.headerExtensions == []
        assert media.rtcp_mux
        assert media.dtls.role == "client"
        assert (media.ice.usernameFragment, media.ice.password) == ("abcd", "p" * 22)
        assert [(c.ip, c.port, c.type) for c in media.ice_candidates] == [
            ("192.0.2.7", 40000, "host"),
            ("2001:db8::7", 40001, "host"),
        ]
        assert media.ice_candidates_complete
    assert "b=TIAS:2000000" in text


def test_an_offer_without_candidates_is_as_good() -> None:
    bare = without(CHROMIUM, "a=candidate")
    assert parse_offer(bare).video == parse_offer(CHROMIUM).video


def test_a_sender_that_is_dtls_client_only() -> None:
    check_offer(OBS)
    offer = parse_offer(OBS)
    assert not offer.transport.dtls_client
    assert offer.video is not None
    assert (offer.video.payload_type, offer.video.rtx_payload_type) == (96, None)
    assert offer.audio is not None
    assert offer.audio.stereo
    answer = SessionDescription.parse(answer_to(OBS))
    assert {m.dtls.role for m in answer.media} == {"server"}
    assert "stereo=1" in answer_to(OBS)


def test_packetization_mode_0_is_taken_if_there_is_no_other() -> None:
    offer = CHROMIUM.replace("packetization-mode=1", "packetization-mode=0")
    video = parse_offer(offer).video
    assert video is not None
    assert video.packetization_mode == 0
    assert video.profile_level_id == "42e01f"


@pytest.mark.parametrize("profile", ["4d001f", "640c1f"])
def test_other_profiles_are_taken(profile: str) -> None:
    video = parse_offer(OBS.replace("42e01f", profile)).video
    assert video is not None
    assert f"profile-level-id={profile}" in answer_to(OBS.replace("42e01f", profile))


def test_without_profile_none_is_made_up() -> None:
    offer = OBS.replace("profile-level-id=42e01f;", "")
    assert "profile-level-id" not in answer_to(offer)


@pytest.mark.parametrize(
    ("missing", "codec", "payload_types", "parameters"),
    [
        pytest.param("H264", "VP8", "96 97", "", id="VP8 in place of H.264"),
        pytest.param("(H264|VP8)", "VP9", "98 99", "profile-id=0;", id="VP9 in place of both: the profile of 8 bits"),
        pytest.param("(H264|VP8|VP9)", "AV1", "45 46", "profile=0;level-idx=5;tier=0;", id="AV1 as the last"),
    ],
)
def test_without_h264_another_codec_is_taken(missing: str, codec: str, payload_types: str, parameters: str) -> None:
    text = answer_to(without(CHROMIUM, rf"a=rtpmap:\d+ {missing}"))
    lines = sections(text)[1].splitlines()
    assert lines[0].split(" ", 3)[3] == payload_types
    payload_type, rtx = payload_types.split()
    assert f"a=rtpmap:{payload_type} {codec}/90000" in lines
    assert f"a=fmtp:{rtx} apt={payload_type}" in lines
    assert {f"a=rtcp-fb:{payload_type} {what}" for what in ("goog-remb", "ccm fir", "nack", "nack pli")} <= set(lines)
    (format_line,) = [line for line in lines if line.startswith(f"a=fmtp:{payload_type} ")]
    assert format_line == f"a=fmtp:{payload_type} {parameters}x-google-start-bitrate=2500"
    assert "packetization-mode" not in text


@pytest.mark.parametrize(
    ("missing", "codec"),
    [("none", "H264"), ("H264", "AV1"), ("(H264|AV1)", "VP9"), ("(H264|AV1|VP9)", "VP8")],
)
def test_where_all_is_passed_on_vp8_is_the_last(missing: str, codec: str) -> None:
    video = parse_offer(without(CHROMIUM, rf"a=rtpmap:\d+ {missing}"), passed=True).video
    assert video is not None
    assert video.codec == codec


HEVC = "profile-id=1;tier-flag=0;level-id=93;tx-mode=SRST"


def test_hevc_alone_is_taken() -> None:
    sets = "sprop-vps=QAEMAf//;sprop-sps=QgEBAWA=;sprop-pps=RAHA"
    offer = OBS.replace("H264/90000", "H265/90000")
    offer = re.sub(r"(a=fmtp:96 ).*", rf"\1{HEVC};{sets}\r", offer)
    video = parse_offer(offer).video
    assert video is not None
    assert video.codec == "H265"
    assert [nal[0] >> 1 for nal in video.parameter_sets] == [32, 33, 34]
    assert f"a=fmtp:{video.payload_type} {HEVC};x-google-start-bitrate=2500" in answer_to(offer)
    for unusable in ("profile-id=2", "tx-mode=MRST", "sprop-max-don-diff=2"):
        other = re.sub(r"(a=fmtp:96 ).*", rf"\1{unusable}\r", offer)
        assert parse_offer(other).video is None, unusable


def test_h264_is_taken_before_vp8_in_another_section() -> None:
    head, sound, picture = re.split(r"(?=^m=)", CHROMIUM, flags=re.MULTILINE)
    vp8 = without(picture, r"a=rtpmap:\d+ H264").replace("a=mid:1", "a=mid:2")
    video = parse_offer(head.replace("BUNDLE 0 1", "BUNDLE 0 2 1") + sound + vp8 + picture).video
    assert video is not None
    assert (video.section, video.codec) == (2, "H264")


def test_video_without_a_codec_of_use_is_rejected_and_sound_taken() -> None:
    offer = without(CHROMIUM, r"a=rtpmap:\d+ (H264|VP8|VP9|AV1)")
    text = answer_to(offer)
    assert sections(text)[1].startswith("m=video 0 UDP/TLS/RTP/SAVPF 96 97")
    answer = SessionDescription.parse(text)
    assert answer.group[0].items == ["0"]
    assert parse_offer(offer).video is None


def test_g711_is_taken_without_a_map() -> None:
    offer = without(CHROMIUM, r"a=rtpmap:(111|0|8) ")
    audio = parse_offer(offer).audio
    assert audio is not None
    assert (audio.codec, audio.payload_type, audio.clock) == ("PCMU", 0, 8000)
    assert "a=rtpmap:0 PCMU/8000" in answer_to(offer)


def test_data_channels_and_second_cameras_are_rejected() -> None:
    video = sections(CHROMIUM)[1]
    second = re.sub(r"a=mid:1", "a=mid:2", video)
    data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:3\r\na=sctp-port:5000\r\n"
    offer = CHROMIUM.replace("BUNDLE 0 1", "BUNDLE 0 1 2 3") + second + data
    answer = sections(answer_to(offer))
    assert [re.match(r"m=(\S+) (\S+)", s).groups() for s in answer] == [
        ("audio", "40000"),
        ("video", "40000"),
        ("video", "0"),
        ("application", "0"),
    ]
    assert "a=group:BUNDLE 0 1\r\n" in answer_to(offer)


def test_without_bundle_the_picture_has_the_transport() -> None:
    offer = parse_offer(without(CHROMIUM, "a=group"))
    assert offer.video is not None
    assert offer.audio is None


def test_sound_alone_and_picture_alone() -> None:
    head, sound, picture = re.split(r"(?=^m=)", CHROMIUM, flags=re.MULTILINE)
    only_sound = parse_offer(head.replace("0 1", "0") + sound)
    assert only_sound.video is None
    assert only_sound.audio is not None
    only_picture = parse_offer(head.replace("0 1", "1") + picture)
    assert only_picture.audio is None
    assert only_picture.video is not None
    assert only_picture.transport.ice_ufrag


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda o: without(o, "a=rtpmap").replace(" 0 8 ", " "), "sdp.media"),
        (lambda o: o.replace("a=sendrecv", "a=recvonly").replace("a=sendonly", "a=recvonly"), "sdp.media"),
        (lambda o: without(o, "a=rtcp-mux"), "sdp.media"),
        (lambda o: o.replace("RTP/SAVPF", "RTP/AVP"), "sdp.media"),
        (lambda o: without(o, "a=ice-ufrag"), "sdp.ice-ufrag"),
        (lambda o: without(o, "a=ice-pwd"), "sdp.ice-pwd"),
        (lambda o: o.replace("sha-256", "sha-1"), "sdp.fingerprint"),
        (lambda o: o.replace("actpass", "holdconn"), "sdp.setup"),
        (lambda o: o.replace("m=video ", "m=video x"), "sdp.media[1]"),
        (lambda o: "", "sdp.media"),
    ],
)
def test_unusable_offers_name_the_field(change: Callable[[str], str], field: str) -> None:
    with pytest.raises(InvalidOffer) as raised:
        parse_offer(change(CHROMIUM))
    assert raised.value.field == field


def test_secrets_show_in_no_repr() -> None:
    offer = parse_offer(CHROMIUM)
    assert offer.transport.ice_pwd not in repr(offer).replace(repr(offer.sections), "")
    assert LOCAL.pwd not in repr(LOCAL)


LINES = CHROMIUM.splitlines()


@given(st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=40).map(lambda t: f"a={t}")), max_size=60))
def test_any_lines_give_an_offer_or_invalid_offer(lines: list[str]) -> None:
    try:
        offer = parse_offer("\r\n".join(["v=0", *lines]))
    except InvalidOffer:
        return
    answer = write_answer(offer, LOCAL, IngestSettings(), 1)
    assert len(sections(answer)) == len(offer.sections)
