"""Joins store, API, reconcile loop and relays in one event loop, and ends them in order."""

import asyncio
import contextlib
import logging
import os
import signal
import ssl
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path

from transponder_api.app import create_app
from transponder_api.doors import Listeners, listening
from transponder_api.server import serving_all
from transponder_api.serving import public_doors
from transponder_api.tls import renewed, server_tls
from transponder_api.websdk.app import create_websdk_app
from transponder_crd.resource import Stream
from transponder_crd.sqlite_store import SqliteStore
from transponder_crd.start_error import StartError
from transponder_crd.store import NotFound, Store, StoreError
from transponder_crd.tasks import fault, first_ended, on_signals, running
from transponder_local.banner import banner
from transponder_local.children import ChildRelays
from transponder_local.command_line import option
from transponder_local.loop import watch_all
from transponder_local.settings import LocalSettings
from transponder_local.zygote import ZygoteError
from transponder_operator.reconcile import Reconciler
from transponder_operator.relays import Relays
from transponder_operator.work_queue import WorkQueue

logger = logging.getLogger(__name__)

FORCED = 130
FAULT = 1


async def run(settings: LocalSettings) -> int:
    """Serve until Ctrl-C or SIGTERM. The exit code: 0, or FAULT when a part ended by itself. Raises StartError."""
    stop = asyncio.Event()
    if unused := settings.unused_properties:
        logger.info("%d of the properties mean nothing here: %s", len(unused), ", ".join(unused))

    async def reconcile(stream_name: str) -> float | None:
        return await reconciler.reconcile(stream_name)

    async with AsyncExitStack() as stack:
        store = stack.enter_context(_open_store(settings))
        _make_folder(settings.sounds_folder, "--sounds")
        tls = server_tls(settings, option)
        listeners = stack.enter_context(listening(settings, named=option))
        await _forget_publishers(store)
        queue = WorkQueue(reconcile)
        host = ChildRelays(settings.relay_template(), queue.wake)
        stack.enter_context(on_signals(partial(_end_by, stop, host), _ending()))
        stack.push_async_callback(host.close)
        relays = await stack.enter_async_context(Relays(queue.wake))
        auto_start = settings.auto_start_destination()
        reconciler = Reconciler(store, host, relays, settings.defaults, auto_start=auto_start)
        await stack.enter_async_context(running(_prepare(host), "zygote"))
        stack.push_async_callback(queue.close)
        watching = await stack.enter_async_context(running(watch_all(store, queue.wake), "watch"))
        await stack.enter_async_context(renewed(settings, tls, option))
        await stack.enter_async_context(_serving(settings, store, host, listeners, tls))
        numbers = {port: listener.getsockname()[1] for port, listener in listeners.items()}
        print(banner(settings, numbers), flush=True)  # noqa: T201 (what the command is to print)
        if ended := await first_ended(stop, [watching]):
            logger.critical("%s ended by itself", ended.get_name(), exc_info=fault(ended))
        logger.info("ending")
    if not stop.is_set():
        return FAULT
    logger.info("ended")
    return 0


def _serving(
    settings: LocalSettings, store: Store, host: ChildRelays, listeners: Listeners, tls: ssl.SSLContext | None
) -> AbstractAsyncContextManager[None]:
    """REST and all that is beside it, and the WebSDK, each at its ports."""
    api = create_app(settings, store, host)
    doors = public_doors(api, create_websdk_app(api, store), listeners, tls)
    return serving_all(doors, around=[api])  # the WebSDK uses the API's services, also where only its port is open


def _make_folder(folder: Path, option: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"{option} {folder}: {error.strerror}") from None


@contextmanager
def _open_store(settings: LocalSettings) -> Iterator[SqliteStore]:
    try:
        store = SqliteStore.open(settings.database)
    except StoreError as error:
        raise StartError(f"--data: {error}") from None
    with contextlib.closing(store):
        yield store


async def _forget_publishers(store: Store) -> None:
    """The publishers of the former run are gone with its relays; their clients publish anew."""
    for stream in (await store.list(Stream)).items:
        with contextlib.suppress(NotFound):
            await store.delete(Stream, stream.name, stream.uid)


def _end_by(stop: asyncio.Event, host: ChildRelays) -> None:
    """The first signal ends all in order, the second at once."""
    if stop.is_set():
        host.kill()
        os._exit(FORCED)
    stop.set()


def _ending() -> list[signal.Signals]:
    numbers = [signal.SIGINT, signal.SIGTERM]
    return numbers if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [*numbers, signal.SIGHUP]  # nohup


async def _prepare(host: ChildRelays) -> None:
    try:
        await host.prepare()
    except (ZygoteError, OSError) as error:
        logger.error("relays cannot be started: %s", error)  # each relay tries again and says so
