"""Pure: the properties format of Java (`java.util.Properties.load`), in which Flashphoner WCS keeps its settings.

A line is a key, then `=`, `:` or white space, then a value; `#` or `!` begins a comment; a backslash at the end of a
line goes on with the next one, and is an escape elsewhere.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_SPACE = " \t\f"
_NATURAL_LINES = re.compile(r"\r\n|\r|\n")
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.?)", re.DOTALL)
_KEY = re.compile(r"(?:\\.|[^\\=: \t\f])*", re.DOTALL)
_SEPARATOR = re.compile(r"[ \t\f]*[=:]?[ \t\f]*")
_COMMENTED_OUT = re.compile(r"[#! \t\f]*(?P<key>[^#!=: \t\f][^=: \t\f]*)[ \t\f]*[=:]")
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


class BadProperties(ValueError):
    """`line` counts from 1; the text is the rule alone and holds nothing of the line."""

    def __init__(self, line: int, rule: str) -> None:
        super().__init__(rule)
        self.line, self.rule = line, rule


class Property(NamedTuple):
    line: int
    """Its first line, counted from 1."""
    key: str
    value: str


class Properties(NamedTuple):
    entries: dict[str, Property]
    """By key: of several with one key the last one counts."""
    commented_out: frozenset[str]
    """Keys of comments that look like a property."""


def decode(data: bytes) -> str:
    """UTF-8, or Latin-1 as older Java has it: text of the one that is no text of the other is rare."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse(text: str) -> Properties:
    """Raises BadProperties."""
    entries: dict[str, Property] = {}
    commented: set[str] = set()
    for number, line in _logical_lines(text):
        if line.startswith(("#", "!")):
            commented |= {match["key"] for match in [_COMMENTED_OUT.match(line)] if match}
            continue
        key = _KEY.match(line)
        end = key.end() if key else 0
        separator = _SEPARATOR.match(line, end)
        value = line[separator.end() if separator else end :]
        entry = Property(number, _unescape(line[:end], number), _unescape(value, number))
        entries[entry.key] = entry
    return Properties(entries, frozenset(commented))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank, continuations joined, without the white space in front."""
    lines = enumerate(_NATURAL_LINES.split(text), 1)
    for number, line in lines:
        line = line.lstrip(_SPACE)
        if not line:
            continue
        if not line.startswith(("#", "!")):
            while _goes_on(line):
                line = line[:-1] + next(lines, (0, ""))[1].lstrip(_SPACE)
        yield number, line


def _goes_on(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _unescape(text: str, line: int) -> str:
    def character(match: re.Match[str]) -> str:
        escaped = match[1]
        if escaped == "u":
            raise BadProperties(line, r"\u must be followed by four hexadecimal digits")
        return chr(int(escaped[1:], 16)) if len(escaped) == 5 else _CONTROLS.get(escaped, escaped)

    plain = _ESCAPED.sub(character, text)
    # Java writes what is beyond 16 bits as two escapes
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
