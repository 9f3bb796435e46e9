"""Who hears which frames of a block: pure, but that listeners note what they heard last.

A frame leaves LOOKAHEAD blocks after the block it is for, so a programme that begins has no frame yet.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from transponder_relay.sound.coding import G711
from transponder_relay.sound.g711 import crossfaded
from transponder_relay.sound.listener import Listener
from transponder_relay.sound.pcm import Frames
from transponder_relay.sound.programmes import Programme, Silence

LOOKAHEAD: Final = 2
"""Blocks from the one encoded back to the one whose frame comes out."""


class Group(NamedTuple):
    """Outputs that are sent the same frames."""

    programme: Programme
    frames: Frames
    output_ids: list[str]


def wanted(listeners: Iterable[Listener], block: int, codec: str | None) -> set[Programme]:
    """The programmes to encode: those heard now, and those heard when this block's frame comes out. `codec`: of the
    publisher's sound track, if it has one."""
    programmes: set[Programme] = set()
    for listener in listeners:
        due = listener.programme(block - LOOKAHEAD, codec)
        programmes |= {listener.current, listener.programme(block, codec), due}
    return programmes


def grouped(
    listeners: Mapping[str, Listener], frame: int, codec: str | None, bodies: Mapping[Programme, Frames]
) -> list[Group]:
    """What to send for this block, and who hears it; by what was heard before, where that counts, and what is now.

    A programme that is new has no frame yet: until then an output hears on what it heard. So a clip begins with the
    silent frame before its first block, which holds the fade into that block.
    """
    groups: dict[tuple[Programme, Programme], Group] = {}
    for output_id, listener in listeners.items():
        before = listener.current
        programme = listener.programme(frame, codec)
        if programme in bodies or isinstance(programme, Silence):
            listener.current = programme
        heard = listener.current if listener.current in bodies else Silence(listener.current.coding)
        fades = heard.coding.codec in G711 and before.coding == heard.coding
        key = (before if fades else heard, heard)
        if key not in groups:
            groups[key] = Group(heard, _frames(*key, frame, bodies), [])
        groups[key].output_ids.append(output_id)
    return list(groups.values())


def _frames(before: Programme, heard: Programme, block: int, bodies: Mapping[Programme, Frames]) -> Frames:
    """The frames of a block that goes from the one programme to the other, which may be the same."""
    after = bodies.get(heard) or heard.coding.silence(block)
    if before == heard:
        return after
    return crossfaded(heard.coding.codec, bodies.get(before) or before.coding.silence(block), after)
