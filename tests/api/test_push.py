"""The eight calls as Flashphoner WCS has them: statuses, bodies, quirks."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support.api import Api, without_finalizers

from transponder_crd.meta import ObjectMeta
from transponder_crd.names import FINALIZER, transponder_object_name
from transponder_crd.resource import RtmpTransponder, Secret, Sound, TransponderPhase, TransponderSpec
from transponder_crd.store import StoreError, edit
from transponder_crd.waiting import wait_for

URL = "rtmp://127.0.0.1:1935/live"
pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
BY_ID = ["terminate", "mute", "unmute", "sound_on", "sound_off"]


def id_body(call: str, media_session_id: str) -> dict[str, Any]:
    more = {"soundFile": "beep.wav", "loop": False} if call == "sound_on" else {}
    return {"mediaSessionId": media_session_id, **more}


# ------------------------------------------------------------------------------------------ startup


async def test_startup_answers_the_transponder_object(api: Api) -> None:
    """/push/startup: 200 with the object; streamName is the name on the RTMP side, with prefix."""
    answer = await api.push("startup", {"streamName": "name", "rtmpUrl": URL, "options": {}})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    (stored,), _, _ = await api.stored()
    assert answer.body == {
        "mediaSessionId": stored.uid,
        "streamName": "rtmp_name",
        "rtmpUrl": URL,
        "width": 0,
        "height": 0,
        "muted": False,
        "soundEnabled": False,
        "options": {},
        "state": "Pending",
        "lastError": None,
        "reconnects": 0,
        "publishedName": "name",
        "bitrate": None,
        "fps": None,
    }


async def test_startup_keeps_the_url_in_a_secret_of_the_transponder(api: Api) -> None:
    await api.startup("name", URL)
    (stored,), _, (secret,) = await api.stored()
    assert stored.name == transponder_object_name("name", URL)
    assert stored.metadata.finalizers == [FINALIZER]
    assert stored.spec.rtmp_url is None
    assert stored.spec.rtmp_url_from is not None
    assert stored.spec.rtmp_url_from.secret_key_ref.name == secret.name
    assert secret.string_data[stored.spec.rtmp_url_from.secret_key_ref.key].get_secret_value() == URL
    assert secret.metadata.owner_references == [stored.owner_reference()]


async def test_startup_of_a_stream_that_is_not_published_waits_for_it(api: Api) -> None:
    """Unknown source stream at startup: 200."""
    started = await api.startup("nobody-yet", URL)
    await api.settled(await api.transponder(started["mediaSessionId"]))
    assert (await api.found(started["mediaSessionId"]))["state"] == "WaitingForPublisher"


async def test_startup_409_for_the_same_stream_and_url_only(api: Api) -> None:
    """/push/startup 409: a transponder for this stream and rtmpUrl exists."""
    await api.startup("name", URL)
    again = await api.push("startup", {"streamName": "name", "rtmpUrl": URL})
    assert again.status == 409
    assert (again.body["field"], again.body["status"]) == ("rtmpUrl", 409)
    await api.startup("name", URL + "2")
    await api.startup("name2", URL)
    assert len((await api.push("find_all")).body) == 3


async def test_startup_409_for_one_that_was_made_by_hand(api: Api) -> None:
    spec = TransponderSpec(stream_name="name", rtmp_url=URL)
    await api.store.create(RtmpTransponder(metadata=ObjectMeta(name="by-hand"), spec=spec))
    assert (await api.push("startup", {"streamName": "name", "rtmpUrl": URL})).status == 409


@pytest.mark.parametrize("far", [False, True])
async def test_twenty_same_startups_at_once_make_one(api: Api, far: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a store that is behind a network, where other calls come in between."""
    for name in ("create", "get", "list", "delete") if far else ():
        monkeypatch.setattr(api.store, name, delayed(getattr(api.store, name)))
    body = {"streamName": "name", "rtmpUrl": URL}
    answers = await asyncio.gather(*(api.push("startup", body) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 19
    transponders, _, secrets = await api.stored()
    assert (len(transponders), len(secrets)) == (1, 1)


async def test_startup_heals_a_transponder_whose_secret_is_missing(api: Api) -> None:
    await api.startup("name", URL)
    (stored,), _, (lost,) = await api.stored()
    await api.store.delete(Secret, lost.name)
    assert (await api.push("startup", {"streamName": "name", "rtmpUrl": URL})).status == 409
    _, _, (secret,) = await api.stored()
    assert secret.name == lost.name
    assert secret.metadata.owner_references == [stored.owner_reference()]


async def test_startup_neither_reads_nor_changes_a_secret(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A right to read Secrets would be one to read those of everybody."""
    calls: list[str] = []
    for call in ("get", "list", "update", "delete"):
        real = getattr(api.store, call)

        async def told(*arguments: Any, call: str = call, real: Any = real) -> Any:
            calls.extend([call] if Secret in arguments or isinstance(arguments[0], Secret) else [])
            return await real(*arguments)

        monkeypatch.setattr(api.store, call, told)
    await api.startup("name", URL)
    assert (await api.push("startup", {"streamName": "name", "rtmpUrl": URL})).status == 409
    assert calls == []


async def test_each_transponder_has_a_secret_of_a_new_name(api: Api) -> None:
    """The Secret of an earlier transponder may still be there: it goes some time after its owner."""
    names = set()
    for _ in range(2):
        answer = await api.startup("name", URL)
        _, _, (secret,) = await api.stored()
        names.add(secret.name)
        assert secret.name.startswith(transponder_object_name("name", URL)[:40])
        await api.push("terminate", {"mediaSessionId": answer["mediaSessionId"]})
    assert len(names) == 2


async def test_startup_500_leaves_nothing_if_the_secret_cannot_be_stored(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/push/startup 500."""
    create = api.store.create

    async def full(obj: Any) -> Any:
        if isinstance(obj, Secret):
            raise StoreError("no room")
        return await create(obj)

    monkeypatch.setattr(api.store, "create", full)
    answer = await api.push("startup", {"streamName": "name", "rtmpUrl": URL})
    assert (answer.status, answer.body["error"]) == (500, "Internal Server Error")
    assert await api.stored() == ([], [], [])


async def test_startup_waits_for_an_earlier_one_that_is_being_closed(api: Api) -> None:
    first = await api.startup("name", URL)
    api.statuses.closing = False
    (old,), _, _ = await api.stored()
    await api.store.delete(RtmpTransponder, old.name)
    second = asyncio.create_task(api.startup("name", URL))
    await api.push("find_all")  # so that the call above has begun
    assert not second.done()
    await edit(api.store, RtmpTransponder, old.name, without_finalizers)
    assert (await second)["mediaSessionId"] != first["mediaSessionId"]


async def test_startup_409_if_the_earlier_one_is_never_closed(impatient_api: Api) -> None:
    api = impatient_api
    first = await api.startup("name", URL)
    api.statuses.closing = False
    assert (await api.push("terminate", {"mediaSessionId": first["mediaSessionId"]})).status == 200
    answer = await api.push("startup", {"streamName": "name", "rtmpUrl": URL})
    rule = "the transponder of this stream and URL is still being closed"
    assert (answer.status, answer.body["rule"]) == (409, rule)


@pytest.mark.parametrize("settled", [False, True])
async def test_startup_with_action_mute(api: Api, settled: bool) -> None:
    """options.action mute: muted is true, at once and later; options are echoed."""
    api.statuses.effective = settled
    started = await api.startup(options={"action": "mute"})
    assert (started["muted"], started["options"]) == (True, {"action": "mute"})
    stored = await api.transponder(started["mediaSessionId"])
    assert stored.spec.muted
    if settled:
        await api.settled(stored)
    assert (await api.found(stored.uid))["muted"] is True


async def test_startup_with_action_sound_on(api: Api) -> None:
    """options.action sound_on: soundEnabled is true; loop may be left out."""
    (api.sounds / "beep.wav").write_bytes(b"RIFF")
    options = {"action": "sound_on", "soundFile": "beep.wav"}
    started = await api.startup(options=options)
    assert (started["soundEnabled"], started["options"]) == (True, options)
    sound = (await api.transponder(started["mediaSessionId"])).spec.sound
    assert sound is not None
    assert (sound.file, sound.loop) == ("beep.wav", False)


async def test_a_sound_of_a_mounted_config_map_is_found_but_no_link_leads_out(api: Api, tmp_path: Path) -> None:
    """A ConfigMap is mounted as links into a folder that is a link itself."""
    mounted = api.sounds / "..2026"
    mounted.mkdir()
    (mounted / "beep.wav").write_bytes(b"RIFF")
    (api.sounds / "..data").symlink_to("..2026")
    (api.sounds / "beep.wav").symlink_to("..data/beep.wav")
    (tmp_path / "secret").write_bytes(b"RIFF")
    (api.sounds / "out.wav").symlink_to(tmp_path / "secret")
    for name, status in (("beep.wav", 200), ("out.wav", 404)):
        options = {"action": "sound_on", "soundFile": name}
        answer = await api.push("startup", {"streamName": name, "rtmpUrl": URL, "options": options})
        assert answer.status == status
    shutil.rmtree(mounted)  # the next test gets the same folder


async def test_startup_404_for_a_sound_file_that_is_not_there(api: Api) -> None:
    options = {"action": "sound_on", "soundFile": "beep.wav"}
    answer = await api.push("startup", {"streamName": "name", "rtmpUrl": URL, "options": options})
    assert (answer.status, answer.body["field"]) == (404, "options.soundFile")
    assert await api.stored() == ([], [], [])


async def test_startup_with_full_url_and_flash_version(api: Api) -> None:
    """rtmpTransponderFullUrl, rtmpFlashVersion: per request; null is as left out."""
    full = await api.startup(rtmpTransponderFullUrl=True, rtmpFlashVersion="LNX 76.219.189.0")
    assert full["streamName"] == "rtmp_stream1", "a URL of one segment holds no name"
    named = await api.startup(rtmp_url=f"{URL}/key", rtmpTransponderFullUrl=True)
    assert (named["streamName"], named["rtmpUrl"]) == ("stream1", f"{URL}/***")
    spec = (await api.transponder(full["mediaSessionId"])).spec
    assert (spec.full_url, spec.flash_version) == (True, "LNX 76.219.189.0")
    plain = await api.startup("other", rtmpTransponderFullUrl=None, rtmpFlashVersion=None, options=None)
    spec = (await api.transponder(plain["mediaSessionId"])).spec
    assert (spec.full_url, spec.flash_version) == (None, None)


def delayed(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def later(*arguments: Any) -> Any:
        await asyncio.sleep(0)
        try:
            return await call(*arguments)
        finally:
            await asyncio.sleep(0)

    return later


# ------------------------------------------------------------------------------------------ find


async def test_find_matches_prefixed_and_plain_name_url_both_and_all(api: Api) -> None:
    """/push/find {streamName?, rtmpUrl?}: array."""
    one, two = await api.startup("a", URL), await api.startup("a", URL + "2")
    three = await api.startup("b", URL)
    ids = {"1": one["mediaSessionId"], "2": two["mediaSessionId"], "3": three["mediaSessionId"]}
    cases: list[tuple[dict[str, str], str]] = [
        ({"streamName": "rtmp_a"}, "12"),
        ({"streamName": "a"}, "12"),
        ({"rtmpUrl": URL}, "13"),
        ({"streamName": "rtmp_a", "rtmpUrl": URL}, "1"),
        ({"streamName": "b", "rtmpUrl": URL}, "3"),
        ({}, "123"),
    ]
    for body, expected in cases:
        answer = await api.push("find", body)
        assert answer.status == 200, body
        assert {item["mediaSessionId"] for item in answer.body} == {ids[key] for key in expected}, body


async def test_find_finds_a_secret_url_by_what_was_given_and_by_what_is_shown(api: Api) -> None:
    url = "rtmp://user:geheim99@127.0.0.1/live?key=schluessel"
    started = await api.startup("a", url)
    for wanted in (url, started["rtmpUrl"]):
        assert (await api.push("find", {"rtmpUrl": wanted})).status == 200
    assert (await api.push("find", {"rtmpUrl": "rtmp://user:other@127.0.0.1/live?key=schluessel"})).status == 404


async def test_find_shows_one_that_was_made_by_hand(api: Api) -> None:
    spec = TransponderSpec(stream_name="name", rtmp_url=URL, stream_name_prefix="", sound=Sound(file="a.wav"))
    await api.store.create(RtmpTransponder(metadata=ObjectMeta(name="by-hand"), spec=spec))
    (found,) = (await api.push("find", {"streamName": "name", "rtmpUrl": URL})).body
    assert (found["streamName"], found["rtmpUrl"]) == ("name", URL)


@pytest.mark.parametrize("body", [{}, {"streamName": "rtmp_a"}, {"rtmpUrl": URL}])
async def test_find_404_if_there_is_none(api: Api, body: dict[str, str]) -> None:
    """/push/find 404, /push/find_all 404: none."""
    answer = await api.push("find", body)
    assert (answer.status, answer.body["error"]) == (404, "Not Found")
    assert (await api.push("find_all")).status == 404


@pytest.mark.parametrize(
    ("method", "call", "options"),
    [
        ("GET", "find_all", {}),
        ("POST", "find_all", {}),
        ("POST", "find_all", {"json": {}}),
        ("GET", "find", {}),
        ("POST", "find", {}),
        ("POST", "find", {"json": {}}),
    ],
)
async def test_find_all_by_get_and_by_post(api: Api, method: str, call: str, options: dict[str, Any]) -> None:
    """/push/find_all: POST with Content-Length 0, and GET as the SDK's helper sends it."""
    started = await api.startup()
    answer = await api.request(method, f"/rest-api/push/{call}", **options)
    assert answer.status == 200
    assert [item["mediaSessionId"] for item in answer.body] == [started["mediaSessionId"]]


async def test_find_shows_the_status(api: Api) -> None:
    started = await api.startup()
    stored = await api.transponder(started["mediaSessionId"])
    await api.settled(stored)
    stored = await api.transponder(stored.uid)
    changes = {
        "phase": TransponderPhase.RECONNECTING,
        "stream_name": "rtmp_x",
        "destination": "rtmp://there/live",
        "width": 640,
        "height": 360,
        "reconnects": 3,
        "last_error": "Refused: connection refused",
        "sound_enabled": True,
    }
    await api.store.update_status(stored.model_copy(update={"status": stored.status.model_copy(update=changes)}))
    found = await api.found(stored.uid)
    assert found == started | {
        "state": "Reconnecting",
        "streamName": "rtmp_x",
        "rtmpUrl": "rtmp://there/live",
        "width": 640,
        "height": 360,
        "reconnects": 3,
        "lastError": "Refused: connection refused",
        "soundEnabled": True,
    }


# ------------------------------------------------------------------------------------------ calls by id


@pytest.mark.parametrize("call", BY_ID)
async def test_calls_by_id_answer_200_with_an_empty_body(api: Api, call: str) -> None:
    """/push/terminate, mute, unmute, sound_on, sound_off: void."""
    (api.sounds / "beep.wav").write_bytes(b"RIFF")
    started = await api.startup()
    answer = await api.push(call, id_body(call, started["mediaSessionId"]))
    assert (answer.status, answer.text, answer.headers["Content-Length"]) == (200, "", "0")


@pytest.mark.parametrize("call", BY_ID)
async def test_calls_by_id_404_for_an_unknown_or_ended_transponder(impatient_api: Api, call: str) -> None:
    """/push/terminate, mute, unmute, sound_on, sound_off 404: transponder."""
    api = impatient_api
    (api.sounds / "beep.wav").write_bytes(b"RIFF")
    answer = await api.push(call, id_body(call, UNKNOWN_ID))
    assert (answer.status, answer.body["field"]) == (404, "mediaSessionId")
    started = await api.startup()
    api.statuses.closing = False  # being closed is as good as gone
    await api.push("terminate", {"mediaSessionId": started["mediaSessionId"]})
    assert (await api.push(call, id_body(call, started["mediaSessionId"]))).status == 404


async def test_terminate_leaves_nothing(api: Api) -> None:
    started = await api.startup()
    await api.push("terminate", {"mediaSessionId": started["mediaSessionId"]})
    assert await api.stored() == ([], [], [])
    assert (await api.push("find_all")).status == 404
    await api.startup()


async def test_mute_and_unmute_show_at_once(api: Api) -> None:
    """/push/mute, unmute: find right after the call shows it."""
    media_session_id = (await api.startup())["mediaSessionId"]
    for call, muted in (("mute", True), ("mute", True), ("unmute", False)):
        assert (await api.push(call, {"mediaSessionId": media_session_id})).status == 200
        assert (await api.found(media_session_id))["muted"] is muted


async def test_sound_on_and_off_show_at_once_and_play_again(api: Api) -> None:
    """/push/sound_on, sound_off: soundEnabled; a second sound_on plays the file from its start."""
    (api.sounds / "beep.wav").write_bytes(b"RIFF")
    media_session_id = (await api.startup())["mediaSessionId"]
    triggers = set()
    for loop in (True, False):
        body = {"mediaSessionId": media_session_id, "soundFile": "beep.wav", "loop": loop}
        assert (await api.push("sound_on", body)).status == 200
        assert (await api.found(media_session_id))["soundEnabled"] is True
        sound = (await api.transponder(media_session_id)).spec.sound
        assert sound is not None
        assert sound.loop is loop
        triggers.add(sound.trigger)
    assert len(triggers) == 2
    await api.push("sound_off", {"mediaSessionId": media_session_id})
    assert (await api.found(media_session_id))["soundEnabled"] is False


async def test_sound_on_404_for_a_file_that_is_not_there(api: Api) -> None:
    """/push/sound_on 404: no such file."""
    (api.sounds / "folder").mkdir()
    started = await api.startup()
    for file in ("beep.wav", "folder"):
        body = {"mediaSessionId": started["mediaSessionId"], "soundFile": file, "loop": False}
        answer = await api.push("sound_on", body)
        assert (answer.status, answer.body["field"]) == (404, "soundFile")
    assert (await api.transponder(started["mediaSessionId"])).spec.sound is None


async def test_mute_returns_when_it_is_in_effect(api: Api) -> None:
    stored = await api.transponder((await api.startup())["mediaSessionId"])
    await api.settled(stored)
    api.statuses.effective = False
    call = asyncio.create_task(api.push("mute", {"mediaSessionId": stored.uid}))
    muted = await wait_for(api.store, RtmpTransponder, stored.name, _is_muted, 5)
    assert muted is not None
    assert not call.done()
    status = muted.status.model_copy(update={"observed_generation": muted.metadata.generation, "muted": True})
    await api.store.update_status(muted.model_copy(update={"status": status}))
    assert (await asyncio.wait_for(call, 5)).status == 200


async def test_mute_returns_after_a_while_if_the_relay_does_not_follow(impatient_api: Api) -> None:
    api = impatient_api
    started = await api.startup()
    await api.settled(await api.transponder(started["mediaSessionId"]))
    api.statuses.effective = False
    assert (await api.push("mute", {"mediaSessionId": started["mediaSessionId"]})).status == 200
    assert (await api.found(started["mediaSessionId"]))["muted"] is True


def _is_muted(now: RtmpTransponder | None) -> bool:
    return now is not None and now.spec.muted


@pytest.mark.parametrize("call", [*BY_ID, "startup"])
async def test_calls_with_data_refuse_get(api: Api, call: str) -> None:
    answer = await api.request("GET", f"/rest-api/push/{call}")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert answer.body["path"] == f"/rest-api/push/{call}"


async def test_a_refused_method_is_told_all_that_are_allowed(api: Api) -> None:
    answer = await api.request("PUT", "/rest-api/push/find")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")


async def test_openapi_describes_each_call(api: Api) -> None:
    document = (await api.request("GET", "/openapi.json")).body
    calls = {path.rpartition("/")[2] for path in document["paths"] if path.startswith("/rest-api/push/")}
    assert calls == {"startup", "find", "find_all", "terminate", "mute", "unmute", "sound_on", "sound_off"}
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert {"startup", "find", "findAll", "whipPublish", "whipEnd"} <= set(ids)
    startup = document["paths"]["/rest-api/push/startup"]["post"]
    assert set(startup["responses"]) == {"200", "400", "404", "409", "413", "415", "500"}
    assert startup["requestBody"]["content"]["application/json"]["examples"]
    mute = document["paths"]["/rest-api/push/mute"]["post"]
    assert mute["responses"]["200"] == {"description": "Done; the body is empty.", "content": {}}
