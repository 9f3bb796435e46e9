"""Settings of `transponder local`: from the command line, else from the environment as `TRANSPONDER_<NAME>`, else under
the names of Flashphoner WCS (`wcs_settings`)."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
)

from transponder_api.settings import ApiSettings
from transponder_crd.log import LogLevel
from transponder_crd.start_error import ENVIRONMENT
from transponder_local.wcs_settings import UnsetPrefix
from transponder_operator.settings import AutoStartSettings
from transponder_relay.settings import Authorities, MaxBitrate, MediaAddresses, MediaPortRange, RelaySettings


def default_data_folder() -> Path:
    """As the XDG Base Directory Specification says."""
    base = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(base):  # the specification wants others ignored
        # a user without a home, as in a container, gets a folder below the present one
        base = os.path.join(os.path.expanduser("~").replace("~", "", 1), ".local", "share")
    return Path(base) / "rtmp-transponder"


def _folder(value: object) -> object:
    if value == "":
        raise ValueError("must not be empty")
    return os.path.expanduser(value) if isinstance(value, str) else value


class WcsFileSettings(BaseSettings):
    """Where the settings of Flashphoner WCS are. Read first, since all others may be there."""

    model_config = ENVIRONMENT

    wcs_properties: Annotated[Path, BeforeValidator(_folder)] | None = None
    """Its flashphoner.properties."""
    wcs_unset_prefix: UnsetPrefix = "commented"
    """When a file that gives no prefix for stream names means that there is none."""


class LocalSettings(ApiSettings, AutoStartSettings):
    """The settings of the API, and of what else runs on the machine."""

    data_folder: Annotated[Path, BeforeValidator(_folder)] = Field(default_factory=default_data_folder)
    """Folder of the database."""
    sounds_folder: Annotated[Path, BeforeValidator(_folder)] = Path()
    """Folder of the WAV files that sound_on may play (default: sounds in the data folder)."""
    media_addresses: MediaAddresses = []
    """Addresses that browsers are told to send media to (default: all of this machine)."""
    media_port_range: MediaPortRange = None
    """UDP ports for media, as in 40000-40100 (default: any)."""
    max_bitrate: MaxBitrate = 4_000_000
    """bit/s that a browser may send."""
    rtmps_ca_file: Annotated[Authorities, BeforeValidator(_folder)] | None = None
    """PEM file of certificate authorities that RTMPS trusts besides those of the system."""
    log_level: LogLevel = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    unused_properties: tuple[str, ...] = ()
    """What is in the properties file and means nothing here."""

    @model_validator(mode="before")
    @classmethod
    def _sounds_in_data_folder(cls, values: dict[str, object]) -> dict[str, object]:
        data = values.get("data_folder", default_data_folder())
        return {"sounds_folder": os.path.join(str(data), "sounds"), **values}

    @property
    def database(self) -> Path:
        return self.data_folder / "store.sqlite"

    def relay_template(self) -> RelaySettings:
        """What all relays of this machine have in common; instance, stream and token are filled in for each."""
        return RelaySettings.model_validate(
            {
                "instance": "",
                "stream_name": "",
                "token": "",
                "sounds_folder": self.sounds_folder.absolute(),
                "media_addresses": [str(address) for address in self.media_addresses],
                "media_port_range": self.media_port_range,
                "max_bitrate": self.max_bitrate,
                "rtmps_ca_file": self.rtmps_ca_file,
                "log_level": self.log_level,
            }
        )


def layered(values: Mapping[str, Any], fallback: Mapping[str, Any]) -> LocalSettings:
    """`values`, else the environment, else `fallback`, else the defaults. Raises ValidationError, SettingsError."""

    class Layered(LocalSettings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, dict(fallback))

    return Layered(**values)
