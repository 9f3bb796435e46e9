"""A transponder whose URL is in a Secret of its own: both objects as they are created, and how the Secret is kept."""

from collections.abc import Sequence

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
)
from transponder_crd.resource import RtmpTransponder, RtmpUrlSource, Secret, SecretKeyRef, TransponderSpec
from transponder_crd.store import AlreadyExists, NotFound, Store

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
    reference = RtmpUrlSource(secret_key_ref=SecretKeyRef(name=name, key=SECRET_KEY))
    fields = {"stream_name": stream_name, "rtmp_url_from": reference, "full_url": full_url, **spec}
    return RtmpTransponder(metadata=metadata, spec=TransponderSpec.model_validate(fields))


def url_secret(transponder: RtmpTransponder, url: SecretStr) -> Secret:
    """The Secret of a stored transponder; it goes with it."""
    metadata = ObjectMeta(
        name=transponder.name,
        labels=labels(transponder.spec.stream_name),
        owner_references=[transponder.owner_reference()],
    )
    return Secret(metadata=metadata, string_data={SECRET_KEY: url})


async def keep_url(store: Store, owner: RtmpTransponder, url: SecretStr) -> None:
    """Have the Secret that the transponder refers to. Raises StoreError."""
    for _ in range(3):
        try:
            await store.create(url_secret(owner, url))
            return
        except AlreadyExists:
            if await _is_kept(store, owner):
                return
    raise AlreadyExists(f"Secret {owner.name} belongs to another object")


async def _is_kept(store: Store, owner: RtmpTransponder) -> bool:
    """Is the Secret of that name this owner's? One left by an earlier owner is removed."""
    try:
        secret = await store.get(Secret, owner.name)
        if any(reference.uid == owner.uid for reference in secret.metadata.owner_references):
            return True
        await store.delete(Secret, secret.name, secret.uid)
    except NotFound:
        pass
    return False
