"""Pure: what a relay reports → the status of a transponder and of a Stream."""

from datetime import datetime
from typing import Literal, NamedTuple

from transponder_crd.conditions import Condition, ConditionType, set_condition
from transponder_crd.control import OutputReport, OutputState, PublisherReport, PublisherState, RelayReport
from transponder_crd.relay_host import Absence
from transponder_crd.resource import (
    RtmpTransponder,
    Stream,
    StreamPhase,
    StreamStatus,
    TransponderPhase,
    TransponderStatus,
)
from transponder_operator.desired import Problem, ResolvedDestination, ResolvedTransponder

NO_REASON = "Unknown"
"""Condition reason of an output that is down and does not say why."""

_OUTPUT_PHASES = {
    OutputState.WAITING: TransponderPhase.WAITING_FOR_PUBLISHER,
    OutputState.CONNECTING: TransponderPhase.CONNECTING,
    OutputState.LIVE: TransponderPhase.LIVE,
    OutputState.HOLDING: TransponderPhase.HOLDING,
    OutputState.RETRYING: TransponderPhase.RECONNECTING,
    OutputState.FAILED: TransponderPhase.FAILED,
    OutputState.CLOSING: TransponderPhase.TERMINATING,
}

_STREAM_PHASES = {
    PublisherState.WAITING: StreamPhase.READY,
    PublisherState.CONNECTING: StreamPhase.CONNECTING,
    PublisherState.CONNECTED: StreamPhase.PUBLISHING,
    PublisherState.ENDED: StreamPhase.ENDED,
}

RELAY_LOST = "Relay lost"
"""Reason of a Stream whose relay process or pod died under it."""


class Sight(NamedTuple):
    """What is known of the relay of a stream at one moment."""

    instance: str | None
    """None while no relay is ready."""
    report: RelayReport | None
    """The latest report of this very instance; None before the first."""
    absence: Absence | None = None
    """Why no relay is ready, as far as is known."""

    def output(self, transponder: RtmpTransponder) -> OutputReport | None:
        outputs = self.report.outputs if self.report else []
        return next((output for output in outputs if output.id == transponder.uid), None)


