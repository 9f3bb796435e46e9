"""The service behind `/rest-api/push/*`: find, make, change and end transponder objects. It keeps nothing itself."""

import logging
import secrets
from collections.abc import Callable, Sequence

from pydantic import SecretStr

from transponder_api import shapes
from transponder_api.errors import BadRequest, Conflict, NotFound
from transponder_api.hosts import HostCheck
from transponder_api.settings import ApiSettings
from transponder_api.startup import create_transponder
from transponder_api.views import matches
from transponder_crd import store as crd
from transponder_crd.defaults import Defaults
from transponder_crd.destination import Destination, InvalidRtmpUrl
from transponder_crd.meta import OwnerReference
from transponder_crd.names import loggable, stream_object_name
from transponder_crd.resource import RtmpTransponder, Sound, Stream, StreamPhase, TransponderSpec
from transponder_crd.secret_url import new_transponder
from transponder_crd.sounds import SoundRefused, find_sound
from transponder_crd.waiting import wait_for

log = logging.getLogger(__name__)

UNKNOWN_ID = "no transponder has this id"

Change = Callable[[TransponderSpec], TransponderSpec]


class Transponders:
    """All calls raise the errors of `transponder_api.errors`."""

    def __init__(self, store: crd.Store, settings: ApiSettings, host_exists: HostCheck) -> None:
        self.store = store
        self.settings = settings
        self._host_exists = host_exists

    async def start(self, request: shapes.Startup, owners: Sequence[OwnerReference] = ()) -> RtmpTransponder:
        """Make a transponder. It need not have a published stream: it waits for its publisher. It goes with the last
        of its `owners`, if it has any."""
        destination = _parse(request.rtmp_url)
        if request.options is not None and request.options.action == "sound_on":
            self._check_sound("options.soundFile", request.options.sound_file or "")
        await self._check_published(request.stream_name)
        await self._check_free(request)
        if not await self._host_exists(destination.host, self.settings.resolve_timeout):
            raise BadRequest("rtmpUrl", "its host does not exist")
        wish = transponder_for(request, destination, self.settings.defaults, owners)
        created = await create_transponder(self.store, wish, request.rtmp_url, self.settings.close_timeout)
        self._log(created, f"to {destination.host} made")
        return created

    async def find(self, stream_name: str | None = None, rtmp_url: str | None = None) -> list[RtmpTransponder]:
        found = await self._matching(stream_name, rtmp_url)
        if not found and (stream_name, rtmp_url) != (None, None):
            await self.store.refresh(RtmpTransponder)  # another replica may have made it a moment ago
            found = await self._matching(stream_name, rtmp_url)
        if not found:
            asked = "rtmpUrl" if rtmp_url is not None else "streamName" if stream_name is not None else "transponders"
            raise NotFound(asked, "no transponder is like this")
        return sorted(found, key=lambda item: (str(item.metadata.creation_timestamp), item.name))

    async def terminate(self, media_session_id: str) -> None:
        """Returns when the RTMP session is closed, or after a while: the rest then goes on by itself."""
        old = await self._by_id(media_session_id)
        try:
            await self.store.delete(RtmpTransponder, old.name, old.uid)
        except crd.NotFound:
            raise NotFound("mediaSessionId", UNKNOWN_ID) from None
        self._log(old, "ended")
        await self._wait(old, lambda now: now is None or now.uid != old.uid)

    async def mute(self, media_session_id: str, *, muted: bool) -> None:
        await self._change(media_session_id, "muted" if muted else "unmuted", muted=muted)

    async def sound_on(self, request: shapes.SoundOn) -> None:
        await self._by_id(request.media_session_id)
        self._check_sound("soundFile", request.sound_file)
        sound = play(request.sound_file, loop=request.loop)
        await self._change(request.media_session_id, "plays a sound", sound=sound)

    async def sound_off(self, media_session_id: str) -> None:
        await self._change(media_session_id, "plays no sound", sound=None)

    # ------------------------------------------------------------------------------------------ parts

    async def _matching(self, stream_name: str | None, rtmp_url: str | None) -> list[RtmpTransponder]:
        return [
            item
            for item in (await self.store.list(RtmpTransponder)).items
            if not item.deleting and matches(item, stream_name, rtmp_url, self.settings.defaults)
        ]

    async def _by_id(self, media_session_id: str) -> RtmpTransponder:
        try:
            item = await self.store.by_uid(RtmpTransponder, media_session_id)
        except crd.NotFound:
            raise NotFound("mediaSessionId", UNKNOWN_ID) from None
        if item.deleting:
            raise NotFound("mediaSessionId", UNKNOWN_ID)
        return item

    async def _change(self, media_session_id: str, what: str, **changes: object) -> None:
        """Change the spec; return when the relay does as it says, or after a while."""
        old = await self._by_id(media_session_id)

        def changed(now: RtmpTransponder) -> RtmpTransponder:
            if now.uid != old.uid or now.deleting:
                raise crd.NotFound(f"{now.kind} {now.name} is another one by now")
            return now.model_copy(update={"spec": now.spec.model_copy(update=changes)})

        try:
            new = await crd.edit(self.store, RtmpTransponder, old.name, changed)
        except crd.NotFound:
            raise NotFound("mediaSessionId", UNKNOWN_ID) from None
        if new.metadata.generation != old.metadata.generation:
            self._log(new, what)
        await self._wait(new, lambda now: now is None or now.uid != new.uid or _in_effect(now, new))

    async def _wait(self, transponder: RtmpTransponder, accept: Callable[[RtmpTransponder | None], bool]) -> None:
        try:
            await wait_for(self.store, RtmpTransponder, transponder.name, accept, self.settings.effect_timeout)
        except TimeoutError:
            self._log(transponder, "this is not in effect yet")

    async def _check_published(self, stream_name: str) -> None:
        if not self.settings.startup_needs_stream:
            return
        try:
            stream = await self.store.get(Stream, stream_object_name(stream_name))
        except crd.NotFound:
            stream = None
        if stream is None or stream.deleting or stream.status.phase != StreamPhase.PUBLISHING:
            raise NotFound("streamName", "no stream of this name is being published")

    async def _check_free(self, request: shapes.Startup) -> None:
        """One made without REST, under a name of its own, counts too."""
        url = request.rtmp_url.get_secret_value()
        for item in await self.store.of_stream(RtmpTransponder, request.stream_name):
            if item.spec.rtmp_url == url and not item.deleting:
                raise Conflict("rtmpUrl", "a transponder of this stream and this URL exists")

    def _check_sound(self, field: str, file: str) -> None:
        try:
            find_sound(self.settings.sounds_folder, file)
        except (SoundRefused, OSError):
            raise NotFound(field, "there is no such file in the sounds folder") from None

    @staticmethod
    def _log(transponder: RtmpTransponder, what: str) -> None:
        log.info("transponder %s of stream %s: %s", transponder.uid[:8], loggable(transponder.spec.stream_name), what)


