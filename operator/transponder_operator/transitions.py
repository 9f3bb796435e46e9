"""Pure: what a change of status says, in one line of the log and as a Kubernetes Event. Nothing here holds a secret:
destinations are redacted."""

from typing import Literal, NamedTuple

from transponder_crd.names import loggable
from transponder_crd.resource import (
    RtmpTransponder,
    Stream,
    StreamPhase,
    StreamStatus,
    TransponderPhase,
    TransponderStatus,
)

_WITH_ERROR = (TransponderPhase.RECONNECTING, TransponderPhase.FAILED)


_TOLD_TRANSPONDER = frozenset(TransponderPhase) - {TransponderPhase.PENDING, TransponderPhase.TERMINATING}
_TOLD_STREAM = (StreamPhase.PUBLISHING, StreamPhase.ENDED)


class Notice(NamedTuple):
    """What an Event says."""

    type: Literal["Normal", "Warning"]
    reason: str
    """One word in CamelCase."""
    message: str


def transponder_line(transponder: RtmpTransponder, new: TransponderStatus) -> str | None:
    """One line if `new` is a transition from the transponder's present status, else None."""
    if not _is_transition(transponder.status, new):
        return None
    error = f", {new.last_error}" if new.phase in _WITH_ERROR and new.last_error else ""
    destination = new.destination or transponder.name
    return f"transponder {loggable(transponder.spec.stream_name)} → {destination}: {new.phase}{error}"


def transponder_notice(transponder: RtmpTransponder, new: TransponderStatus) -> Notice | None:
    """As `transponder_line`. Pending and Terminating tell nothing that the object itself does not."""
    if new.phase not in _TOLD_TRANSPONDER or not _is_transition(transponder.status, new):
        return None
    destination = new.destination or "the destination"
    if new.phase in _WITH_ERROR:
        return Notice("Warning", new.phase, f"{destination}: {new.last_error or 'no reason is known'}")
    return Notice("Normal", new.phase, destination)


def _is_transition(old: TransponderStatus, new: TransponderStatus) -> bool:
    return new.phase != old.phase or (new.phase in _WITH_ERROR and new.last_error != old.last_error)


def stream_line(stream: Stream, new: StreamStatus) -> str | None:
    """As `transponder_line`; a picture of another size is a transition too."""
    old, subject = stream.status, f"stream {loggable(stream.spec.name)}"
    if new.phase == StreamPhase.PUBLISHING:
        if old.phase != StreamPhase.PUBLISHING:
            return ", ".join([f"{subject}: publishing", *_media(new)])
        if (new.width, new.height) != (old.width, old.height):
            return f"{subject}: picture is {new.width}x{new.height}"
        return None
    if new.phase == old.phase or new.phase is None:
        return None
    reason = f", {new.reason}" if new.phase == StreamPhase.ENDED and new.reason else ""
    return f"{subject}: {new.phase.lower()}{reason}"


def stream_notice(stream: Stream, new: StreamStatus) -> Notice | None:
    """When it is published and when it ends."""
    if new.phase not in _TOLD_STREAM or new.phase == stream.status.phase:
        return None
    media = ", ".join(_media(new)) if new.phase == StreamPhase.PUBLISHING else new.reason
    return Notice("Normal", new.phase, media or f"by {stream.spec.source}")


def _media(status: StreamStatus) -> list[str]:
    size = f" {status.width}x{status.height}" if status.width else ""
    video = [f"{status.video_codec}{size}"] if status.video_codec else []
    return [*video, *([status.audio_codec] if status.audio_codec else [])]
