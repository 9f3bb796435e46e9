"""What a child process writes becomes our log."""

import asyncio
import logging
import os

import pytest

from transponder_local.log_pipe import MAX_LINE_BYTES, LogPipe

logger = logging.getLogger("relay")


async def logged(caplog: pytest.LogCaptureFixture, *writes: bytes) -> list[tuple[str, str]]:
    caplog.set_level(logging.DEBUG)
    pipe = LogPipe(logger, "demo")
    with pipe:
        for data in writes:
            os.write(pipe.write_end, data)
            await asyncio.sleep(0)
    await pipe.drain()
    assert pipe.closed.done()
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "relay"]


async def test_lines_keep_their_level(caplog: pytest.LogCaptureFixture) -> None:
    data = b"INFO transponder_relay.relay hello\nERROR x failed\nTraceback (most recent call last):\nDEBUG y z\n"
    assert await logged(caplog, data) == [
        ("INFO", "demo: hello"),
        ("ERROR", "demo: failed"),
        ("ERROR", "demo: Traceback (most recent call last):"),
        ("DEBUG", "demo: z"),
    ]


async def test_lines_in_pieces_and_a_last_one_without_end(caplog: pytest.LogCaptureFixture) -> None:
    assert await logged(caplog, b"INFO a on", b"e\n\nWARNING b tw", b"o") == [
        ("INFO", "demo: one"),
        ("WARNING", "demo: two"),
    ]


async def test_a_line_without_end_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    lines = await logged(caplog, b"x" * (MAX_LINE_BYTES + 10))
    assert len(lines) == 1
    assert len(lines[0][1]) <= MAX_LINE_BYTES + len("demo: ")


async def test_any_bytes(caplog: pytest.LogCaptureFixture) -> None:
    assert await logged(caplog, b"INFO a \xff\xfe\n%s %d\n") == [
        ("INFO", "demo: \ufffd\ufffd"),
        ("INFO", "demo: %s %d"),
    ]
