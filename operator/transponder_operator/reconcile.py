"""Joins the pure parts: one call makes the world of one stream a step more like its objects say."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from transponder_crd.control import DesiredRelay, RelayReport
from transponder_crd.defaults import Defaults
from transponder_crd.destination import Destination
from transponder_crd.meta import OwnerReference
from transponder_crd.names import FINALIZER, loggable, stream_object_name
from transponder_crd.relay_host import RelayAddress, RelayHost
from transponder_crd.resource import RtmpTransponder, Secret, SecretKeyRef, Stream, StreamPhase
from transponder_crd.store import Conflict, NotFound, Store
from transponder_operator.ages import Ages
from transponder_operator.auto_start import AutoStart
from transponder_operator.desired import (
    Problem,
    ProblemReason,
    ResolvedDestination,
    ResolvedTransponder,
    desired_relay,
    resolve_destination,
)
from transponder_operator.observed import Sight, stream_status, transponder_status
from transponder_operator.relays import RelayError
from transponder_operator.transitions import Notice, stream_line, stream_notice, transponder_line, transponder_notice

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
"""How long a deletion waits for its RTMP session to end in order."""

SECRET_GRACE_SECONDS = 2.0
"""A transponder is created before its Secret: for so long a missing Secret is no failure."""

SECRET_SOON_SECONDS = 0.2
SECRET_RETRY_SECONDS = 10.0
"""Secrets are not watched: a missing one is looked for again so often."""

MAX_PASSES = 5


class RelayLinks(Protocol):
    """What the reconciler needs of `relays.Relays`."""

    async def put_desired(self, address: RelayAddress, desired: DesiredRelay) -> None: ...
    def follow(self, stream_name: str, address: RelayAddress) -> None: ...
    def unfollow(self, stream_name: str) -> None: ...
    def report(self, stream_name: str) -> RelayReport | None: ...
    async def first_report(self, stream_name: str) -> None: ...


def utc_now() -> datetime:
    """Whole seconds, as Kubernetes keeps times."""
    return datetime.now(UTC).replace(microsecond=0)


class Reconciler:
    """Level-triggered: `reconcile` may be called at any time and any number of times, but once at a time for a stream.

    What it keeps between calls is a memory only: what relays acknowledged (losing it costs one PUT each), and since
    when objects are there.
    """

    def __init__(
        self,
        store: Store,
        host: RelayHost,
        relays: RelayLinks,
        defaults: Defaults,
        clock: Callable[[], datetime] = utc_now,
        *,
        auto_start: Destination | None = None,
        tell: Callable[[RtmpTransponder | Stream, Notice], None] = lambda _obj, _notice: None,
    ) -> None:
        """`auto_start`: where every published stream goes by itself. `tell` is called with each transition."""
        self._store = store
        self._host = host
        self._relays = relays
        self._defaults = defaults
        self._clock = clock
        self._auto_start = AutoStart(store, auto_start, defaults) if auto_start else None
        self._tell = tell
        self._acknowledged: dict[str, tuple[str, DesiredRelay]] = {}
        self._ages = Ages()

    async def reconcile(self, stream_name: str) -> float | None:
        """Seconds after which to call again although nothing changed, or None.

        Raises RelayError when a relay refuses its desired state (statuses are written all the same), StoreError.
        """
        for _ in range(MAX_PASSES - 1):
            try:
                return await self._pass(stream_name, self._clock())
            except Conflict:
                continue  # somebody wrote in between: look again
        return await self._pass(stream_name, self._clock())

    async def _pass(self, stream_name: str, now: datetime) -> float | None:
        stream, found = await self._objects(stream_name)
        transponders = [held for held in [await self._held(transponder) for transponder in found] if held]
        ages = self._ages.look(stream_name, transponders, now)
        resolved = [await self._resolve(transponder) for transponder in transponders]
        settled = [one for one in resolved if not _secret_may_come(one, ages)]
        desired = desired_relay(stream_name, settled, stream, self._defaults)
        failure: RelayError | None = None
        sight = Sight(None, None)
        if desired is not None:
            owners = [obj.owner_reference() for obj in (*transponders, stream) if obj and not obj.deleting]
            sight, failure = await self._drive(stream_name, desired, owners)
        again = [await self._write_stream(stream, sight)] if stream else []
        written = [await self._write_transponder(one, sight, now) for one in settled]
        if desired is None:
            await self._end_relay(stream_name)
        again += [await self._release(transponder, sight, ages) for transponder in written if transponder]
        again += [_look_again(one, ages) for one in resolved]
        again += [await self._auto_start.start(stream, resolved)] if self._auto_start else []
        if failure:
            raise failure
        return min((seconds for seconds in again if seconds is not None), default=None)

    async def _objects(self, stream_name: str) -> tuple[Stream | None, list[RtmpTransponder]]:
        streams = await self._store.of_stream(Stream, stream_name)
        transponders = await self._store.of_stream(RtmpTransponder, stream_name)
        # one of another name, made by hand, would be a second publisher
        stream = next((one for one in streams if one.name == stream_object_name(stream_name)), None)
        return stream, list(transponders)

    async def _held(self, transponder: RtmpTransponder) -> RtmpTransponder | None:
        """With our finalizer, which those of kubectl lack: no output is begun that none would end. None: it is gone."""
        metadata = transponder.metadata
        if transponder.deleting or FINALIZER in metadata.finalizers:
            return transponder
        metadata = metadata.model_copy(update={"finalizers": [*metadata.finalizers, FINALIZER]})
        try:
            return await self._store.update(transponder.model_copy(update={"metadata": metadata}))
        except NotFound:
            return None

    async def _resolve(self, transponder: RtmpTransponder) -> ResolvedTransponder:
        spec = transponder.spec
        url = spec.rtmp_url if spec.rtmp_url_from is None else await self._reveal(spec.rtmp_url_from.secret_key_ref)
        if url is None:
            problem = Problem(ProblemReason.SECRET_MISSING, "the Secret of rtmpUrlFrom, or its key, does not exist")
            return ResolvedTransponder(transponder, problem)
        return ResolvedTransponder(transponder, resolve_destination(spec, url, self._defaults))

    async def _reveal(self, reference: SecretKeyRef) -> str | None:
        try:
            secret = await self._store.get(Secret, reference.name)
        except NotFound:
            return None
        value = secret.string_data.get(reference.key)
        return value.get_secret_value() if value else None

    # ------------------------------------------------------------------------------------------ relay

    async def _drive(
        self, stream_name: str, desired: DesiredRelay, owners: Sequence[OwnerReference]
    ) -> tuple[Sight, RelayError | None]:
        """Have a relay run, tell it what to do unless it knows, and look at it."""
        address = await self._host.ensure(stream_name, owners)
        if address is None:
            self._forget(stream_name)
            return Sight(None, None, self._host.absence(stream_name)), None
        failure = None
        if self._acknowledged.get(stream_name) != (address.instance, desired):
            try:
                await self._relays.put_desired(address, desired)
                self._acknowledged[stream_name] = (address.instance, desired)
            except RelayError as error:
                failure = error
        self._relays.follow(stream_name, address)
        if not failure:
            # a moment's patience: else each start of this program would write that all relays are silent
            await self._relays.first_report(stream_name)
        return Sight(address.instance, self._relays.report(stream_name)), failure

    async def _end_relay(self, stream_name: str) -> None:
        address = await self._host.address(stream_name)
        if address:
            # a relay that is ended goes on for a publisher that it has, unless it knows that nobody wants it
            with contextlib.suppress(RelayError):
                await self._relays.put_desired(address, DesiredRelay(stream_name=stream_name))
        self._forget(stream_name)
        await self._host.delete(stream_name)

    def _forget(self, stream_name: str) -> None:
        self._relays.unfollow(stream_name)
        self._acknowledged.pop(stream_name, None)

    # ------------------------------------------------------------------------------------------ objects

    async def _write_transponder(
        self, resolved: ResolvedTransponder, sight: Sight, now: datetime
    ) -> RtmpTransponder | None:
        """The object with its new status; None if it is gone."""
        transponder = resolved.transponder
        status = transponder_status(resolved, sight, now)
        if status == transponder.status:
            return transponder
        try:
            written = await self._store.update_status(transponder.model_copy(update={"status": status}))
        except NotFound:
            return None
        if line := transponder_line(transponder, status):
            logger.info(line)
        if notice := transponder_notice(transponder, status):
            self._tell(transponder, notice)
        return written

    async def _write_stream(self, stream: Stream, sight: Sight) -> float | None:
        status = stream_status(stream, sight)
        try:
            if status != stream.status:
                await self._store.update_status(stream.model_copy(update={"status": status}))
                if line := stream_line(stream, status):
                    logger.info(line)
                if notice := stream_notice(stream, status):
                    self._tell(stream, notice)
            if status.phase != StreamPhase.ENDED or stream.deleting:
                return None
            await self._store.delete(Stream, stream.name, stream.uid)
        except NotFound:
            return None
        return 0.0  # its relay has no publisher any more

    async def _release(self, transponder: RtmpTransponder, sight: Sight, ages: Mapping[str, float]) -> float | None:
        """Let a deleted transponder go once its output is closed, and after CLOSE_SECONDS in any case."""
        finalizers = transponder.metadata.finalizers
        if not transponder.deleting or FINALIZER not in finalizers:
            return None
        closed = sight.instance is None or (sight.report is not None and sight.output(transponder) is None)
        remaining = CLOSE_SECONDS - ages.get(transponder.uid, 0.0)
        if not closed and remaining > 0:
            return remaining
        others = [finalizer for finalizer in finalizers if finalizer != FINALIZER]
        metadata = transponder.metadata.model_copy(update={"finalizers": others})
        try:
            await self._store.update(transponder.model_copy(update={"metadata": metadata}))
        except NotFound:
            return None
        logger.info("transponder %s → %s: ended", loggable(transponder.spec.stream_name), _destination(transponder))
        return None


def _secret_may_come(resolved: ResolvedTransponder, ages: Mapping[str, float]) -> bool:
    transponder, destination = resolved
    missing = isinstance(destination, Problem) and destination.reason == ProblemReason.SECRET_MISSING
    return missing and not transponder.deleting and ages[transponder.uid] < SECRET_GRACE_SECONDS


def _look_again(resolved: ResolvedTransponder, ages: Mapping[str, float]) -> float | None:
    transponder, destination = resolved
    if isinstance(destination, ResolvedDestination) or destination.reason != ProblemReason.SECRET_MISSING:
        return None
    if transponder.deleting:
        return None
    return SECRET_SOON_SECONDS if _secret_may_come(resolved, ages) else SECRET_RETRY_SECONDS


def _destination(transponder: RtmpTransponder) -> str:
    return transponder.status.destination or transponder.name
