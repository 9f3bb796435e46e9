"""One coded picture after the other to access units. It blocks while it computes: call it in a thread of its own."""

from typing import Literal, cast

import av

from transponder_relay.ingest.h264_parameters import ParameterStore
from transponder_relay.ingest.hevc_syntax import nal_units
from transponder_relay.media import AccessUnit, CodedPicture
from transponder_relay.transcode.encoder import MAX_PIXELS, EncodedPicture, Encoder, Form
from transponder_relay.transcode.rate import CLOCK, SourceRate, differs, target

_DECODERS: dict[str, Literal["vp8", "vp9", "libdav1d", "hevc"]] = {
    "VP8": "vp8", "VP9": "vp9", "AV1": "libdav1d", "H265": "hevc",
}  # fmt: skip
_IDR = 5
_SLACK = 0.001
"""Seconds by which an interval may be exceeded: RTP times are rounded."""
_KEYFRAME_GAP = 0.5
"""Seconds between two keyframes that are asked for."""


class DamagedPicture(Exception):
    """It cannot be decoded or encoded: nothing is of use before the next keyframe."""


class Pipeline:
    """Keyframes come at the interval and when wanted, each an IDR picture that closes the group before it."""

    def __init__(self, codec: str, max_bitrate: int) -> None:
        """`codec`: VP8, VP9, AV1 or H265. `max_bitrate`: bit/s."""
        self.keyframe_interval = 2.0
        """Seconds. May be set from another thread."""
        self.keyframe_wanted = False
        """As soon as may be. May be set from another thread."""
        self._codec = codec
        self._max_bitrate = max_bitrate
        self._decoder = _decoder(codec)
        self._encoder: Encoder | None = None
        self._rate = SourceRate()
        self._store = ParameterStore()
        self._last_keyframe = self._last = 0  # RTP times

    def transcode(self, picture: CodedPicture, encode: bool = True) -> AccessUnit | None:
        """None for a picture that is not to be shown, or not to be encoded. Raises DamagedPicture."""
        self._rate.add(picture.rtp_time, len(picture.frame))
        try:
            frame = self._decode(picture)
            if frame is None or not encode:
                return None
            return self._encode(frame, picture)
        except (av.FFmpegError, ValueError) as error:
            self._decoder, self._encoder = _decoder(self._codec), None
            raise DamagedPicture(f"{type(error).__name__} at a picture of {len(picture.frame)} bytes") from None

    def _decode(self, picture: CodedPicture) -> "av.VideoFrame | None":
        frame = with_start_codes(picture.frame) if self._codec == "H265" else picture.frame
        frames = self._decoder.decode(av.Packet(frame))
        if any(frame.is_corrupt for frame in frames):
            raise ValueError("a reference is missing")
        return frames[-1] if frames else None

    # ------------------------------------------------------------------------------------------ encoding

    def _encode(self, frame: "av.VideoFrame", picture: CodedPicture) -> AccessUnit:
        form = Form(frame.width & ~1 or 2, frame.height & ~1 or 2, int(frame.colorspace), int(frame.color_range))
        if frame.format.name != "yuv420p" or (frame.width, frame.height) != form[:2]:
            frame = frame.reformat(form.width, form.height, "yuv420p")
        encoder, keyframe = self._encoder_for(form, picture.rtp_time)
        encoded = encoder.encode(frame, keyframe)
        if encoded.keyframe:
            self._note_keyframe(encoder, encoded, picture.rtp_time)
        self._last = picture.rtp_time
        sets = self._store.current()
        if sets is None:
            raise ValueError("x264 began without a keyframe")
        return AccessUnit(picture.rtp_time, picture.arrival, encoded.keyframe, encoded.avcc, sets)

    def _encoder_for(self, form: Form, rtp_time: int) -> tuple[Encoder, bool]:
        """The encoder to use, and whether it is to make a keyframe. A new one takes the place of a keyframe only."""
        encoder = self._encoder
        budget = target(self._rate, form.width * form.height, self._max_bitrate)
        if encoder is not None and encoder.form == form:
            if not self._keyframe_due(rtp_time):
                return encoder, False
            if not differs(budget, encoder.bits_per_picture):
                return encoder, True
        self._encoder = None  # frees it before the next one takes memory
        self._encoder = Encoder(form, budget)
        return self._encoder, True

    def _keyframe_due(self, rtp_time: int) -> bool:
        """Whether the next picture would come after the interval, or a keyframe is wanted."""
        passed = (rtp_time - self._last_keyframe) / CLOCK
        step = (rtp_time - self._last) / CLOCK
        if passed < 0:
            return True
        if self.keyframe_wanted and passed >= _KEYFRAME_GAP:
            return True
        return passed + min(step, self.keyframe_interval / 2) > self.keyframe_interval + _SLACK

    def _note_keyframe(self, encoder: Encoder, encoded: EncodedPicture, rtp_time: int) -> None:
        self._last_keyframe = rtp_time
        self.keyframe_wanted = False
        for nal in encoder.parameter_sets:
            self._store.add(nal)
        self._store.activate(_first_idr(encoded.avcc)[:16])


def _decoder(codec: str) -> "av.VideoCodecContext":
    decoder = cast("av.VideoCodecContext", av.CodecContext.create(_DECODERS[codec], "r"))
    decoder.thread_count = 1  # more would hold pictures back
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    return decoder


def with_start_codes(picture: bytes) -> bytes:
    """NAL units as decoders take them that were told nothing before. Raises ValueError."""
    return b"".join(b"\0\0\0\1" + nal for nal in nal_units(picture))


def _first_idr(avcc: bytes) -> bytes:
    at = 0
    while at + 4 < len(avcc) and avcc[at + 4] & 31 != _IDR:
        at += 4 + int.from_bytes(avcc[at : at + 4])
    return avcc[at + 4 :]
