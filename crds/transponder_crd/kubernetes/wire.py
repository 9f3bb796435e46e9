"""Objects of ours as JSON of the API server, and back, pure.

Reading ignores fields that we do not know (a newer version's), writing leaves them as they are.
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


def changed_object(base: JsonObject, old: Resource, new: Resource) -> JsonObject:
    """`base` (which `old` was read from) with what differs between `old` and `new`. Raises Invalid."""
    if old.name != new.name:
        raise ValueError(f"{title(old)} and {title(new)} are two objects")
    return _overlay(base, _record(old), _record(new))


def _record(obj: Resource) -> JsonObject:
    serialize(obj)  # refuses what JSON does not have
    record = obj.model_dump(mode="json", exclude_none=True, warnings=False)
    if isinstance(obj, Secret):
        del record["stringData"]
        values = {key: value.get_secret_value() for key, value in obj.string_data.items()}
        record["data"] = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return record


def _overlay(base: JsonObject, old: JsonObject, new: JsonObject) -> JsonObject:
    result = dict(base)
    for key in old.keys() - new.keys():
        result.pop(key, None)
    for key, value in new.items():
        before, there = old.get(key), result.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            result[key] = _overlay(there, before if isinstance(before, dict) else {}, value)
        elif key not in old or json.dumps(before) != json.dumps(value):  # 1 == True in Python alone
            result[key] = value
    return result


def _revealed(raw: JsonObject) -> JsonObject:
    """A Secret's values as text; a value that is none is left out."""
    values = {}
    for key, encoded in (raw.get("data") or {}).items():
        try:
            values[key] = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return {**{key: value for key, value in raw.items() if key != "data"}, "stringData": values}
