"""The log of a program: for people (`HH:MM:SS LEVEL subject: message`, coloured on a terminal), or as JSON lines.

Whoever logs keeps secrets out of the text. What is masked here is the second wall, for texts of libraries and errors.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Annotated, Literal, TextIO

from pydantic import BeforeValidator

LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda value: str(value).upper())]
LogFormat = Literal["console", "json"]

OURS = ("transponder_", "relay")
QUIET = ("aiortc", "aioice", "aiohttp", "asyncio", "kopf", "uvicorn", "kubernetes", "urllib3")
"""Libraries that tell of every step at INFO, or of whole bodies at DEBUG."""

_USER_INFO = re.compile(r"(?<=://)[^\s/]+@")
_QUERY_VALUE = re.compile(r"([?&][^\s=&?/]+=)(?!\*\*\*(?:&|[,:]?(?:\s|$)))[^\s&\"'<>]+")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s\"']+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""With those that turn the direction of the text, or begin a line."""

_COLOURS = {"DEBUG": "\x1b[2m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[1;31m"}
_RESET = "\x1b[0m"


def redact(text: str) -> str:
    """`text` with all masked that looks like userinfo or a query value of a URL, or like a bearer token."""
    return _BEARER.sub(r"\1***", _QUERY_VALUE.sub(r"\1***", _USER_INFO.sub("***@", text)))


class ConsoleFormatter(logging.Formatter):
    """Redacts the finished text, so that arguments and tracebacks are covered too."""

    def __init__(self, colours: bool) -> None:
        super().__init__(datefmt="%H:%M:%S")
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        message = _CONTROL.sub(" ", record.getMessage()).replace("\n", " ")
        parts = [f"{self.formatTime(record, self.datefmt)} {record.levelname:<7} {_library(record.name)}{message}"]
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        text = redact("\n".join(parts))
        colour = _COLOURS.get(record.levelname) if self._colours else None
        return f"{colour}{text}{_RESET}" if colour else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def _library(logger_name: str) -> str:
    """Our own messages begin with what they are about; those of others with whose they are."""
    return "" if logger_name.startswith(OURS) else f"{logger_name.partition('.')[0]}: "


def set_up_logging(level: str, stream: TextIO = sys.stderr, *, log_format: LogFormat = "console") -> None:
    """Send all logging to `stream` in this format; libraries below WARNING are left out."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else ConsoleFormatter(colours=stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
