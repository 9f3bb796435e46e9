"""etcd and Kubernetes' API server, with the controller manager and scheduler where wanted: real ones, on one address.

`control_plane()` is enough for tests of a store, of informers and of an operator that runs outside a cluster. It needs
no root and binds 127.0.0.1 alone.
"""

import ipaddress
import socket
import ssl
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.binaries import kubernetes
from cluster.packages import CONTROL_PLANE, install
from cluster.pki import Authority, KeyPair
from cluster.processes import Daemon, wait_for

MASTERS = "system:masters"
_READY_SECONDS = 90.0


@dataclass(frozen=True)
class Place:
    """Where the servers listen, and through which command they are started there."""

    address: str = "127.0.0.1"
    api_port: int = 0
    etcd_port: int = 2379
    services: str = "10.213.32.0/20"
    within: Sequence[str] = ()
    outlives: bool = False
    pods: str | None = None


@dataclass
class ControlPlane:
    """A running control plane. `daemons` may be stopped and started anew by name, as a fault."""

    folder: Path
    place: Place
    authority: Authority
    kubeconfig: Path
    daemons: dict[str, Daemon] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Of the API server."""
        return f"https://{self.place.address}:{self.place.api_port}"

    def kubeconfig_for(self, user: str, group: str | None = None, namespace: str = "default") -> Path:
        """For a user with nothing but what RBAC gives to it or to its group."""
        return self.authority.kubeconfig(_file_name(user), self.url, user, group, namespace)

    def restart(self, name: str, kill: bool = False) -> None:
        """Stop one program and start it anew; the API server is ready again on return."""
        daemon = self.daemons[name]
        daemon.stop(kill)
        daemon.start()
        if name == "kube-apiserver":
            self.wait_ready()

    def wait_ready(self) -> None:
        """Until the API server answers that it is ready. Raises ProcessError with the ends of the logs."""
        servers = [self.daemons[name] for name in ("etcd", "kube-apiserver")]
        wait_for("API server ready", self._is_ready, servers, _READY_SECONDS)

    def _is_ready(self) -> bool:
        folder = self.authority.certificate.parent
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        # A proxy from the environment must never see this: it is a request to this machine.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        """End all programs, the last started first. Safe to call again."""
        for daemon in reversed(self.daemons.values()):
            daemon.stop(kill=daemon.name == "etcd")  # its data is thrown away


@contextmanager
def control_plane(controllers: bool = False) -> Iterator[ControlPlane]:
    """etcd and API server on free ports of 127.0.0.1, with `controllers` the controller manager too.

    It collects garbage (owner references) and ends namespaces. RBAC is on; `.kubeconfig` is the administrator's.
    The first call may build the programs, which takes minutes. Raises Unavailable where that cannot be done.
    """
    with tempfile.TemporaryDirectory(prefix="control-plane-") as scratch:
        api, etcd = free_ports(2)
        plane = start_control_plane(Path(scratch), Place(api_port=api, etcd_port=etcd), controllers, scheduler=False)
        try:
            yield plane
        finally:
            plane.stop()


def prepare_control_plane() -> None:
    """Build what it needs; a test that has less than minutes for it finds it there. Raises Unavailable."""
    install(CONTROL_PLANE)
    for program in ("kube-apiserver", "kube-controller-manager"):
        kubernetes(program)


def start_control_plane(folder: Path, place: Place, controllers: bool, scheduler: bool) -> ControlPlane:
    """Start it with everything it writes below the folder. Raises Unavailable, ProcessError."""
    authority = Authority(folder / "pki")
    url = f"https://{place.address}:{place.api_port}"
    plane = ControlPlane(folder, place, authority, authority.kubeconfig("admin", url, "admin", MASTERS))
    try:
        _start(plane, "etcd", _etcd(folder, place))
        _start(plane, "kube-apiserver", _api_server(folder, place, authority))
        plane.wait_ready()
        if controllers:
            _start(plane, "kube-controller-manager", _controller_manager(plane))
        if scheduler:
            _start(plane, "kube-scheduler", _scheduler(plane))
    except BaseException:
        plane.stop()
        raise
    return plane


def _start(plane: ControlPlane, name: str, argv: Sequence[str]) -> None:
    place = plane.place
    daemon = Daemon(name, argv, plane.folder / "logs" / f"{name}.log", place.within, place.outlives)
    plane.daemons[name] = daemon
    daemon.start()


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that were free a moment ago, each another."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _etcd(folder: Path, place: Place) -> list[str]:
    install(CONTROL_PLANE)
    client = f"http://127.0.0.1:{place.etcd_port}"
    peer = f"http://127.0.0.1:{free_ports(1)[0]}"
    return [
        "etcd",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--logger=zap",
        "--log-level=warn",
    ]


def _api_server(folder: Path, place: Place, authority: Authority) -> list[str]:
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", place.address, "127.0.0.1"]
    serving = authority.server("kube-apiserver", [*names, _first_address(place.services)])
    kubelet = authority.client("kube-apiserver-kubelet-client", "kube-apiserver", MASTERS)
    signing = authority.service_account_key()
    reconciler = "none" if place.address.startswith("127.") else "lease"  # endpoints must not be loopback addresses
    return [
        str(kubernetes("kube-apiserver")),
        f"--etcd-servers=http://127.0.0.1:{place.etcd_port}",
        f"--bind-address={place.address}",
        f"--advertise-address={place.address}",
        f"--secure-port={place.api_port}",
        f"--endpoint-reconciler-type={reconciler}",
        f"--service-cluster-ip-range={place.services}",
        f"--client-ca-file={authority.certificate}",
        *_tls(serving),
        # No server stands in front of this one; without a proxy's authority the controllers log an error a second.
        f"--requestheader-client-ca-file={authority.certificate}",
        "--requestheader-allowed-names=nobody",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--kubelet-certificate-authority={authority.certificate}",
        f"--kubelet-client-certificate={kubelet.certificate}",
        f"--kubelet-client-key={kubelet.key}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={signing}",
        f"--service-account-signing-key-file={signing}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--profiling=false",
    ]


def _tls(pair: KeyPair) -> list[str]:
    return [f"--tls-cert-file={pair.certificate}", f"--tls-private-key-file={pair.key}"]


def _controller_manager(plane: ControlPlane) -> list[str]:
    authority, place = plane.authority, plane.place
    user = "system:kube-controller-manager"
    config = authority.kubeconfig("kube-controller-manager", plane.url, user)
    pods = [f"--cluster-cidr={place.pods}", "--allocate-node-cidrs=true"] if place.pods else []
    return [
        str(kubernetes("kube-controller-manager")),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={plane.folder / 'pki' / 'service-accounts.key'}",
        f"--root-ca-file={authority.certificate}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_ports(1)[0]}",
        *_tls(authority.server("kube-controller-manager-serving", ["127.0.0.1"])),
        *pods,
    ]


def _scheduler(plane: ControlPlane) -> list[str]:
    config = plane.authority.kubeconfig("kube-scheduler", plane.url, "system:kube-scheduler")
    return [
        str(kubernetes("kube-scheduler")),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_ports(1)[0]}",
        *_tls(plane.authority.server("kube-scheduler-serving", ["127.0.0.1"])),
    ]


def _first_address(network: str) -> str:
    return str(next(ipaddress.ip_network(network).hosts()))


def _file_name(user: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in user)
