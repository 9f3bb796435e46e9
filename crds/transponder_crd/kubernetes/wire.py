"""Objects of ours as JSON of the API server, and back, pure.

Reading ignores fields that we do not know (a newer version's); writing says what changes and no more, so they stay.
"""

import base64
import binascii
import json
from typing import Any, TypeVar

from pydantic import ValidationError

from transponder_crd.records import serialize, title
from transponder_crd.resource import Resource, Secret
from transponder_crd.store import Invalid

R = TypeVar("R", bound=Resource)
JsonObject = dict[str, Any]

_CLIENT_METADATA = ("name", "labels", "annotations", "finalizers", "ownerReferences")


def read_object(kind: type[R], raw: JsonObject) -> R:
    """A status that says what we do not know is taken as empty: its writer writes it anew. Raises Invalid."""
    raw = _revealed(raw) if kind is Secret else raw
    try:
        return kind.model_validate(raw, extra="ignore")
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
    if all(problem["loc"][:1] == ("status",) for problem in problems):
        return read_object(kind, {key: value for key, value in raw.items() if key != "status"})
    field = ".".join(str(part) for part in problems[0]["loc"])
    raise Invalid(f"{kind.__name__} {raw['metadata'].get('name')}: {field}: {problems[0]['msg']}")


def new_object(obj: Resource, namespace: str) -> JsonObject:
    """What to create: without status and the server's own fields. Raises Invalid."""
    record = _record(obj)
    record.pop("status", None)
    metadata = {key: value for key, value in record["metadata"].items() if key in _CLIENT_METADATA and value}
    return {**record, "metadata": {**metadata, "name": obj.name, "namespace": namespace}}


def merge_patch(old: Resource, new: Resource) -> JsonObject:
    """What makes the stored `old` into `new` (RFC 7396), and of no later version of it. Fields that we do not know are
    not in it. A null that is new inside of `options` cannot be said and is left out. Raises Invalid."""
    if old.name != new.name:
        raise ValueError(f"{title(old)} and {title(new)} are two objects")
    patch = _difference(_record(old), _record(new))
    version = {"resourceVersion": old.metadata.resource_version}
    return {**patch, "metadata": {**patch.get("metadata", {}), **version}}


def _record(obj: Resource) -> JsonObject:
    serialize(obj)  # refuses what JSON does not have
    record = obj.model_dump(mode="json", exclude_none=True, warnings=False)
    if isinstance(obj, Secret):
        del record["stringData"]
        values = {key: value.get_secret_value() for key, value in obj.string_data.items()}
        record["data"] = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return record


def _difference(old: JsonObject, new: JsonObject) -> JsonObject:
    patch: JsonObject = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := _difference(before, value):
                patch[key] = inner
        elif key not in old or json.dumps(before) != json.dumps(value):  # 1 == True in Python alone
            patch[key] = value
    return patch


def _revealed(raw: JsonObject) -> JsonObject:
    """A Secret's values as text; a value that is none is left out."""
    values = {}
    for key, encoded in (raw.get("data") or {}).items():
        try:
            values[key] = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return {**{key: value for key, value in raw.items() if key != "data"}, "stringData": values}
