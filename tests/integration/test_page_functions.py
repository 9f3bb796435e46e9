"""The page's pure functions, run by the browser that they are written for."""

from pathlib import Path
from typing import Any

import pytest
from support.api import running_api
from support.web_page import WebPage, launched, open_page

pytestmark = pytest.mark.integration

FIELDS = {"streamName": "s", "rtmpUrl": "rtmp://h/live", "key": "", "action": "", "soundFile": "", "endsWithKey": False}

BODIES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"rtmpUrl": "rtmp://h/live"}),
    ({"key": "k"}, {"rtmpUrl": "rtmp://h/live/k", "rtmpTransponderFullUrl": True}),
    (
        {"rtmpUrl": "rtmp://h/live//", "key": "k?s=1"},
        {"rtmpUrl": "rtmp://h/live/k?s=1", "rtmpTransponderFullUrl": True},
    ),
    ({"endsWithKey": True}, {"rtmpUrl": "rtmp://h/live", "rtmpTransponderFullUrl": True}),
    ({"action": "mute"}, {"rtmpUrl": "rtmp://h/live", "options": {"action": "mute"}}),
    (
        {"action": "sound_on", "soundFile": "a.wav", "loop": True},
        {"rtmpUrl": "rtmp://h/live", "options": {"action": "sound_on", "soundFile": "a.wav", "loop": True}},
    ),
]

ERRORS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"rtmpUrl": "RTMPS://h:443/app/"}, []),
    ({"streamName": ""}, ["streamName"]),
    ({"streamName": "a b"}, ["streamName"]),
    ({"rtmpUrl": ""}, ["rtmpUrl"]),
    ({"rtmpUrl": "http://h/live"}, ["rtmpUrl"]),
    ({"rtmpUrl": "rtmp:///live"}, ["rtmpUrl"]),
    ({"rtmpUrl": "rtmp://h/li ve"}, ["rtmpUrl"]),
    ({"rtmpUrl": "rtmp://h", "key": "k"}, ["rtmpUrl"]),
    ({"rtmpUrl": "rtmp://h/live?a=b", "key": "k"}, ["rtmpUrl"]),
    ({"key": "a b"}, ["key"]),
    ({"action": "sound_on"}, ["soundFile"]),
]

PROBLEMS = [
    ({"state": "Live", "lastError": None}, None),
    (
        {"state": "Reconnecting", "lastError": "Unreachable: connection refused"},
        {"text": "The server cannot be reached.", "detail": "connection refused", "past": False},
    ),
    (
        {"state": "Failed", "lastError": "AuthFailed"},
        {"text": "User or password are wrong, or missing.", "detail": "", "past": False},
    ),
    ({"state": "Failed", "lastError": "New: thing"}, {"text": "New: thing", "detail": "", "past": False}),
    (
        {"state": "Live", "lastError": "Timeout: x"},
        {"text": "Earlier: The server does not answer in time.", "detail": "", "past": True},
    ),
]

BITRATES = [
    (0, "0 kbit/s"),
    (64_400, "64 kbit/s"),
    (999_499, "999 kbit/s"),
    (999_500, "1.0 Mbit/s"),
    (3_960_000, "4.0 Mbit/s"),
]


async def call(web: WebPage, module: str, function: str, *arguments: Any) -> Any:
    code = "([module, name, given]) => import(module).then(found => found[name](...given))"
    return await web.page.evaluate(code, [f"/page/{module}.js", function, arguments])


async def test_pure_functions(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api, launched() as browser, open_page(browser, api.base) as web:
        for changes, body in BODIES:
            assert await call(web, "startup", "startupBody", FIELDS | changes) == {"streamName": "s"} | body
        for changes, fields in ERRORS:
            assert list(await call(web, "startup", "startupErrors", FIELDS | changes)) == fields, changes
        for transponder, shown in PROBLEMS:
            assert await call(web, "states", "problem", transponder) == shown
        for value, text in BITRATES:
            assert await call(web, "figures", "bitrate", value) == text
        await check_figures(web)
        await check_groups(web)


async def check_figures(web: WebPage) -> None:
    before = {"at": 1000, "bytes": 0, "packets": 100, "lost": 0}
    now = {"at": 3000, "bytes": 500_000, "packets": 300, "lost": 3}
    now |= {"width": 1280, "height": 720, "fps": 29.97, "roundTrip": 0.012, "level": 0.5}
    shown = await call(web, "figures", "figures", before, now)
    assert list(shown.values()) == ["2.0 Mbit/s", "1280 × 720", "30 fps", "1.5 %", "12 ms", 0.5]
    unknown = await call(web, "figures", "figures", before, before)
    assert list(unknown.values()) == ["–", "–", "–", "–", "–", 0]


async def check_groups(web: WebPage) -> None:
    """Published streams and those that transponders wait for, each once and by name."""
    streams = [{"name": "b", "status": "PUBLISHING"}, {"name": "c", "status": "PENDING"}]
    transponders = [{"publishedName": name, "mediaSessionId": str(at)} for at, name in enumerate(["b", "a", "b"])]
    groups = await call(web, "states", "groupByStream", streams, transponders, "d")
    shown = [(g["name"], g["published"], [t["mediaSessionId"] for t in g["transponders"]]) for g in groups]
    assert shown == [("a", False, ["1"]), ("b", True, ["0", "2"]), ("c", False, []), ("d", True, [])]
