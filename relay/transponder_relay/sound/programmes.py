"""What an output can hear, and the encoders of what is heard at present."""

from collections.abc import Collection
from dataclasses import dataclass

from transponder_relay.sound.clip import Clip, ClipReader
from transponder_relay.sound.coding import Coding, Encoder
from transponder_relay.sound.g711 import G711Line, g711_frame
from transponder_relay.sound.pcm import BLOCK, Frames


@dataclass(frozen=True, slots=True)
class Silence:
    """No encoder: the constant silent frames of that coding."""

    coding: Coding


@dataclass(frozen=True, slots=True)
class Live:
    coding: Coding
    passed: bool = False
    """The publisher sends that coding: its bytes are passed on."""


@dataclass(frozen=True, slots=True)
class Insertion:
    """A clip that plays from a block on."""

    clip: Clip
    loop: bool
    start: int

    @property
    def last(self) -> int | None:
        """Its last block; None if it never ends."""
        return None if self.loop else self.start + self.clip.blocks - 1


@dataclass(frozen=True, slots=True)
class Inserted:
    insertion: Insertion
    coding: Coding


Programme = Silence | Live | Inserted


class Voice:
    """The encoder of one programme, and the reader of its clip if it has one."""

    def __init__(self, programme: Live | Inserted, block: int) -> None:
        self._encoder: Encoder = programme.coding.encoder(block)
        self._reader: ClipReader | None = None
        if isinstance(programme, Inserted):
            insertion = programme.insertion
            self._reader = ClipReader(insertion.clip, insertion.loop, (block - insertion.start) * BLOCK)

    def encode(self, live: bytes) -> Frames:
        """The frames of the block two back; none in the first call."""
        return self._encoder.encode(self._reader.read() if self._reader else live)


class PassingVoice:
    """The publisher's own bytes, at the same distance as an encoder has."""

    def __init__(self, programme: Live, block: int, line: G711Line) -> None:
        self._codec = programme.coding.codec
        self._line = line
        self._first = self._block = block

    def encode(self, live: bytes) -> Frames:  # noqa: ARG002
        self._block += 1
        block = self._block - 3
        return g711_frame(self._codec, block, self._line.block(block)) if block >= self._first else ()


class Voices:
    """One encoder for each programme that somebody listens to; all get every block."""

    def __init__(self, line: G711Line) -> None:
        """`line`: what a publisher of G.711 sends, for those to whom it is passed on."""
        self._line = line
        self._voices: dict[Programme, Voice | PassingVoice] = {}

    def __contains__(self, programme: Programme) -> bool:
        return programme in self._voices

    def encode(self, wanted: Collection[Programme], block: int, live: bytes) -> dict[Programme, Frames]:
        """Encode a block for the wanted programmes (encoders of others end): the frames of block - 2."""
        self._voices = {p: self._voices.get(p) or self._voice(p, block) for p in wanted if not isinstance(p, Silence)}
        frames = {programme: voice.encode(live) for programme, voice in self._voices.items()}
        return {programme: encoded for programme, encoded in frames.items() if encoded}

    def _voice(self, programme: Live | Inserted, block: int) -> Voice | PassingVoice:
        if isinstance(programme, Live) and programme.passed:
            return PassingVoice(programme, block, self._line)
        return Voice(programme, block)
