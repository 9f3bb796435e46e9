"""Settings of the operator program. Each comes from the environment as `TRANSPONDER_<NAME>`."""

import re
import socket
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from transponder_crd.defaults import Defaults
from transponder_crd.kubernetes.control_key import DEFAULT_SECRET
from transponder_crd.log import LogFormat, LogLevel
from transponder_crd.start_error import ENVIRONMENT
from transponder_operator.pods.settings import PodSettings, parse_list
from transponder_operator.settings import AutoStartSettings

ALL_NAMESPACES = ("*",)

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class OperatorSettings(BaseSettings, AutoStartSettings, PodSettings):
    """What the operator is told by the person who runs it. Times are in seconds."""

    model_config = SettingsConfigDict(**ENVIRONMENT, env_nested_delimiter="__")

    namespace: str = ""
    """Where the operator is, and its Lease; empty: that of its service account, or of the kubeconfig's context."""
    namespaces: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_list)] = ()
    """Whose objects it serves, with commas between; empty: its own; `*`: all, which needs a ClusterRole."""
    lease_name: Annotated[str, Field(min_length=1, max_length=253)] = "rtmp-transponder-operator"
    """Of several operators with the same Lease one is active."""
    lease_seconds: Annotated[int, Field(ge=5, le=300)] = 15
    """How long after its last sign of life another one takes over."""
    pod_name: str = Field(default_factory=socket.gethostname)
    """By which the Lease knows it. Started again under the same name it takes over at once."""
    control_key_secret: Annotated[str, Field(min_length=1, max_length=253)] = DEFAULT_SECRET
    """The Secret with the key to relays' control ports; made if it does not exist."""
    resync_seconds: Annotated[float, Field(ge=1, le=3600)] = 120.0
    """Between two listings of all objects, which find what a watch has missed."""
    watch_grace_seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """A watch that has not told for so long what a listing found is dead: the operator is not live any more."""
    host: str = "0.0.0.0"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """`/healthz`, `/readyz` and `/metrics`; 0 takes a free one."""
    log_level: LogLevel = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    log_format: LogFormat = "console"
    """`console`, or `json` for a line of JSON each."""
    defaults: Defaults = Defaults()
    """What transponders get that do not say otherwise."""

    @field_validator("namespaces")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in names and names != ALL_NAMESPACES:
            raise ValueError("must be names, or * alone")
        if names != ALL_NAMESPACES and not all(_NAMESPACE.fullmatch(name) for name in names):
            raise ValueError("must be names of namespaces, with commas between")
        return tuple(dict.fromkeys(names))

    @property
    def everywhere(self) -> bool:
        """Are all namespaces served?"""
        return self.namespaces == ALL_NAMESPACES
