"""What a relay process is told when it starts; everything else comes through `PUT /desired`."""

import re
import ssl
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, IPvAnyAddress, SecretStr, field_serializer
from pydantic_settings import NoDecode

from transponder_crd.model import Model

Port = Annotated[int, Field(ge=1, le=65535)]


def _split(value: object) -> object:
    return [part for part in re.split(r"[,\s]+", value) if part] if isinstance(value, str) else value


def _reachable(address: IPvAnyAddress) -> IPvAnyAddress:
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        raise ValueError("must be an address that browsers can reach: not link-local, multicast or unspecified")
    return address


def _range(value: object) -> object:
    if not isinstance(value, str):
        return value
    first, dash, last = value.partition("-")
    if not dash:
        raise ValueError("must be two ports with a dash between, as in 40000-40100")
    return first.strip(), last.strip()


def _ordered(value: tuple[int, int] | None) -> tuple[int, int] | None:
    if value and value[0] > value[1]:
        raise ValueError("must name the lower port first")
    return value


def _authorities(file: Path) -> Path:
    try:
        ssl.create_default_context(cafile=file)
    except OSError:  # ssl.SSLError is one
        raise ValueError("must be a PEM file of certificates that can be read") from None
    return file.absolute()


# How people write these settings, whichever program they are given to.
MediaAddresses = Annotated[
    list[Annotated[IPvAnyAddress, AfterValidator(_reachable)]], NoDecode, BeforeValidator(_split)
]
"""With commas or spaces between."""
MediaPortRange = Annotated[tuple[Port, Port] | None, NoDecode, BeforeValidator(_range), AfterValidator(_ordered)]
"""As in 40000-40100."""
Authorities = Annotated[Path, AfterValidator(_authorities)]
"""A PEM file of certificates that was read once."""
MaxBitrate = Annotated[int, Field(ge=100_000, le=100_000_000)]


class RelaySettings(Model):
    """Settings of one relay. They travel as JSON to the zygote, so the token is revealed there and nowhere else."""

    instance: str
    """Name of this process; a restarted relay has another."""
    stream_name: str = ""
    """Empty: that of the first desired state."""
    token: SecretStr
    """Bearer token of the control port."""
    sounds_folder: Path | None = None
    media_addresses: list[str] = []
    """Addresses offered to browsers; empty: every address of the machine."""
    media_nat: bool = False
    """Each of them is the outer side of a 1:1 NAT, even if the machine has the same address."""
    media_port_range: tuple[Port, Port] | None = None
    """First and last UDP port; none: any free port."""
    max_bitrate: int = 4_000_000
    """bit/s that a browser may send."""
    rtmps_ca_file: Path | None = None
    """PEM file of authorities to trust besides those of the system."""
    offer_timeout: float = 30.0
    """Seconds that a publisher may take from being desired to its offer."""
    open_metrics: bool = False
    """`/metrics` without the token."""
    drain_seconds: float = 0.0
    """How long the publisher may stay after SIGTERM; 0 ends all at once."""
    log_level: str = "INFO"

    @field_serializer("token", when_used="json")
    def _reveal(self, value: SecretStr) -> str:
        return value.get_secret_value()
