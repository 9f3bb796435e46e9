"""CustomResourceDefinitions from the models: structural OpenAPI v3 schemas, as apiextensions.k8s.io/v1 wants them.

Optional fields are not `nullable` (Kubernetes' API conventions advise against it): the API server drops nulls that a
client sends, and CEL's `has()` then means what it says. `additionalProperties: false` has no place beside
`properties`: the API server prunes unknown fields, or refuses them with `kubectl --validate=strict`.

Rules: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from typing import Any

from pydantic.alias_generators import to_camel

from transponder_crd.resource import API_VERSION, GROUP, VERSION, Resource, RtmpTransponder, Stream

JsonObject = dict[str, Any]

KINDS: tuple[type[Resource], ...] = (RtmpTransponder, Stream)

_SHORT_NAMES = {"RtmpTransponder": "rtmpt", "Stream": "wstream"}
_COLUMNS = {
    "RtmpTransponder": (
        ("Stream", "string", ".spec.streamName"),
        ("Destination", "string", ".status.host"),
        ("Phase", "string", ".status.phase"),
        ("Muted", "boolean", ".spec.muted"),
        ("Reconnects", "integer", ".status.reconnects"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ),
    "Stream": (
        ("Stream", "string", ".spec.name"),  # the column NAME is the object's own
        ("Phase", "string", ".status.phase"),
        ("Video", "string", ".status.videoCodec"),
        ("Audio", "string", ".status.audioCodec"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ),
}
_BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
_KEPT = frozenset({"type", "format", "enum", "default", "pattern", "required", *_BOUNDS})
_DROPPED = frozenset({"title", "$defs"})


def custom_resource_definition(kind: type[Resource]) -> JsonObject:
    """The CRD of a kind, ready to be written as YAML."""
    name = kind.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": kind.PLURAL,
                "singular": name.lower(),
                "shortNames": [_SHORT_NAMES[name]],
                "categories": ["media"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": title, "type": type_, "jsonPath": path} for title, type_, path in _COLUMNS[name]
                    ],
                }
            ],
        },
    }


def _root_schema(kind: type[Resource]) -> JsonObject:
    fields = kind.model_fields
    spec = structural(fields["spec"].annotation.model_json_schema())  # type: ignore[union-attr]
    status = structural(fields["status"].annotation.model_json_schema())  # type: ignore[union-attr]
    spec.setdefault("x-kubernetes-validations", []).extend(_immutable(kind, spec))
    return {
        "type": "object",
        "description": _one_line(kind.__doc__ or ""),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {kind.__name__}."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }


def _immutable(kind: type[Resource], spec: JsonObject) -> list[JsonObject]:
    return [
        {
            "rule": _unchanged(to_camel(field), to_camel(field) in spec["required"]),
            "message": f"{to_camel(field)} is immutable",
        }
        for field in kind.IMMUTABLE
    ]


def _unchanged(field: str, required: bool) -> str:
    """CEL. The rule stands on the spec, since one on an optional field is not asked when the field comes or goes."""
    same = f"self.{field} == oldSelf.{field}"
    return same if required else f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {same})"


def structural(json_schema: JsonObject) -> JsonObject:
    """A structural schema from pydantic's JSON Schema. Raises TypeError at what a CRD cannot say."""
    return _structural(json_schema, json_schema.get("$defs", {}))


def _structural(node: JsonObject, definitions: JsonObject) -> JsonObject:
    node = _resolved(node, definitions)
    result: JsonObject = {}
    for keyword, value in node.items():
        if keyword == "description":
            result[keyword] = _one_line(value)
        elif keyword == "properties":
            result[keyword] = {name: _structural(child, definitions) for name, child in value.items()}
        elif keyword == "items":
            result[keyword] = _structural(value, definitions)
        elif keyword == "additionalProperties":
            if isinstance(value, dict):
                result[keyword] = _structural(value, definitions)
        elif keyword in _KEPT or keyword.startswith("x-kubernetes-"):
            result[keyword] = value
        elif keyword not in _DROPPED:
            raise TypeError(f"{keyword} has no equivalent in a structural schema")
    if "default" in result and result["default"] is None:
        del result["default"]
    return result


def _resolved(node: JsonObject, definitions: JsonObject) -> JsonObject:
    """The node without $ref and without `anyOf: [X, null]`; what stands beside them wins over what they hold."""
    node = dict(node)
    if "$ref" in node:
        target = definitions[node.pop("$ref").removeprefix("#/$defs/")]
        return _resolved({**target, **node}, definitions)
    if "anyOf" in node:
        choices = [choice for choice in node.pop("anyOf") if choice != {"type": "null"}]
        if len(choices) != 1:
            raise TypeError("a union has no equivalent in a structural schema")
        return _resolved({**choices[0], **node}, definitions)
    return node


def _one_line(text: str) -> str:
    return " ".join(text.split())
