"""Namespaces of network, mounts and processes that hold the whole node, so that nothing of it can be left over.

When the first process of the process namespace ends, the kernel ends every other one in it: kubelet, containerd, all
pods. The mounts, bridges, addresses and firewall rules go with the last of them. Only files and control groups stay.
"""

import contextlib
import os
import shlex
from pathlib import Path

from cluster.processes import Daemon, child_pids, wait_for

CONTROL_GROUP = "rtmp-transponder-cluster"
_CGROUPS = Path("/sys/fs/cgroup")
# The kubelet wants these and would set them for the whole machine; inside it finds them set.
_TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


class Sandbox:
    """The namespaces. `enter` is the command that starts another command inside."""

    def __init__(self, folder: Path, outlives: bool) -> None:
        self._folder = folder
        argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        script = _script(folder)
        self.daemon = Daemon(
            "sandbox", [*argv, "sh", "-ec", script], folder / "logs" / "sandbox.log", outlives=outlives
        )
        self.pid = 0

    def start(self) -> None:
        """Returns when it is ready for programs."""
        for name, value in _TUNABLES.items():
            path = _tunable(self._folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value)
        _pod_logs(self._folder).mkdir(parents=True, exist_ok=True)
        self.daemon.start()
        wait_for("sandbox ready", self._is_ready, [self.daemon], 10)
        _make_control_groups()

    def _is_ready(self) -> bool:
        children = child_pids(self.daemon.pid)
        if not children:
            return False
        self.pid = children[0]
        return Path(f"/proc/{self.pid}/cmdline").read_bytes().startswith(b"sleep")

    @property
    def enter(self) -> list[str]:
        """For `Daemon.within` and for commands."""
        return enter(self.pid)

    def stop(self) -> None:
        """Ends everything inside. Returns when it is gone."""
        self.daemon.stop(kill=True)
        if self.pid:
            wait_for("end of the sandbox", lambda: not Path(f"/proc/{self.pid}").exists(), seconds=30)
        remove_control_groups()


def enter(pid: int) -> list[str]:
    """The command that starts another command in the namespaces of this process."""
    return ["nsenter", "--target", str(pid), "--net", "--mount", "--pid", "--"]


def _script(folder: Path) -> str:
    binds = [f"mount --bind {shlex.quote(str(_tunable(folder, name)))} /proc/sys/{name}" for name in _TUNABLES]
    return "\n".join(
        [
            *binds,
            f"mount --bind {shlex.quote(str(_pod_logs(folder)))} /var/log",
            "mount -t tmpfs tmpfs /run",
            "mount -t tmpfs tmpfs /var/lib",
            "mount --make-rshared /",  # containers see what the kubelet mounts
            "trap '' CHLD",  # orphans are reaped by the kernel
            "exec sleep infinity",
        ]
    )


def _tunable(folder: Path, name: str) -> Path:
    return folder / "sysctl" / name


def _pod_logs(folder: Path) -> Path:
    return folder / "logs" / "node"


def _control_groups(name: str) -> list[Path]:
    if (_CGROUPS / "cgroup.controllers").exists():  # version 2
        return [_CGROUPS / name]
    return [folder / name for folder in _CGROUPS.iterdir() if folder.is_dir() and not folder.is_symlink()]


def _make_control_groups() -> None:
    for group in _control_groups(CONTROL_GROUP):
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # version 1: empty in a new group, which then can hold no process
            if (group / name).exists() and not (group / name).read_text().strip():
                (group / name).write_text((group.parent / name).read_text())


def remove_control_groups(name: str = CONTROL_GROUP) -> None:
    """Of programs that have ended; safe to call when there are none."""
    for top in _control_groups(name):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):  # a member is still ending; the next one takes the group over
                os.rmdir(folder)
