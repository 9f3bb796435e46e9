"""Settings of the API. Each comes from its argument, else from the environment as `TRANSPONDER_<NAME>`."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveFloat, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from transponder_api.ice_servers import IceServerList
from transponder_api.secret_file import SecretFile
from transponder_crd.defaults import Defaults
from transponder_crd.start_error import ENVIRONMENT

BODY_LIMIT = 65536
"""Bytes of a request body; `control.Offer` has the same limit."""

BODY_TIMEOUT = 10.0
"""Seconds in which a request body must be here."""


def _or_off(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() in {"", "off"} else value


ListenPort = Annotated[Annotated[int, Field(ge=0, le=65535)] | None, BeforeValidator(_or_off)]
"""A TCP port to listen on: 0 takes a free one; None, `off` or an empty text: do not listen."""


class ApiSettings(BaseSettings):
    """What the API is told by the person who runs it. Times are in seconds."""

    model_config = SettingsConfigDict(**ENVIRONMENT, env_nested_delimiter="__")

    host: str = "127.0.0.1"
    """Address to listen on."""
    http_port: ListenPort = 8081
    """REST, WHIP, WHEP and the web page."""
    https_port: ListenPort = 8444
    """The same by TLS, if there is a certificate."""
    ws_port: ListenPort = 8080
    """WebSockets of the WebSDK."""
    wss_port: ListenPort = 8443
    """The same by TLS, if there is a certificate."""
    tls_cert: Path | None = None
    """PEM file of the certificate, with the intermediate ones behind it."""
    tls_key: Path | None = None
    """PEM file of its private key."""
    keep_alive_interval: PositiveFloat = 5.0
    """Seconds between two pings to a WebSDK client (`keep_alive.server_interval`)."""
    keep_alive_probes: Annotated[int, Field(ge=1)] = 10
    """Pings without an answer after which a WebSDK session is over (`keep_alive.probes`)."""
    sounds_folder: Path = Path("sounds")
    """Folder of the WAV files that `sound_on` may play."""
    cors_origin: str = "*"
    """Web origins that may call from a browser: `*`, a list with spaces between, or empty for none."""
    token: Annotated[SecretStr, Field(min_length=1)] | None = None
    """If given, REST, WHIP and WHEP want it as `Authorization: Bearer <token>`."""
    token_file: Path | None = None
    """The file with the token, instead of the token; read anew when it is exchanged."""
    public_path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = ""
    """What a proxy takes off the front of the paths that clients use, as in `/transponder`."""
    ice_servers: Annotated[IceServerList, NoDecode] = ()
    """STUN and TURN servers that browsers are given: a JSON list of `{urls, username, credential}`, or with `secret`,
    which the TURN server knows too, instead of a credential. `credentialFile` and `secretFile` name files."""
    ice_credential_seconds: Annotated[int, Field(ge=60, le=30 * 86400)] = 86400
    """How long a credential that is made from a secret is good."""
    startup_needs_stream: bool = False
    """Refuse startup for a stream that is not being published with 404, instead of waiting for its publisher."""
    fail_stream_on_rtmp_error: bool = False
    """Fail a publication whose own `rtmpUrl` (WebSDK) cannot be reached for good (`Failed by RTMP writer error`)."""
    defaults: Defaults = Defaults()
    """What transponders get that do not say otherwise."""
    resolve_timeout: PositiveFloat = 2.0
    """How long to wait for DNS to say that a destination's host does not exist."""
    effect_timeout: PositiveFloat = 3.0
    """How long mute, sound and terminate wait until they are in effect."""
    close_timeout: PositiveFloat = 8.0
    """How long startup or publishing waits for an earlier one of the same name to be closed."""
    relay_timeout: PositiveFloat = 10.0
    """How long a publisher waits for its relay to be ready."""
    offer_timeout: PositiveFloat = 5.0
    """How long a relay may take to answer an SDP offer."""

    @field_validator("tls_key")
    @classmethod
    def _certificate_and_key(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("tls_cert") is None):
            raise ValueError("certificate and key must be given together")
        return key

    @field_validator("token_file")
    @classmethod
    def _one_token(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None and info.data.get("token") is not None:
            raise ValueError("must not be given together with the token itself")
        if file is not None:
            SecretFile(file)
        return file
