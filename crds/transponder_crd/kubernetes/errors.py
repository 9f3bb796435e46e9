"""The API server's answers as `transponder_crd.store`'s errors, pure. No text holds a value that somebody gave.

Status objects: https://kubernetes.io/docs/reference/kubernetes-api/definitions/status-v1-meta/
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from transponder_crd.store import AlreadyExists, Conflict, Gone, Invalid, NotFound, StoreError, Unavailable

JsonObject = dict[str, Any]

MAX_TEXT = 300
_WITH_VALUE = re.compile(r"(?:Invalid|Unsupported|Duplicate) value: |Not found: ")
_PLAIN_VALUE = re.compile(r"[-+.\w]+(?:: |$)")


class Denied(StoreError):
    """No permission, no valid credentials, or an admission rule (a quota, Pod Security) is against it."""


class Busy(Unavailable):
    """429, 5xx or no answer."""

    def __init__(self, text: str, *, retry_after: float | None = None, nothing_done: bool = False) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        """Seconds that the server asks for."""
        self.nothing_done = nothing_done
        """The request certainly changed nothing: any call may be tried again."""


def parse_status(body: bytes) -> JsonObject:
    """The Status object of a refusal; empty where a proxy answered something else."""
    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


def store_error(code: int, headers: Mapping[str, str], status: JsonObject, what: str) -> StoreError:
    """The error of a refusal. `what` names the object; `headers` may hold Retry-After."""
    reason = str(status.get("reason") or f"HTTP {code}")
    if code == 404:
        return NotFound(f"{what} does not exist")
    if code == 409:
        return AlreadyExists(f"{what} exists") if reason == "AlreadyExists" else _conflict(status, what)
    if code == 410 or reason == "Expired":
        return Gone(f"{what}: the version is not kept any more: list again")
    if code in {400, 413, 415, 422}:
        return Invalid(f"{what}: {_rules(status) or reason}")
    if code == 429 or code >= 500:
        seconds = _retry_after(headers, status)
        return Busy(f"{what}: {reason} ({code})", retry_after=seconds, nothing_done=code == 429)
    if code in {401, 403}:
        return Denied(f"{what}: {reason}: {_shown(str(status.get('message', '')))}")
    return StoreError(f"{what}: {reason} ({code})")


def _conflict(status: JsonObject, what: str) -> StoreError:
    if re.search(r"UID in (the )?precondition", str(status.get("message"))):
        return NotFound(f"{what} is another one by now")
    return Conflict(f"{what} has changed")


def _rules(status: JsonObject) -> str:
    """`field: rule` of every cause. A message quotes the value, which may be a secret: that part is left out."""
    causes = (status.get("details") or {}).get("causes") or []
    # the one without a field says that others were not looked at
    named = [cause for cause in causes if cause.get("field") not in {None, "", "<nil>"}]
    texts = [f"{cause['field']}: {_rule(str(cause.get('message', ''))) or cause.get('reason')}" for cause in named]
    return _shown("; ".join(texts))


def _rule(message: str) -> str:
    """The text behind the value, which is JSON, a plain word, or (for rules in CEL) not there."""
    given = _WITH_VALUE.match(message)
    if given is None:
        return message
    rest = message[given.end() :]
    if rest.startswith(('"', "{", "[")):
        try:
            _, end = json.JSONDecoder().raw_decode(rest)
        except ValueError:
            return ""
        return rest[end:].removeprefix(": ")
    return _PLAIN_VALUE.sub("", rest, count=1) if _PLAIN_VALUE.match(rest) else rest


def _shown(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _retry_after(headers: Mapping[str, str], status: JsonObject) -> float | None:
    given = headers.get("Retry-After") or (status.get("details") or {}).get("retryAfterSeconds")
    try:
        return max(0.0, float(given)) if given is not None else None
    except (TypeError, ValueError):
        return None  # a date: our own backoff does
