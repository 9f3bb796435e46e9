"""The node: containerd, kubelet, kube-proxy and the cluster's DNS, all in the sandbox."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml
from cluster import binaries, network
from cluster.control_plane import MASTERS, ControlPlane
from cluster.packages import NODE, install
from cluster.processes import Daemon, ProcessError, run, wait_for
from cluster.sandbox import CONTROL_GROUP

NAME = "node"
DOMAIN = "cluster.local"
PAUSE_IMAGE = "transponder.local/pause:1"
_SOCKET = "/run/containerd/containerd.sock"
_CTR = ("ctr", "--address", _SOCKET, "--namespace", "k8s.io")
_READY_SECONDS = 60.0


class Node:
    """One node of the control plane, started in the sandbox that the plane is in."""

    def __init__(self, plane: ControlPlane) -> None:
        install(NODE)
        self._plane = plane
        self._folder = plane.folder
        self.daemons: dict[str, Daemon] = {}

    def start_containerd(self) -> None:
        """Returns when it takes images."""
        config = self._write("containerd.toml", _containerd(self._folder))
        self._start("containerd", ["containerd", "--config", str(config)])
        wait_for("containerd ready", self._containerd_answers, [self.daemons["containerd"]], 30)

    def start_kubelet(self) -> None:
        """Start what makes it a node of the cluster; `wait_ready` waits for it."""
        authority, url = self._plane.authority, self._plane.url
        self._write("cni/10-pods.conflist", json.dumps(network.pod_network()))
        self._write("resolv.conf", f"nameserver {network.NODE}\n")
        serving = authority.server("kubelet-serving", [network.NODE, NAME])
        config = self._write("kubelet.yaml", yaml.safe_dump(_kubelet(self._folder, authority.certificate)))
        kubeconfig = authority.kubeconfig("kubelet", url, f"system:node:{NAME}", "system:nodes")
        self._start(
            "kubelet",
            [
                str(binaries.kubernetes("kubelet")),
                f"--config={config}",
                f"--kubeconfig={kubeconfig}",
                f"--root-dir={self._folder / 'kubelet'}",
                f"--hostname-override={NAME}",
                f"--node-ip={network.NODE}",
                f"--tls-cert-file={serving.certificate}",
                f"--tls-private-key-file={serving.key}",
            ],
        )
        self._start_proxy()
        self._start_dns()

    def _start_proxy(self) -> None:
        kubeconfig = self._plane.authority.kubeconfig("kube-proxy", self._plane.url, "system:kube-proxy")
        config = self._write("kube-proxy.yaml", yaml.safe_dump(_proxy(kubeconfig)))
        self._start("kube-proxy", [str(binaries.kubernetes("kube-proxy")), f"--config={config}"])

    def _start_dns(self) -> None:
        kubeconfig = self._plane.authority.kubeconfig("coredns", self._plane.url, "coredns", MASTERS)
        config = self._write("Corefile", _corefile(kubeconfig))
        self._start("coredns", [str(binaries.coredns()), "-conf", str(config)])

    def wait_ready(self, kubectl: Sequence[str]) -> None:
        """Until the node is Ready. Raises ProcessError with the ends of the logs."""
        condition = '{.status.conditions[?(@.type=="Ready")].status}'

        def ready() -> bool:
            try:
                return run([*kubectl, "get", "node", NAME, "-o", f"jsonpath={condition}"]) == "True"
            except ProcessError:
                return False  # it has not registered yet

        wait_for("node ready", ready, list(self.daemons.values()), _READY_SECONDS)

    def _containerd_answers(self) -> bool:
        try:
            run([*self._plane.place.within, *_CTR, "version"], seconds=10)
        except ProcessError:
            return False
        return True

    def _start(self, name: str, argv: Sequence[str]) -> None:
        place = self._plane.place
        daemon = Daemon(name, argv, self._folder / "logs" / f"{name}.log", place.within, place.outlives)
        self.daemons[name] = daemon
        daemon.start()

    def _write(self, name: str, content: str) -> Path:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path


def load(within: Sequence[str], archive: Path) -> None:
    """Import the images of a `docker save` archive into the node that is entered by this command."""
    run([*within, *_CTR, "images", "import", "--snapshotter", "overlayfs", str(archive)], seconds=600)


def _containerd(folder: Path) -> str:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{folder / "containerd"}"
state = "/run/containerd"
disabled_plugins = [
    "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{_SOCKET}"
[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
[{cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
[{cri}.cni]
  bin_dir = "{_cni_programs()}"
  conf_dir = "{folder / "cni"}"
"""


def _cni_programs() -> str:
    return next(folder for folder in ("/usr/lib/cni", "/opt/cni/bin") if shutil.which(f"{folder}/bridge"))


def _kubelet(folder: Path, authority: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.NODE,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CONTROL_GROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDNS": [network.NODE],
        "clusterDomain": DOMAIN,
        "resolvConf": str(folder / "resolv.conf"),
        "volumePluginDir": str(folder / "volume-plugins"),
        # A machine with a full disk is no reason to evict a test's pods, and images cannot be pulled again.
        "evictionHard": {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "healthzPort": 0,
    }


def _proxy(kubeconfig: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": NAME,
        "mode": "iptables",
        "clusterCIDR": network.PODS,
        "bindAddress": network.NODE,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        # The table of connections is the machine's own.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _corefile(kubeconfig: Path) -> str:
    return f""".:53 {{
    bind {network.NODE}
    errors
    kubernetes {DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods verified
        ttl 5
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
