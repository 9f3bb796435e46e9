"""Make a transponder and the Secret with its URL, so that at no moment is there one that never works."""

import asyncio

from pydantic import SecretStr

from transponder_api.errors import Conflict, InternalError
from transponder_crd.resource import RtmpTransponder
from transponder_crd.secret_url import keep_url
from transponder_crd.store import AlreadyExists, NotFound, Store, StoreError, edit
from transponder_crd.waiting import wait_for


async def create_transponder(
    store: Store, wish: RtmpTransponder, url: SecretStr, close_timeout: float
) -> RtmpTransponder:
    """The stored object. Its name comes from stream and URL, so the store itself lets one of many callers win.

    One of that name that is being closed is waited for, `close_timeout` seconds at most. Raises Conflict,
    InternalError.
    """
    try:
        async with asyncio.timeout(close_timeout):
            created = await _create_when_free(store, wish, url, close_timeout)
    except TimeoutError:
        raise Conflict("rtmpUrl", "the transponder of this stream and URL is still being closed") from None
    try:
        await keep_url(store, created, url)
    except StoreError as error:
        await _withdraw(store, created)
        raise InternalError("the RTMP URL could not be stored") from error
    return created


async def _create_when_free(store: Store, wish: RtmpTransponder, url: SecretStr, timeout: float) -> RtmpTransponder:
    while True:
        try:
            return await store.create(wish)
        except AlreadyExists:
            await _make_way(store, wish.name, url, timeout)


async def _make_way(store: Store, name: str, url: SecretStr, timeout: float) -> None:
    """Return when the object of that name is gone. Raises Conflict if it is to stay."""
    try:
        old = await store.get(RtmpTransponder, name)
    except NotFound:
        return
    if not old.deleting:
        await keep_url(store, old, url)  # the one who made it may have died before this step
        raise Conflict("rtmpUrl", "a transponder of this stream and this URL exists")
    await wait_for(store, RtmpTransponder, name, lambda now: now is None or now.uid != old.uid, timeout)


async def _withdraw(store: Store, created: RtmpTransponder) -> None:
    """Remove a transponder that never worked; there is no RTMP session that its finalizer would have to wait for."""
    try:
        await edit(store, RtmpTransponder, created.name, lambda now: _without_finalizers(now, created.uid))
        await store.delete(RtmpTransponder, created.name, created.uid)
    except NotFound:
        pass


def _without_finalizers(now: RtmpTransponder, uid: str) -> RtmpTransponder:
    if now.uid != uid:
        raise NotFound(f"RtmpTransponder {now.name} is another one by now")
    return now.model_copy(update={"metadata": now.metadata.model_copy(update={"finalizers": []})})
