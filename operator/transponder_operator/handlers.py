"""kopf's handlers: each tells one event of the watch, and no more. kopf keeps nothing on the objects."""

from collections.abc import Callable
from typing import Any, Protocol

import kopf

from transponder_crd.resource import GROUP, VERSION, RtmpTransponder, Stream

PODS = "pods"
WATCHED = (RtmpTransponder.PLURAL, Stream.PLURAL, PODS)

SERVER_SECONDS = 300
"""The API server ends a watch by itself after this, and kopf begins it again."""
CLIENT_SECONDS = 310
CONNECT_SECONDS = 30


class Tell(Protocol):
    """Takes one event. `kind` is one of WATCHED; `event_type` is None for what a listing found."""

    def __call__(self, kind: str, event_type: str | None, obj: dict[str, Any]) -> None: ...


class Delays:
    """1, 1, 2, 3, 5, 8 and then 13 s, for ever: an API server that is away is no reason to end. Iterable many times."""

    def __iter__(self) -> "Any":
        yield from (1, 1, 2, 3, 5, 8)
        while True:
            yield 13


def register(tell: Tell, login: Callable[[], kopf.ConnectionInfo]) -> kopf.OperatorRegistry:
    """A registry of these handlers alone."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return login()

    @kopf.on.event(GROUP, VERSION, RtmpTransponder.PLURAL, registry=registry)
    async def transponder(event: kopf.RawEvent, **_: Any) -> None:
        tell(RtmpTransponder.PLURAL, event["type"], dict(event["object"]))

    @kopf.on.event(GROUP, VERSION, Stream.PLURAL, registry=registry)
    async def stream(event: kopf.RawEvent, **_: Any) -> None:
        tell(Stream.PLURAL, event["type"], dict(event["object"]))

    @kopf.on.event("", "v1", PODS, registry=registry)
    async def pod(event: kopf.RawEvent, **_: Any) -> None:
        tell(PODS, event["type"], dict(event["object"]))

    return registry


def kopf_settings(pod_selector: str) -> kopf.OperatorSettings:
    """`pod_selector`: the label selector of relay pods; kopf watches no others."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # it would list namespaces and CRDs of the whole cluster
    settings.peering.standalone = True  # one is active by the Lease
    settings.posting.enabled = False
    settings.watching.server_timeout = SERVER_SECONDS
    settings.watching.client_timeout = CLIENT_SECONDS
    settings.watching.connect_timeout = CONNECT_SECONDS
    settings.watching.label_selectors["", "v1", PODS] = pod_selector
    settings.networking.connect_timeout = CONNECT_SECONDS
    settings.networking.error_backoffs = Delays()
    settings.process.ultimate_exiting_timeout = None  # its SIGKILL would be for the whole program
    # Neither is written while there are handlers of events alone; a name of ours, should there ever be others.
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{GROUP}")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=f"kopf.{GROUP}")
    return settings
