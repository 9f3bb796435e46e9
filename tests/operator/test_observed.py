"""What a relay's report says of the objects, row by row."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from transponder_crd.conditions import ConditionType
from transponder_crd.control import (
    OutputReason,
    OutputReport,
    OutputState,
    PublisherReport,
    PublisherState,
    RelayReport,
    RtmpTarget,
)
from transponder_crd.meta import ObjectMeta
from transponder_crd.resource import (
    RtmpTransponder,
    Stream,
    StreamPhase,
    StreamSource,
    StreamSpec,
    StreamStatus,
    TransponderPhase,
    TransponderSpec,
    TransponderStatus,
)
from transponder_operator.desired import Problem, ProblemReason, ResolvedDestination, ResolvedTransponder
from transponder_operator.observed import Sight, stream_status, transponder_status
from transponder_operator.transitions import Notice, stream_line, stream_notice, transponder_line, transponder_notice

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIVE_SINCE = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
TARGET = RtmpTarget(
    host="host", port=1935, app="live", tc_url="rtmp://host/live", stream_name="rtmp_demo", flash_version=""
)
DESTINATION = ResolvedDestination(TARGET, "rtmp://host/live", "host", "rtmp_demo")
CONNECTED = PublisherReport(
    id="s1", state=PublisherState.CONNECTED, video_codec="H264", audio_codec="opus", width=640, height=360
)


def transponder(
    status: TransponderStatus | None = None, deleting: bool = False, muted: bool = False
) -> RtmpTransponder:
    return RtmpTransponder(
        metadata=ObjectMeta(name="t", uid="t1", generation=2, deletion_timestamp=NOW if deleting else None),
        spec=TransponderSpec(stream_name="demo", rtmp_url="rtmp://host/live", muted=muted),
        status=status or TransponderStatus(),
    )


def output(state: OutputState, **more: Any) -> OutputReport:
    return OutputReport(id="t1", generation=2, state=state, **more)


def sight(*outputs: OutputReport, publisher: PublisherReport | None = CONNECTED) -> Sight:
    return Sight("relay-1", RelayReport(instance="relay-1", publisher=publisher, outputs=list(outputs)))


def observe(
    seen: Sight,
    obj: RtmpTransponder | None = None,
    destination: ResolvedDestination | Problem = DESTINATION,
    now: datetime = NOW,
) -> TransponderStatus:
    return transponder_status(ResolvedTransponder(obj or transponder(), destination), seen, now)


def words(status: TransponderStatus) -> dict[str, str]:
    return {condition.type.value: f"{condition.status} {condition.reason}" for condition in status.conditions}


ROWS = {
    "no relay": (
        Sight(None, None),
        TransponderPhase.PENDING,
        ("False RelayNotReady", "Unknown RelayNotReady", "Unknown RelayNotReady", "False RelayNotReady"),
    ),
    "a relay that has not spoken": (
        Sight("relay-1", None),
        TransponderPhase.PENDING,
        ("False RelaySilent", "Unknown RelayNotReady", "Unknown RelayNotReady", "False RelaySilent"),
    ),
    "a relay that does not have it yet": (
        sight(publisher=None),
        TransponderPhase.PENDING,
        ("True RelayRunning", "False WaitingForPublisher", "False NotStarted", "False WaitingForPublisher"),
    ),
    "waiting": (
        sight(output(OutputState.WAITING), publisher=None),
        TransponderPhase.WAITING_FOR_PUBLISHER,
        ("True RelayRunning", "False WaitingForPublisher", "False WaitingForPublisher", "False WaitingForPublisher"),
    ),
    "publisher connecting": (
        sight(output(OutputState.WAITING), publisher=PublisherReport(id="s1", state=PublisherState.CONNECTING)),
        TransponderPhase.WAITING_FOR_PUBLISHER,
        ("True RelayRunning", "False PublisherConnecting", "False WaitingForPublisher", "False PublisherConnecting"),
    ),
    "connecting": (
        sight(output(OutputState.CONNECTING)),
        TransponderPhase.CONNECTING,
        ("True RelayRunning", "True Publishing", "False Connecting", "False Connecting"),
    ),
    "live": (
        sight(output(OutputState.LIVE, live_since=LIVE_SINCE)),
        TransponderPhase.LIVE,
        ("True RelayRunning", "True Publishing", "True Live", "True Live"),
    ),
    "draining": (
        Sight(
            "relay-1",
            RelayReport(instance="relay-1", draining=True, publisher=CONNECTED, outputs=[output(OutputState.LIVE)]),
        ),
        TransponderPhase.LIVE,
        ("True Draining", "True Publishing", "True Live", "True Live"),
    ),
    "holding": (
        sight(output(OutputState.HOLDING, live_since=LIVE_SINCE), publisher=None),
        TransponderPhase.HOLDING,
        ("True RelayRunning", "False WaitingForPublisher", "True Holding", "False WaitingForPublisher"),
    ),
    "retrying": (
        sight(output(OutputState.RETRYING, reason=OutputReason.REFUSED, message="refused", reconnects=1)),
        TransponderPhase.RECONNECTING,
        ("True RelayRunning", "True Publishing", "False Refused", "False Refused"),
    ),
    "given up": (
        sight(output(OutputState.FAILED, reason=OutputReason.BAD_STREAM_KEY)),
        TransponderPhase.FAILED,
        ("True RelayRunning", "True Publishing", "False BadStreamKey", "False BadStreamKey"),
    ),
    "down without a reason": (
        sight(output(OutputState.RETRYING)),
        TransponderPhase.RECONNECTING,
        ("True RelayRunning", "True Publishing", "False Unknown", "False Unknown"),
    ),
    "closing": (
        sight(output(OutputState.CLOSING)),
        TransponderPhase.TERMINATING,
        ("True RelayRunning", "True Publishing", "False Closing", "False Closing"),
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_phase_and_conditions(row: str) -> None:
    seen, phase, conditions = ROWS[row]
    status = observe(seen)
    assert status.phase == phase
    types = ("RelayReady", "PublisherConnected", "DestinationConnected", "Ready")
    assert words(status) == dict(zip(types, conditions, strict=True))
    assert {condition.observed_generation for condition in status.conditions} == {2}


def test_every_output_state_has_a_row() -> None:
    seen = [row[0].report for row in ROWS.values()]
    assert {o.state for report in seen if report for o in report.outputs} == set(OutputState)


def test_live_tells_all() -> None:
    live = output(OutputState.LIVE, live_since=LIVE_SINCE, muted=True, sound_enabled=True, reconnects=3)
    status = observe(sight(live))
    assert (status.observed_generation, status.media_session_id, status.relay_pod) == (2, "t1", "relay-1")
    assert (status.destination, status.host, status.stream_name) == ("rtmp://host/live", "host", "rtmp_demo")
    assert (status.width, status.height) == (640, 360)
    assert (status.muted, status.sound_enabled, status.reconnects) == (True, True, 3)
    assert status.started_at == LIVE_SINCE


def test_the_size_stays_while_the_last_picture_is_shown() -> None:
    live = observe(ROWS["live"][0])
    holding = observe(ROWS["holding"][0], transponder(live))
    assert (holding.width, holding.height) == (live.width, live.height) == (640, 360)
    assert holding.started_at == LIVE_SINCE
    waiting = observe(ROWS["waiting"][0], transponder(holding))
    assert (waiting.width, waiting.height) == (0, 0)


@pytest.mark.parametrize("row", ROWS)
def test_the_same_sight_again_changes_nothing(row: str) -> None:
    first = observe(ROWS[row][0])
    again = observe(ROWS[row][0], transponder(first), now=NOW + timedelta(hours=1))
    assert again == first
    assert transponder_line(transponder(first), again) is None


def test_conditions_are_of_the_generation_that_is_in_effect() -> None:
    """Else `kubectl wait --for=condition=Ready` would return before a change is in effect."""
    behind = output(OutputState.LIVE).model_copy(update={"generation": 1})
    status = observe(sight(behind))
    assert status.observed_generation == 1
    assert {condition.observed_generation for condition in status.conditions} == {1}


def test_conditions_of_what_no_relay_knows_are_of_the_present_generation() -> None:
    live = observe(sight(output(OutputState.LIVE).model_copy(update={"generation": 1})))
    status = observe(Sight(None, None), transponder(live))
    assert {condition.observed_generation for condition in status.conditions} == {2}


def test_a_transition_time_moves_with_its_status_alone() -> None:
    waiting = observe(ROWS["waiting"][0])
    live = observe(ROWS["live"][0], transponder(waiting), now=NOW + timedelta(seconds=9))
    moved = {c.type for c in live.conditions if c.last_transition_time != NOW}
    assert moved == {ConditionType.PUBLISHER_CONNECTED, ConditionType.DESTINATION_CONNECTED, ConditionType.READY}


def test_started_at_moves_with_a_new_connection_alone() -> None:
    live = observe(ROWS["live"][0])
    retrying = observe(ROWS["retrying"][0], transponder(live))
    assert retrying.started_at == LIVE_SINCE
    later = LIVE_SINCE + timedelta(minutes=1)
    again = observe(sight(output(OutputState.LIVE, live_since=later)), transponder(retrying))
    assert again.started_at == later


def test_the_last_error_stays() -> None:
    retrying = observe(ROWS["retrying"][0])
    assert retrying.last_error == "Refused: refused"
    assert observe(ROWS["live"][0], transponder(retrying)).last_error == "Refused: refused"
    assert observe(ROWS["given up"][0], transponder(retrying)).last_error == "BadStreamKey"


def test_each_attempt_of_a_reconnect_is_no_transition() -> None:
    retrying = observe(ROWS["retrying"][0])
    attempt = sight(output(OutputState.CONNECTING, reason=OutputReason.REFUSED, message="refused", reconnects=1))
    assert observe(attempt, transponder(retrying)) == retrying


def test_deleting() -> None:
    status = observe(ROWS["live"][0], transponder(deleting=True))
    assert status.phase == TransponderPhase.TERMINATING
    assert words(status)["Ready"] == "False Terminating"


@pytest.mark.parametrize("reason", ProblemReason)
def test_a_problem_fails_it(reason: ProblemReason) -> None:
    status = observe(sight(), destination=Problem(reason, "why"))
    assert status.phase == TransponderPhase.FAILED
    assert status.last_error == f"{reason}: why"
    assert status.observed_generation == 2
    assert words(status)["DestinationConnected"] == words(status)["Ready"] == f"False {reason}"


def test_a_lost_relay_keeps_what_was_in_effect() -> None:
    live = observe(sight(output(OutputState.LIVE, live_since=LIVE_SINCE, reconnects=3)))
    lost = observe(Sight(None, None), transponder(live))
    assert (lost.observed_generation, lost.reconnects, lost.started_at) == (2, 3, LIVE_SINCE)
    assert (lost.relay_pod, lost.width, lost.height) == (None, 0, 0)


def test_muted_is_the_wish_until_the_relay_reports() -> None:
    assert observe(Sight(None, None), transponder(muted=True)).muted
    assert not observe(ROWS["live"][0], transponder(muted=True)).muted


# ---------------------------------------------------------------------------------------------- lines of the log


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("waiting", "transponder demo → rtmp://host/live: WaitingForPublisher"),
        ("live", "transponder demo → rtmp://host/live: Live"),
        ("retrying", "transponder demo → rtmp://host/live: Reconnecting, Refused: refused"),
        ("given up", "transponder demo → rtmp://host/live: Failed, BadStreamKey"),
    ],
)
def test_transponder_lines(row: str, line: str) -> None:
    assert transponder_line(transponder(), observe(ROWS[row][0])) == line


@pytest.mark.parametrize(
    ("row", "notice"),
    [
        ("waiting", Notice("Normal", "WaitingForPublisher", "rtmp://host/live")),
        ("live", Notice("Normal", "Live", "rtmp://host/live")),
        ("retrying", Notice("Warning", "Reconnecting", "rtmp://host/live: Refused: refused")),
        ("given up", Notice("Warning", "Failed", "rtmp://host/live: BadStreamKey")),
    ],
)
def test_transponder_notices(row: str, notice: Notice) -> None:
    status = observe(ROWS[row][0])
    assert transponder_notice(transponder(), status) == notice
    assert transponder_notice(transponder(status), status) is None


def test_pending_and_terminating_are_no_notices() -> None:
    assert transponder_notice(transponder(), observe(Sight(None, None))) is None
    gone = transponder(observe(ROWS["live"][0]), deleting=True)
    assert transponder_notice(gone, observe(ROWS["live"][0], gone)) is None


def test_another_error_while_reconnecting_is_told() -> None:
    retrying = observe(ROWS["retrying"][0])
    other = sight(output(OutputState.RETRYING, reason=OutputReason.TIMEOUT, message="silent", reconnects=2))
    line = transponder_line(transponder(retrying), observe(other, transponder(retrying)))
    assert line == "transponder demo → rtmp://host/live: Reconnecting, Timeout: silent"


# ---------------------------------------------------------------------------------------------- Stream


def stream(status: StreamStatus | None = None) -> Stream:
    return Stream(
        metadata=ObjectMeta(name="demo", uid="s1"),
        spec=StreamSpec(name="demo", source=StreamSource.WHIP),
        status=status or StreamStatus(),
    )


def reported(state: PublisherState, **more: Any) -> Sight:
    return sight(publisher=PublisherReport(id="s1", state=state, **more))


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        (PublisherState.WAITING, StreamPhase.READY),
        (PublisherState.CONNECTING, StreamPhase.CONNECTING),
        (PublisherState.CONNECTED, StreamPhase.PUBLISHING),
        (PublisherState.ENDED, StreamPhase.ENDED),
    ],
)
def test_stream_phases(state: PublisherState, phase: StreamPhase) -> None:
    status = stream_status(stream(), reported(state))
    assert (status.phase, status.relay_pod) == (phase, "relay-1")


def test_a_publishing_stream_tells_all() -> None:
    seen = reported(
        PublisherState.CONNECTED, video_codec="H264", audio_codec="opus", width=1280, height=720, started_at=LIVE_SINCE
    )
    status = stream_status(stream(), seen)
    assert (status.video_codec, status.audio_codec, status.width, status.height) == ("H264", "opus", 1280, 720)
    assert status.started_at == LIVE_SINCE
    assert stream_line(stream(), status) == "stream demo: publishing, H264 1280x720, opus"
    assert stream_notice(stream(), status) == Notice("Normal", "Publishing", "H264 1280x720, opus")
    assert stream_notice(stream(status), status) is None


@pytest.mark.parametrize(
    "seen",
    [
        Sight(None, None),
        Sight("relay-1", None),
        sight(publisher=None),
        sight(publisher=CONNECTED.model_copy(update={"id": "other"})),
    ],
)
def test_a_stream_that_no_relay_has_yet_is_pending(seen: Sight) -> None:
    assert stream_status(stream(), seen) == StreamStatus(phase=StreamPhase.PENDING)


def test_a_silent_relay_does_not_move_a_publishing_stream() -> None:
    publishing = StreamStatus(phase=StreamPhase.PUBLISHING, relay_pod="relay-1")
    assert stream_status(stream(publishing), Sight("relay-1", None)) == publishing
    assert stream_status(stream(publishing), Sight(None, None)) == publishing


def test_another_relay_ends_the_stream() -> None:
    publishing = StreamStatus(phase=StreamPhase.PUBLISHING, relay_pod="relay-0")
    status = stream_status(stream(publishing), reported(PublisherState.WAITING))
    assert (status.phase, status.reason, status.relay_pod) == (StreamPhase.ENDED, "Relay lost", "relay-0")
    assert stream_line(stream(publishing), status) == "stream demo: ended, Relay lost"
    assert stream_notice(stream(publishing), status) == Notice("Normal", "Ended", "Relay lost")


def test_an_ended_stream_stays_ended() -> None:
    ended = stream_status(stream(), reported(PublisherState.ENDED, reason="Stopped by user"))
    assert ended.reason == "Stopped by user"
    assert stream_status(stream(ended), reported(PublisherState.WAITING)) == ended


def test_another_picture_size_is_told() -> None:
    old = StreamStatus(phase=StreamPhase.PUBLISHING, relay_pod="relay-1")
    new = old.model_copy(update={"width": 320, "height": 180})
    assert stream_line(stream(old), new) == "stream demo: picture is 320x180"
    assert stream_line(stream(new), new) is None
