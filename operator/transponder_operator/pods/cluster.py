"""The pods of one namespace as the operator sees and changes them; each call does one thing and may be done again."""

import contextlib
import logging
import random
import secrets
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.control_key import ControlKey
from transponder_crd.kubernetes.errors import Denied
from transponder_crd.kubernetes.mirror import Mirror
from transponder_crd.kubernetes.paths import config_maps, pods
from transponder_crd.kubernetes.paths import secrets as secret_path
from transponder_crd.kubernetes.relay_pods import DEFAULT_CONTROL_PORT, control_address
from transponder_crd.meta import OwnerReference
from transponder_crd.names import LABEL_INSTANCE, POOL_IDLE, stream_object_name
from transponder_crd.relay_host import Absence, RelayAddress
from transponder_crd.store import AlreadyExists, Conflict, Invalid, NotFound, Unavailable
from transponder_operator.pods.choose import to_claim
from transponder_operator.pods.manifest import (
    Claim,
    claim_patch,
    owner_list,
    relay_pod,
    template_hash,
    token_secret,
)
from transponder_operator.pods.ports import MediaMode, RelayPorts, pick_control_port, pick_media_block
from transponder_operator.pods.settings import PodSettings
from transponder_operator.pods.state import PodState, RelayPod, read_pod

logger = logging.getLogger(__name__)

JsonObject = dict[str, Any]

CLAIM_ATTEMPTS = 5

OTHER_KEY = Absence("ControlKeyChanged", "the relay has its token from another control key: it takes no orders")


async def find_pool_owner(kube: Kube, namespace: str, config_map: str) -> OwnerReference | None:
    """The owner of idle relays, so that they go with the installation. None: there is none. Raises StoreError."""
    if not config_map:
        return None
    try:
        found = await kube.get(config_maps(namespace, config_map))
    except NotFound:
        logger.warning("there is no ConfigMap %s: idle relays stay behind when the installation is removed", config_map)
        return None
    return OwnerReference(api_version="v1", kind="ConfigMap", name=config_map, uid=found["metadata"]["uid"])


