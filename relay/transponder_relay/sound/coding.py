"""How sound is coded for an RTMP server: AAC, G.711 or Speex, each as encoder, silence and AudioConfig."""

from typing import NamedTuple, Protocol

from transponder_crd.resource import AudioCodec
from transponder_relay.media import AudioConfig
from transponder_relay.sound.aac import FRAME, AacEncoder, aac_format
from transponder_relay.sound.g711 import G711_CONFIGS, G711Encoder, g711_silence
from transponder_relay.sound.pcm import Frames, milliseconds
from transponder_relay.sound.speex import (
    SPEEX_BITRATE,
    SPEEX_CONFIG,
    SpeexEncoder,
    speex_is_missing,
    speex_silence,
    speex_times,
)

G711 = frozenset({AudioCodec.PCMA, AudioCodec.PCMU})


def missing_library(codec: AudioCodec) -> str | None:
    """What to tell people whose codec cannot be had on this machine; None if it can."""
    if codec is AudioCodec.SPEEX and speex_is_missing():
        return "audio.codec speex needs the library libspeex (Debian: libspeex1), which is not installed"
    return None


class Coding(NamedTuple):
    """A codec and its bitrate; outputs of the same one can share frames."""

    codec: AudioCodec
    bitrate: int
    """bit/s."""

    @classmethod
    def of(cls, codec: AudioCodec, bitrate: int) -> "Coding":
        """`bitrate` counts for AAC; the others have one each."""
        if codec is AudioCodec.AAC:
            return cls(codec, bitrate)
        return cls(codec, SPEEX_BITRATE if codec is AudioCodec.SPEEX else 64_000)

    @property
    def config(self) -> AudioConfig:
        """The same object each time. Raises RuntimeError if the AAC encoder is not as expected."""
        match self.codec:
            case AudioCodec.AAC:
                return aac_format(self.bitrate).config
            case AudioCodec.SPEEX:
                return SPEEX_CONFIG
            case _:
                return G711_CONFIGS[self.codec]

    def silence(self, block: int) -> Frames:
        """The frames of a silent block. Those of AAC and G.711 are silent, those of Speex go down to it."""
        match self.codec:
            case AudioCodec.AAC:
                return ((milliseconds(block), aac_format(self.bitrate).silence),)
            case AudioCodec.SPEEX:
                return tuple((time, speex_silence()) for time in speex_times(block))
            case _:
                return g711_silence(self.codec, block)

    def encoder(self, block: int) -> "Encoder":
        """For the blocks from `block` on. Raises OSError if a library is missing."""
        match self.codec:
            case AudioCodec.AAC:
                return _Aac(self.bitrate, block)
            case AudioCodec.SPEEX:
                return SpeexEncoder(block)
            case _:
                return G711Encoder(self.codec, block)


class Encoder(Protocol):
    """Blocks in, FLV bodies out, two blocks later."""

    def encode(self, pcm: bytes) -> Frames:
        """The next block (`pcm.BLOCK_BYTES`) in; the frames that begin within the block two before out. In the first
        call there are none; in the second those of AAC, which lead in, alone."""
        ...


class _Aac:
    def __init__(self, bitrate: int, block: int) -> None:
        self._encoder = AacEncoder(bitrate)
        self._block = block

    def encode(self, pcm: bytes) -> Frames:
        frame = self._encoder.encode(pcm)
        self._block += 1
        return ((milliseconds(self._block - 3), FRAME + frame),) if frame else ()
