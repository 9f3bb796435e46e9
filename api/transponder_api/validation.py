"""Pydantic's findings as (field, rule), in words for the person who sent the request. The input is never repeated."""

from collections.abc import Mapping, Sequence
from typing import Any

from transponder_crd.resource import SOUND_FILE_RULE, STREAM_NAME_RULE

_PATTERNS = {
    STREAM_NAME_RULE: "must be printable text without white space",
    SOUND_FILE_RULE: "must be a file name of letters, digits, '_', '.', '-' and spaces that does not begin with a dot",
}
_TYPES = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "json_invalid": "must be JSON",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode",
    "string_sub_type": "must be a string",
    "bool_type": "must be true or false",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
}


def describe(finding: Mapping[str, Any]) -> tuple[str, str]:
    """Field (dotted, as the sender spells it) and rule of one entry of `ValidationError.errors()`."""
    context = finding.get("ctx", {})
    match finding["type"]:
        case "string_pattern_mismatch":
            rule = _PATTERNS.get(context["pattern"], f"must match {context['pattern']}")
        case "string_too_short" | "too_short" if context["min_length"] == 1:
            rule = "must not be empty"
        case "string_too_long" | "too_long":
            rule = f"must have at most {context['max_length']} characters"
        case "literal_error":
            rule = f"must be {context['expected']}"
        case kind:
            rule = _TYPES.get(kind, str(finding["msg"]))
    path = [] if finding["type"] == "json_invalid" else [*finding["loc"]]
    return _field([*path, context["member"]] if "member" in context else path), rule


def _field(location: Sequence[str | int]) -> str:
    path = location[1:] if location and location[0] in {"body", "path"} else location
    name = ".".join(str(part) for part in path) or "body"
    return "".join(letter if letter.isprintable() else "?" for letter in name[:100])
