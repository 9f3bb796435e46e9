"""User and password as Adobe's and Limelight's RTMP servers ask for them.

The server refuses `connect` and says in the refusal's description what it wants; the client then connects anew with
a query after app and tcUrl. Neither scheme has a public specification; this is the exchange of FFmpeg's `rtmpproto.c`
and of Adobe Media Server's access adaptor:

    1. connect                              -> [ code=403 need auth; authmod=adobe ]
    2. connect ?authmod=adobe&user=U        -> [ authmod=adobe ] : ?reason=needauth&user=U&salt=S&challenge=C&opaque=O
    3. connect ?authmod=...&response=R      -> accepted, or ?reason=authfailed
"""

import hashlib
import re
from base64 import b64encode
from typing import NamedTuple

from transponder_crd.control import OutputReason
from transponder_relay.outputs.failure import Failure


class Credentials(NamedTuple):
    user: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(**********)"


def asks_for_credentials(description: str) -> bool:
    return "authmod=" in description or "code=403 need auth" in description


def answer(description: str, credentials: Credentials | None, app: str, nonce: str) -> str:
    """The query for the next connect (without `?`). `nonce`: 8 random hexadecimal digits.

    Raises Failure (AuthFailed) when there is nothing more to say.
    """
    scheme = re.search(r"authmod=(\w+)", description)
    if scheme is None or scheme[1] not in ("adobe", "llnw"):
        raise _failed("the server asks for an authentication scheme that is not supported")
    if credentials is None:
        raise _failed("the server asks for a user and a password")
    if "need auth" in description:
        return f"authmod={scheme[1]}&user={credentials.user}"
    _, found, query = description.partition("?reason=needauth")
    if not found:
        raise _failed("the server does not accept the user or the password")
    asked = _parameters(query)
    if scheme[1] == "adobe":
        return _adobe(asked, credentials, nonce)
    return _limelight(asked, credentials, app, nonce)


def _failed(message: str) -> Failure:
    return Failure(OutputReason.AUTH_FAILED, message)


def _parameters(query: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in query.strip(" ]\r\n").split("&") if part)
    return {name: value for name, _, value in pairs}


def _adobe(asked: dict[str, str], credentials: Credentials, nonce: str) -> str:
    user = asked.get("user", credentials.user)
    secret = _md5_base64(user + asked.get("salt", "") + credentials.password)
    response = _md5_base64(secret + asked.get("opaque", asked.get("challenge", "")) + nonce)
    query = f"authmod=adobe&user={user}&challenge={nonce}&response={response}"
    return query + (f"&opaque={asked['opaque']}" if "opaque" in asked else "")


def _limelight(asked: dict[str, str], credentials: Credentials, app: str, nonce: str) -> str:
    user, server_nonce, count = asked.get("user", credentials.user), asked.get("nonce", ""), "00000001"
    path = app if "/" in app else f"{app}/_definst_"
    who = _md5_hex(f"{user}:live:{credentials.password}")
    what = _md5_hex(f"publish:/{path}")
    response = _md5_hex(f"{who}:{server_nonce}:{count}:{nonce}:auth:{what}")
    return f"authmod=llnw&user={user}&nonce={server_nonce}&cnonce={nonce}&nc={count}&response={response}"


# MD5 is what these two schemes are made of; nothing else relies on it.
def _md5_base64(text: str) -> str:
    return b64encode(hashlib.md5(text.encode(), usedforsecurity=False).digest()).decode()


def _md5_hex(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
