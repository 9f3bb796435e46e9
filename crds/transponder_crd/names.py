"""Names of objects, labels and finalizers. Object names are DNS-1123 labels (RFC 1123; at most 63 characters), since
they become names of pods, services and host names too.

A name is a readable slug and a hash of the whole source, so that streams whose slugs agree ("A b", "a-b") differ.
"""

import re
import secrets
from hashlib import sha256
from typing import overload
from uuid import NAMESPACE_URL, uuid5

from transponder_crd.resource import GROUP, Resource, RtmpTransponder, Stream

FINALIZER = f"{GROUP}/close-output"
"""Holds a transponder until its RTMP session was ended in order."""

FIELD_MANAGER = "rtmp-transponder"
"""Who we are in Kubernetes' managedFields, and the value of the `managed-by` label."""

LABEL_STREAM = f"{GROUP}/stream"
"""Its value is `stream_object_name(stream)`: a stream's own name may hold what a label value may not."""
LABEL_NAME = "app.kubernetes.io/name"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_POOL = f"{GROUP}/pool"
"""On a relay pod that serves no stream yet (`POOL_IDLE`); a claimed one has `LABEL_STREAM` in its place."""

PRODUCT = "rtmp-transponder"
"""Value of `LABEL_NAME`."""
COMPONENT_RELAY = "relay"
"""Value of `LABEL_COMPONENT` on relay pods."""
POOL_IDLE = "idle"

ANNOTATION_STREAM_NAME = f"{GROUP}/stream-name"
"""On a claimed relay pod: the stream's own name, which may hold what a label value may not."""
ANNOTATION_CLAIMED_AT = f"{GROUP}/claimed-at"
"""On a claimed relay pod: when (RFC 3339). Of two pods of one stream the one that was claimed first stays."""
ANNOTATION_CONTROL_PORT = f"{GROUP}/control-port"
"""On a relay pod: the TCP port of its control port."""
ANNOTATION_MEDIA_PORTS = f"{GROUP}/media-ports"
"""On a relay pod: first and last UDP port of its media (`30000-30003`); absent where they are not its own."""
ANNOTATION_KEY_MARK = f"{GROUP}/key-mark"
"""On a relay pod: by which control key its token was made (`ControlKey.mark`)."""
ANNOTATION_TEMPLATE_HASH = f"{GROUP}/template-hash"
"""On a relay pod: of what it was made; another one than that of today is an older one."""

ANNOTATION_MEDIA_SESSION_ID = f"{GROUP}/media-session-id"
"""On a Stream: the id that its publisher gave it (WebSDK). See `stream_session_id`."""
ANNOTATION_ICE_SESSION = f"{GROUP}/ice-session"
"""On a Stream published by WHIP: the entity tag of its ICE session."""
ANNOTATION_END_REASON = f"{GROUP}/end-reason"
"""On a Stream that is about to be deleted: why, as a WCS `info` string, for the publisher to be told."""

ANNOTATION_AUTO_STARTED = f"{GROUP}/auto-started"
"""On a Stream: its automatic transponder was made, so that one that somebody ends does not come back."""
ANNOTATION_DESTINATION = f"{GROUP}/destination"
"""On a transponder: the redacted URL, for the time before its status has it."""

MAX_LENGTH = 63
HASH_LENGTH = 16
"""Hex digits: 64 bits."""


def transponder_object_name(stream_name: str, rtmp_url: str) -> str:
    """One name for each pair of stream and URL as given, so that the store itself refuses the second of a pair."""
    # the length in front keeps ("ab", "c") apart from ("a", "bc")
    return _named(stream_name, f"{len(stream_name)}:{stream_name}{rtmp_url}")


def stream_object_name(stream_name: str) -> str:
    """One name for each stream name, so that a stream is published once at a time."""
    return _named(stream_name, stream_name)


def url_secret_name(transponder_name: str) -> str:
    """A new name for the Secret with a transponder's URL: nobody has to look whether an earlier one is in its way."""
    return f"{transponder_name[: MAX_LENGTH - 7].rstrip('-.')}-{secrets.token_hex(3)}"


def relay_object_name(stream_name: str) -> str:
    """Name of the relay's pod or process; it starts with a letter, as a Service (RFC 1035) wants it."""
    return _named(f"relay-{stream_name}", stream_name)


@overload
def stream_name_of(obj: RtmpTransponder | Stream) -> str: ...
@overload
def stream_name_of(obj: Resource) -> str | None: ...
def stream_name_of(obj: Resource) -> str | None:
    """The stream that a transponder or a Stream is about; None for what is about none."""
    if isinstance(obj, RtmpTransponder):
        return obj.spec.stream_name
    return obj.spec.name if isinstance(obj, Stream) else None


def stream_session_id(stream: Stream) -> str:
    """By which `mediaSessionId` a Stream is known to people: its publisher's own one, else one that tells nothing of
    the uid, which is all that is needed to end a WHIP session."""
    own = stream.metadata.annotations.get(ANNOTATION_MEDIA_SESSION_ID)
    return own or str(uuid5(NAMESPACE_URL, f"{GROUP}/session/{stream.uid}"))


def loggable(stream_name: str) -> str:
    """A stream name for the log: some sites put a query with a key into it."""
    name, query, _ = stream_name.partition("?")
    return name + ("?…" if query else "")


def _named(readable: str, identity: str) -> str:
    digest = sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]
    readable = readable.partition("?")[0]  # some sites put a key into the query of a stream name
    slug = re.sub(r"[^a-z0-9]+", "-", readable.lower()).strip("-")
    slug = slug[: MAX_LENGTH - HASH_LENGTH - 1].rstrip("-")
    return f"{slug or 'stream'}-{digest}"
