"""Settings of the API. Each comes from its argument, else from the environment as `TRANSPONDER_<NAME>`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from transponder_crd.defaults import Defaults

BODY_LIMIT = 65536
"""Bytes of a request body; `control.Offer` has the same limit."""

BODY_TIMEOUT = 10.0
"""Seconds in which a request body must be here."""


class ApiSettings(BaseSettings):
    """What the API is told by the person who runs it. Times are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="TRANSPONDER_",
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",  # the other programs read the same environment
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8081
    """TCP port of REST and WHIP; 0 takes a free one."""
    sounds_folder: Path = Path("sounds")
    """Folder of the WAV files that `sound_on` may play."""
    cors_origin: str = "*"
    """Web origins that may call from a browser: `*`, a list with spaces between, or empty for none."""
    token: Annotated[SecretStr, Field(min_length=1)] | None = None
    """If given, REST and WHIP want it as `Authorization: Bearer <token>`."""
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