def _in_effect(now: RtmpTransponder, wish: RtmpTransponder) -> bool:
    return now.status.observed_generation >= wish.metadata.generation


def _parse(url: SecretStr) -> Destination:
    try:
        return Destination.parse(url.get_secret_value())
    except InvalidRtmpUrl as error:
        raise BadRequest("rtmpUrl", str(error)) from None


def play(file: str, *, loop: bool | None) -> Sound:
    """Its trigger is new each time, so that a second call plays the file again."""
    return Sound(file=file, loop=bool(loop), trigger=secrets.token_hex(8))


def _first_sound(options: shapes.StartOptions) -> Sound | None:
    if options.action != "sound_on" or options.sound_file is None:
        return None
    return play(options.sound_file, loop=options.loop)


def transponder_for(
    request: shapes.Startup, destination: Destination, defaults: Defaults, owners: Sequence[OwnerReference] = ()
) -> RtmpTransponder:
    """The object that a startup call asks for; its URL is in the Secret of the same name."""
    options = request.options or shapes.StartOptions()
    return new_transponder(
        request.stream_name,
        destination,
        defaults,
        owners,
        full_url=request.rtmp_transponder_full_url,
        muted=options.action == "mute",
        sound=_first_sound(options),
        flash_version=request.rtmp_flash_version,
        options=options.model_dump(exclude_unset=True),
    )
