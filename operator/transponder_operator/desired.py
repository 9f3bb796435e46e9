"""Pure: the transponders and the Stream of one stream name → what its relay is to do."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from transponder_crd.control import DesiredOutput, DesiredPublisher, DesiredRelay, ReconnectPolicy, RtmpTarget
from transponder_crd.defaults import Defaults
from transponder_crd.destination import Destination, InvalidRtmpUrl
from transponder_crd.resource import Audio, Reconnect, RtmpTransponder, Stream, StreamPhase, TransponderSpec


class ProblemReason(StrEnum):
    """Why a transponder cannot be given to a relay; a condition reason."""

    INVALID_DESTINATION = "InvalidDestination"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 (a reason, not a password)


class Problem(NamedTuple):
    """What keeps a transponder from having a destination."""

    reason: ProblemReason
    message: str
    """A sentence without secrets."""


class ResolvedDestination(NamedTuple):
    """Where a transponder sends to: for the wire, and for people."""

    target: RtmpTarget
    redacted: str
    """The RTMP URL without its secrets."""
    host: str
    stream_name: str
    """The stream's name on the RTMP side; the plain one where the RTMP side has a stream key instead."""


class ResolvedTransponder(NamedTuple):
    transponder: RtmpTransponder
    destination: ResolvedDestination | Problem


def resolve_destination(spec: TransponderSpec, rtmp_url: str, defaults: Defaults) -> ResolvedDestination | Problem:
    """Parse and compose the destination by the transponder's own settings, else the installation's."""
    full_url = spec.full_url if spec.full_url is not None else defaults.full_url
    prefix = spec.stream_name_prefix if spec.stream_name_prefix is not None else defaults.stream_name_prefix
    try:
        destination = Destination.parse(rtmp_url)
        target = destination.compose(spec.stream_name, prefix, full_url, spec.flash_version or defaults.flash_version)
    except InvalidRtmpUrl as error:
        return Problem(ProblemReason.INVALID_DESTINATION, f"the RTMP URL {error.rule}")
    # a name that came with the URL is a stream key
    own_name = target.stream_name.get_secret_value() != prefix + spec.stream_name
    enhanced = defaults.enhanced_rtmp if spec.enhanced_rtmp is None else spec.enhanced_rtmp
    return ResolvedDestination(
        target=target.model_copy(update={"enhanced": enhanced}),
        redacted=destination.redacted(full_url),
        host=target.host,
        stream_name=spec.stream_name if own_name else prefix + spec.stream_name,
    )


def desired_relay(
    stream_name: str, transponders: Iterable[ResolvedTransponder], stream: Stream | None, defaults: Defaults
) -> DesiredRelay | None:
    """All that the relay of `stream_name` is to do; None when nothing needs one."""
    publisher = DesiredPublisher(id=stream.uid) if stream and may_publish(stream) else None
    present = [(t, d) for t, d in transponders if not t.deleting and isinstance(d, ResolvedDestination)]
    if publisher is None and not present:
        return None
    return DesiredRelay(
        stream_name=stream_name,
        publisher=publisher,
        keyframe_interval=min(
            (_keyframe_interval(t.spec, defaults) for t, _ in present), default=defaults.keyframe_interval
        ),
        outputs=sorted((_desired_output(t, d.target, defaults) for t, d in present), key=lambda output: output.id),
    )


def may_publish(stream: Stream) -> bool:
    """Whether the publisher of `stream` may connect or stay."""
    return not stream.deleting and stream.status.phase != StreamPhase.ENDED


def _keyframe_interval(spec: TransponderSpec, defaults: Defaults) -> float:
    wish = spec.video.keyframe_interval if spec.video else None
    return defaults.keyframe_interval if wish is None else wish


def _desired_output(transponder: RtmpTransponder, target: RtmpTarget, defaults: Defaults) -> DesiredOutput:
    spec = transponder.spec
    audio = spec.audio or Audio()
    return DesiredOutput(
        id=transponder.uid,
        generation=transponder.metadata.generation,
        target=target,
        muted=spec.muted,
        sound=spec.sound,
        audio_codec=audio.codec or defaults.audio_codec,
        audio_bitrate=audio.bitrate or defaults.audio_bitrate,
        reconnect=_reconnect_policy(spec.reconnect or Reconnect(), defaults),
        hold_seconds=defaults.hold_seconds if spec.hold_seconds is None else spec.hold_seconds,
    )


def _reconnect_policy(wish: Reconnect, defaults: Defaults) -> ReconnectPolicy:
    def either(own: float | None, default: float) -> float:
        return default if own is None else own

    initial = either(wish.initial_seconds, defaults.reconnect.initial_seconds)
    return ReconnectPolicy(
        initial_seconds=initial,
        max_seconds=max(initial, either(wish.max_seconds, defaults.reconnect.max_seconds)),
        max_attempts=defaults.reconnect.max_attempts if wish.max_attempts is None else wish.max_attempts,
    )
