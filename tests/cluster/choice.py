"""Which cluster the tests run on: the one of $KUBECONFIG, else kind, else the local one of loose processes."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from cluster import network
from cluster.folders import REPOSITORY, Unavailable, say
from cluster.images import PEER_IMAGE, PROGRAMS, product_image
from cluster.local import Cluster
from cluster.local import cluster as local_cluster
from cluster.processes import ProcessError, run

_KIND = "rtmp-transponder-test"


@dataclass(frozen=True)
class Chosen:
    """The cluster under test."""

    provider: str
    """`given`, `kind` or `local`."""
    kubeconfig: Path
    local: Cluster | None = None
    """With its processes, if the tests started it: those can be stopped as a fault."""

    @property
    def direct(self) -> bool:
        """Whether this machine reaches pods and services by their own addresses, and pods reach this machine."""
        server = yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        return f"//{network.NODE}:" in str(server)


def wants_local() -> bool:
    """Whether the choice falls on the local cluster."""
    return not os.environ.get("KUBECONFIG") and not _kind_works()


@contextmanager
def chosen() -> Iterator[Chosen]:
    """The cluster, which ends with this unless it was there before. Raises Unavailable, ProcessError.

    A cluster of $KUBECONFIG must have the images that the tests name, or reach a registry that has.
    """
    given = os.environ.get("KUBECONFIG")
    if given:
        yield Chosen("given", Path(given))
    elif _kind_works():
        with _kind() as kubeconfig:
            yield Chosen("kind", kubeconfig)
    else:
        with local_cluster() as cluster:
            yield Chosen("local", cluster.kubeconfig, cluster)


def _kind_works() -> bool:
    if shutil.which("kind") is None or shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=30).returncode == 0


@contextmanager
def _kind() -> Iterator[Path]:
    """A cluster of kind with the images of this work tree."""
    with tempfile.TemporaryDirectory(prefix="kind-") as scratch:
        kubeconfig = Path(scratch) / "kubeconfig"
        names = _build_with_docker()
        say("kind create cluster")
        create = ["kind", "create", "cluster", "--name", _KIND, "--kubeconfig", str(kubeconfig), "--wait", "180s"]
        try:
            run(create, seconds=600)
            run(["kind", "load", "docker-image", "--name", _KIND, *names], seconds=600)
            yield kubeconfig
        except ProcessError as error:
            if "create cluster" in str(error):
                raise Unavailable(f"kind cannot make a cluster: {error}") from error
            raise
        finally:
            run(["kind", "delete", "cluster", "--name", _KIND, "--kubeconfig", str(kubeconfig)], seconds=120)


def _build_with_docker() -> list[str]:
    contexts = {product_image(program): ["--target", program, str(REPOSITORY)] for program in PROGRAMS}
    contexts[PEER_IMAGE] = [str(Path(__file__).parent / "peer")]
    for name, arguments in contexts.items():
        say(f"docker build {name}")
        run(["docker", "build", "--quiet", "--tag", name, *arguments], seconds=1500)
    return list(contexts)
