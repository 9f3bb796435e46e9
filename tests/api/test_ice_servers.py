"""STUN and TURN servers for browsers: the setting, time-limited credentials, and to whom they are told."""

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from support.api import Api, running_api
from support.product import Answer
from support.websdk import OFFER, PLAY_OFFER

from transponder_api.ice_servers import Grant, IceServers, links, time_limited
from transponder_api.settings import ApiSettings
from transponder_crd.start_error import BadSetting, read_environment

SDP = {"Content-Type": "application/sdp"}
SECRET = "north-secret"
SERVERS = [
    {"urls": "stun:stun.example.com"},
    {"urls": ["turn:t.example.com:3478?transport=udp", "turns:t.example.com:443?transport=tcp"], "secret": SECRET},
]


def setting(value: Any, monkeypatch: pytest.MonkeyPatch) -> ApiSettings:
    monkeypatch.setenv("TRANSPONDER_ICE_SERVERS", value if isinstance(value, str) else json.dumps(value))
    return read_environment(ApiSettings)


# ------------------------------------------------------------------------------------------ the setting


def test_no_servers_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for empty in ("", "[]"):
        assert setting(empty, monkeypatch).ice_servers == ()


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ("nothing", "TRANSPONDER_ICE_SERVERS: must be JSON"),
        ({"urls": []}, "at least 1 item"),
        ({"urls": "http://stun.example.com"}, "must be as in stun:host:3478 or turn:host:3478?transport=udp"),
        ({"urls": "stun:a b"}, "must be as in stun:host:3478"),
        ({"urls": "stun:h?transport=udp"}, "must be as in stun:host:3478"),
        ({"urls": "turn:h"}, "turn needs one of credential, credentialFile, secret and secretFile"),
        ({"urls": "turn:h", "credential": "topsecret"}, "credential needs username"),
        ({"urls": "turn:h", "username": "u", "credential": "topsecret", "secret": "topsecret"}, "turn needs one of"),
        ({"urls": "stun:h", "secret": "topsecret"}, "are for turn: and turns: alone"),
        ({"urls": "turn:h", "username": "u\r\nX: y", "credential": "topsecret"}, "ICE_SERVERS__0__USERNAME"),
        ({"urls": "turn:h", "username": "u", "credential": "topsecret\n"}, "must have printable ASCII characters"),
        ({"urls": "turn:h", "secretFile": "/none"}, "must be a file that can be read, and /none is not"),
        ({"urls": "turn:h", "secret": "topsecret", "ttl": 3}, "ICE_SERVERS__0__TTL"),
    ],
)
def test_what_is_wrong_is_named(entry: Any, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSetting) as caught:
        setting([entry] if isinstance(entry, dict) else entry, monkeypatch)
    assert rule in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = setting([*SERVERS, {"urls": "turn:h", "username": "u", "credential": "fixed-secret"}], monkeypatch)
    servers = IceServers(settings.ice_servers, 60)
    shown = f"{settings!r} {settings} {servers!r} {servers.grants()!r}"
    assert SECRET not in shown
    assert "fixed-secret" not in shown


# ------------------------------------------------------------------------------------------ credentials


def test_time_limited_credentials() -> None:
    """`printf %s 1700000000:browser | openssl dgst -sha1 -hmac north-secret -binary | base64`."""
    username, credential = time_limited(SecretStr(SECRET), "browser", 1700000000)
    assert (username, credential.get_secret_value()) == ("1700000000:browser", "jGstke1bcQ+xFDDggPhLgQ1rUKI=")
    assert time_limited(SecretStr(SECRET), None, 1700000000)[0] == "1700000000"


def test_header_values_are_quoted() -> None:
    grant = Grant(("turn:h", "stun:h"), 'a"b\\c', SecretStr("p"))
    assert links(grant) == [
        '<turn:h>; rel="ice-server"; username="a\\"b\\\\c"; credential="p"; credential-type="password"',
        '<stun:h>; rel="ice-server"',
    ]


def test_secrets_in_files_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("one\n")
    settings = setting([{"urls": "turn:h", "username": "u", "credentialFile": str(file)}], monkeypatch)
    servers = IceServers(settings.ice_servers, 60)

    def credential() -> str:
        (grant,) = servers.grants()
        assert grant.credential
        return grant.credential.get_secret_value()

    assert credential() == "one"
    (tmp_path / "new").write_text("another\n")
    (tmp_path / "new").replace(file)
    assert credential() == "another"
    file.unlink()
    assert credential() == "another", "what is no good changes nothing"


# ------------------------------------------------------------------------------------------ to whom they are told


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path, ice_servers=SERVERS, token="the-token", public_path="/media") as started:
        started.headers = {"Authorization": "Bearer the-token"}
        yield started


def told(answer: Answer) -> Iterator[str]:
    for link in answer.headers.getall("Link", []):  # type: ignore[attr-defined]
        match = re.fullmatch(
            r'<([^>]+)>; rel="ice-server"(?:; username="(\d+)"; credential="[\w+/=]{28}"; credential-type="password")?',
            link,
        )
        assert match, link
        assert (match[2] is None) == match[1].startswith("stun")
        assert match[2] is None or 86000 < int(match[2]) - time.time() <= 86400
        yield match[1]


URLS = ["stun:stun.example.com", *SERVERS[1]["urls"]]


async def test_answers_to_offers_bring_them(api: Api) -> None:
    """RFC 9725 section 4.6; each URL in a header of its own. And what a proxy takes off the path is put before it."""
    for path, offer in (("/whip/demo", OFFER), ("/whep/demo", PLAY_OFFER)):
        answer = await api.request("POST", path, data=offer.encode(), headers=SDP)
        assert answer.status == 201, answer.text
        assert list(told(answer)) == URLS
        assert answer.headers["Cache-Control"] == "no-store"
        location = answer.headers["Location"]
        assert location.startswith("/media/wh")
        assert (await api.request("DELETE", location.removeprefix("/media"))).status == 200


async def test_options_bring_them_to_who_may_publish(api: Api) -> None:
    for path in ("/whip/demo", "/whep/demo"):
        assert list(told(await api.request("OPTIONS", path))) == URLS
    preflight = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    api.headers = {}
    for headers in ({}, {"Authorization": "Bearer guessed"}, preflight):
        answer = await api.request("OPTIONS", "/whip/demo", headers=headers)
        assert answer.status == 200
        assert "Link" not in answer.headers


async def test_a_preflight_gets_no_credentials_without_cors_either(tmp_path: Path) -> None:
    async with running_api(tmp_path, ice_servers=SERVERS, cors_origin="") as api:
        assert "Link" in (await api.request("OPTIONS", "/whip/demo")).headers
        preflight = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
        assert "Link" not in (await api.request("OPTIONS", "/whip/demo", headers=preflight)).headers


async def test_pages_get_them_as_json(api: Api) -> None:
    answer = await api.request("GET", "/ice-servers")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    stun, turn = answer.body["iceServers"]
    assert stun == {"urls": ["stun:stun.example.com"]}
    assert turn["urls"] == SERVERS[1]["urls"]
    again = time_limited(SecretStr(SECRET), None, int(turn["username"]))
    assert turn["credential"] == again[1].get_secret_value()
    api.headers = {}
    assert (await api.request("GET", "/ice-servers")).status == 401


async def test_without_servers_there_is_nothing_to_tell(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        assert (await api.request("GET", "/ice-servers")).body == {"iceServers": []}
        assert "Link" not in (await api.request("OPTIONS", "/whip/demo")).headers
