"""What one connection is sent."""

import pytest

from transponder_relay.media import AudioConfig, AudioTag, VideoConfig, VideoTag
from transponder_relay.outputs import amf, flv
from transponder_relay.outputs.chunks import CHUNK_SIZE, ChunkReader, Message, MessageType, pack
from transponder_relay.outputs.feed import Epoch, Feed

EXPECTED = AudioConfig(48000, 2, 128_000, b"")
AUDIO = AudioConfig(48000, 2, 128_000, b"\xaf\0\x11\x90")
VIDEO = VideoConfig(640, 360, b"\x17\0header")
KEY, INTER, SOUND = b"\x17\1key", b"\x27\1inter", b"\xaf\1sound"


def new_feed(epoch: Epoch | None = None) -> Feed:
    return Feed(1, epoch or Epoch(), EXPECTED, 1000, "test")


def key(time: int, config: VideoConfig = VIDEO, body: bytes = KEY) -> VideoTag:
    return VideoTag(time, True, body, config)


def inter(time: int) -> VideoTag:
    return VideoTag(time, False, INTER, VIDEO)


def sound(time: int, config: AudioConfig = AUDIO) -> AudioTag:
    return AudioTag(time, SOUND, config)


class Wire:
    """Reads what a feed writes."""

    def __init__(self) -> None:
        self._reader = ChunkReader(1 << 24)
        size = Message(MessageType.SET_CHUNK_SIZE, 0, 0, CHUNK_SIZE.to_bytes(4))
        assert list(self._reader.receive(pack(size, 2, 128))) == []

    def read(self, buffers: list[bytes]) -> list[tuple[int, bytes]]:
        """Time and body; metadata as `b"meta"`."""
        found = self._reader.receive(b"".join(buffers))
        return [(m.timestamp, b"meta" if m.type == MessageType.DATA_AMF0 else m.body) for m in found]


def test_it_begins_with_a_keyframe_and_all_headers() -> None:
    feed, wire = new_feed(), Wire()
    assert feed.video(inter(500)) == []
    assert feed.audio(sound(510)) == []
    assert wire.read(feed.video(key(533))) == [
        (0, b"meta"), (0, VIDEO.sequence_header), (0, AUDIO.sequence_header), (0, KEY),
    ]  # fmt: skip
    assert feed.audio(sound(531)) == []
    assert wire.read(feed.audio(sound(552))) == [(19, SOUND)]
    assert wire.read(feed.video(inter(566))) == [(33, INTER)]


def test_headers_are_sent_once_when_sound_comes_later() -> None:
    feed, wire = new_feed(), Wire()
    assert wire.read(feed.video(key(0))) == [(0, b"meta"), (0, VIDEO.sequence_header), (0, KEY)]
    assert wire.read(feed.audio(sound(21))) == [(21, AUDIO.sequence_header), (21, SOUND)]
    assert wire.read(feed.audio(sound(42))) == [(42, SOUND)]
    assert wire.read(feed.audio(sound(63, AudioConfig(48000, 2, 128_000, AUDIO.sequence_header)))) == [(63, SOUND)]
    assert wire.read(feed.video(key(66))) == [(66, KEY)]


def test_sound_without_a_header_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """G.711 and Speex. Nor is metadata made for each frame to see whether it changed."""
    feed, wire = new_feed(), Wire()
    g711 = AudioConfig(8000, 1, 64_000, b"", 7)
    assert feed.audio(sound(0, g711)) == []
    assert wire.read(feed.video(key(0))) == [(0, b"meta"), (0, VIDEO.sequence_header), (0, KEY)]
    monkeypatch.setattr(flv, "metadata", None)
    assert wire.read(feed.audio(sound(21, g711))) == [(21, SOUND)]
    assert wire.read(feed.audio(sound(42, g711))) == [(42, SOUND)]


