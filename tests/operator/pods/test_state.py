"""What a pod is, by what the API server says of it: row by row."""

import re
from typing import Any

import pytest
from support.relay_pods import (
    NOW,
    condition,
    lost_node,
    pod,
    ready,
    terminated,
    timestamp,
    unready,
    unschedulable,
    waiting,
)

from transponder_crd.conditions import Condition, ConditionType
from transponder_operator.pods.state import PodState, read_pod

SERVING = {"stream": "demo"}

ROWS: dict[str, tuple[dict[str, Any], PodState, str | None, str | None]] = {
    "created": (pod(status={}), PodState.STARTING, None, None),
    "pending": (pod(status={"phase": "Pending"}), PodState.STARTING, None, None),
    "pulling its image": (pod(status=waiting("ContainerCreating")), PodState.STARTING, None, None),
    "init containers at work": (pod(status=waiting("PodInitializing")), PodState.STARTING, None, None),
    "runs, not ready yet": (pod(status=unready()), PodState.STARTING, None, None),
    "ready without an address": (pod(status={**ready(), "podIP": ""}), PodState.STARTING, None, None),
    "idle": (pod(), PodState.IDLE, None, None),
    "serving": (pod(**SERVING), PodState.SERVING, None, None),
    "drained": (pod(**SERVING, due_in=3600), PodState.DRAINING, None, None),
    "drained, its readiness gone": (pod(status=unready(), **SERVING, due_in=3600), PodState.DRAINING, None, None),
    "drained for too long": (pod(**SERVING, due_in=-31), PodState.DEAD, "RelayEnded", None),
    "ended while drained": (pod(status=terminated(0, "Succeeded"), due_in=9), PodState.DEAD, "RelayEnded", None),
    "deleted before it ran": (pod(status=waiting("ContainerCreating"), due_in=10), PodState.DEAD, "RelayEnded", None),
    "no node": (pod(status=unschedulable()), PodState.STARTING, "Unschedulable", None),
    "image error": (pod(status=waiting("ErrImagePull", "401")), PodState.STARTING, "ImagePullFailed", None),
    "image backoff": (pod(status=waiting("ImagePullBackOff", "…")), PodState.STARTING, "ImagePullFailed", None),
    "image name": (pod(status=waiting("InvalidImageName")), PodState.STARTING, "ImagePullFailed", None),
    "configuration": (
        pod(status=waiting("CreateContainerConfigError", 'configmap "ca" not found')),
        PodState.STARTING,
        "ContainerNotCreated",
        None,
    ),
    "init container": (
        pod(
            status={
                **waiting("PodInitializing"),
                "initContainerStatuses": [{"name": "one", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
            }
        ),
        PodState.STARTING,
        "InitContainerFailed",
        None,
    ),
    "crashed": (pod(status=terminated(1)), PodState.DEAD, "RelayFailed", None),
    "crashed, phase not told yet": (pod(status=terminated(1, "Running")), PodState.DEAD, "RelayFailed", None),
    "ended by itself": (pod(status=terminated(0, "Succeeded")), PodState.DEAD, "RelayEnded", None),
    "killed": (pod(status=terminated(137)), PodState.DEAD, "RelayFailed", None),
    "out of memory": (pod(status=terminated(137, reason="OOMKilled")), PodState.DEAD, "OutOfMemory", None),
    "cannot be run": (
        pod(status=terminated(128, reason="StartError", message="exec: no such file")),
        PodState.DEAD,
        "ContainerNotCreated",
        None,
    ),
    "evicted by kubelet": (
        pod(status={"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
        PodState.DEAD,
        "Evicted",
        None,
    ),
    "refused by kubelet": (
        pod(status={"phase": "Failed", "reason": "NodePorts", "message": "node ports"}),
        PodState.DEAD,
        "NodePorts",
        None,
    ),
    "refused with a reason that is no word": (
        pod(status={"phase": "Failed", "reason": "not a word!"}),
        PodState.DEAD,
        "RelayFailed",
        None,
    ),
    "preempted": (
        pod(
            status={
                **terminated(143),
                "conditions": [condition("DisruptionTarget", True, reason="PreemptionByScheduler")],
            }
        ),
        PodState.DEAD,
        "Preempted",
        None,
    ),
    "evicted by the API": (
        pod(
            status={
                **terminated(0, "Succeeded"),
                "conditions": [condition("DisruptionTarget", True, reason="EvictionByEvictionAPI")],
            },
            due_in=100,
        ),
        PodState.DEAD,
        "Evicted",
        None,
    ),
    "node does not answer": (pod(status=lost_node(), **SERVING), PodState.STARTING, None, "NodeLost"),
    "node does not answer, drained": (
        pod(status=lost_node(), **SERVING, due_in=3600),
        PodState.DRAINING,
        None,
        "NodeLost",
    ),
    "node lost, told so": (pod(status=unready(reason="NodeLost"), due_in=9), PodState.DRAINING, None, "NodeLost"),
    "never ready": (pod(status=unready(301)), PodState.STARTING, None, "RelayNotReady"),
    "no node for an hour": (pod(status=unschedulable(), age=3600), PodState.STARTING, "Unschedulable", None),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_it_is(name: str) -> None:
    raw, state, trouble, doubt = ROWS[name]
    seen = read_pod(raw, NOW)
    assert seen.state is state
    assert (seen.trouble.reason if seen.trouble else None) == trouble
    assert (seen.doubt.reason if seen.doubt else None) == doubt


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row[2] or row[3]])
def test_every_reason_fits_into_a_condition(name: str) -> None:
    seen = read_pod(ROWS[name][0], NOW)
    for why in (seen.trouble, seen.doubt):
        if why:
            kind = ConditionType.RELAY_READY
            Condition(type=kind, status="False", reason=why.reason, message=why.message, last_transition_time=NOW)
            assert re.match("[a-z]", why.message)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (unschedulable("0/3 nodes\n are   busy"), "no node takes the relay: 0/3 nodes are busy"),
        (waiting("ImagePullBackOff", "changes"), "the image registry.example/relay:1 cannot be pulled"),
        (terminated(3), "the relay ended with code 3"),
        (terminated(137), "the relay was ended by SIGKILL"),
        (terminated(0, signal=9), "the relay was ended by SIGKILL"),
        (terminated(255), "the relay was ended by signal 127"),
        (terminated(137, reason="OOMKilled"), "the relay was ended for lack of memory"),
        ({"phase": "Failed"}, "the pod of the relay was deleted"),
    ],
)
def test_the_words(status: dict[str, Any], message: str) -> None:
    trouble = read_pod(pod(status=status), NOW).trouble
    assert trouble is not None
    assert trouble.message == message


def test_an_image_that_cannot_be_pulled_says_the_same_at_each_attempt() -> None:
    first, second = waiting("ErrImagePull", "rpc error: 401"), waiting("ImagePullBackOff", "Back-off 20s")
    assert read_pod(pod(status=first), NOW).trouble == read_pod(pod(status=second), NOW).trouble


def test_a_long_message_is_cut() -> None:
    trouble = read_pod(pod(status=unschedulable("x" * 1000)), NOW).trouble
    assert trouble is not None
    assert len(trouble.message) == 300


def test_when_it_will_be_late() -> None:
    seen = read_pod(pod(status=unready(100)), NOW, start_seconds=120)
    assert seen.doubt is None
    assert seen.doubtful_at is not None
    assert (seen.doubtful_at - NOW).total_seconds() == 20


def test_a_pod_that_was_ready_has_its_time_anew() -> None:
    raw = pod(status=unready(10), stream="demo", age=100_000)
    assert read_pod(raw, NOW).doubt is None


def test_the_fields() -> None:
    raw = pod("relay-2", stream="a b", claimed_ago=7)
    raw["metadata"]["annotations"] |= {
        "transponder.dev/control-port": "20017",
        "transponder.dev/media-ports": "30000-30003",
    }
    owner = {"apiVersion": "transponder.dev/v1alpha1", "kind": "Stream", "name": "s", "uid": "u", "controller": True}
    raw["metadata"]["ownerReferences"] = [owner]
    seen = read_pod(raw, NOW)
    assert (seen.name, seen.stream_name, seen.control_port) == ("relay-2", "a b", 20017)
    assert (seen.media_ports, [owner.uid for owner in seen.owners]) == ((30000, 30003), ["u"])
    assert not seen.idle


@pytest.mark.parametrize("value", ["", "x", "30000", "30000-", "-3", "1-x", "²-3"])
def test_ports_that_are_none(value: str) -> None:
    raw = pod()
    raw["metadata"]["annotations"] |= {
        "transponder.dev/control-port": "nonsense",
        "transponder.dev/media-ports": value,
    }
    seen = read_pod(raw, NOW)
    assert (seen.control_port, seen.media_ports) == (0, None)


@pytest.mark.parametrize("raw", [{}, {"metadata": None, "status": None}, {"metadata": {"creationTimestamp": "x"}}])
def test_what_lacks_everything_is_no_crash(raw: dict[str, Any]) -> None:
    seen = read_pod(raw, NOW)
    assert (seen.state, seen.created, seen.idle) == (PodState.STARTING, NOW, False)


def test_a_pod_with_both_labels_is_the_streams() -> None:
    seen = read_pod(pod(stream="demo", idle=True), NOW)
    assert (seen.state, seen.idle) == (PodState.SERVING, False)


def test_a_pod_with_neither_label_belongs_to_nobody() -> None:
    seen = read_pod(pod(idle=False), NOW)
    assert (seen.stream, seen.idle) == (None, False)


def test_times_without_an_offset_are_utc() -> None:
    raw = pod()
    raw["metadata"]["creationTimestamp"] = timestamp().rstrip("Z")
    assert read_pod(raw, NOW).created == NOW
