"""The installation's control key: who has it knows the token of every relay's control port; a relay knows its own."""

import asyncio
import base64
import binascii
import hmac
import secrets

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.errors import JsonObject
from transponder_crd.kubernetes.paths import secrets as secrets_path
from transponder_crd.names import FIELD_MANAGER, LABEL_MANAGED_BY, LABEL_NAME, PRODUCT
from transponder_crd.store import AlreadyExists, Invalid, NotFound, Unavailable

DEFAULT_SECRET = "rtmp-transponder-control-key"  # noqa: S105 (a name)
DATA_KEY = "key"
KEY_BYTES = 32
"""Fewer are refused."""

FIRST_WAIT, LAST_WAIT = 0.2, 2.0


class ControlKey:
    """Shows nothing of itself."""

    def __init__(self, key: bytes) -> None:
        """Raises Invalid."""
        if len(key) < KEY_BYTES:
            raise Invalid(f"the control key must have at least {KEY_BYTES} bytes")
        self._key = key

    def token(self, pod_name: str) -> str:
        """The bearer token of that relay's control port: base64url of HMAC-SHA256 (RFC 2104), 43 characters."""
        digest = hmac.digest(self._key, b"relay-control\0" + pod_name.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    @property
    def mark(self) -> str:
        """Tells this key from others, and nothing of it: for everybody to see."""
        return hmac.digest(self._key, b"mark\0", "sha256").hex()[:8]

    def __repr__(self) -> str:
        return "ControlKey(…)"


async def ensure_control_key(kube: Kube, namespace: str, name: str = DEFAULT_SECRET) -> ControlKey:
    """Read it, or make it if there is none. Raises StoreError."""
    try:
        return _parse(await kube.get(secrets_path(namespace, name)), name)
    except NotFound:
        pass
    try:
        return _parse(await kube.create(secrets_path(namespace), _new(namespace, name)), name)
    except AlreadyExists:  # another one was faster, or an answer was lost
        return _parse(await kube.get(secrets_path(namespace, name)), name)


async def read_control_key(kube: Kube, namespace: str, name: str = DEFAULT_SECRET, timeout: float = 60.0) -> ControlKey:
    """Wait for it `timeout` seconds: the operator makes it at its start. Asks again and again, since a permission to
    watch would be one for all Secrets. Raises Unavailable, StoreError."""
    wait = FIRST_WAIT
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    return _parse(await kube.get(secrets_path(namespace, name)), name)
                except NotFound:
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, LAST_WAIT)
    except TimeoutError:
        raise Unavailable(f"Secret {name} does not exist: the operator, which makes it, does not run") from None


def _new(namespace: str, name: str) -> JsonObject:
    # text inside, as people make it too: openssl rand -base64 32
    text = base64.b64encode(secrets.token_bytes(KEY_BYTES))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {LABEL_NAME: PRODUCT, LABEL_MANAGED_BY: FIELD_MANAGER},
        },
        "data": {DATA_KEY: base64.b64encode(text).decode()},
    }


def _parse(secret: JsonObject, name: str) -> ControlKey:
    try:
        return ControlKey(base64.b64decode((secret.get("data") or {})[DATA_KEY], validate=True))
    except KeyError:
        raise Invalid(f"Secret {name} has no key {DATA_KEY}") from None
    except binascii.Error:
        raise Invalid(f"Secret {name}: {DATA_KEY} is not base64") from None
