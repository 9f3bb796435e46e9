"""An SDP offer read line by line into its media sections (RFC 8866). Pure.

Only what a receiver needs is kept; everything else is passed over. `transponder_crd.offer` has checked bounds and shape
by then, but nothing here relies on that.
"""

import re
from dataclasses import dataclass, field

from transponder_crd.offer import InvalidOffer

_STATIC = {0: ("PCMU", 8000), 8: ("PCMA", 8000)}
SENDING = frozenset({"sendrecv", "sendonly"})
_DIRECTIONS = SENDING | {"recvonly", "inactive"}


@dataclass(slots=True)
class MediaSection:
    """One m= line of an offer with its attributes."""

    index: int
    kind: str
    port: int
    protocol: str
    payload_types: list[int]
    formats: str
    """As written: needed to reject it."""
    mid: str | None = None
    codecs: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Encoding name and clock by payload type."""
    parameters: dict[int, dict[str, str]] = field(default_factory=dict)
    """fmtp by payload type, names in lower case."""
    feedback: list[tuple[str, str]] = field(default_factory=list)
    """rtcp-fb: payload type (or *), what."""
    attributes: dict[str, str] = field(default_factory=dict)
    """The last value of every other attribute."""
    direction: str = "sendrecv"

    def gives_feedback(self, payload_type: int, what: str) -> bool:
        return ("*", what) in self.feedback or (str(payload_type), what) in self.feedback


def read_sdp(sdp: str) -> tuple[dict[str, str], list[MediaSection]]:
    """Attributes of the session, and its media sections. Raises InvalidOffer."""
    session: dict[str, str] = {}
    direction = "sendrecv"
    sections: list[MediaSection] = []
    for line in re.split(r"\r\n|\r|\n", sdp):
        if line.startswith("m="):
            sections.append(_media_line(line[2:], len(sections), direction))
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            if sections:
                _attribute(sections[-1], name, value)
            elif name in _DIRECTIONS:
                direction = name
            elif name == "group" and "group" in session:
                continue  # the first group is the transport we take
            else:
                session[name] = value
    return session, sections


def _media_line(value: str, index: int, direction: str) -> MediaSection:
    words = value.split()
    if len(words) < 4 or not words[1].split("/")[0].isdecimal():
        raise InvalidOffer(f"sdp.media[{index}]", "must be <media> <port> <protocol> <format> ...")
    types = [int(w) for w in words[3:] if w.isdecimal() and int(w) < 128]
    section = MediaSection(
        index, words[0], int(words[1].split("/")[0]), words[2], types, " ".join(words[3:]), direction=direction
    )
    section.codecs.update((t, _STATIC[t]) for t in types if t in _STATIC)
    return section


def _attribute(section: MediaSection, name: str, value: str) -> None:
    if name in _DIRECTIONS:
        section.direction = name
    elif name == "mid":
        section.mid = value
    elif name == "rtcp-fb":
        payload_type, _, what = value.partition(" ")
        section.feedback.append((payload_type, what.strip()))
    elif name in ("rtpmap", "fmtp"):
        number, _, rest = value.partition(" ")
        if number.isdecimal():
            _format(section, name, int(number), rest.strip())
    else:
        section.attributes[name] = value


def _format(section: MediaSection, name: str, payload_type: int, value: str) -> None:
    if name == "rtpmap":
        encoding, _, rest = value.partition("/")
        clock = rest.split("/")[0]
        if clock.isdecimal():
            section.codecs[payload_type] = (encoding, int(clock))
        return
    parameters = section.parameters.setdefault(payload_type, {})
    for item in value.split(";"):
        key, _, content = item.strip().partition("=")
        parameters[key.lower()] = content.strip()


def bundle_of(session: dict[str, str]) -> frozenset[str]:
    """The mids of the one transport (RFC 9143); empty without a BUNDLE group."""
    words = session.get("group", "").split()
    return frozenset(words[1:]) if words and words[0] == "BUNDLE" else frozenset()
