"""Enhanced RTMP: what connect says, and bodies that are FFmpeg's own, byte for byte, or that it decodes."""

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clip import av1_clip, hevc_clip
from support.coded_packets import feed as feed_packets
from support.coded_packets import packets_of
from support.flv import Flv, Tag
from support.outputs import connected, reaches
from support.rtmp_server import rtmp_server
from support.tags import clip, feed

from transponder_crd.control import OutputState
from transponder_relay.ingest.av1 import Depacketiser as Av1Depacketiser
from transponder_relay.ingest.hevc import Depacketiser as HevcDepacketiser
from transponder_relay.ingest.hevc_syntax import nal_type, nal_units
from transponder_relay.media import AudioTag, CodedPicture, VideoTag
from transponder_relay.outputs import amf, enhanced
from transponder_relay.outputs.av1 import Av1Tagger
from transponder_relay.outputs.chunks import MessageType
from transponder_relay.outputs.enhanced import FourCC
from transponder_relay.outputs.hevc import HevcTagger
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


@pytest.mark.parametrize(("width", "height"), [(320, 180), (640, 360)])
def test_av1_is_described_by_its_keyframe(width: int, height: int) -> None:
    bodies = [tag.body for tag in muxed(*CODECS[FourCC.AV1], width, height).tags if tag.type == 9]
    header = next(body for body in bodies if body[0] & 15 == 0)
    frames = [body for body in bodies if body[0] & 15 == 1]
    tagger = Av1Tagger()
    assert tagger.tag(CodedPicture(0, 0.0, False, frames[1][5:]), 0) is None
    tags = [tagger.tag(CodedPicture(0, 0.0, body[0] >> 4 == 9, body[5:]), at) for at, body in enumerate(frames)]
    assert [tag and tag.body for tag in tags] == frames
    ((_, config),) = {id(tag.config): tag.config for tag in tags if tag}.items()
    assert config.sequence_header[:9] == header[:9], "the record, but for the OBU, which this encoder tells in two ways"
    assert config.sequence_header[9:] in frames[0]
    assert (config.width, config.height, config.codec_id) == (width, height, int.from_bytes(b"av01"))


def test_hevc_is_described_by_its_parameter_sets() -> None:
    media = hevc_clip()
    depacketiser, tagger = HevcDepacketiser(), HevcTagger()
    pictures = feed_packets(depacketiser, packets_of(media, 70))
    assert tagger.tag(pictures[1], 0) is None
    tags = [tag for at, picture in enumerate(pictures) if (tag := tagger.tag(picture, at))]
    ((_, config),) = {id(tag.config): tag.config for tag in tags}.items()
    assert (config.width, config.height, config.codec_id) == (640, 360, int.from_bytes(b"hvc1"))
    assert config.sequence_header[:5] == b"\x90hvc1"
    assert [tag.body[:5] for tag in (tags[0], tags[1])] == [b"\x93hvc1", b"\xa3hvc1"]
    decoder = av.CodecContext.create("hevc", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = config.sequence_header[5:]
    decoder.options = {"err_detect": "explode"}
    frames = [frame for tag in tags for frame in decoder.decode(av.Packet(tag.body[5:]))] + decoder.decode(None)
    assert len(frames) == 70
    for tag in tags:
        assert not {33, 34, 32} & {nal_type(nal) for nal in nal_units(tag.body[5:])}, (
            "hvc1 has them in the record alone"
        )


def test_the_record_of_hevc_is_that_of_ffmpeg() -> None:
    """But for what FFmpeg reads from the VUI: segmentation and parallelism, bytes 13 to 15."""
    bodies = [tag.body for tag in muxed("libx265", {"x265-params": "log-level=none:bframes=0"}).tags if tag.type == 9]
    theirs = next(body[5:] for body in bodies if body[0] & 15 == 0)
    sets = {nal_type(nal): nal for nal in arrays(theirs)}
    slices = next(body[5:] for body in bodies if body[0] & 15 in (1, 3))
    slices = slices[3:] if int.from_bytes(slices[:4]) > len(slices) else slices
    keyframe = b"".join(len(n).to_bytes(4) + n for n in (sets[32], sets[33], sets[34])) + slices
    tag = HevcTagger().tag(CodedPicture(0, 0.0, True, keyframe), 0)
    assert tag is not None
    ours = tag.config.sequence_header[5:]
    assert (ours[:13], ours[16:23]) == (theirs[:13], theirs[16:22] + b"\x03")
    assert {nal_type(nal): nal for nal in arrays(ours)} == {kind: sets[kind] for kind in (32, 33, 34)}


def arrays(record: bytes) -> Iterator[bytes]:
    """NAL units of an HEVCDecoderConfigurationRecord."""
    at = 23
    for _ in range(record[22]):
        count, at = int.from_bytes(record[at + 1 : at + 3]), at + 3
        for _ in range(count):
            size = int.from_bytes(record[at : at + 2])
            yield record[at + 2 : at + 2 + size]
            at += 2 + size


@pytest.mark.parametrize("codec", ["AV1", "H265"])
def test_nothing_is_sent_after_a_keyframe_that_cannot_be_described(codec: str) -> None:
    """What follows refers to it."""
    media, depacketiser, tagger = (
        (hevc_clip(), HevcDepacketiser(), HevcTagger())
        if codec == "H265"
        else (av1_clip(), Av1Depacketiser(), Av1Tagger())
    )
    first, inter, *_ = feed_packets(depacketiser, packets_of(media, 3))
    unreadable = CodedPicture(0, 0.0, True, b"\x00\x00\x00\x50\x42\x01cut off")
    assert [bool(tagger.tag(p, 0)) for p in (first, inter, unreadable, inter, first, inter)] == [
        True, True, False, False, True, True,
    ]  # fmt: skip


@given(st.binary(max_size=60), st.sampled_from([Av1Tagger, HevcTagger]))
def test_bytes_that_mean_nothing_describe_nothing(frame: bytes, make: type[Av1Tagger | HevcTagger]) -> None:
    tag = make().tag(CodedPicture(0, 0.0, True, frame), 0)
    assert tag is None or tag.config.width > 0


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
