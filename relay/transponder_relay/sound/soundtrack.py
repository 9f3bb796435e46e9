"""The sound of all outputs of one relay: who hears what, block by block.

A frame leaves two blocks (43 ms) after the block it is for: FFmpeg's AAC encoder looks that far ahead, and the others
keep the same distance. Programmes are switched between frames; the overlap of AAC's transform makes each switch a
cross-fade of one frame, G.711 is cross-faded here, and Speex predicts from what was before.

    block being filled    n         n+1       n+2
    frame sent            n-2       n-1       n         (when that block is full)
    mute at block n       silent    silent    silent
    clip begins at n      before    lead-in   clip's first block
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from transponder_crd.resource import AudioCodec, Sound
from transponder_relay.media import AudioTag, SoundPacket
from transponder_relay.sound.audience import LOOKAHEAD, Group, grouped, wanted
from transponder_relay.sound.clip import Clip
from transponder_relay.sound.coding import G711, Coding
from transponder_relay.sound.decoders import decoder_of
from transponder_relay.sound.g711 import G711Line
from transponder_relay.sound.library import Library, SoundFileError
from transponder_relay.sound.listener import Listener
from transponder_relay.sound.live import LiveLine, SoundStatistics
from transponder_relay.sound.opus import OpusTrack
from transponder_relay.sound.patience import Patience
from transponder_relay.sound.pcm import BLOCK
from transponder_relay.sound.programmes import Live, Programme, Silence, Voices

log = logging.getLogger(__name__)


class SoundEvents(Protocol):
    """What a soundtrack tells. Called from `live` and `advance`; for an unreadable file, from the event loop."""

    def on_audio(self, output_ids: Collection[str], tag: AudioTag) -> None:
        """One frame for these outputs. Times of an output grow from tag to tag by the samples of a frame (1024 of AAC,
        960 of Speex and, mostly, Opus), but for a restart."""
        ...

    def on_sound_change(self, output_id: str) -> None:
        """A sound file started, ended, or could not be read; not called for what `subscribe` itself ends."""
        ...


class Soundtrack:
    """Every output gets a gap-free run of frames in its codec, from the live sound, a sound file, or silence.

    Positions are 48 kHz samples on the stream clock. All calls must come from one thread; `subscribe` with a sound
    needs a running event loop (the file is read in another thread).
    """

    def __init__(self, sounds_folder: Path | None, events: SoundEvents) -> None:
        self._events = events
        self._library = Library(sounds_folder)
        self._loads: dict[str, asyncio.Task[Clip]] = {}
        self._listeners: dict[str, Listener] = {}
        self._line = LiveLine()
        self._codec: str | None = None
        self._g711 = G711Line()
        self._voices = Voices(self._g711)
        self._opus = OpusTrack(events.on_audio)
        self._passes_opus = False
        self._patience = Patience()
        self._first = 0  # the first block since the last restart

    @property
    def statistics(self) -> SoundStatistics:
        return self._line.statistics

    @property
    def end(self) -> int:
        """The position after the last sample so far, live or silent."""
        return self._line.end

    def sound_enabled(self, output_id: str) -> bool:
        """A sound file plays for this output, heard or muted, or will once it is read and there is a publisher."""
        listener = self._listeners.get(output_id)
        return listener is not None and (listener.starting or listener.insertion is not None)

    def settled(self, output_id: str) -> bool:
        """Whether what was last asked of an output's sound is so: a sound file has begun, or could not be read.

        A file begins with a block, so only while sound or the clock comes in.
        """
        listener = self._listeners.get(output_id)
        return listener is None or not listener.starting

    def set_codec(self, codec: str | None) -> None:
        """The present publisher's codec: `opus`, `PCMU`, `PCMA`, or None if it has no sound track.

        Raises ValueError for another name.
        """
        self._line.set_decoder(decoder_of(codec) if codec else None)
        self._codec = codec
        self._g711.restart(_g711_of(codec))
        if codec is not None and self._passes_opus != (codec == "opus"):
            self._passes_opus = codec == "opus"
            self._opus.restart((self._line.block - LOOKAHEAD) * BLOCK)  # after the last frame sent
        self._listen()

    # ------------------------------------------------------------------------------------------ outputs

    def subscribe(
        self,
        output_id: str,
        muted: bool,
        sound: Sound | None,
        bitrate: int,
        takes_opus: bool = False,
        codec: AudioCodec = AudioCodec.AAC,
    ) -> None:
        """Set what an output is to hear; again with the same values, nothing changes.

        `bitrate` in bit/s, of AAC. `takes_opus`: a publisher's Opus is passed on as it is in place of AAC; silence and
        files are Opus then. G.711 is passed on where it is the output's codec. Raises OSError if Speex is asked for and
        not installed.
        Another sound, or another trigger, plays from its start with the next block after it is read; until then the
        output hears what it heard. The same sound goes on, or stays ended.
        """
        coding = Coding.of(codec, bitrate)
        coding.silence(0)
        listener = self._listeners.get(output_id)
        if listener is None:
            listener = Listener(muted, coding, current=Silence(coding))
            self._listeners[output_id] = listener
        listener.muted, listener.coding = muted, coding
        listener.takes_opus = takes_opus and codec is AudioCodec.AAC
        if sound != listener.sound:
            self._ask(output_id, listener, sound)
        self._listen()

    def unsubscribe(self, output_id: str) -> None:
        """No more tags for this output. An unknown one is no error."""
        self._listeners.pop(output_id, None)
        self._listen()

    def _ask(self, output_id: str, listener: Listener, sound: Sound | None) -> None:
        listener.sound, listener.next_clip, listener.starting = sound, None, sound is not None
        if sound is None:
            listener.insertion = None
            return
        load = self._loads.get(sound.file)
        if load is None:
            load = asyncio.get_running_loop().create_task(asyncio.to_thread(self._library.load, sound.file))
            self._loads[sound.file] = load
            load.add_done_callback(lambda _: self._loads.pop(sound.file))
        load.add_done_callback(lambda done: self._loaded(output_id, listener, sound, done))

    def _loaded(self, output_id: str, listener: Listener, sound: Sound, load: asyncio.Task[Clip]) -> None:
        if load.cancelled():
            return
        error = load.exception()
        if listener.sound is not sound or self._listeners.get(output_id) is not listener:
            return  # it asked for something else meanwhile
        if error is None:
            listener.next_clip = load.result()
            return
        reason = error if isinstance(error, SoundFileError) else type(error).__name__
        log.warning("output %s plays no sound: %s", output_id, reason)
        listener.insertion, listener.starting = None, False
        self._listen()
        self._events.on_sound_change(output_id)

    # ------------------------------------------------------------------------------------------ time

    def live(self, packet: SoundPacket, position: int) -> None:
        """Sound of the publisher; `position` is that of its first sample. A gap before it is concealed and silent, what
        overlaps is dropped, a corrupt packet is counted. Never raises for what a packet holds."""
        self._patience.packet(position)
        self._line.write(packet.payload, position)
        if _g711_of(self._codec):
            self._g711.write(packet.payload, position)
        self._run()
        if self._passes_opus:
            self._opus.packet(self._heard_as_opus(), packet.payload, position)

    def advance(self, position: int) -> None:
        """The wall clock, some 150 ms back, every 100 ms or so: where no live sound came up to here, go on without it.

        One call adds at most 5 s (`live.FILL_LIMIT`); after a longer jump the next calls catch up.
        """
        wall = self._patience.wall(position)
        self._line.fill(wall)
        self._run()
        if self._passes_opus:
            self._opus.advance(self._heard_as_opus(), wall)

    def restart(self, position: int) -> None:
        """Nothing is sent for the time up to here (there was no publisher); sound files went on meanwhile.

        The next block begins at or after `position`, and after those already begun.
        """
        self._line.restart(position)
        self._first = self._line.block
        self._patience = Patience()
        self._g711.restart(_g711_of(self._codec))
        self._voices = Voices(self._g711)  # encoders hold two blocks of the past
        self._opus.restart(position)

    # ------------------------------------------------------------------------------------------ blocks

    def _run(self) -> None:
        while (pcm := self._line.take()) is not None:
            self._block(self._line.block - 1, pcm)

    def _block(self, block: int, pcm: bytes) -> None:
        started = [output_id for output_id, listener in self._listeners.items() if listener.begin(block)]
        frame = block - LOOKAHEAD
        bodies = self._voices.encode(self._wanted(block), block, pcm)
        groups = grouped(dict(self._encoded_for()), frame, self._codec, bodies)
        ended = [output_id for output_id, listener in self._listeners.items() if listener.end(frame)]
        self._listen()
        if frame >= self._first:
            self._send(groups)
        for output_id in started + ended:
            self._events.on_sound_change(output_id)

    def _hears_opus(self, listener: Listener) -> bool:
        return self._passes_opus and listener.takes_opus

    def _heard_as_opus(self) -> dict[str, Programme]:
        block = self._line.block
        return {i: li.programme(block, self._codec) for i, li in self._listeners.items() if self._hears_opus(li)}

    def _encoded_for(self) -> Iterator[tuple[str, Listener]]:
        """Listeners to whom the publisher's Opus is not passed on."""
        return ((i, listener) for i, listener in self._listeners.items() if not self._hears_opus(listener))

    def _wanted(self, block: int) -> set[Programme]:
        return wanted((listener for _, listener in self._encoded_for()), block, self._codec)

    def _send(self, groups: Iterable[Group]) -> None:
        for programme, frames, output_ids in groups:
            for time, body in frames:
                self._events.on_audio(output_ids, AudioTag(time, body, programme.coding.config))

    def _listen(self) -> None:
        """Decode the live sound only if somebody hears it in the block being filled, or before."""
        wanted = self._wanted(self._line.block)
        self._line.listen(any(isinstance(p, Live) and not p.passed for p in wanted))


def _g711_of(codec: str | None) -> AudioCodec | None:
    """The same codec for RTMP."""
    return next((c for c in G711 if codec and c == codec.lower()), None)
