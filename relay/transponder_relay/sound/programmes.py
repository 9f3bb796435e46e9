"""What an output can hear, and the encoders of what is heard at present."""

from collections.abc import Collection
from dataclasses import dataclass

from transponder_relay.sound.aac import FRAME, AacEncoder
from transponder_relay.sound.clip import Clip, ClipReader
from transponder_relay.sound.pcm import BLOCK


@dataclass(frozen=True, slots=True)
class Silence:
    """No encoder: the constant silent frame of that bitrate."""

    bitrate: int


@dataclass(frozen=True, slots=True)
class Live:
    bitrate: int


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
    bitrate: int


Programme = Silence | Live | Inserted


class Voice:
    """The encoder of one programme, and the reader of its clip if it has one."""

    def __init__(self, programme: Live | Inserted, block: int) -> None:
        self._encoder = AacEncoder(programme.bitrate)
        self._reader: ClipReader | None = None
        if isinstance(programme, Inserted):
            insertion = programme.insertion
            self._reader = ClipReader(insertion.clip, insertion.loop, (block - insertion.start) * BLOCK)

    def encode(self, live: bytes) -> bytes | None:
        """The FLV body of the frame two blocks back; None in the first call."""
        frame = self._encoder.encode(self._reader.read() if self._reader else live)
        return FRAME + frame if frame else None


class Voices:
    """One encoder for each programme that somebody listens to; all get every block."""

    def __init__(self) -> None:
        self._voices: dict[Programme, Voice] = {}

    def __contains__(self, programme: Programme) -> bool:
        return programme in self._voices

    def encode(self, wanted: Collection[Programme], block: int, live: bytes) -> dict[Programme, bytes]:
        """Encode a block for the wanted programmes (encoders of others end): the bodies for block - 2."""
        self._voices = {p: self._voices.get(p) or Voice(p, block) for p in wanted if not isinstance(p, Silence)}
        bodies = {programme: voice.encode(live) for programme, voice in self._voices.items()}
        return {programme: body for programme, body in bodies.items() if body}
