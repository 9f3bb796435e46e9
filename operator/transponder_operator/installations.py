"""The namespaces that are served, and the way of what the watch and listings find to each of them."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from transponder_crd.kubernetes.errors import JsonObject
from transponder_operator.handlers import WATCHED
from transponder_operator.installation import Hosts, Installation
from transponder_operator.watch_log import WatchLog

EVERYWHERE = ""
"""Stands for all namespaces."""


class Installations:
    """One for each namespace of a given set; or for all namespaces, as they turn up."""

    def __init__(
        self,
        namespaces: Sequence[str],
        make: Callable[[str], Installation],
        hosts: Hosts,
        relisted: Callable[[], None],
    ) -> None:
        """`namespaces`: names, or EVERYWHERE alone. `relisted` is called when the watch tells what is there, as it does
        at its beginning, and of a namespace that is new."""
        self._everywhere = EVERYWHERE in namespaces
        self._make = make
        self._hosts = hosts
        self._relisted = relisted
        self._all: dict[str, Installation] = {name: make(name) for name in namespaces if name != EVERYWHERE}
        self._logs = {(kind, scope): WatchLog() for scope in namespaces for kind in WATCHED}
        self._told_at = dict.fromkeys(WATCHED, time.monotonic())

    def __iter__(self) -> Iterator[Installation]:
        return iter(list(self._all.values()))

    def tell(self, kind: str, event_type: str | None, obj: JsonObject) -> None:
        """The watch told; an event type of None: at its beginning, of what is there."""
        namespace = obj["metadata"]["namespace"]
        scope = EVERYWHERE if self._everywhere else namespace
        if (kind, scope) not in self._logs:
            return
        self._told_at[kind] = time.monotonic()
        self._logs[kind, scope].tell(obj)
        if event_type is None or namespace not in self._all:
            self._relisted()
        self.get(namespace).apply(kind, event_type, obj)

    def get(self, namespace: str) -> Installation:
        if namespace not in self._all:
            self._all[namespace] = self._make(namespace)
        return self._all[namespace]

    def names(self, scope: str) -> list[str]:
        """Of the namespaces within `scope`, which is one or EVERYWHERE."""
        return list(self._all) if scope == EVERYWHERE else [scope]

    def watch_log(self, kind: str, scope: str) -> WatchLog:
        return self._logs[kind, scope]

    def open_listed(self) -> None:
        """Begin to work for those whose objects have been listed."""
        for installation in self._all.values():
            installation.open_soon(self._hosts)

    async def close(self) -> None:
        await asyncio.gather(*(installation.close() for installation in self._all.values()))

    # ------------------------------------------------------------------------------------------ how it is

    @property
    def are_open(self) -> bool:
        return all(installation.is_open for installation in self._all.values())

    @property
    def longest_work(self) -> float:
        """Seconds for which the oldest of all reconciliations under way has been going on."""
        return max((installation.queue.longest for installation in self._all.values()), default=0.0)

    def watch_silence(self) -> dict[str, float]:
        """By kind: seconds since the watch told anything."""
        now = time.monotonic()
        return {kind: now - at for kind, at in self._told_at.items()}

    def watch_missed(self) -> dict[str, float]:
        """By kind: seconds for which the watch has not told what a listing found."""
        now = time.monotonic()
        missed = dict.fromkeys(WATCHED, 0.0)
        for (kind, _), log in self._logs.items():
            missed[kind] = max(missed[kind], log.longest_missed(now))
        return missed
