"""Settings of relays that are pods; mixed into those of the operator."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, PositiveFloat, PositiveInt, field_validator, model_validator
from pydantic_settings import NoDecode

from transponder_operator.pods.ports import MediaMode, PortRange
from transponder_operator.pods.state import START_SECONDS

Port = Annotated[int, Field(ge=1, le=65535)]


def _parse_range(value: object) -> object:
    """`30000-30999`, as one writes it in an environment variable."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    first, dash, last = value.partition("-")
    if not (dash and first.strip().isdecimal() and last.strip().isdecimal()):
        raise ValueError("must be two ports with a dash between, such as 30000-30999")
    return int(first), int(last)


def parse_list(value: object) -> object:
    """`a, b`, as one writes it in an environment variable."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class PodSettings(BaseModel):
    """How relay pods are made and kept. Times are in seconds."""

    relay_template: Path = Path("/etc/transponder/relay-pod.yaml")
    """YAML file of a PodTemplateSpec (`metadata`, `spec`): what all relay pods have in common."""
    media_mode: MediaMode = MediaMode.POD_NETWORK
    """How browsers reach relays: `podNetwork`, `hostNetwork` or `hostPort`."""
    media_port_range: Annotated[tuple[Port, Port] | None, NoDecode, BeforeValidator(_parse_range)] = None
    """UDP ports for media, `30000-30999`: with `hostPort` each relay gets a block of it, with `hostNetwork` relays
    share it."""
    ports_per_relay: PositiveInt = 4
    """Size of such a block: one port for the publisher and one for each player."""
    media_addresses: Annotated[list[str], NoDecode, BeforeValidator(parse_list)] = []
    """With `hostPort` and `hostNetwork`: addresses to offer to browsers, with commas between; empty: the node's own."""
    control_port_range: Annotated[tuple[Port, Port], NoDecode, BeforeValidator(_parse_range)] = (20000, 20999)
    """With `hostNetwork`: TCP ports for control ports."""
    pool_size: Annotated[int, Field(ge=0, le=1000)] = 1
    """Relays that are kept ready for streams to come."""
    pool_owner: str = ""
    """Name of a ConfigMap in the operator's namespace, that of the template: idle relays go with it."""
    max_starting: PositiveInt = 10
    """Relays that may be starting at once."""
    start_seconds: PositiveFloat = START_SECONDS
    """A relay that has a node and is not ready for so long is replaced."""
    end_seconds: PositiveInt = 10
    """Grace of a relay that nothing needs any more; it is told so before."""

    @field_validator("media_port_range", "control_port_range")
    @classmethod
    def _in_order(cls, ports: PortRange | None) -> PortRange | None:
        if ports and ports[0] > ports[1]:
            raise ValueError("the first port must not be above the last")
        return ports

    @model_validator(mode="after")
    def _fits(self) -> Self:
        ports = self.media_port_range
        if self.media_mode is not MediaMode.HOST_PORT:
            return self
        if ports is None:
            raise ValueError("mediaMode hostPort needs mediaPortRange")
        if ports[1] - ports[0] + 1 < self.ports_per_relay:
            raise ValueError("mediaPortRange must hold at least portsPerRelay ports")
        return self
