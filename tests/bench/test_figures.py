"""The figures of the benchmark, from made-up records."""

import struct
import zlib
from pathlib import Path

import pytest
from bench.figures import AUDIO, figures, percentile
from bench.tail import VIDEO, GrowingFlv, Row, written_names

SENT = [(100 + i, 10 + i / 30) for i in range(600)]
HEADERS: list[Row] = [(9.5, VIDEO, 0, 0), (9.5, AUDIO, 0, 0)]
SOUND: list[Row] = [(9.8 + i / 50, AUDIO, i * 20, 1) for i in range(1000)]
WINDOW = (12.0, 20.0)


def pictures(*left_out: int) -> list[Row]:
    """All recorded 5 ms after they were sent."""
    return [(time + 0.005, VIDEO, round(i * 1000 / 30), crc) for i, (crc, time) in enumerate(SENT) if i not in left_out]


def test_all_is_well() -> None:
    found = figures(9.0, SENT, [*HEADERS, *pictures(), *SOUND], WINDOW)
    assert (found.sent, found.lost, found.damaged, found.disorder) == (240, 0, 0, 0)
    assert max(found.latencies) == pytest.approx(5)
    assert found.start_video == pytest.approx(1.005)
    assert found.start_audio == pytest.approx(0.8)


def test_lost_damaged_and_disordered_pictures_are_counted() -> None:
    rows = pictures(0, 100, 101)
    rows[200] = (*rows[200][:3], 7)
    rows[300] = (*rows[300][:2], rows[299][2], rows[300][3])
    found = figures(9.0, SENT, [*rows, *SOUND], WINDOW)
    assert (found.lost, found.damaged, found.disorder) == (3, 1, 1)


def test_a_clip_that_repeats_is_matched_in_order() -> None:
    sent = [(i % 360, 10 + i / 30) for i in range(600)]
    rows = [(time + 0.005, VIDEO, i * 33, crc or 360) for i, (crc, time) in enumerate(sent) if i != 150]
    sent = [(crc or 360, time) for crc, time in sent]
    found = figures(9.0, sent, [*rows, *SOUND], (10.0, 40.0))
    assert (found.sent, found.lost, found.damaged) == (600, 1, 0)
    assert max(found.latencies) == pytest.approx(5)


def test_percentile() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(list(range(100)), 0.95) == 95
    assert percentile([1], 0.95) == 1


def tag(kind: int, stamp: int, body: bytes) -> bytes:
    head = bytes((kind,)) + len(body).to_bytes(3) + (stamp & 0xFFFFFF).to_bytes(3) + bytes((stamp >> 24, 0, 0, 0))
    return head + body + (len(body) + 11).to_bytes(4)


def test_a_growing_file_is_read_tag_by_tag(tmp_path: Path) -> None:
    slice_ = b"\x65picture"
    picture = b"\x17\1\0\0\0" + b"\0\0\0\2\x09\x10" + len(slice_).to_bytes(4) + slice_
    data = b"FLV\1\5\0\0\0\x09\0\0\0\0" + tag(VIDEO, 0, b"\x17\0\0\0\0header") + tag(AUDIO, 20, b"\xaf\1sound")
    data += tag(VIDEO, 0x1000010, picture)
    path = tmp_path / "s0.flv"
    path.touch()
    growing = GrowingFlv(path)
    for size in range(0, len(data), 7):
        with path.open("ab") as file:
            file.write(data[size : size + 7])
        growing.read()
    growing.close()
    assert [row[1:] for row in growing.rows] == [
        (VIDEO, 0, 0),
        (AUDIO, 20, 1),
        (VIDEO, 0x1000010, zlib.crc32(slice_)),
    ]


def test_names_of_written_files() -> None:
    event = struct.pack("iIII", 1, 2, 0, 16) + b"s0.flv".ljust(16, b"\0")
    other = struct.pack("iIII", 1, 2, 0, 16) + b"notes.txt".ljust(16, b"\0")
    assert written_names(event + other + event) == {"s0.flv"}
