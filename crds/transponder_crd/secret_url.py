"""A transponder whose URL is in a Secret of its own: both objects as they are created, and how the Secret is kept."""

from collections.abc import Sequence
from contextlib import suppress

from pydantic import SecretStr

from transponder_crd.defaults import Defaults
from transponder_crd.destination import Destination
from transponder_crd.meta import ObjectMeta, OwnerReference
from transponder_crd.names import (
    ANNOTATION_DESTINATION,
    FIELD_MANAGER,
    FINALIZER,
    LABEL_MANAGED_BY,
    LABEL_STREAM,
    stream_object_name,
    transponder_object_name,
    url_secret_name,
)
from transponder_crd.resource import RtmpTransponder, RtmpUrlSource, Secret, SecretKeyRef, TransponderSpec
from transponder_crd.store import AlreadyExists, Store

SECRET_KEY = "rtmpUrl"  # noqa: S105 (a key's name)


def labels(stream_name: str) -> dict[str, str]:
    """Of all objects that are made for a stream."""
    return {LABEL_STREAM: stream_object_name(stream_name), LABEL_MANAGED_BY: FIELD_MANAGER}


def new_transponder(
    stream_name: str,
    destination: Destination,
    defaults: Defaults,
    owners: Sequence[OwnerReference] = (),
    *,
    full_url: bool | None = None,
    **spec: object,
) -> RtmpTransponder:
    """Its name comes from stream and URL, so that a store takes one for each pair; `spec` is the rest of its spec."""
    name = transponder_object_name(stream_name, destination.url)
    shown = destination.redacted(defaults.full_url if full_url is None else full_url)
    metadata = ObjectMeta(
        name=name,
        labels=labels(stream_name),
        annotations={ANNOTATION_DESTINATION: shown},
        finalizers=[FINALIZER],
        owner_references=list(owners),
    )
    reference = RtmpUrlSource(secret_key_ref=SecretKeyRef(name=url_secret_name(name), key=SECRET_KEY))
    fields = {"stream_name": stream_name, "rtmp_url_from": reference, "full_url": full_url, **spec}
    return RtmpTransponder(metadata=metadata, spec=TransponderSpec.model_validate(fields))


def url_secret(transponder: RtmpTransponder, reference: SecretKeyRef, url: SecretStr) -> Secret:
    """The Secret of a stored transponder; it goes with it."""
    metadata = ObjectMeta(
        name=reference.name,
        labels=labels(transponder.spec.stream_name),
        owner_references=[transponder.owner_reference()],
    )
    return Secret(metadata=metadata, string_data={reference.key: url})


async def keep_url(store: Store, owner: RtmpTransponder, url: SecretStr) -> None:
    """Have the Secret that the transponder refers to, if it does. It is made and never read: its name is of no other
    object, so one that exists is the right one. Raises StoreError."""
    if owner.spec.rtmp_url_from is None:
        return
    with suppress(AlreadyExists):
        await store.create(url_secret(owner, owner.spec.rtmp_url_from.secret_key_ref, url))
