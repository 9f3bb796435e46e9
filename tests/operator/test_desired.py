"""What a relay is told to do, from the objects of its stream."""

from datetime import UTC, datetime
from typing import Any

import pytest

from transponder_crd.control import DesiredRelay, ReconnectPolicy
from transponder_crd.defaults import Defaults
from transponder_crd.meta import ObjectMeta
from transponder_crd.resource import (
    Audio,
    AudioCodec,
    Reconnect,
    RtmpTransponder,
    Sound,
    Stream,
    StreamPhase,
    StreamSource,
    StreamSpec,
    StreamStatus,
    TransponderSpec,
    Video,
)
from transponder_operator.desired import (
    Problem,
    ProblemReason,
    ResolvedDestination,
    ResolvedTransponder,
    desired_relay,
    resolve_destination,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URL = "rtmp://host:1935/live"


def transponder(uid: str = "t1", deleting: bool = False, generation: int = 1, **spec: Any) -> RtmpTransponder:
    metadata = ObjectMeta(name=uid, uid=uid, generation=generation, deletion_timestamp=NOW if deleting else None)
    return RtmpTransponder(metadata=metadata, spec=TransponderSpec(stream_name="demo", rtmp_url=URL, **spec))


def resolved(obj: RtmpTransponder, url: str = URL, defaults: Defaults | None = None) -> ResolvedTransponder:
    return ResolvedTransponder(obj, resolve_destination(obj.spec, url, defaults or Defaults()))


def stream(phase: StreamPhase | None = None, deleting: bool = False) -> Stream:
    return Stream(
        metadata=ObjectMeta(name="demo", uid="s1", deletion_timestamp=NOW if deleting else None),
        spec=StreamSpec(name="demo", source=StreamSource.WHIP),
        status=StreamStatus(phase=phase),
    )


def desired(*transponders: ResolvedTransponder, of: Stream | None = None) -> DesiredRelay | None:
    return desired_relay("demo", transponders, of, Defaults())


def test_nothing_needs_no_relay() -> None:
    assert desired() is None


def test_a_transponder_alone_needs_a_relay_that_waits() -> None:
    relay = desired(resolved(transponder(generation=3)))
    assert relay is not None
    assert relay.publisher is None
    (output,) = relay.outputs
    assert (output.id, output.generation, output.muted, output.sound) == ("t1", 3, False, None)
    assert (output.target.host, output.target.stream_name.get_secret_value()) == ("host", "rtmp_demo")
    assert (output.audio_codec, output.audio_bitrate) == (AudioCodec.AAC, 128_000)
    assert output.reconnect == ReconnectPolicy(initial_seconds=1, max_seconds=30, max_attempts=0)


@pytest.mark.parametrize(
    ("phase", "deleting", "publishes"),
    [
        (None, False, True),
        (StreamPhase.PENDING, False, True),
        (StreamPhase.READY, False, True),
        (StreamPhase.PUBLISHING, False, True),
        (StreamPhase.ENDED, False, False),
        (StreamPhase.PUBLISHING, True, False),
    ],
)
def test_the_publisher_is_the_stream_that_is_not_over(
    phase: StreamPhase | None, deleting: bool, publishes: bool
) -> None:
    relay = desired(of=stream(phase, deleting))
    if publishes:
        assert relay is not None
        assert relay.publisher is not None
        assert relay.publisher.id == "s1"
    else:
        assert relay is None


def test_deleting_transponders_are_left_out() -> None:
    relay = desired(resolved(transponder("t1", deleting=True)), resolved(transponder("t2")))
    assert relay is not None
    assert [output.id for output in relay.outputs] == ["t2"]
    assert desired(resolved(transponder("t1", deleting=True))) is None


def test_a_problem_leaves_the_others_alone() -> None:
    broken = ResolvedTransponder(transponder("t1"), Problem(ProblemReason.SECRET_MISSING, "no"))
    relay = desired(broken, resolved(transponder("t2")))
    assert relay is not None
    assert [output.id for output in relay.outputs] == ["t2"]
    assert desired(broken) is None


def test_the_message_does_not_depend_on_the_order_of_objects() -> None:
    one, two = resolved(transponder("t1")), resolved(transponder("t2"))
    assert desired(one, two) == desired(two, one)


@pytest.mark.parametrize(
    ("wishes", "interval"),
    [([], 2.0), ([None], 2.0), ([4.0], 4.0), ([4.0, None], 2.0), ([1.0, None], 1.0), ([5.0, 3.0], 3.0)],
)
def test_the_keyframe_interval_is_the_smallest_wish(wishes: list[float | None], interval: float) -> None:
    videos = [Video(keyframe_interval=wish) if wish else None for wish in wishes]
    relay = desired(*(resolved(transponder(f"t{i}", video=video)) for i, video in enumerate(videos)), of=stream())
    assert relay is not None
    assert relay.keyframe_interval == interval


def test_the_spec_wins_over_the_defaults() -> None:
    spec = {
        "muted": True,
        "sound": Sound(file="a.wav", loop=True),
        "audio": Audio(bitrate=64_000, codec=AudioCodec.SPEEX),
        "reconnect": Reconnect(initial_seconds=0.5, max_attempts=4),
        "stream_name_prefix": "x_",
        "flash_version": "Mine/1",
    }
    relay = desired(resolved(transponder(**spec)))
    assert relay is not None
    (output,) = relay.outputs
    assert (output.muted, output.sound, output.audio_bitrate) == (True, Sound(file="a.wav", loop=True), 64_000)
    assert output.audio_codec is AudioCodec.SPEEX
    assert output.reconnect == ReconnectPolicy(initial_seconds=0.5, max_seconds=30, max_attempts=4)
    assert (output.target.stream_name.get_secret_value(), output.target.flash_version) == ("x_demo", "Mine/1")


def test_a_first_delay_above_the_last_raises_the_last() -> None:
    relay = desired(resolved(transponder(reconnect=Reconnect(initial_seconds=60))))
    assert relay is not None
    assert relay.outputs[0].reconnect == ReconnectPolicy(initial_seconds=60, max_seconds=60)


@pytest.mark.parametrize(
    ("url", "spec", "shown", "name"),
    [
        (URL, {}, URL, "rtmp_demo"),
        (URL, {"stream_name_prefix": ""}, URL, "demo"),
        ("rtmp://host/app/k3y", {"full_url": True}, "rtmp://host/app/***", "demo"),
        ("rtmp://user:pw@host/live", {}, "rtmp://***@host/live", "rtmp_demo"),
    ],
)
def test_what_is_shown_of_a_destination(url: str, spec: dict[str, Any], shown: str, name: str) -> None:
    destination = resolve_destination(transponder(**spec).spec, url, Defaults())
    assert isinstance(destination, ResolvedDestination)
    assert (destination.redacted, destination.host, destination.stream_name) == (shown, "host", name)


def test_a_url_that_does_not_parse_is_a_problem_that_does_not_show_it() -> None:
    problem = resolve_destination(transponder().spec, "rtmp://host:99999/s3cr3t", Defaults())
    assert isinstance(problem, Problem)
    assert problem.reason == "InvalidDestination"
    assert problem.message == "the RTMP URL must have a port from 1 to 65535"
