"""List and watch: keeps a mirror as the API server is."""

import asyncio
import logging
import random
import time
from contextlib import aclosing
from typing import Generic, Never, TypeVar

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.mirror import Mirror
from transponder_crd.store import Gone, StoreError

logger = logging.getLogger(__name__)

R = TypeVar("R")

FIRST_WAIT, LAST_WAIT = 0.2, 15.0
"""Seconds between two attempts when the API server cannot be asked."""
SHORT_WATCH_SECONDS = 1.0
"""A watch that ends sooner, and says nothing, counts as a failure: it would be asked for without a pause."""


class Informer(Generic[R]):
    """Feeds `mirror` with what is at `path`. A watch that ends goes on where it was; when that is not possible all is
    listed again, and what vanished meanwhile is told as DELETED."""

    def __init__(self, kube: Kube, path: str, mirror: Mirror[R], *, label_selector: str | None = None) -> None:
        self._kube = kube
        self._path = path
        self._mirror = mirror
        self._label_selector = label_selector
        self._version: str | None = None
        self._failures = 0
        self.last_contact = time.monotonic()
        """When the API server last said something (`time.monotonic`): at least once a minute, by its bookmarks."""

    async def run(self) -> Never:
        """Until cancelled."""
        while True:
            try:
                if self._version is None:
                    self._version = await self._list()
                await self._watch(self._version)
            except Gone:
                logger.debug("%s: the watch fell behind: listing again", self._path)
                self._version = None
            except StoreError as error:
                self._failures += 1
                logger.log(logging.WARNING if self._failures == 1 else logging.DEBUG, "%s", error)
                await asyncio.sleep(_wait(self._failures))

    async def _list(self) -> str:
        items, version = await self._kube.list(self._path, label_selector=self._label_selector)
        self._contact()
        self._mirror.replace(items, version)
        return version

    async def _watch(self, version: str) -> None:
        began = time.monotonic()
        said = False
        async with aclosing(self._kube.watch(self._path, version, label_selector=self._label_selector)) as events:
            async for type_, obj in events:
                said = True
                self._contact()
                self._mirror.apply(type_, obj)
                self._version = obj["metadata"]["resourceVersion"]
        if not said and time.monotonic() - began < SHORT_WATCH_SECONDS:
            raise StoreError(f"{self._path}: the watch ended at once")
        self._contact()

    def _contact(self) -> None:
        self.last_contact = time.monotonic()
        self._failures = 0


def _wait(failures: int) -> float:
    """Exponential with jitter."""
    return min(LAST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
