"""Debian's packages that a local cluster needs."""

import os
import shutil
import subprocess

from cluster.folders import Unavailable, say
from cluster.processes import PATH

CONTROL_PLANE = {"etcd": "etcd-server"}
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "ethtool": "ethtool",
    "socat": "socat",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
IMAGES = {"dockerd": "docker.io", "debootstrap": "debootstrap"}


def install(programs: dict[str, str]) -> None:
    """Install what is missing of program → package, where apt and root are there. Raises Unavailable."""
    missing = _missing(programs)
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(f"please install {' '.join(missing)} (Debian's package names)")
    say(f"installing {' '.join(missing)}")
    # RUNLEVEL=1: nothing of it is to be started as a service
    environment = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    subprocess.run(["apt-get", "update", "-qq"], capture_output=True, timeout=300)
    done = subprocess.run(install, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode or _missing(programs):
        raise Unavailable(f"{' '.join(missing)} cannot be installed: {done.stderr[-1000:]}")


def _missing(programs: dict[str, str]) -> list[str]:
    return [package for program, package in programs.items() if shutil.which(program, path=PATH) is None]
