"""STUN and TURN servers for browsers, as the settings name them and as a browser is given them.

A TURN server takes a fixed user and password, or time-limited ones that are made from a secret which it shares with us
(coturn: `use-auth-secret`; draft-uberti-behave-turn-rest-00 section 2.2): the user name is `<expiry>:<name>` with the
expiry in seconds since 1970, the password base64(HMAC-SHA1(secret, user name)).
"""

import base64
import hmac
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic.alias_generators import to_camel

from transponder_api.secret_file import SecretFile

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
_URL = re.compile(rf"(?:stuns?:{_HOST}(?::\d{{1,5}})?|turns?:{_HOST}(?::\d{{1,5}})?(?:\?transport=(?:udp|tcp))?)")
"""RFC 7064 section 3.1, RFC 7065 section 3.1."""

_TEXT = r"[\x21-\x7e]+"
"""What can be part of a header."""


def _url(value: str) -> str:
    if not _URL.fullmatch(value):
        raise ValueError("must be as in stun:host:3478 or turn:host:3478?transport=udp")
    return value


def _readable(file: Path) -> Path:
    _printable(SecretFile(file).current())
    return file


def _printable(value: SecretStr) -> SecretStr:
    if not re.fullmatch(_TEXT, value.get_secret_value()):
        raise ValueError("must have printable ASCII characters alone")
    return value


Url = Annotated[str, AfterValidator(_url)]
Readable = Annotated[Path, AfterValidator(_readable)]


class IceServer(BaseModel):
    """One entry of the setting. `urls`, `username` and `credential` are those of RTCIceServer."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, alias_generator=to_camel, populate_by_name=True
    )

    urls: Annotated[
        tuple[Url, ...],
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
        Field(min_length=1),
    ]
    username: Annotated[str, Field(pattern=f"^{_TEXT}$", max_length=256)] | None = None
    """With a secret: what follows the expiry."""
    credential: Annotated[SecretStr, AfterValidator(_printable)] | None = None
    credential_file: Readable | None = None
    secret: Annotated[SecretStr, Field(min_length=1)] | None = None
    """Shared with the TURN server; no browser gets it."""
    secret_file: Readable | None = None

    @model_validator(mode="after")
    def _access(self) -> Self:
        access = [self.credential, self.credential_file, self.secret, self.secret_file]
        given = sum(one is not None for one in access)
        if not self.turn:
            if given or self.username is not None:
                raise ValueError("username, credential and secret are for turn: and turns: alone")
        elif given != 1:
            raise ValueError("turn needs one of credential, credentialFile, secret and secretFile")
        elif self.username is None and (self.credential or self.credential_file):
            raise ValueError("credential needs username")
        return self

    @property
    def turn(self) -> bool:
        return any(url.startswith("turn") for url in self.urls)


def _from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else ()
    except ValueError:
        raise ValueError("must be JSON") from None


IceServerList = Annotated[tuple[IceServer, ...], BeforeValidator(_from_json)]
"""A setting: JSON text, or what it stands for."""


class Grant(NamedTuple):
    """What a browser is told of one server."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: SecretStr | None = None


class IceServers:
    """The servers with what they want of a browser now."""

    def __init__(self, servers: Sequence[IceServer], credential_seconds: int) -> None:
        """`credential_seconds`: how long credentials from a secret are good."""
        self._seconds = credential_seconds
        self._servers = [(server, _file_of(server)) for server in servers]

    def __bool__(self) -> bool:
        return bool(self._servers)

    def grants(self) -> list[Grant]:
        expiry = int(time.time()) + self._seconds
        return [_grant(server, file.current() if file else None, expiry) for server, file in self._servers]

    def links(self) -> list[str]:
        """Values of `Link` headers, one for each URL."""
        return [link for grant in self.grants() for link in links(grant)]


def _file_of(server: IceServer) -> SecretFile | None:
    path = server.credential_file or server.secret_file
    return SecretFile(path) if path else None


def _grant(server: IceServer, from_file: SecretStr | None, expiry: int) -> Grant:
    if not server.turn:
        return Grant(server.urls)
    if server.credential or server.credential_file:
        return Grant(server.urls, server.username, server.credential or from_file)
    secret = server.secret or from_file
    assert secret is not None, "IceServer says so"  # noqa: S101
    return Grant(server.urls, *time_limited(secret, server.username, expiry))


def time_limited(secret: SecretStr, name: str | None, expiry: int) -> tuple[str, SecretStr]:
    """User and password that are good until `expiry` (seconds since 1970)."""
    username = f"{expiry}:{name}" if name else str(expiry)
    digest = hmac.digest(secret.get_secret_value().encode(), username.encode(), "sha1")
    return username, SecretStr(base64.b64encode(digest).decode())


def links(grant: Grant) -> list[str]:
    """RFC 9725 section 4.6."""
    access = ""
    if grant.username is not None and grant.credential is not None:
        credential = _quoted(grant.credential.get_secret_value())
        access = f'; username={_quoted(grant.username)}; credential={credential}; credential-type="password"'
    return [f'<{url}>; rel="ice-server"{access if url.startswith("turn") else ""}' for url in grant.urls]


def _quoted(text: str) -> str:
    """RFC 9110 section 5.6.4."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
