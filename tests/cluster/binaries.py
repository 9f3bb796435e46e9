"""Kubernetes' own programs and CoreDNS, built from the Go modules that go.mod and go.sum beside pin, kept by version.

No container registry and no download page is needed: the Go module proxy has the sources, and Go checks their sums.
"""

import fcntl
import hashlib
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
_HERE = Path(__file__).parent
_GO = (1, 26)
_BUILD_SECONDS = 2400
# Without the version stamp the server says v0.0.0, and clients' version checks misbehave.
_STAMP = f"-X k8s.io/component-base/version.gitVersion=v{KUBERNETES}"


def kubernetes(program: str) -> Path:
    """The program of Kubernetes (`kube-apiserver`, …). Builds it first if need be. Raises Unavailable."""
    package = f"k8s.io/kubernetes/cmd/{program}"
    return _built(program, _HERE / "kubernetes", package, cache() / f"kubernetes-{KUBERNETES}", _STAMP)


def coredns() -> Path:
    """CoreDNS with the plugins of coredns/main.go. Builds it first if need be. Raises Unavailable."""
    return _own("coredns")


def pause() -> Path:
    """The program that holds a pod's namespaces. Builds it first if need be. Raises Unavailable."""
    return _own("pause")


def _own(program: str) -> Path:
    """A program whose main.go is beside this file: it is kept by the sum of its sources."""
    module = _HERE / program
    sources = b"".join(file.read_bytes() for file in sorted(module.iterdir()) if file.is_file())
    return _built(program, module, ".", cache() / f"{program}-{hashlib.sha256(sources).hexdigest()[:12]}")


def _built(program: str, module: Path, package: str, home: Path, stamp: str = "") -> Path:
    home.mkdir(exist_ok=True)
    path = home / program
    if not path.exists():
        with _alone(home / "building"):
            if not path.exists():
                _build(module, package, path, f"-s -w {stamp}")
    return path


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two test runs that start at once build once."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(module: Path, package: str, path: Path, link: str) -> None:
    go = _go()
    say(f"building {path.name} from its Go modules (minutes, the first time)")
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
            link,
            "-o",
            str(target),
            package,
        ]
        done = subprocess.run(
            ["nice", *command],
            cwd=module,
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
        raise Unavailable("Go is not installed (Kubernetes is built from its Go modules)")
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=60).stdout.strip()
    version = tuple(int(part) for part in said.removeprefix("go").split(".")[:2])
    if version < _GO:
        raise Unavailable(f"Go {_GO[0]}.{_GO[1]} is needed to build Kubernetes {KUBERNETES}; here is {said}")
    return go
