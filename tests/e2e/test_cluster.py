"""The cluster itself, so that a failure of the product is not looked for in the cluster, nor the other way round."""

import shutil
import socket
import subprocess
import urllib.request

import pytest
from cluster import network
from cluster.choice import Chosen
from cluster.images import PEER_IMAGE, PROGRAMS, product_image
from cluster.processes import wait_for
from support.kubectl import Kubectl, KubectlError
from support.restricted import restricted_pod, service

FETCH = "import sys, urllib.request; sys.exit(urllib.request.urlopen(sys.argv[1], timeout=5).status != 204)"


@pytest.fixture
def peer(kubectl: Kubectl) -> str:
    """Name of a ready RTMP server with a Service of the same name."""
    kubectl.apply(restricted_pod("rtmp-peer", PEER_IMAGE, http_port=8080), service("rtmp-peer", 1935, 8080))
    kubectl.wait("pod/rtmp-peer", "condition=Ready")
    return "rtmp-peer"


def test_every_node_is_ready(cluster_kubectl: Kubectl) -> None:
    cluster_kubectl("wait", "node", "--all", "--for=condition=Ready", "--timeout=30s")


def test_a_service_is_found_by_its_name(kubectl: Kubectl, peer: str) -> None:
    wait_for("answer of the service", lambda: finds(kubectl, peer), seconds=10)
    kubectl.exec(peer, "python3", "-c", FETCH, f"http://{peer}.{kubectl.namespace}.svc.cluster.local:8080/healthz")
    with pytest.raises(KubectlError, match="Name or service not known"):
        kubectl.exec(peer, "python3", "-c", FETCH, "http://nobody.invalid/healthz")


def finds(kubectl: Kubectl, peer: str) -> bool:
    try:
        kubectl.exec(peer, "python3", "-c", FETCH, f"http://{peer}:8080/healthz")
    except KubectlError:
        return False
    return True


def test_a_pod_is_looked_into_and_its_log_read(kubectl: Kubectl, peer: str) -> None:
    assert kubectl.exec(peer, "id", "-u").strip() == "65532"
    assert "ffprobe version" in kubectl.exec(peer, "ffprobe", "-version")
    assert "start worker process" in kubectl("logs", peer)


def test_this_machine_and_pods_reach_each_other(cluster: Chosen, kubectl: Kubectl, peer: str) -> None:
    if not cluster.direct:
        pytest.skip("only the local cluster's addresses are reached from here")
    pod = kubectl.json("get", "pod", peer)["status"]["podIP"]
    front = kubectl.json("get", "service", peer)["spec"]["clusterIP"]
    wait_for("answer of the pod", lambda: is_healthy(pod), seconds=10)
    wait_for("answer of the service", lambda: is_healthy(front), seconds=10)
    with socket.create_server((network.HOST, 0)) as here:
        port = here.getsockname()[1]
        connect = f"import socket; socket.create_connection(('{network.HOST}', {port}), 5)"
        kubectl.exec(peer, "python3", "-c", connect)


def is_healthy(address: str) -> bool:
    """Not at once: kube-proxy learns of a new Service a moment after it is there."""
    try:
        with urllib.request.urlopen(f"http://{address}:8080/healthz", timeout=5) as answer:
            return bool(answer.status == 204)
    except OSError:
        return False


def test_rtmp_reaches_the_server_in_the_pod(cluster: Chosen, kubectl: Kubectl, peer: str) -> None:
    if not cluster.direct or shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg, and a cluster whose addresses are reached from here")
    front = kubectl.json("get", "service", peer)["spec"]["clusterIP"]
    wait_for("answer of the service", lambda: is_healthy(front), seconds=10)
    picture = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=15",
        "-t",
        "2",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
    ]
    subprocess.run(["ffmpeg", "-v", "error", *picture, "-f", "flv", f"rtmp://{front}/live/key"], check=True, timeout=60)
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width", "-of", "csv=p=0", "/tmp/key.flv"]
    assert kubectl.exec(peer, *probe).strip() == "h264,320"


def test_pod_security_is_enforced(kubectl: Kubectl) -> None:
    pod = restricted_pod("rude", PEER_IMAGE)
    pod["spec"]["hostNetwork"] = True
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        kubectl.apply(pod)


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_image_of_the_product_runs_restricted(kubectl: Kubectl, program: str) -> None:
    name = f"transponder_{program}.__main__"
    pod = restricted_pod(program, product_image(program), command=["python3", "-c", f"import {name}; print('there')"])
    pod["spec"]["restartPolicy"] = "Never"
    kubectl.apply(pod)
    kubectl.wait(f"pod/{program}", "jsonpath={.status.phase}=Succeeded")
    assert kubectl("logs", program) == "there\n"


def test_the_cluster_has_no_way_out(cluster: Chosen) -> None:
    if cluster.local is None or cluster.local.sandbox is None:
        pytest.skip("not a cluster that these tests made")
    command = [*cluster.local.sandbox.enter, "ip", "route", "get", "203.0.113.1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    assert "Network is unreachable" in done.stderr
