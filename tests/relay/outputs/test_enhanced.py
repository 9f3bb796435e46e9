"""Enhanced RTMP: what connect says, and bodies that are FFmpeg's own, byte for byte, or that it decodes."""

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flv import Flv, Tag
from support.outputs import connected, reaches
from support.rtmp_server import rtmp_server
from support.tags import clip, feed

from transponder_crd.control import OutputState
from transponder_relay.media import AudioTag, CodedPicture, VideoTag
from transponder_relay.outputs import amf, enhanced
from transponder_relay.outputs.chunks import MessageType
from transponder_relay.outputs.enhanced import FourCC
from transponder_relay.outputs.vp9 import Vp9Tagger
from transponder_relay.sound.opus import OPUS_CONFIG

WIDTH, HEIGHT = 320, 180
CODECS = {
    FourCC.VP9: ("libvpx-vp9", {"deadline": "realtime", "lag-in-frames": "0"}),
    FourCC.HEVC: ("libx265", {"x265-params": "log-level=none:bframes=0:annexb=0"}),
    FourCC.AV1: ("libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=1"}),
}


def muxed(codec: str, options: dict[str, str], width: int = WIDTH, height: int = HEIGHT) -> Flv:
    """A few pictures in FLV as FFmpeg writes it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flv") as container:
        stream = container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((height * 3 // 2, width), 50 * number, np.uint8), "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Flv(list(_tags(buffer.getvalue())))


def _tags(data: bytes) -> Iterator[Tag]:
    at = 13
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4])
        yield Tag(data[at], int.from_bytes(data[at + 4 : at + 7]), data[at + 11 : at + 11 + size])
        at += size + 15


@pytest.mark.parametrize("code", CODECS)
def test_pictures_are_written_as_ffmpeg_writes_them(code: FourCC) -> None:
    bodies = [tag.body for tag in muxed(*CODECS[code]).tags if tag.type == 9]
    assert len(bodies) >= 5
    for body in bodies:
        kind, payload = body[0] & 15, body[5:]
        match kind:
            case 0:
                config = enhanced.video_config(code, WIDTH, HEIGHT, payload)
                assert config.sequence_header == body
                assert config.codec_id.to_bytes(4) == code.encode()
            case 1 | 3:
                assert enhanced.video_body(code, body[0] >> 4 == 9, payload) == body
            case 2 | 4:
                continue  # the end of the sequence, colours: not sent
            case _:
                pytest.fail(f"a body of type {kind}")


@pytest.mark.parametrize(("width", "height"), [(320, 180), (640, 360), (1280, 720), (98, 66)])
def test_vp9_is_described_by_its_keyframe(width: int, height: int) -> None:
    bodies = [tag.body for tag in muxed(*CODECS[FourCC.VP9], width, height).tags if tag.type == 9]
    header = next(body for body in bodies if body[0] & 15 == 0)
    frames = [body for body in bodies if body[0] & 15 == 1]
    tagger = Vp9Tagger()
    assert tagger.tag(CodedPicture(0, 0.0, False, frames[1][5:]), 0) is None
    tags = [tagger.tag(CodedPicture(0, 0.0, body[0] >> 4 == 9, body[5:]), at) for at, body in enumerate(frames)]
    assert [tag and tag.body for tag in tags] == frames
    configs = {id(tag.config): tag.config for tag in tags if tag}
    ((_, config),) = configs.items()
    assert config.sequence_header == header
    assert (config.width, config.height) == (width, height)


@given(st.binary(max_size=40))
def test_what_is_no_keyframe_of_vp9_describes_nothing(frame: bytes) -> None:
    tag = Vp9Tagger().tag(CodedPicture(0, 0.0, True, frame), 0)
    assert tag is None or (frame[0] >> 4 == 8 and frame[1:4] == b"\x49\x83\x42")


async def test_connect_says_what_may_come() -> None:
    async with rtmp_server() as server:
        target = server.target().model_copy(update={"enhanced": True})
        async with connected(target) as (output, _):
            await reaches(output, OutputState.LIVE)
        properties = server.sessions[0].commands[0][2]
    assert isinstance(properties, dict)
    assert properties["fourCcList"] == ["hvc1", "av01", "vp09", "Opus"]
    assert properties["videoFourCcInfoMap"] == {"hvc1": 4.0, "av01": 4.0, "vp09": 4.0}
    assert properties["audioFourCcInfoMap"] == {"Opus": 4.0}
    assert properties["capsEx"] == 0


async def test_others_are_told_nothing_of_it() -> None:
    async with rtmp_server() as server, connected(server.target()) as (output, _):
        await reaches(output, OutputState.LIVE)
        properties = server.sessions[0].commands[0][2]
    assert isinstance(properties, dict)
    assert not {"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"} & properties.keys()


async def test_metadata_and_headers_name_the_codecs() -> None:
    config = enhanced.video_config(FourCC.VP9, WIDTH, HEIGHT, b"record")
    tags: list[VideoTag | AudioTag] = []
    for tag in clip()[:40]:
        if isinstance(tag, VideoTag):
            body = enhanced.video_body(FourCC.VP9, tag.keyframe, tag.body)
            tags.append(VideoTag(tag.time, tag.keyframe, body, config))
        else:
            tags.append(AudioTag(tag.time, b"\x91Opus\xfc\xff\xfe", OPUS_CONFIG))
    async with rtmp_server() as server, connected(server.target()) as (output, _):
        await reaches(output, OutputState.LIVE)
        await feed([output], tags)
        (session,) = server.sessions
        await server.until(lambda: len(session.media(MessageType.AUDIO)) > 5)
    metadata = amf.decode(session.media(MessageType.DATA_AMF0)[-1].body)[-1]
    assert isinstance(metadata, dict)
    assert int(metadata["videocodecid"]).to_bytes(4) == b"vp09"  # type: ignore[arg-type]
    assert int(metadata["audiocodecid"]).to_bytes(4) == b"Opus"  # type: ignore[arg-type]
    assert "audiodatarate" not in metadata
    assert session.media(MessageType.VIDEO)[0].body == b"\x90vp09record"
    assert session.media(MessageType.VIDEO)[1].body[:5] == b"\x91vp09"
    assert session.media(MessageType.AUDIO)[0].body[:13] == b"\x90OpusOpusHead"