class ClusterPods:
    """Reads from the mirror, writes to the API server; what it wrote is in the mirror at once."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        template: Mapping[str, Any],
        mirror: Mirror[JsonObject],
        key: ControlKey,
        settings: PodSettings,
        pool_owner: OwnerReference | None = None,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._template = template
        self._mirror = mirror
        self._key = key
        self._settings = settings
        self._pool_owner = pool_owner
        self._random = random.SystemRandom()
        self._taken: set[str] = set()
        """Names of pods that are being claimed or removed."""
        self._creating: dict[str, RelayPorts] = {}
        self._ended: set[str] = set()
        """uids of pods that were told to end; the mirror may not know yet."""
        self._has_token: set[str] = set()
        """uids of pods whose Secret is there."""
        self.template_hash = template_hash(template, settings)

    # ------------------------------------------------------------------------------------------ what is there

    def all(self) -> list[RelayPod]:
        return [self.read(raw) for raw in self._mirror.items()]

    def idle(self) -> list[RelayPod]:
        return [self.read(raw) for raw in self._mirror.of("pool", POOL_IDLE)]

    def of_stream(self, stream_name: str) -> list[RelayPod]:
        """Those that are not told to end."""
        raws = self._mirror.of("stream", stream_object_name(stream_name))
        return [pod for pod in map(self.read, raws) if not self.is_ended(pod)]

    def claimable(self) -> RelayPod | None:
        return to_claim(self.idle(), self.template_hash, self._taken)

    def read(self, raw: JsonObject) -> RelayPod:
        pod = read_pod(raw, self.now(), self._settings.start_seconds)
        if pod.key_mark not in (None, self._key.mark):
            pod = replace(pod, state=PodState.DEAD, trouble=OTHER_KEY)
        return replace(pod, deleting=True) if pod.uid in self._ended else pod

    def is_ended(self, pod: RelayPod) -> bool:
        """Whether we told it to end."""
        return pod.uid in self._ended

    @property
    def creating(self) -> int:
        """Pods that are being created and not in the mirror yet."""
        return len(self._creating)

    def address(self, pod: RelayPod) -> RelayAddress | None:
        """None: the pod has none yet, or does not run."""
        raw = self._mirror.raw(pod.name)
        return control_address(raw, self._key) if raw else None

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)

    # ------------------------------------------------------------------------------------------ changes

    async def create(self, claim: Claim | None) -> RelayPod:
        """A pod of the stream, or an idle one, and its token. Raises StoreError: Denied and Invalid when the API
        server does not take such a pod."""
        name = f"relay-{secrets.token_hex(4)}"
        ports = self._creating[name] = self._pick_ports()
        owner = self._pool_owner
        try:
            mark = self._key.mark
            body = relay_pod(self._template, self._settings, name, ports, key_mark=mark, claim=claim, pool_owner=owner)
            pod = self._wrote(await self._kube.create(pods(self._namespace), body))
            await self._give_token(pod)
        except (Denied, Invalid) as error:
            # without the name, which is another one at the next attempt: the same fault has the same text
            raise type(error)(str(error).replace(name, "relay")) from None
        finally:
            del self._creating[name]
        return pod

    async def give_missing_tokens(self) -> None:
        """To pods that were made by an operator that ended before it made the Secret. Raises StoreError."""
        for pod in self.all():
            waits = pod.starting and not pod.deleting and pod.name not in self._creating
            if waits and pod.uid not in self._has_token:
                await self._give_token(pod)

    async def claim(self, claim: Claim) -> RelayPod | None:
        """The idle pod that is the stream's now; None: there is none to have. Raises StoreError."""
        for _ in range(CLAIM_ATTEMPTS):
            idle = self.claimable()
            if idle is None:
                return None
            self._taken.add(idle.name)
            try:
                claimed = await self._claim(idle, claim)
            finally:
                self._taken.discard(idle.name)
            if claimed and _is_taken_by(claimed, claim):
                return claimed
        logger.warning("no idle relay could be claimed in %d attempts", CLAIM_ATTEMPTS)
        return None

    async def own(self, pod: RelayPod, owners: Sequence[OwnerReference]) -> RelayPod | None:
        """Have the pod be collected with the last of `owners`. None: it is gone. Raises StoreError."""
        patch = {"metadata": {"uid": pod.uid, "ownerReferences": owner_list(owners)}}
        try:
            return self._wrote(await self._kube.patch(pods(self._namespace, pod.name), patch, "merge"))
        except (NotFound, Conflict):  # another uid is a conflict
            return await self._look(pod)

    async def end(self, pod: RelayPod) -> bool:
        """SIGTERM, and SIGKILL `end_seconds` later. False: it changed, look again. Raises StoreError."""
        if self.is_ended(pod) or pod.name in self._taken:
            return True
        raw = self._mirror.raw(pod.name) or {}
        # an idle one may be another's by now; whoever ends one of a stream means it whatever it became
        version = raw.get("metadata", {}).get("resourceVersion") if pod.idle else None
        path, grace = pods(self._namespace, pod.name), self._settings.end_seconds
        self._taken.add(pod.name)
        try:
            await self._kube.delete(path, uid=pod.uid, resource_version=version, grace_seconds=grace)
            self._ended.add(pod.uid)
        except NotFound:
            self._mirror.forget(pod.name, pod.uid)
        except Conflict:
            await self._look(pod)
            return False
        finally:
            self._taken.discard(pod.name)
        return True

    def prune(self, uids: Set[str]) -> None:
        """`uids`: of all pods that there are; forget the others."""
        self._ended &= uids
        self._has_token &= uids

    # ------------------------------------------------------------------------------------------ parts

    async def _claim(self, idle: RelayPod, claim: Claim) -> RelayPod | None:
        try:
            return self._wrote(await self._kube.patch(pods(self._namespace, idle.name), claim_patch(claim), "json"))
        except (Invalid, Conflict, NotFound, Unavailable):
            # taken by somebody else; or it is ours and the answer was lost
            return await self._look(idle)

    async def _look(self, pod: RelayPod) -> RelayPod | None:
        """The pod as it is now; None: it is gone."""
        try:
            now = self._wrote(await self._kube.get(pods(self._namespace, pod.name)))
        except NotFound:
            self._mirror.forget(pod.name, pod.uid)
            return None
        return now if now.uid == pod.uid else None

    async def _give_token(self, pod: RelayPod) -> None:
        labels = (self._template.get("metadata") or {}).get("labels") or {}
        labels = {key: value for key, value in labels.items() if key == LABEL_INSTANCE}
        secret = token_secret(pod.name, pod.uid, self._key.token(pod.name), labels)
        with contextlib.suppress(AlreadyExists):
            await self._kube.create(secret_path(self._namespace), secret)
        self._has_token.add(pod.uid)

    def _pick_ports(self) -> RelayPorts:
        others = self.all()
        mode, ranges = self._settings.media_mode, self._settings
        if mode is MediaMode.HOST_NETWORK:
            in_use = [pod.control_port for pod in others] + [ports.control for ports in self._creating.values()]
            return RelayPorts(pick_control_port(ranges.control_port_range, in_use, self._random), None)
        if mode is MediaMode.HOST_PORT and ranges.media_port_range:
            blocks = [pod.media_ports for pod in others] + [ports.media for ports in self._creating.values()]
            taken = [block for block in blocks if block]
            block = pick_media_block(ranges.media_port_range, ranges.ports_per_relay, taken, self._random)
            return RelayPorts(DEFAULT_CONTROL_PORT, block)
        return RelayPorts(DEFAULT_CONTROL_PORT, None)

    def _wrote(self, raw: JsonObject) -> RelayPod:
        self._mirror.apply("MODIFIED", raw)
        return self.read(raw)


def _is_taken_by(pod: RelayPod, claim: Claim) -> bool:
    return pod.stream == stream_object_name(claim.stream_name) and not pod.deleting and pod.state is not PodState.DEAD
