"""coturn in a pod, which takes credentials made from a shared secret."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.images import PEER_IMAGE
from support.kubectl import Kubectl
from support.restricted import restricted_pod

_NAME, _PORT = "turn", 3478
_ALLOCATED = r"user <([^>]*)>: incoming packet ALLOCATE processed, success"


@dataclass(frozen=True)
class Coturn:
    kubectl: Kubectl
    address: str
    """Of its pod."""

    @classmethod
    def start(cls, kubectl: Kubectl, secret: str, peers: str) -> "Coturn":
        """In kubectl's namespace, which it ends with. `peers`: the range (`a-b`) that it may relay to."""
        pod = restricted_pod(_NAME, PEER_IMAGE, _command(secret, peers))
        pod["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": _PORT}, "periodSeconds": 1}
        kubectl.apply(pod)
        kubectl.wait(f"pod/{_NAME}", "condition=Ready")
        return cls(kubectl, kubectl.json("get", "pod", _NAME)["status"]["podIP"])

    @property
    def url(self) -> str:
        return f"turn:{self.address}:{_PORT}?transport=udp"

    def users(self) -> list[str]:
        """Of all allocations so far."""
        return re.findall(_ALLOCATED, self.kubectl("logs", _NAME))


def _command(secret: str, peers: str) -> Sequence[str]:
    return [
        "turnserver", "-n", f"--listening-port={_PORT}", "--realm=test", "--fingerprint", "--use-auth-secret",
        f"--static-auth-secret={secret}", f"--allowed-peer-ip={peers}", "--denied-peer-ip=0.0.0.0-255.255.255.255",
        "--no-cli", "--no-tls", "--no-dtls", "--no-rfc5780", "--verbose", "--log-file=stdout",
        "--pidfile=/tmp/turn.pid", "--userdb=/tmp/turn.db",
    ]  # fmt: skip
