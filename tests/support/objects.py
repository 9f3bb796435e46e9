"""Objects for tests, and changes to them."""

from typing import TypeVar

from transponder_crd.meta import ObjectMeta
from transponder_crd.resource import Resource, RtmpTransponder, Stream, StreamSource, StreamSpec, TransponderSpec

R = TypeVar("R", bound=Resource)


def make_transponder(name: str = "demo", **metadata: object) -> RtmpTransponder:
    spec = TransponderSpec(stream_name="demo", rtmp_url="rtmp://h/live")
    return RtmpTransponder(metadata=ObjectMeta.model_validate({"name": name, **metadata}), spec=spec)


def make_stream(name: str = "demo") -> Stream:
    return Stream(metadata=ObjectMeta(name=name), spec=StreamSpec(name=name, source=StreamSource.WHIP))


def with_meta(obj: R, **changes: object) -> R:
    return obj.model_copy(update={"metadata": obj.metadata.model_copy(update=changes)})


def muted(obj: RtmpTransponder, muted: bool = True) -> RtmpTransponder:
    return obj.model_copy(update={"spec": obj.spec.model_copy(update={"muted": muted})})
