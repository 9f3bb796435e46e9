"""Kubernetes' own programs, built from the Go modules that kubernetes/go.mod and go.sum pin, and kept by version.

No container registry and no download page is needed: the Go module proxy has the sources, and Go checks their sums.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.folders import Unavailable, cache, say

KUBERNETES = "1.36.2"
_MODULE = Path(__file__).parent / "kubernetes"
_GO = (1, 26)
_BUILD_SECONDS = 2400
# Without the version stamp the server says v0.0.0, and clients' version checks misbehave.
_LINK = f"-s -w -X k8s.io/component-base/version.gitVersion=v{KUBERNETES}"


def kubernetes(program: str) -> Path:
    """The program of Kubernetes (`kube-apiserver`, …). Builds it first if need be. Raises Unavailable."""
    return _built(program, f"k8s.io/kubernetes/cmd/{program}")


def _built(program: str, package: str) -> Path:
    home = cache() / f"kubernetes-{KUBERNETES}"
    home.mkdir(exist_ok=True)
    path = home / program
    if not path.exists():
        with _alone(home / "building"):
            if not path.exists():
                _build(package, path)
    return path


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two test runs that start at once build once."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(package: str, path: Path) -> None:
    go = _go()
    say(f"building {path.name} {KUBERNETES} from its Go modules (the first time: minutes)")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        target = Path(scratch) / path.name
        command = [
            go,
            "build",
            "-mod=readonly",
            "-buildvcs=false",
            "-trimpath",
            "-ldflags",
            _LINK,
            "-o",
            target,
            package,
        ]
        done = subprocess.run(
            ["nice", *command],
            cwd=_MODULE,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""},
            timeout=_BUILD_SECONDS,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Unavailable(f"{path.name} cannot be built: {done.stderr[-2000:]}")
        target.rename(path)
    say(f"{path.name} built in {time.monotonic() - began:.0f} s")


def _go() -> str:
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if go is None:
        raise Unavailable("Go is not installed (it builds Kubernetes' programs)")
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=60).stdout.strip()
    version = tuple(int(part) for part in said.removeprefix("go").split(".")[:2])
    if version < _GO:
        raise Unavailable(f"Go {_GO[0]}.{_GO[1]} is needed to build Kubernetes {KUBERNETES}; here is {said}")
    return go
