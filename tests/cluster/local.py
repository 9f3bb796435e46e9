"""The local cluster: a control plane and one node in a sandbox, with the images of this work tree.

One at a time on a machine. What the last one left when it was killed (a route, control groups, files) is removed by the
next, and by `down`.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster import network, tools
from cluster.binaries import kubernetes
from cluster.control_plane import ControlPlane, Place, start_control_plane
from cluster.folders import Unavailable, cache, say
from cluster.images import build_images
from cluster.node import Node, load
from cluster.packages import CONTROL_PLANE, NODE, install
from cluster.processes import ProcessError, child_pids, log_tail, run, wait_for
from cluster.sandbox import Sandbox, enter, remove_control_groups

_PLACE = Place(address=network.NODE, api_port=6443, etcd_port=2379, services=network.SERVICES)
_LOCK_SECONDS = 1800.0


@dataclass
class Cluster:
    """A running cluster. `plane`, `node` and `sandbox` are there only if this process started it."""

    kubeconfig: Path
    folder: Path
    plane: ControlPlane | None = None
    node: Node | None = None
    sandbox: Sandbox | None = None

    def logs(self) -> str:
        """The ends of all programs' logs."""
        return "".join(f"--- {log.name}\n{log_tail(log)}\n" for log in sorted((self.folder / "logs").glob("*.log")))


@contextmanager
def cluster() -> Iterator[Cluster]:
    """The cluster of `up` if there is one, else one of our own, which ends with this, even if this process is killed.

    Enter it from the main thread. Waits for another process's cluster. Raises Unavailable, ProcessError.
    """
    with _only_one():
        there = running()
        if there is not None:
            yield there
            return
        started = _start(outlives=False)
        try:
            yield started
        finally:
            _stop(started)


def up() -> Cluster:
    """Start a cluster that stays until `down`, or find the one that is there. Raises Unavailable, ProcessError."""
    with _only_one():
        there = running()
        if there is not None:
            return there
        started = _start(outlives=True)
        assert started.sandbox is not None
        pid = started.sandbox.daemon.pid
        _state().write_text(json.dumps({"pid": pid, "began": _began(pid)}))
        return started


def load_images() -> None:
    """Build the images anew and give them to the cluster that `up` started. Raises Unavailable, ProcessError."""
    with _only_one():
        pid = _pid_of_state()
        if pid is None:
            raise Unavailable("no cluster runs")
        (inside,) = child_pids(pid)
        load(enter(inside), build_images())


def prepare() -> None:
    """Build and fetch everything that `up` needs, so that it takes seconds. Raises Unavailable, ProcessError."""
    with _only_one():
        if running() is None:
            _prepared()


def down() -> None:
    """End the cluster that `up` started, and what a killed one left."""
    with _only_one():
        _clean()


def running() -> Cluster | None:
    """The cluster that `up` started, if it still runs."""
    if _pid_of_state() is None:
        return None
    return Cluster(_kubeconfig(), _folder())


def _start(outlives: bool) -> Cluster:
    _clean()
    network.check_free()
    archive = _prepared()
    began = time.monotonic()
    folder = _folder()
    folder.mkdir()
    folder.chmod(0o700)
    sandbox = Sandbox(folder, outlives)
    started = Cluster(_kubeconfig(), folder, sandbox=sandbox)
    try:
        sandbox.start()
        network.connect(sandbox.pid)
        _fill(started, sandbox, archive, outlives)
    except BaseException:
        _stop(started)
        raise
    say(f"cluster up in {time.monotonic() - began:.0f} s")
    return started


def _fill(started: Cluster, sandbox: Sandbox, archive: Path, outlives: bool) -> None:
    place = Place(**{**vars(_PLACE), "within": sandbox.enter, "outlives": outlives})
    started.plane = start_control_plane(started.folder, place, controllers=True, scheduler=True)
    started.node = node = Node(started.plane)
    node.start_containerd()
    node.start_kubelet()
    load(sandbox.enter, archive)
    kubectl = [str(tools.kubectl()), "--kubeconfig", str(started.plane.kubeconfig)]
    node.wait_ready(kubectl)
    _wait_accounts(kubectl)
    shutil.copy(started.plane.kubeconfig, started.kubeconfig)


def _wait_accounts(kubectl: Sequence[str]) -> None:
    """Pods are refused until their namespace has its service account."""

    def there() -> bool:
        with contextlib.suppress(ProcessError):
            return bool(run([*kubectl, "get", "serviceaccount", "default", "--namespace", "default", "-o", "name"]))
        return False

    wait_for("service account of the default namespace", there)


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise Unavailable("a local cluster needs root")
    for needed in ("/proc/sys/net/ipv4", "/sys/fs/cgroup"):
        if not Path(needed).exists():
            raise Unavailable(f"a local cluster needs {needed}")


def _prepared() -> Path:
    """Everything that takes minutes the first time. Returns the archive of images."""
    _check_machine()
    install({**CONTROL_PLANE, **NODE})
    tools.kubectl()
    for program in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"):
        kubernetes(program)
    return build_images()


def _stop(cluster: Cluster) -> None:
    if cluster.sandbox is not None:
        cluster.sandbox.stop()
    _clean()


def _clean() -> None:
    """Remove everything of the last cluster but its logs, which stay until the next one starts."""
    pid = _pid_of_state()
    if pid is not None:
        os.kill(pid, signal.SIGKILL)  # and with it, all that is in its namespaces
        wait_for("end of the last cluster", lambda: _pid_of_state() is None, seconds=30)
    network.disconnect()
    remove_control_groups()
    folder = _folder()
    if (folder / "logs").exists():
        shutil.rmtree(_last_logs(), ignore_errors=True)
        (folder / "logs").rename(_last_logs())
    if folder.exists():
        shutil.rmtree(folder)


def _pid_of_state() -> int | None:
    try:
        state = json.loads(_state().read_text())
    except FileNotFoundError:
        return None
    return state["pid"] if _began(state["pid"]) == state["began"] else None


def _began(pid: int) -> str | None:
    """When the process started: with it a number that is used again is told from the process that had it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


@contextmanager
def _only_one() -> Iterator[None]:
    end = time.monotonic() + _LOCK_SECONDS
    told = False
    with (cache() / "cluster.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise Unavailable("another process has had the local cluster for half an hour") from error
            if not told:
                say("waiting for another process's cluster to end")
                told = True
            time.sleep(1)
        yield


def _folder() -> Path:
    return cache() / "cluster"


def _last_logs() -> Path:
    return cache() / "cluster-logs"


def _kubeconfig() -> Path:
    return _folder() / "kubeconfig"


def _state() -> Path:
    return _folder() / "state.json"