class Finding(NamedTuple):
    """A condition without its times."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


# ---------------------------------------------------------------------------------------------- RtmpTransponder


def transponder_status(resolved: ResolvedTransponder, sight: Sight, now: datetime) -> TransponderStatus:
    """The status that `sight` gives this transponder; equal to its present one when nothing changed."""
    transponder, destination = resolved
    old, output = transponder.status, sight.output(transponder)
    publisher = sight.report.publisher if sight.report else None
    width, height = _size(transponder, publisher, output)
    return TransponderStatus(
        phase=_phase(transponder, destination, output),
        conditions=_conditions(transponder, destination, sight, output, now),
        observed_generation=_observed_generation(transponder, destination, output),
        media_session_id=transponder.uid,
        stream_name=destination.stream_name if isinstance(destination, ResolvedDestination) else old.stream_name,
        destination=destination.redacted if isinstance(destination, ResolvedDestination) else old.destination,
        host=destination.host if isinstance(destination, ResolvedDestination) else old.host,
        width=width,
        height=height,
        muted=output.muted if output else transponder.spec.muted,
        sound_enabled=output.sound_enabled if output else False,
        relay_pod=sight.instance,
        reconnects=output.reconnects if output else old.reconnects,
        last_error=_last_error(old, destination, output),
        started_at=(output.live_since if output else None) or old.started_at,
    )


def _size(
    transponder: RtmpTransponder, publisher: PublisherReport | None, output: OutputReport | None
) -> tuple[int, int]:
    """Of the picture that the destination gets."""
    if publisher is not None and publisher.state == PublisherState.CONNECTED:
        return publisher.width, publisher.height
    if output is not None and output.state == OutputState.HOLDING:
        return transponder.status.width, transponder.status.height
    return 0, 0


def _phase(
    transponder: RtmpTransponder, destination: ResolvedDestination | Problem, output: OutputReport | None
) -> TransponderPhase:
    if transponder.deleting:
        return TransponderPhase.TERMINATING
    if isinstance(destination, Problem):
        return TransponderPhase.FAILED
    if output is None:
        return TransponderPhase.PENDING
    phase = _OUTPUT_PHASES[output.state]
    # each attempt of a reconnect would otherwise be two transitions
    if phase == TransponderPhase.CONNECTING and transponder.status.phase == TransponderPhase.RECONNECTING:
        return TransponderPhase.RECONNECTING
    return phase


def _observed_generation(
    transponder: RtmpTransponder, destination: ResolvedDestination | Problem, output: OutputReport | None
) -> int:
    if isinstance(destination, Problem):
        return transponder.metadata.generation  # all that can be done about it was done
    return output.generation if output else transponder.status.observed_generation


def _last_error(
    old: TransponderStatus, destination: ResolvedDestination | Problem, output: OutputReport | None
) -> str | None:
    """The latest error. It stays when the destination is live again: it says what happened to it before."""
    if isinstance(destination, Problem):
        return f"{destination.reason}: {destination.message}"
    if output and output.reason:
        return f"{output.reason}: {output.message}" if output.message else str(output.reason)
    return old.last_error


def _conditions(
    transponder: RtmpTransponder,
    destination: ResolvedDestination | Problem,
    sight: Sight,
    output: OutputReport | None,
    now: datetime,
) -> list[Condition]:
    relay = _relay_ready(sight)
    publisher = _publisher_connected(sight)
    connected = _destination_connected(destination, sight, output)
    findings = {
        ConditionType.RELAY_READY: relay,
        ConditionType.PUBLISHER_CONNECTED: publisher,
        ConditionType.DESTINATION_CONNECTED: connected,
        ConditionType.READY: _ready(transponder, destination, (relay, publisher, connected)),
    }
    # `kubectl wait` and kstatus trust a condition from the present generation alone: not before a change is in effect
    generation = (
        transponder.metadata.generation if output is None else _observed_generation(transponder, destination, output)
    )
    conditions = transponder.status.conditions
    for kind, (status, reason, message) in findings.items():
        new = Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message,
            last_transition_time=now,
            observed_generation=generation,
        )
        conditions = set_condition(conditions, new)
    return conditions


def _relay_ready(sight: Sight) -> Finding:
    if sight.instance is None:
        return Finding("False", *(sight.absence or ("RelayNotReady", "no relay is running")))
    if sight.report is None:
        return Finding("False", "RelaySilent", "the relay has not reported")
    if sight.report.draining:
        return Finding("True", "Draining", "the relay was told to end, and does so when its publisher goes")
    return Finding("True", "RelayRunning")


def _publisher_connected(sight: Sight) -> Finding:
    if sight.report is None:
        return Finding("Unknown", "RelayNotReady")
    publisher = sight.report.publisher
    if publisher is None or publisher.state in (PublisherState.WAITING, PublisherState.ENDED):
        return Finding("False", "WaitingForPublisher", "nobody publishes the stream")
    if publisher.state == PublisherState.CONNECTING:
        return Finding("False", "PublisherConnecting")
    return Finding("True", "Publishing")


def _destination_connected(
    destination: ResolvedDestination | Problem, sight: Sight, output: OutputReport | None
) -> Finding:
    if isinstance(destination, Problem):
        return Finding("False", destination.reason, destination.message)
    if sight.report is None:
        return Finding("Unknown", "RelayNotReady")
    if output is None:
        return Finding("False", "NotStarted")
    match output.state:
        case OutputState.LIVE:
            return Finding("True", "Live")
        case OutputState.HOLDING:
            return Finding("True", "Holding", "kept up with the last picture and silence")
        case OutputState.WAITING:
            return Finding("False", "WaitingForPublisher", "connects when the stream is published")
        case OutputState.CLOSING:
            return Finding("False", "Closing")
        case OutputState.CONNECTING if output.reason is None:
            return Finding("False", "Connecting")
    return Finding("False", output.reason or NO_REASON, output.message or "")


def _ready(
    transponder: RtmpTransponder, destination: ResolvedDestination | Problem, needs: tuple[Finding, ...]
) -> Finding:
    if transponder.deleting:
        return Finding("False", "Terminating")
    if isinstance(destination, Problem):
        return Finding("False", destination.reason, destination.message)
    missing = next((need for need in needs if need.status != "True"), None)
    if missing:
        return missing._replace(status="False")
    return Finding("True", "Live")


# ---------------------------------------------------------------------------------------------- Stream


def stream_status(stream: Stream, sight: Sight) -> StreamStatus:
    """The status that `sight` gives this Stream. Phase Ended says that the Stream is over and is to be deleted."""
    old = stream.status
    if old.phase == StreamPhase.ENDED:
        return old
    if old.relay_pod and sight.instance and sight.instance != old.relay_pod:
        return old.model_copy(update={"phase": StreamPhase.ENDED, "reason": RELAY_LOST})
    publisher = sight.report.publisher if sight.report else None
    if sight.instance is None or publisher is None or publisher.id != stream.uid:
        return old.model_copy(update={"phase": old.phase or StreamPhase.PENDING})
    return _reported(sight.instance, publisher)


def _reported(instance: str, publisher: PublisherReport) -> StreamStatus:
    return StreamStatus(
        phase=_STREAM_PHASES[publisher.state],
        reason=publisher.reason,
        relay_pod=instance,
        video_codec=publisher.video_codec,
        audio_codec=publisher.audio_codec,
        width=publisher.width,
        height=publisher.height,
        started_at=publisher.started_at,
    )
