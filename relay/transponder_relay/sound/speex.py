"""Speex for FLV (annex E.4.2.1, sound format 11): wideband, 16 kHz, mono, 20 ms a frame, by the system's libspeex.

FFmpeg as PyAV brings it decodes Speex but does not encode it.
"""

import ctypes
import weakref
from functools import cache
from typing import Any, Final

from transponder_relay.media import AudioConfig
from transponder_relay.sound.pcm import BLOCK, Downsampler, Frames

LIBRARY: Final = "libspeex.so.1"
RATE: Final = 16_000
FRAME: Final = 320
"""Samples at 16 kHz."""
_FRAME_48: Final = 960
_FLAGS: Final = b"\xb2"  # the rate of Speex is always 16 kHz, whatever the bits say
QUALITY: Final = 8
SPEEX_BITRATE: Final = 27_800
"""bit/s, of that quality."""
SPEEX_CONFIG: Final = AudioConfig(RATE, 1, SPEEX_BITRATE, b"", 11)

# speex.h
_WIDEBAND: Final = 1
_SET_QUALITY, _GET_LOOKAHEAD = 4, 39
_BITS_BYTES: Final = 128  # sizeof(SpeexBits) is 48
_LONGEST: Final = 200
_WARM_UP: Final = 50


class _Library:
    """The functions that are used, typed. Raises OSError if there is no libspeex."""

    def __init__(self) -> None:
        library = ctypes.CDLL(LIBRARY)
        state, bits = ctypes.c_void_p, ctypes.c_char_p
        self.mode = _typed(library.speex_lib_get_mode, ctypes.c_void_p, ctypes.c_int)(_WIDEBAND)
        self.encoder_init = _typed(library.speex_encoder_init, ctypes.c_void_p, ctypes.c_void_p)
        self.encoder_destroy = _typed(library.speex_encoder_destroy, None, state)
        self.encoder_ctl = _typed(library.speex_encoder_ctl, ctypes.c_int, state, ctypes.c_int, ctypes.c_void_p)
        self.encode = _typed(library.speex_encode_int, ctypes.c_int, state, ctypes.c_char_p, bits)
        self.bits_init = _typed(library.speex_bits_init, None, bits)
        self.bits_destroy = _typed(library.speex_bits_destroy, None, bits)
        self.bits_reset = _typed(library.speex_bits_reset, None, bits)
        self.bits_write = _typed(library.speex_bits_write, ctypes.c_int, bits, ctypes.c_char_p, ctypes.c_int)
        self.decoder_lookahead = self._decoder_lookahead(library)

    def _decoder_lookahead(self, library: ctypes.CDLL) -> int:
        decoder = _typed(library.speex_decoder_init, ctypes.c_void_p, ctypes.c_void_p)(self.mode)
        samples = ctypes.c_int()
        ctl = _typed(library.speex_decoder_ctl, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        ctl(decoder, _GET_LOOKAHEAD, ctypes.addressof(samples))
        _typed(library.speex_decoder_destroy, None, ctypes.c_void_p)(decoder)
        return samples.value


def _typed(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype, function.argtypes = result, arguments
    return function


@cache
def _library() -> _Library:
    return _Library()


def speex_is_missing() -> bool:
    """Whether libspeex is not installed."""
    try:
        _library()
    except (OSError, AttributeError):
        return True
    return False


def speex_times(block: int) -> list[int]:
    """The times in ms of the frames that begin within a block: one or two."""
    return [20 * n for n in range(-(-block * BLOCK // _FRAME_48), -(-(block + 1) * BLOCK // _FRAME_48))]


class _Coder:
    """16-bit samples of one frame in, its bytes out."""

    def __init__(self) -> None:
        library = self._library = _library()
        self._state = library.encoder_init(library.mode)
        self._bits = ctypes.create_string_buffer(_BITS_BYTES)
        library.bits_init(self._bits)
        self._out = ctypes.create_string_buffer(_LONGEST)
        weakref.finalize(self, _destroy, library, self._state, self._bits)
        value = ctypes.c_int(QUALITY)
        library.encoder_ctl(self._state, _SET_QUALITY, ctypes.addressof(value))
        library.encoder_ctl(self._state, _GET_LOOKAHEAD, ctypes.addressof(value))
        self.delay = value.value + library.decoder_lookahead
        """Samples from what is taken in to what a decoder gives out for it."""

    def encode(self, pcm: bytes) -> bytes:
        library = self._library
        library.bits_reset(self._bits)
        library.encode(self._state, pcm, self._bits)  # writes to its input, so it must not be shared
        size = library.bits_write(self._bits, self._out, _LONGEST)
        return self._out.raw[:size]


def _destroy(library: _Library, state: int, bits: "ctypes.Array[ctypes.c_char]") -> None:
    library.encoder_destroy(state)
    library.bits_destroy(bits)


@cache
def speex_silence() -> bytes:
    """FLV body of a silent frame."""
    coder = _Coder()
    return _FLAGS + [coder.encode(bytes(2 * FRAME)) for _ in range(_WARM_UP)][-1]


class SpeexEncoder:
    """Blocks of the relay's PCM in, frames out two blocks later, placed so that they are heard in time."""

    def __init__(self, block: int) -> None:
        self._first = self._block = block
        self._coder = _Coder()
        self._downsampler = Downsampler(RATE)
        self._pcm = bytearray()
        # from the beginning of the block to where the first frame's samples begin
        self._skip = 2 * (speex_times(block)[0] * 16 - block * BLOCK // 3 + self._coder.delay)

    def encode(self, pcm: bytes) -> Frames:
        self._pcm += self._downsampler.convert(pcm)
        skipped = min(self._skip, len(self._pcm))
        del self._pcm[:skipped]
        self._skip -= skipped
        self._block += 1
        block = self._block - 3
        if block < self._first:
            return ()
        return tuple((time, self._frame()) for time in speex_times(block))

    def _frame(self) -> bytes:
        samples = bytes(bytearray(self._pcm[: 2 * FRAME]))
        del self._pcm[: 2 * FRAME]
        return _FLAGS + self._coder.encode(samples)
