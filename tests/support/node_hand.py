"""A hand on the node: kills processes of pods as the kernel would, which a pod cannot do to its own first one."""

import json
from dataclasses import dataclass

from cluster.images import PEER_IMAGE
from support.kubectl import Kubectl

_KILL = """
import json, os, pathlib, signal, sys
mark = f"HOSTNAME={sys.argv[1]}".encode()
killed = []
for folder in pathlib.Path("/proc").iterdir():
    try:
        if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\\0"):
            os.kill(int(folder.name), signal.SIGKILL)
            killed.append(int(folder.name))
    except OSError:
        pass
print(json.dumps(killed))
"""


@dataclass(frozen=True)
class NodeHand:
    """`kubectl` is in a namespace that allows pods the processes of their node."""

    kubectl: Kubectl

    def ready(self, node: str) -> str:
        """Name of the pod that sees all processes of the node; made if it is not there."""
        name = f"hand-on-{node}"[:63].rstrip("-.")
        container = {
            "name": "main",
            "image": PEER_IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "infinity"],
            "securityContext": {"runAsUser": 0, "capabilities": {"add": ["KILL", "SYS_PTRACE"]}},
        }
        spec = {
            "nodeName": node,
            "hostPID": True,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        }
        self.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        self.kubectl.wait(f"pod/{name}", "condition=Ready")
        return name

    def kill(self, pod: str, namespace: str) -> list[int]:
        """SIGKILL for every process of the pod. Their numbers, at least one."""
        node = self.kubectl.within(namespace).json("get", "pod", pod)["spec"]["nodeName"]
        killed: list[int] = json.loads(self.kubectl.exec(self.ready(node), "python3", "-c", _KILL, pod))
        assert killed, f"no process of {pod} was found"
        return killed
