"""`transponder-operator --uninstall`: what a Helm hook runs before a release is removed.

Nobody is left afterwards who would take the finalizer from transponders, or tell relays anything. So no operator acts
any more, relays end, streams go with their publishers, and transponders stay, without finalizer, for a later release.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from transponder_crd.control import DesiredRelay
from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.connection import NoCluster
from transponder_crd.kubernetes.control_key import ControlKey, read_control_key
from transponder_crd.kubernetes.errors import Denied, JsonObject
from transponder_crd.kubernetes.paths import objects, pods
from transponder_crd.kubernetes.relay_pods import control_address
from transponder_crd.names import ANNOTATION_STREAM_NAME
from transponder_crd.resource import RtmpTransponder, Stream
from transponder_crd.start_error import StartError
from transponder_crd.store import NotFound, StoreError, Unavailable
from transponder_operator.finalizers import is_held, let_go
from transponder_operator.installations import EVERYWHERE
from transponder_operator.lease import Lease
from transponder_operator.operator_settings import OperatorSettings
from transponder_operator.pod_hosts import read_relay_template, relay_selector
from transponder_operator.relays import RelayError, Relays

logger = logging.getLogger(__name__)

FAULT = 1
PASS_SECONDS = 0.5
LIMIT_SECONDS = 90.0
"""A relay that does not end in time is killed after its grace; what takes longer than all that is a fault."""


async def uninstall(settings: OperatorSettings) -> int:
    """The exit code: 0, or FAULT when something stayed. Raises StartError."""
    selector = relay_selector(read_relay_template(settings.relay_template))
    try:
        kube, lease_kube = Kube.connect(), Kube.connect()
    except NoCluster as error:
        raise StartError(str(error)) from None
    try:
        async with Relays(lambda _stream_name: None) as relays, asyncio.timeout(LIMIT_SECONDS):
            await _Uninstall(settings, selector, kube, lease_kube, relays).run()
    except TimeoutError:
        logger.error("not all could be ended within %.0f s", LIMIT_SECONDS)
        return FAULT
    except StoreError as error:
        logger.error("%s", error)
        return FAULT
    finally:
        await asyncio.gather(kube.close(), lease_kube.close())
    return 0


class _Uninstall:
    def __init__(self, settings: OperatorSettings, selector: str, kube: Kube, lease_kube: Kube, relays: Relays) -> None:
        self._settings = settings
        self._selector = selector
        self._kube = kube
        self._relays = relays
        self._own = settings.namespace or kube.namespace
        self._namespaces = [EVERYWHERE] if settings.everywhere else list(settings.namespaces or [self._own])
        self._lease = Lease(lease_kube, self._own, settings.lease_name, settings.pod_name, settings.lease_seconds)
        self._told: set[str] = set()
        """uids of relays that were told to end."""

    async def run(self) -> None:
        """Raises StoreError."""
        await self._become_the_only_one()
        holding = asyncio.create_task(self._lease.hold())
        try:
            key = await self._key()
            while await self._pass(key):  # noqa: ASYNC110 (pods and objects are not watched here)
                await asyncio.sleep(PASS_SECONDS)
        finally:
            holding.cancel()
            await asyncio.wait({holding})
        logger.info("nothing is relayed any more, and no transponder is held")

    async def _become_the_only_one(self) -> None:
        """It keeps the Lease: the operator, which is still there, must not begin anew."""
        if await self._lease.seize():
            # a holder looks at its Lease so often, and ends when it is another's
            await asyncio.sleep(2 * self._lease.retry_seconds)

    async def _key(self) -> ControlKey | None:
        try:
            return await read_control_key(self._kube, self._own, self._settings.control_key_secret, timeout=1.0)
        except Unavailable:
            return None  # there never was a relay

    async def _pass(self, key: ControlKey | None) -> bool:
        """Is there anything that is not at its end?"""
        left = False
        for namespace in self._namespaces:
            relays = await self._list(pods(namespace), self._selector)
            await asyncio.gather(*(self._end(relay, key) for relay in relays))
            for stream in await self._list(objects(Stream, namespace)):
                await self._delete(objects(Stream, stream["metadata"]["namespace"], stream["metadata"]["name"]))
            held = [one for one in await self._list(objects(RtmpTransponder, namespace)) if is_held(one)]
            await asyncio.gather(*(let_go(self._kube, transponder) for transponder in held))
            left = left or bool(relays or held)
        return left

    async def _list(self, path: str, selector: str | None = None) -> Sequence[JsonObject]:
        try:
            return (await self._kube.list(path, label_selector=selector)).items
        except NotFound:  # the custom resources are gone, and with them all objects
            return []
        except Denied as error:  # a namespace that is gone, and with it the right to look into it
            logger.warning("%s", error)
            return []

    async def _end(self, relay: JsonObject, key: ControlKey | None) -> None:
        """In order, and in a few seconds: one that is merely told to end goes on while it has a publisher."""
        metadata = relay["metadata"]
        if metadata["uid"] in self._told:
            return
        self._told.add(metadata["uid"])
        stream_name = (metadata.get("annotations") or {}).get(ANNOTATION_STREAM_NAME)
        address = control_address(relay, key) if key else None
        if stream_name and address:
            with contextlib.suppress(RelayError):
                await self._relays.put_desired(address, DesiredRelay(stream_name=stream_name))
        path = pods(metadata["namespace"], metadata["name"])
        await self._delete(path, metadata["uid"], self._settings.end_seconds)

    async def _delete(self, path: str, uid: str | None = None, grace_seconds: int | None = None) -> None:
        with contextlib.suppress(NotFound):
            await self._kube.delete(path, uid=uid, grace_seconds=grace_seconds)
