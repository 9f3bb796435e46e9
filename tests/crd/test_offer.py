"""The check of an SDP offer: real browsers' shape passes, everything else is refused by field and rule."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_crd.offer import InvalidOffer, NoUsableMedia, check_offer, check_play_offer, check_single_stream

TRANSPORT = """a=ice-ufrag:wC4d
a=ice-pwd:9cFyd0wLFiKmTKQVuOGNsKfX
a=ice-options:trickle
a=fingerprint:sha-256 8D:1F:00:aa
a=setup:actpass
"""
CANDIDATE = "a=candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host\n"
SESSION = "v=0\no=- 46117 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\n"
AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\nc=IN IP4 0.0.0.0\na=mid:0\na=sendonly\na=rtpmap:111 opus/48000/2\n"
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96 102\na=mid:1\na=sendonly\na=rtpmap:96 VP8/90000\na=rtpmap:102 H264/90000\n"
VP8 = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\n"
VP7 = VP8.replace("VP8", "VP7")
DATA = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n"
OFFER = SESSION + AUDIO + TRANSPORT + CANDIDATE + VIDEO + TRANSPORT


@pytest.mark.parametrize(
    "sdp",
    [
        pytest.param(OFFER, id="sound and picture"),
        pytest.param(OFFER.replace("\n", "\r\n"), id="CRLF, as RFC 8866 wants"),
        pytest.param(SESSION + TRANSPORT + AUDIO + VIDEO, id="transport at session level"),
        pytest.param(SESSION + AUDIO + TRANSPORT + VP7, id="usable sound beside an unusable picture"),
        pytest.param(SESSION + VP8 + TRANSPORT, id="VP8 alone"),
        pytest.param(SESSION + VP8.replace("VP8", "VP9") + TRANSPORT, id="VP9 alone"),
        pytest.param(SESSION + VIDEO + TRANSPORT + DATA, id="picture alone, and a data channel"),
        pytest.param(SESSION + "m=audio 9 RTP/SAVPF 8\n" + TRANSPORT, id="PCMA by its static payload type"),
        pytest.param(OFFER.replace("opus", "OPUS"), id="encoding names know no case"),
        pytest.param(OFFER.replace("=audio 9", "=audio 0").replace("=video 9", "=video 5"), id="one section refused"),
        pytest.param(
            SESSION + AUDIO.replace("audio 9", "audio 0") + "a=bundle-only\n" + TRANSPORT, id="port 0 of bundle-only"
        ),
        pytest.param(SESSION + "a=recvonly\n" + AUDIO + TRANSPORT, id="direction of the section counts"),
        pytest.param(OFFER + CANDIDATE * 99, id="100 candidates"),
        pytest.param(OFFER + DATA * 6, id="8 media descriptions"),
    ],
)
def test_good_offers(sdp: str) -> None:
    check_offer(sdp)


@pytest.mark.parametrize(
    ("sdp", "field", "rule"),
    [
        pytest.param("", "sdp", "empty", id="empty"),
        pytest.param(" \r\n", "sdp", "empty", id="blank"),
        pytest.param(OFFER + "a=x:" + "é" * 32768, "sdp", "65536 bytes", id="huge"),
        pytest.param("hello", "sdp", "v=0", id="no SDP"),
        pytest.param("\ufeff" + OFFER, "sdp", "v=0", id="byte order mark"),
        pytest.param(OFFER + "hello\n", "sdp", "<letter>=<value>", id="a line that is none"),
        pytest.param(SESSION, "sdp.media", "1 to 8", id="no media"),
        pytest.param(OFFER + DATA * 7, "sdp.media", "1 to 8", id="9 media descriptions"),
        pytest.param(OFFER + CANDIDATE * 100, "sdp.candidate", "at most 100", id="101 candidates"),
        pytest.param(OFFER.replace("ice-ufrag", "x"), "sdp.ice-ufrag", "must be given", id="no ufrag"),
        pytest.param(OFFER.replace(":wC4d", ":a b"), "sdp.ice-ufrag", "ICE characters", id="bad ufrag"),
        pytest.param(OFFER.replace("ice-pwd", "x"), "sdp.ice-pwd", "must be given", id="no pwd"),
        pytest.param(OFFER.replace("9cFyd0wLF", ""), "sdp.ice-pwd", "22 to 256", id="short pwd"),
        pytest.param(OFFER.replace("fingerprint", "x"), "sdp.fingerprint", "must be given", id="no fingerprint"),
        pytest.param(OFFER.replace("8D:1F", "8D:1"), "sdp.fingerprint", "pairs", id="bad fingerprint"),
        pytest.param(OFFER.replace("m=video 9", "m=video nine"), "sdp.media[1]", "<port>", id="bad m= line"),
        pytest.param(OFFER.replace("AVPF 96", "AVPF" + " 96" * 64), "sdp.media[1]", "at most 64", id="65 formats"),
        pytest.param(
            SESSION + VP7 + TRANSPORT, "sdp.media", "AV1, H264, H265, VP8, VP9, PCMA, PCMU, opus", id="VP7 alone"
        ),
        pytest.param(SESSION + DATA + TRANSPORT, "sdp.media", "codec", id="data channel alone"),
        pytest.param(OFFER.replace("sendonly", "recvonly"), "sdp.media", "must send", id="a player's offer"),
        pytest.param(OFFER.replace(" 9 ", " 0 "), "sdp.media", "must send", id="all sections refused"),
        pytest.param(
            SESSION + "m=video 9 RTP/SAVPF 96\na=rtpmap:102 H264/90000\n" + TRANSPORT,
            *("sdp.media", "codec"),
            id="a mapping of a type that is not offered",
        ),
        pytest.param(
            SESSION + "m=audio 9 RTP/SAVPF 0\na=rtpmap:0 G722/8000\n" + TRANSPORT,
            *("sdp.media", "codec"),
            id="a static type mapped to another codec",
        ),
    ],
)
def test_bad_offers(sdp: str, field: str, rule: str) -> None:
    with pytest.raises(InvalidOffer) as caught:
        check_offer(sdp)
    assert caught.value.field == field
    assert rule in caught.value.rule
    assert str(caught.value) == f"{field} {caught.value.rule}"
    assert isinstance(caught.value, NoUsableMedia) == caught.value.rule.startswith("must send")


@given(st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidOffer):
        check_offer(text)


@given(
    start=st.integers(0, len(OFFER)), length=st.integers(0, 60), new=st.text("am=:v0 9/\r\n\x00é\ud800", max_size=30)
)
def test_damaged_offers_pass_or_break_a_rule(start: int, length: int, new: str) -> None:
    with contextlib.suppress(InvalidOffer):
        check_offer(OFFER[:start] + new + OFFER[start + length :])


PLAY = OFFER.replace("sendonly", "recvonly")


@pytest.mark.parametrize(
    "sdp",
    [
        pytest.param(PLAY, id="sound and picture"),
        pytest.param(PLAY.replace("recvonly", "sendrecv"), id="both directions"),
        pytest.param(SESSION + AUDIO.replace("sendonly", "recvonly") + TRANSPORT, id="sound alone"),
    ],
)
def test_offers_of_players_that_can_be_answered(sdp: str) -> None:
    check_play_offer(sdp)


def test_offers_of_players_that_cannot() -> None:
    with pytest.raises(NoUsableMedia, match="must receive audio or video"):
        check_play_offer(OFFER)
    with pytest.raises(NoUsableMedia, match="H264"):
        check_play_offer(SESSION + VP8 + "a=recvonly\n" + TRANSPORT)
    with pytest.raises(InvalidOffer, match="ice-ufrag"):
        check_play_offer(PLAY.replace("ice-ufrag", "x"))


def test_a_single_stream() -> None:
    """RFC 9725, sections 4.4.2 and 4.4.3."""
    for sdp in (OFFER, SESSION + VIDEO + TRANSPORT + DATA, OFFER + VP8 + "a=recvonly\n"):
        check_single_stream(sdp)
    with pytest.raises(NoUsableMedia, match=r"media\[2\] must not be a second video track"):
        check_single_stream(OFFER + VIDEO)
    with pytest.raises(NoUsableMedia, match=r"media\[1\] must offer a codec that can be used: AV1, H264"):
        check_single_stream(SESSION + AUDIO + TRANSPORT + VP7)
