"""The log reads well and shows no secret."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_crd.log import ConsoleFormatter, JsonFormatter, redact, set_up_logging


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtmp://user:pass@host/live", "rtmp://***@host/live"),
        ("rtmp://user:p@ss@host/live", "rtmp://***@host/live"),
        ("to rtmp://h/app/?user=bob&pass=s3c now", "to rtmp://h/app/?user=***&pass=*** now"),
        ("x → rtmp://h/a?k=***: Live", "x → rtmp://h/a?k=***: Live"),
        ("rtmp://h/a?k=***:rest&l=***more now", "rtmp://h/a?k=***&l=*** now"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("{'authorization': 'bearer abc'}", "{'authorization': 'bearer ***'}"),
        ("stream demo: publishing, H264 1280x720, opus", "stream demo: publishing, H264 1280x720, opus"),
        ("transponder demo → rtmp://h:1935/live: Live", "transponder demo → rtmp://h:1935/live: Live"),
        ("a@b is no user", "a@b is no user"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown


SECRET = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="-._~%+$!"), min_size=4)


@given(user=SECRET, password=SECRET, value=SECRET, token=SECRET)
def test_no_secret_survives(user: str, password: str, value: str, token: str) -> None:
    text = f"x rtmp://{user}:{password}@h.i/j?k={value} 'Bearer {token}' y"
    assert redact(text) == "x rtmp://***@h.i/j?k=*** 'Bearer ***' y"


def record(message: str, *arguments: object, name: str = "transponder_operator.reconcile") -> logging.LogRecord:
    return logging.LogRecord(name, logging.INFO, "", 0, message, arguments, None)


def test_a_line() -> None:
    line = ConsoleFormatter(colours=False).format(record("stream %s: %s", "demo", "ready"))
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    stream demo: ready", line)


def test_a_line_of_a_library_names_it() -> None:
    line = ConsoleFormatter(colours=False).format(record("odd", name="uvicorn.error"))
    assert line.endswith(" INFO    uvicorn: odd")


def test_arguments_and_tracebacks_are_redacted() -> None:
    try:
        raise ValueError("rtmp://u:s3cr3t@host/live")
    except ValueError as error:
        one = record("failed: %s", error)
        one.exc_info = (type(error), error, error.__traceback__)
    text = ConsoleFormatter(colours=False).format(one)
    assert "Traceback" in text
    assert "s3cr3t" not in text


def test_a_message_cannot_forge_a_line_or_move_the_cursor() -> None:
    line = ConsoleFormatter(colours=False).format(record("a\n12:00:00 ERROR b\x1b[2J\rc\u202ed\u2028e"))
    assert "\n" not in line
    assert "\x1b" not in line
    assert "\r" not in line
    assert line.endswith("c d e")


def test_a_json_line_is_whole_and_redacted() -> None:
    try:
        raise ValueError("rtmp://u:s3cr3t@host/live")
    except ValueError as error:
        one = record("failed:\n%s → ü", error)
        one.exc_info = (type(error), error, error.__traceback__)
    text = JsonFormatter().format(one)
    line = json.loads(text)
    assert "\n" not in text
    assert line["message"] == "failed:\nrtmp://***@host/live → ü"
    assert (line["level"], line["logger"]) == ("INFO", "transponder_operator.reconcile")
    assert line["time"].endswith("+00:00")
    assert "ValueError" in line["exception"]
    assert "s3cr3t" not in text


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_logging_restored")
def test_set_up() -> None:
    stream = io.StringIO()
    set_up_logging("INFO", stream)
    logging.getLogger("transponder_api").info("told")
    logging.getLogger("transponder_api").debug("not told")
    for library in ("aiortc.x", "aioice.y", "uvicorn.error", "aiohttp.access", "asyncio"):
        logging.getLogger(library).info("chatter")
    assert stream.getvalue().endswith(" INFO    told\n")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.usefixtures("_logging_restored")
def test_set_up_json() -> None:
    stream = io.StringIO()
    set_up_logging("INFO", stream, log_format="json")
    logging.getLogger("transponder_api").info("told")
    assert json.loads(stream.getvalue())["message"] == "told"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("_logging_restored")
def test_colours_on_a_terminal() -> None:
    stream = Terminal()
    set_up_logging("INFO", stream)
    logging.getLogger("transponder_api").warning("careful")
    assert stream.getvalue().startswith("\x1b[33m")
    assert stream.getvalue().endswith("\x1b[0m\n")