def test_a_new_picture_size_gives_one_header_and_new_metadata() -> None:
    feed, wire = new_feed(), Wire()
    feed_all = feed.video(key(0)) + feed.audio(sound(10))
    assert len(wire.read(feed_all)) == 5
    small = VideoConfig(320, 180, b"\x17\0other")
    buffers = feed.video(key(33, small))
    assert wire.read(buffers) == [(33, b"meta"), (33, b"\x17\0other"), (33, KEY)]
    metadata = amf.decode(buffers[1])[2]
    assert isinstance(metadata, dict)
    assert (metadata["width"], metadata["height"]) == (320, 180)
    assert wire.read(feed.video(key(66, small))) == [(66, KEY)]
    same_size = VideoConfig(320, 180, b"\x17\0third")
    assert wire.read(feed.video(key(99, same_size))) == [(99, b"\x17\0third"), (99, KEY)]


def test_sound_alone_after_a_second() -> None:
    feed, wire = new_feed(), Wire()
    assert feed.audio(sound(7000)) == []
    assert feed.audio(sound(7999)) == []
    assert wire.read(feed.audio(sound(8000))) == [(0, b"meta"), (0, AUDIO.sequence_header), (0, SOUND)]
    assert wire.read(feed.video(key(8040))) == [(40, b"meta"), (40, VIDEO.sequence_header), (40, KEY)]


def test_time_goes_on_in_the_next_connection() -> None:
    epoch, wire = Epoch(), Wire()
    wire.read(new_feed(epoch).video(key(1000)))
    assert wire.read(new_feed(epoch).video(key(5000)))[-1] == (4000, KEY)


def test_sound_older_than_the_first_picture_of_the_next_connection_is_left_out() -> None:
    epoch = Epoch()
    first = new_feed(epoch)
    assert first.video(key(1000))
    second = new_feed(epoch)
    assert second.audio(sound(4990)) == []
    assert second.video(key(5000))
    assert second.audio(sound(4980)) == []
    assert second.audio(sound(5001))


def test_sound_that_began_alone_goes_on_beside_the_first_picture() -> None:
    feed = new_feed()
    assert feed.audio(sound(0)) == []
    assert feed.audio(sound(1000))
    assert feed.video(key(1200))
    assert feed.audio(sound(1100))


def test_each_track_is_monotone_whatever_comes() -> None:
    feed, wire = new_feed(), Wire()
    wire.read(feed.video(key(1000)))
    assert wire.read(feed.video(inter(1033))) == [(33, INTER)]
    assert wire.read(feed.video(inter(1010))) == [(33, INTER)]
    wire.read(feed.audio(sound(1050)))
    assert feed.audio(sound(1040)) == []


def test_times_beyond_24_and_32_bits() -> None:
    feed, wire = new_feed(), Wire()
    wire.read(feed.video(key(0)))
    large = bytes([0x17, 1]) + bytes(CHUNK_SIZE * 2)
    for time in (0xFFFFFE, 0xFFFFFF, 0x1000000, 0xFFFFFFFF, 0x100000005):
        assert wire.read(feed.video(key(time, body=large))) == [(time & 0xFFFFFFFF, large)]


def test_a_large_body_is_split_once_for_all_outputs() -> None:
    feeds, wires = [new_feed(), new_feed()], [Wire(), Wire()]
    for feed, wire in zip(feeds, wires, strict=True):
        wire.read(feed.video(key(0)))
    large = key(33, body=bytes([0x17, 1]) + bytes(CHUNK_SIZE))
    one, two = (feed.video(large) for feed in feeds)
    assert one[1] is two[1]
    for buffers, wire in ((one, wires[0]), (two, wires[1])):
        assert wire.read(buffers) == [(33, large.body)]


def test_after_a_gap_it_waits_for_a_keyframe_while_sound_goes_on() -> None:
    feed, wire = new_feed(), Wire()
    wire.read(feed.video(key(0)))
    feed.needs_keyframe = True
    assert feed.video(inter(33)) == []
    assert wire.read(feed.audio(sound(40)))[-1] == (40, SOUND)
    assert wire.read(feed.video(key(66))) == [(66, KEY)]
