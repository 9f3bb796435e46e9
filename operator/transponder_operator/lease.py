"""One active operator: a Lease (coordination.k8s.io/v1), kept as client-go's leader election keeps it.

The clocks of two machines are never compared. A candidate notes by its own clock when it first saw the Lease as it is,
and takes it when the Lease stayed as it is for longer than its holder promised to renew it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.paths import leases
from transponder_crd.store import AlreadyExists, Conflict, NotFound, StoreError

logger = logging.getLogger(__name__)

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What a Lease says. Equal records: nobody renewed it in between."""

    holder: str = ""
    """Empty: given back."""
    duration_seconds: float = 0.0
    transitions: int = 0
    """How often it changed hands."""
    renew_time: str = ""
    """As the holder wrote it: only compared for equality."""

    @classmethod
    def parse(cls, lease: JsonObject) -> "LeaseRecord":
        spec = lease.get("spec") or {}
        return cls(
            holder=spec.get("holderIdentity") or "",
            duration_seconds=float(spec.get("leaseDurationSeconds") or 0),
            transitions=int(spec.get("leaseTransitions") or 0),
            renew_time=spec.get("renewTime") or "",
        )


class Sighting(NamedTuple):
    record: LeaseRecord
    since: float
    """When it was first seen like this, by this process's monotonic clock."""

    def again(self, record: LeaseRecord, now: float) -> "Sighting":
        """Pure: what is seen at `now`."""
        return self if record == self.record else Sighting(record, now)


class Decision(StrEnum):
    RENEW = "renew"
    """It is ours, also when an earlier process of the same name left it."""
    TAKE = "take"
    """Nobody's: given back, or its holder fell silent."""
    WAIT = "wait"


def decide(sighting: Sighting, identity: str, now: float) -> Decision:
    """Pure: what a process called `identity` does about a Lease seen like this."""
    record = sighting.record
    if record.holder == identity:
        return Decision.RENEW
    if not record.holder or now - sighting.since > record.duration_seconds:
        return Decision.TAKE
    return Decision.WAIT


