"""The line of live sound: gaps, overlaps, jumps, restarts."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from support.sounds import BLOCK, RATE

from transponder_relay.sound.live import FILL_LIMIT, LiveLine


@dataclass
class Ones:
    """A codec whose packet is its length in 10 ms, all of it the sample 0x01010101, so that its place can be seen."""

    held: int = 0
    decoded: list[bytes] = field(default_factory=list)

    def duration(self, payload: bytes) -> int | None:
        return payload[0] * 480 if payload and payload[0] else None

    def decode(self, payload: bytes) -> bytes:
        self.decoded.append(payload)
        return b"\x01" * (payload[0] * 480 * 4)

    def conceal(self, samples: int) -> bytes:
        return b"\x02" * (min(samples, 480) * 4)

    def reset(self) -> None:
        self.decoded.clear()


def listening() -> tuple[LiveLine, Ones]:
    line, decoder = LiveLine(), Ones()
    line.set_decoder(decoder)
    line.listen(True)
    return line, decoder


def taken(line: LiveLine) -> bytes:
    blocks = []
    while block := line.take():
        blocks.append(block)
    return b"".join(blocks)[::4]


def test_a_gap_is_concealed_then_silent() -> None:
    line, _ = listening()
    line.write(b"\x02", 0)
    line.write(b"\x02", 960 + 2400)
    line.fill(5 * BLOCK)
    pcm = taken(line)
    assert pcm == b"\x01" * 960 + b"\x02" * 480 + b"\0" * 1920 + b"\x01" * 960 + b"\0" * (5 * BLOCK - 4320)


def test_what_overlaps_is_dropped() -> None:
    line, decoder = listening()
    line.fill(1500)
    line.write(b"\x02", 0)
    assert line.statistics.late == 1
    assert not decoder.decoded
    line.write(b"\x02", 960)
    assert line.end == 1920
    line.fill(2 * BLOCK)
    assert taken(line) == b"\0" * 1500 + b"\x01" * 420 + b"\0" * 128


def test_a_sample_beside_its_place_is_neither_a_gap_nor_a_cut() -> None:
    line, _ = listening()
    for number in range(32):
        line.write(b"\x02", number * 960 + (number % 3) * 10)
    assert taken(line) == b"\x01" * (30 * BLOCK)


def test_nothing_is_decoded_while_nobody_listens() -> None:
    line, decoder = LiveLine(), Ones()
    line.set_decoder(decoder)
    line.write(b"\x02", 0)
    assert line.end == 960
    line.listen(True)
    line.write(b"\x02", 960)
    assert taken(line) == b"\0" * 960 + b"\x01" * 64
    assert decoder.decoded == [b"\x02"]
    line.listen(True)
    assert decoder.decoded == [b"\x02"]
    line.listen(False)
    line.listen(True)
    assert not decoder.decoded  # reset: what it knows is of long ago


def test_malformed_packets_are_counted() -> None:
    line, _ = listening()
    line.write(b"", 0)
    line.write(b"\0", 0)
    assert line.statistics.corrupt == 2
    assert line.end == 0


def test_a_long_jump_is_filled_in_steps() -> None:
    line, _ = listening()
    there = 60 * RATE
    line.fill(there)
    assert line.end == FILL_LIMIT
    calls = 0
    while line.end < there:
        line.write(b"\x02", there)
        calls += 1
        there += 960
    assert 11 <= calls <= 13
    assert line.end == there


def test_a_restart_begins_with_a_whole_block_and_never_goes_back() -> None:
    line, _ = listening()
    line.write(b"\x04", 0)
    line.take()
    line.restart(10 * BLOCK + 1)
    assert (line.block, line.end) == (11, 11 * BLOCK)
    line.restart(5)
    assert line.block == 11


@given(st.lists(st.tuples(st.booleans(), st.integers(-3000, 9000), st.integers(0, 6)), max_size=60))
def test_the_line_only_grows_and_keeps_packets_in_place(steps: list[tuple[bool, int, int]]) -> None:
    line, _ = listening()
    position = 0
    for packet, step, length in steps:
        position += step
        before = line.end
        if packet:
            line.write(bytes([length]), position)
            assert not length or line.end >= min(position + length * 480 - 48, before + FILL_LIMIT)
        else:
            line.fill(position)
        assert line.end >= before
        blocks = line.block
        assert len(taken(line)) == (line.block - blocks) * BLOCK
