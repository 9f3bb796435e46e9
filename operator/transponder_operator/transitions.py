"""Pure: what a change of status says in one line of the log. No line holds a secret: destinations are redacted."""

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


def transponder_line(transponder: RtmpTransponder, new: TransponderStatus) -> str | None:
    """One line if `new` is a transition from the transponder's present status, else None."""
    old = transponder.status
    with_error = new.phase in _WITH_ERROR
    if new.phase == old.phase and not (with_error and new.last_error != old.last_error):
        return None
    error = f", {new.last_error}" if with_error and new.last_error else ""
    destination = new.destination or transponder.name
    return f"transponder {loggable(transponder.spec.stream_name)} → {destination}: {new.phase}{error}"


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


def _media(status: StreamStatus) -> list[str]:
    size = f" {status.width}x{status.height}" if status.width else ""
    video = [f"{status.video_codec}{size}"] if status.video_codec else []
    return [*video, *([status.audio_codec] if status.audio_codec else [])]
