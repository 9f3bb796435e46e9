"""What a relay process is told when it starts; everything else comes through `PUT /desired`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_serializer

from transponder_crd.model import Model

Port = Annotated[int, Field(ge=1, le=65535)]


class RelaySettings(Model):
    """Settings of one relay. They travel as JSON to the zygote, so the token is revealed there and nowhere else."""

    instance: str
    """Name of this process; a restarted relay has another."""
    stream_name: str
    token: SecretStr
    """Bearer token of the control port."""
    sounds_folder: Path | None = None
    media_addresses: list[str] = []
    """Addresses offered to browsers; empty: every address of the machine."""
    media_port_range: tuple[Port, Port] | None = None
    """First and last UDP port; none: any free port."""
    max_bitrate: int = 4_000_000
    """bit/s that a browser may send."""
    rtmps_ca_file: Path | None = None
    """PEM file of authorities to trust besides those of the system."""
    offer_timeout: float = 30.0
    """Seconds that a publisher may take from being desired to its offer."""
    log_level: str = "INFO"

    @field_serializer("token", when_used="json")
    def _reveal(self, value: SecretStr) -> str:
        return value.get_secret_value()
