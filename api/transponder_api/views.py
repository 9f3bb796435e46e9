"""Pure: a transponder object as REST shows it and finds it."""

from transponder_api import shapes
from transponder_crd.control import OutputStatistics
from transponder_crd.defaults import Defaults
from transponder_crd.destination import Destination, InvalidRtmpUrl
from transponder_crd.names import ANNOTATION_DESTINATION, transponder_object_name
from transponder_crd.resource import RtmpTransponder, TransponderPhase, TransponderSpec


def transponder_view(
    transponder: RtmpTransponder, defaults: Defaults, figures: OutputStatistics | None = None
) -> shapes.Transponder:
    """`figures`: what its relay tells of it, if that is known."""
    status, spec = transponder.status, transponder.spec
    in_effect = status.observed_generation >= transponder.metadata.generation
    return shapes.Transponder(
        media_session_id=transponder.uid,
        stream_name=outgoing_name(transponder, defaults),
        rtmp_url=shown_url(transponder, defaults),
        width=status.width,
        height=status.height,
        # a change that is not in effect yet is shown as it will be
        muted=status.muted if in_effect else spec.muted,
        sound_enabled=status.sound_enabled if in_effect else spec.sound is not None,
        options=spec.options,
        state=status.phase or TransponderPhase.PENDING,
        last_error=status.last_error,
        reconnects=status.reconnects,
        published_name=spec.stream_name,
        bitrate=round(figures.bitrate) if figures else None,
        fps=round(figures.frame_rate, 1) if figures else None,
    )


def outgoing_name(transponder: RtmpTransponder, defaults: Defaults) -> str:
    """The stream's name on the RTMP side: the reconciler's word, else as it will say. One that came with a full URL
    is a stream key: the plain stream name is shown in its place."""
    if transponder.status.stream_name:
        return transponder.status.stream_name
    return (
        transponder.spec.stream_name if _names_itself(transponder, defaults) else _prefixed_name(transponder, defaults)
    )


def _names_itself(transponder: RtmpTransponder, defaults: Defaults) -> bool:
    """Does the URL give the name on the RTMP side? Seen from the redacted URL, which has the same segments."""
    spec, prefixed = transponder.spec, _prefixed_name(transponder, defaults)
    if not (defaults.full_url if spec.full_url is None else spec.full_url):
        return False
    try:
        target = Destination.parse(shown_url(transponder, defaults)).compose(prefixed, "", True, "")
    except InvalidRtmpUrl:
        return False
    return target.stream_name.get_secret_value() != prefixed


def _prefixed_name(transponder: RtmpTransponder, defaults: Defaults) -> str:
    spec = transponder.spec
    prefix = spec.stream_name_prefix if spec.stream_name_prefix is not None else defaults.stream_name_prefix
    return prefix + spec.stream_name


def shown_url(transponder: RtmpTransponder, defaults: Defaults) -> str:
    """The destination without its secrets; empty if it is known to no one but the Secret."""
    if transponder.status.destination:
        return transponder.status.destination
    if transponder.spec.rtmp_url is not None:
        return _redacted(transponder.spec, transponder.spec.rtmp_url, defaults)
    return transponder.metadata.annotations.get(ANNOTATION_DESTINATION, "")


def _redacted(spec: TransponderSpec, url: str, defaults: Defaults) -> str:
    try:
        return redacted(Destination.parse(url), spec.full_url, defaults)
    except InvalidRtmpUrl:
        return ""


def redacted(destination: Destination, full_url: bool | None, defaults: Defaults) -> str:
    return destination.redacted(full_url=defaults.full_url if full_url is None else full_url)


def matches(transponder: RtmpTransponder, stream_name: str | None, rtmp_url: str | None, defaults: Defaults) -> bool:
    """Is it one of those that a filter asks for? None asks for all."""
    return (stream_name is None or _has_name(transponder, stream_name, defaults)) and (
        rtmp_url is None or _has_url(transponder, rtmp_url, defaults)
    )


def _has_name(transponder: RtmpTransponder, name: str, defaults: Defaults) -> bool:
    return name in {
        transponder.spec.stream_name,
        _prefixed_name(transponder, defaults),
        outgoing_name(transponder, defaults),
    }


def _has_url(transponder: RtmpTransponder, rtmp_url: str, defaults: Defaults) -> bool:
    """The URL is in a Secret, but the object's name was made from it."""
    return (
        transponder.name == transponder_object_name(transponder.spec.stream_name, rtmp_url)
        or transponder.spec.rtmp_url == rtmp_url
        or shown_url(transponder, defaults) == rtmp_url
    )
