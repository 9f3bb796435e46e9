"""`make kind-up`: its ports are those of the chart, and a missing program is said in one line."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.chart import CHART, ROOT, environment, one, pods, render

SCRIPT = ROOT / "charts" / "kind.sh"
VALUES = CHART / "ci" / "kind-values.yaml"


def mappings() -> list[dict[str, Any]]:
    (node,) = yaml.safe_load((ROOT / "kind-config.yaml").read_text())["nodes"]
    ports: list[dict[str, Any]] = node["extraPortMappings"]
    return ports


def test_ports_of_cluster_and_chart_meet(helm: Path) -> None:
    objects = render(helm, VALUES)
    tcp = {m["containerPort"]: m["hostPort"] for m in mappings() if m["protocol"] == "TCP"}
    service = one(objects, "Service", "live-rtmp-transponder-api")["spec"]["ports"]
    assert {p["nodePort"]: {"http": 8081, "ws": 8080}[p["name"]] for p in service} == tcp

    udp = {m["containerPort"]: m["hostPort"] for m in mappings() if m["protocol"] == "UDP"}
    operator = next(environment(p) for p in pods(objects) if "operator" in p["metadata"]["name"])
    first, last = map(int, operator["TRANSPONDER_MEDIA_PORT_RANGE"].split("-"))
    # a browser is told the relay's own port numbers
    assert udp == {port: port for port in range(first, last + 1)}
    assert operator["TRANSPONDER_MEDIA_ADDRESSES"] == "127.0.0.1"
    assert {m["listenAddress"] for m in mappings()} == {"127.0.0.1"}


def run(argument: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", SCRIPT, argument],
        env={"PATH": str(path), "LOG": str(path / "log")},
        capture_output=True,
        text=True,
        timeout=20,
    )


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH with what every machine has, and no more."""
    for name in ("dirname", "grep", "tar", "sha256sum", "cut", "cat"):
        found = next(folder / name for folder in (Path("/usr/bin"), Path("/bin")) if (folder / name).exists())
        (tmp_path / name).symlink_to(found)
    return tmp_path


def pretend(folder: Path, name: str, answer: str = "exit 0") -> None:
    """A program that notes how it was called."""
    program = folder / name
    program.write_text(f'#!/bin/bash\necho "{name} $*" >> "$LOG"\n{answer}\n')
    program.chmod(0o755)


@pytest.mark.parametrize("missing", ["docker", "kind", "kubectl", "helm"])
def test_a_missing_program_is_named(programs: Path, missing: str) -> None:
    for name in {"docker", "kind", "kubectl", "helm"} - {missing}:
        pretend(programs, name)
    done = run("up", programs)
    assert done.returncode == 1
    assert done.stderr.startswith(f"kind-up: {missing} is needed: https://")


def test_a_docker_that_does_not_answer(programs: Path) -> None:
    for name in ("kind", "kubectl", "helm"):
        pretend(programs, name)
    pretend(programs, "docker", "exit 1")
    done = run("up", programs)
    assert (done.returncode, done.stderr) == (
        1,
        "kind-up: docker is installed, but its daemon does not answer (docker info)\n",
    )


def test_what_is_done_in_which_order(programs: Path, helm: Path) -> None:
    for name in ("docker", "helm"):
        pretend(programs, name)
    pretend(programs, "kind", 'case "$*" in "get clusters") echo other;; esac')
    pretend(programs, "kubectl", 'case "$*" in *"get namespace"*) exit 1;; esac')
    done = run("up", programs)
    assert done.returncode == 0, done.stderr
    assert "http://127.0.0.1:8081/" in done.stdout
    assert "ws://127.0.0.1:8080" in done.stdout
    calls = (programs / "log").read_text().splitlines()
    did = [" ".join(call.split()[:3]) for call in calls]
    assert did.index("kind create cluster") < did.index("docker build --quiet")
    (install,) = [call for call in calls if call.startswith("helm ")]
    tag = install.partition("image.tag=")[2].split()[0]
    targets = [call for call in calls if call.startswith("docker build")]
    loads = [call for call in calls if call.startswith("kind load")]
    assert len(targets) == len(loads) == 3
    assert all(f":{tag} " in f"{call} " for call in [*targets, *loads])
    # the chart asks for the names that were loaded
    asked = {c["image"] for p in pods(render(helm, VALUES, {"image.tag": tag})) for c in p["spec"]["containers"]}
    assert asked == {call.split()[-1] for call in loads}
    targets_of_dockerfile = (ROOT / "Dockerfile").read_text()
    assert all(f" AS {call.split()[4]}\n" in targets_of_dockerfile for call in targets)


def test_down_and_what_is_neither(programs: Path) -> None:
    pretend(programs, "kind")
    assert run("down", programs).returncode == 0
    assert "kind delete cluster --name rtmp-transponder" in (programs / "log").read_text()
    assert run("sideways", programs).returncode == 2


def test_the_script_may_be_run() -> None:
    assert os.access(SCRIPT, os.X_OK)
