"""One output as the soundtrack sees it: what it asked for, and what it hears at a given block."""

from dataclasses import dataclass

from transponder_crd.resource import Sound
from transponder_relay.sound.clip import Clip
from transponder_relay.sound.coding import Coding
from transponder_relay.sound.programmes import Inserted, Insertion, Live, Programme, Silence


@dataclass(slots=True)
class Listener:
    """`muted` and the insertion are independent: an insertion goes on unheard while muted."""

    muted: bool
    coding: Coding
    current: Programme
    """What the frame sent last was of."""
    takes_opus: bool = False
    sound: Sound | None = None
    """As last asked for, even if it ended."""
    starting: bool = False
    """`sound` has neither begun nor failed: its file is being read, or there is no publisher and so no block."""
    insertion: Insertion | None = None
    next_clip: Clip | None = None
    """Loaded for `sound`; it begins with the next block."""

    def begin(self, block: int) -> bool:
        """Start the clip that is ready at this block. True if there was one."""
        if self.next_clip is None or self.sound is None:
            return False
        self.insertion = Insertion(self.next_clip, self.sound.loop, block)
        self.next_clip, self.starting = None, False
        return True

    def end(self, block: int) -> bool:
        """Forget the insertion once its last block is sent. True if this was so."""
        if self.insertion is None or self.insertion.last is None or block < self.insertion.last:
            return False
        self.insertion = None
        return True

    def programme(self, block: int, live: str | None) -> Programme:
        """What is to be heard at a block. `live`: the codec of the publisher's sound track, if it has one."""
        if self.muted:
            return Silence(self.coding)
        insertion = self.insertion
        if insertion and (insertion.last is None or block <= insertion.last):
            return Inserted(insertion, self.coding)
        return Live(self.coding, live.lower() == self.coding.codec) if live else Silence(self.coding)
