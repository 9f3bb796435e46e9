"""What a store does to an object, pure: Kubernetes' rules for updates, and the JSON that is kept."""

import json
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from transponder_crd.resource import Resource, Secret
from transponder_crd.store import Invalid

R = TypeVar("R", bound=Resource)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)  # Kubernetes keeps whole seconds


def title(obj: Resource) -> str:
    return f"{obj.kind} {obj.name}"


def with_meta(obj: R, **changes: object) -> R:
    return obj.model_copy(update={"metadata": obj.metadata.model_copy(update=changes)})


def without_status(obj: R) -> R:
    field = type(obj).model_fields.get("status")
    return obj.model_copy(update={"status": field.get_default()}) if field else obj


def _payload(obj: Resource) -> dict[str, object]:
    """What counts as a change of the spec: all but metadata and status."""
    return {name: getattr(obj, name) for name in type(obj).model_fields if name not in {"metadata", "status"}}


def merge(old: R, wish: R) -> R:
    """`old` with what a client may change: payload, labels, annotations, finalizers, owners. Raises Invalid."""
    if old.deleting and not set(wish.metadata.finalizers) <= set(old.metadata.finalizers):
        raise Invalid(f"{title(old)}: metadata.finalizers must not grow on an object that is being deleted")
    payload = _payload(wish)
    for field in type(old).IMMUTABLE:
        if getattr(payload["spec"], field) != getattr(_payload(old)["spec"], field):
            raise Invalid(f"{title(old)}: spec.{to_camel(field)} is immutable")
    changed = payload != _payload(old)
    client_fields = ("labels", "annotations", "finalizers", "owner_references")
    metadata = old.metadata.model_copy(
        update={field: getattr(wish.metadata, field) for field in client_fields}
        | {"generation": old.metadata.generation + changed}
    )
    return old.model_copy(update=payload | {"metadata": metadata})


def serialize(obj: Resource) -> str:
    """JSON as stored: secret values revealed."""
    try:
        record = obj.model_dump(mode="json", warnings=False)
        if isinstance(obj, Secret):
            record["stringData"] = {key: value.get_secret_value() for key, value in obj.string_data.items()}
        return json.dumps(record, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise Invalid(f"{title(obj)} holds a value that JSON does not have") from error


def parse(kind: type[R], body: str) -> R:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"{kind.__name__} {json.loads(body)['metadata']['name']}: {field}: {first['msg']}") from None
