"""Settings of a relay that is a program of its own, as in a pod: from the environment as `TRANSPONDER_<NAME>`."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, IPvAnyAddress
from pydantic_settings import BaseSettings, SettingsConfigDict

from transponder_crd.log import LogFormat, LogLevel
from transponder_crd.start_error import ENVIRONMENT, BadSetting, variable
from transponder_relay.settings import Authorities, MaxBitrate, MediaAddresses, MediaPortRange, Port, RelaySettings

DAY = 86400.0


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError("must be a folder")
    return path.absolute()


class RelayEnvironment(BaseSettings):
    """An empty variable is one that is not there. Times are in seconds."""

    model_config = SettingsConfigDict(**ENVIRONMENT, env_ignore_empty=True)

    instance: str
    """Name of the pod."""
    token_file: Path
    """File with the bearer token of the control port; read once. In the environment others could read it."""
    control_host: IPvAnyAddress | None = None
    """Address of the control port; without one all addresses, of IPv4 and IPv6."""
    control_port: Port = 9090
    media_addresses: MediaAddresses = []
    """Addresses offered to browsers; without one all of the machine. One that is not of the machine is taken for the
    outer side of a 1:1 NAT that keeps the port."""
    media_nat: bool = False
    """Each of them is such an outer side, even if the machine has the same address: 127.0.0.1, or a node's."""
    media_port_range: MediaPortRange = None
    """First and last UDP port."""
    max_bitrate: MaxBitrate = 4_000_000
    """bit/s that a browser may send."""
    sounds_folder: Annotated[Path, AfterValidator(_folder)] | None = None
    """Folder of the WAV files that may be played."""
    rtmps_ca_file: Authorities | None = None
    """PEM file of authorities to trust besides those of the system."""
    open_metrics: bool = False
    """`/metrics` of the control port without the token, for a Prometheus that cannot know it. They hold no secret."""
    drain_seconds: Annotated[float, Field(ge=0, le=7 * DAY)] = 0.0
    """How long the publisher may stay after SIGTERM."""
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "console"
    """`json`: one object a line."""

    def relay_settings(self) -> RelaySettings:
        """Reads the token. Raises BadSetting."""
        return RelaySettings.model_validate(
            {
                "instance": self.instance,
                "token": _read_token(self.token_file),
                "sounds_folder": self.sounds_folder,
                "media_addresses": [str(address) for address in self.media_addresses],
                "media_nat": self.media_nat,
                "media_port_range": self.media_port_range,
                "max_bitrate": self.max_bitrate,
                "rtmps_ca_file": self.rtmps_ca_file,
                "open_metrics": self.open_metrics,
                "drain_seconds": self.drain_seconds,
                "log_level": self.log_level,
            }
        )


def _read_token(file: Path) -> str:
    """Raises BadSetting; what the file holds is in no text."""
    setting = variable("token_file")
    try:
        token = file.read_text("utf-8").strip()
    except OSError as error:
        raise BadSetting(f"{setting}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        token = ""
    if not re.fullmatch(r"[!-~]{16,}", token):
        raise BadSetting(f"{setting}: the file must hold a token of 16 or more visible ASCII characters")
    return token