class Lease:
    """`acquire`, then `hold` as a task, then `release`. One process, one Lease."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        name: str,
        identity: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`identity`: of the pod, so that a process that is started again in it takes its own Lease back at once.
        `seconds`: after which others may take a Lease that is not renewed."""
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._sighting: Sighting | None = None
        self._renewed: float | None = None
        self.seen_at = clock()
        """When the API server last told of it."""
        self.retry_seconds = seconds * 2 / 15
        """As client-go: 2 s of 15."""
        self.deadline_seconds = seconds * 2 / 3
        """A holder that could not renew for so long stops acting, before anybody else may begin to: 10 s of 15."""

    @property
    def held(self) -> bool:
        return self._remaining > 0

    @property
    def _remaining(self) -> float:
        """Seconds for which it is held still."""
        return 0.0 if self._renewed is None else self._renewed + self.deadline_seconds - self._clock()

    async def acquire(self) -> None:
        """Returns once it is ours. Faults of the API server are waited out."""
        failures, told = 0, ""
        while True:
            try:
                async with asyncio.timeout(self.deadline_seconds):
                    if await self._attempt():
                        logger.info("lease %s: held by %s", self._name, self._identity)
                        return
                failures = 0
            except (StoreError, TimeoutError) as error:
                failures += 1
                level = logging.WARNING if failures == 2 else logging.DEBUG
                logger.log(level, "lease %s: %s", self._name, str(error) or "no answer in time")
            if self._holder and self._holder != told:
                told = self._holder
                logger.info("lease %s: held by %s; standing by", self._name, told)
            await asyncio.sleep(self.retry_seconds)

    async def seize(self) -> bool:
        """Take it, whoever has it; who had it learns of it at its next look. Had anybody? Raises StoreError."""
        while True:
            now = self._clock()
            try:
                lease = await self._kube.get(self._path, timeout=self.deadline_seconds)
            except NotFound:
                if await self._create():
                    return False
                continue
            record = LeaseRecord.parse(lease)
            try:
                await self._put(self._written(lease, record, self._identity, self._seconds))
            except (Conflict, NotFound):
                continue  # it was renewed in between
            self._won(now)
            return bool(record.holder)

    async def hold(self) -> None:
        """Renew it for as long as that succeeds; returns when it is lost."""
        while True:
            await asyncio.sleep(self.retry_seconds)
            try:
                async with asyncio.timeout(self._remaining):  # others count from the last renewal, not from this try
                    if not await self._attempt():
                        logger.error("lease %s: %s took it", self._name, self._holder or "somebody")
                        self._renewed = None
                        return
            except (StoreError, TimeoutError) as error:
                logger.warning("lease %s: not renewed: %s", self._name, str(error) or "no answer in time")
            if not self.held:
                logger.error("lease %s: not renewed for %.0f s", self._name, self.deadline_seconds)
                self._renewed = None
                return

    async def release(self) -> None:
        """Give it back, so that another need not wait. Faults are no matter: it runs out by itself."""
        if self._renewed is None:
            return
        self._renewed = None
        try:
            async with asyncio.timeout(self.retry_seconds):
                lease = await self._kube.get(self._path, timeout=self.retry_seconds)
                record = LeaseRecord.parse(lease)
                if record.holder == self._identity:
                    await self._put(self._written(lease, record, holder="", seconds=1))
                    logger.info("lease %s: given back", self._name)
        except (StoreError, TimeoutError) as error:
            logger.warning("lease %s: not given back: %s", self._name, str(error) or "no answer in time")

    # ------------------------------------------------------------------------------------------ one attempt

    async def _attempt(self) -> bool:
        """Look at the Lease and do what is to be done. Whether it is ours. Raises StoreError."""
        try:
            lease = await self._kube.get(self._path, timeout=self.deadline_seconds)
        except NotFound:
            return await self._create()
        record, now = LeaseRecord.parse(lease), self._clock()
        self.seen_at = now
        self._sighting = self._sighting.again(record, now) if self._sighting else Sighting(record, now)
        if decide(self._sighting, self._identity, now) == Decision.WAIT:
            return False
        try:
            await self._put(self._written(lease, record, self._identity, self._seconds))
        except (Conflict, NotFound):
            return await self._lost_race(now)
        return self._won(now)

    async def _lost_race(self, now: float) -> bool:
        """Somebody wrote in between, perhaps an earlier request of ours that was given up."""
        record = LeaseRecord.parse(await self._kube.get(self._path, timeout=self.deadline_seconds))
        self._sighting = Sighting(record, now)
        return self._won(now) if record.holder == self._identity else False

    async def _create(self) -> bool:
        now = self._clock()
        lease: JsonObject = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
        }
        body = self._written(lease, LeaseRecord(), self._identity, self._seconds)
        try:
            await self._kube.create(leases(self._namespace), body, timeout=self.deadline_seconds)
        except AlreadyExists:
            return False
        self.seen_at = now
        return self._won(now)

    async def _put(self, lease: JsonObject) -> None:
        await self._kube.replace(self._path, lease, timeout=self.deadline_seconds)

    def _won(self, now: float) -> bool:
        """`now`: before the request was sent, so that it is never held for longer than others believe."""
        self._renewed = now
        return True

    @staticmethod
    def _written(lease: JsonObject, record: LeaseRecord, holder: str, seconds: float) -> JsonObject:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = lease.get("spec") or {}
        passed_on = holder != record.holder and bool(holder)
        spec = {
            **old,
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(seconds)),
            "renewTime": now,
            "acquireTime": now if passed_on else old.get("acquireTime", now),
            "leaseTransitions": record.transitions + (1 if passed_on and "spec" in lease else 0),
        }
        return {**lease, "spec": spec}

    @property
    def _path(self) -> str:
        return leases(self._namespace, self._name)

    @property
    def _holder(self) -> str:
        return self._sighting.record.holder if self._sighting else ""
