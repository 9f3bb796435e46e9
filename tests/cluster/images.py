"""Images for the local cluster, built here on a base that debootstrap makes: no container registry is asked.

The base has this machine's certificate authorities and pip settings, so that pip and apt work inside a build as they
work outside. A Docker daemon of our own runs while images are built, with no network of its own: steps that fetch
packages use this machine's (`--network host`).
"""

import hashlib
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cluster import binaries
from cluster.folders import REPOSITORY, Unavailable, cache, say
from cluster.node import PAUSE_IMAGE
from cluster.packages import IMAGES, install
from cluster.processes import Daemon, ProcessError, run, wait_for
from cluster.sandbox import remove_control_groups

TAG = "test"
PROGRAMS = ("api", "operator", "relay")
PEER_IMAGE = f"transponder.local/rtmp-peer:{TAG}"
_SUITE = "bookworm"
_INCLUDE = "python3,python3-venv,python3-pip,ca-certificates"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_BUILD_SECONDS = 1500
_RECIPE = "1"
_CONTROL_GROUP = "rtmp-transponder-build"


def product_image(program: str) -> str:
    """Name of the image of `api`, `operator` or `relay`."""
    return f"transponder.local/rtmp-transponder-{program}:{TAG}"


def build_images() -> Path:
    """All images in one archive of `docker save`. Takes minutes the first time. Raises Unavailable, ProcessError."""
    install(IMAGES)
    with _docker() as docker:
        base = docker.base()
        docker.scratch(PAUSE_IMAGE, binaries.pause())
        names = [PAUSE_IMAGE, PEER_IMAGE, *(product_image(program) for program in PROGRAMS)]
        docker.build(PEER_IMAGE, Path(__file__).parent / "peer", base)
        for program in PROGRAMS:
            docker.build(product_image(program), REPOSITORY, base, "--target", program)
        docker.tidy(base)
        return docker.save(names)


@dataclass(frozen=True)
class _Docker:
    socket: Path

    def run(self, *arguments: str, seconds: float = 60.0) -> str:
        environment = {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "0"}
        return run(["docker", *arguments], seconds, env=environment).strip()

    def has(self, name: str) -> bool:
        return bool(self.run("images", "--quiet", name))

    def base(self) -> str:
        """The image that all others stand on; made anew every month, so that it does not grow old unnoticed."""
        month = datetime.now(UTC).strftime("%Y-%m")
        parts = [_RECIPE, _SUITE, _INCLUDE, month, _pip_settings(), _AUTHORITIES.read_text()]
        name = f"transponder.local/base:{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:12]}"
        if not self.has(name):
            say("making the base image with debootstrap (a minute or two)")
            with tempfile.TemporaryDirectory(prefix="base-") as scratch:
                _bootstrap(Path(scratch) / "root")
                self._import(name, Path(scratch) / "root")
        return name

    def scratch(self, name: str, program: Path) -> None:
        """An image that holds this one static program."""
        with tempfile.TemporaryDirectory() as scratch:
            os.link(program, Path(scratch) / program.name)
            self._import(name, Path(scratch), "--change", f'ENTRYPOINT ["/{program.name}"]')

    def _import(self, name: str, root: Path, *options: str) -> None:
        archive = root.with_suffix(".tar")
        # One date for all: equal content is an equal layer.
        run(
            ["tar", "--create", "--file", str(archive), "--mtime=@0", "--sort=name", "--directory", str(root), "."], 300
        )
        try:
            self.run("import", *options, str(archive), name, seconds=300)
        finally:
            archive.unlink()

    def build(self, name: str, context: Path, base: str, *options: str) -> None:
        """`docker build` with what is cached."""
        began = time.monotonic()
        arguments = ["--network", "host", "--build-arg", f"BASE={base}", "--tag", name, *options]
        self.run("build", *arguments, str(context), seconds=_BUILD_SECONDS)
        size = int(self.run("image", "inspect", "--format", "{{.Size}}", name)) / 1e6
        say(f"image {name}: {size:.0f} MB, {time.monotonic() - began:.0f} s")

    def tidy(self, base: str) -> None:
        """Remove bases of other months, and layers of builds of another day that nothing was made of."""
        for old in self.run("images", "--format", "{{.Repository}}:{{.Tag}}", base.rpartition(":")[0]).split():
            if old != base:
                self.run("rmi", "--no-prune", old)
        self.run("image", "prune", "--force", "--filter", "until=24h", seconds=300)

    def save(self, names: list[str]) -> Path:
        """One archive, made only if an image has changed since the last."""
        identifiers = self.run("image", "inspect", "--format", "{{.Id}}", *names)
        folder = cache() / "images"
        folder.mkdir(exist_ok=True)
        archive = folder / f"{hashlib.sha256(identifiers.encode()).hexdigest()[:16]}.tar"
        if not archive.exists():
            for old in folder.iterdir():
                old.unlink()
            unfinished = archive.with_suffix(".part")
            self.run("save", "--output", str(unfinished), *names, seconds=600)
            unfinished.rename(archive)
        return archive


@contextmanager
def _docker() -> Iterator[_Docker]:
    """A Docker daemon that keeps its images in the cache folder. It and all that it started end with this."""
    home = cache() / "docker"
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="docker-") as scratch:
        socket, log = Path(scratch) / "docker.sock", Path(scratch) / "dockerd.log"
        options = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
        command = ["dockerd", f"--data-root={home}", f"--host=unix://{socket}", *options, f"--pidfile={scratch}/pid"]
        command.append(f"--cgroup-parent=/{_CONTROL_GROUP}")
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        script = f"mount -t tmpfs tmpfs /run && exec {shlex.join(command)}"
        daemon = Daemon("dockerd", ["sh", "-c", script], log, within=namespaces)
        docker = _Docker(socket)
        daemon.start()
        try:
            wait_for("dockerd ready", lambda: _answers(docker), [daemon], 60)
            yield docker
        finally:
            daemon.stop()
            remove_control_groups(_CONTROL_GROUP)


def _answers(docker: _Docker) -> bool:
    try:
        docker.run("version")
    except ProcessError:
        return False
    return True


def _bootstrap(root: Path) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={_INCLUDE}", _SUITE, str(root), *_mirror()]
    try:
        run(command, 900)
    except ProcessError as error:
        raise Unavailable(f"no base image: {error}") from error
    (root / "etc/ssl/certs/ca-certificates.crt").write_text(_AUTHORITIES.read_text())
    (root / "etc/pip.conf").write_text(_pip_settings())
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()


def _mirror() -> list[str]:
    """Where this machine's apt gets Debian from; debootstrap has a default of its own."""
    if "ID=debian" not in Path("/etc/os-release").read_text().splitlines():
        return []
    targets = run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"])
    sites = [line.split()[0] for line in targets.splitlines() if line.endswith(f" {_SUITE}")]
    return sites[:1]


def _pip_settings() -> str:
    """pip's settings of this machine that say where packages come from, for a pip.conf."""
    listed = subprocess.run(["python3", "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    settings = {"cert": f"{str(_AUTHORITIES)!r}"}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in ("index-url", "extra-index-url", "trusted-host", "proxy"):
            settings[key] = value
    return "[global]\n" + "".join(f"{key} = {value.strip(chr(39))}\n" for key, value in sorted(settings.items()))
