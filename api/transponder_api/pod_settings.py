"""Settings of `transponder-api`, from the environment as `TRANSPONDER_<NAME>`. Times are in seconds."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat

from transponder_api.settings import ApiSettings, ListenPort
from transponder_crd.kubernetes.control_key import DEFAULT_SECRET
from transponder_crd.log import LogFormat, LogLevel


class PodSettings(ApiSettings):
    """The settings of the API, and of a pod of it."""

    host: str = "0.0.0.0"
    """Address to listen on."""
    metrics_port: ListenPort = 9100
    """`/metrics`, `/healthz` and `/readyz`, by plain HTTP and without a token."""
    namespace: str = ""
    """Where transponders and Streams are (default: that of the service account, or of the kubeconfig's context)."""
    control_key_secret: Annotated[str, Field(min_length=1, max_length=253)] = DEFAULT_SECRET
    """The Secret from which the tokens of relays are made; the operator makes it."""
    control_key_namespace: str = ""
    """Where that Secret is (default: where transponders are)."""
    lame_duck_seconds: NonNegativeFloat = 5.0
    """How long all is served after SIGTERM, so that nobody is sent here any more when it ends."""
    drain_seconds: NonNegativeFloat = 0.0
    """How long after that the streams of WebSDK sessions may go on. They end with the WebSocket, which is here."""
    log_level: LogLevel = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    log_format: LogFormat = "console"
    """`console` for people, `json` for programs."""
