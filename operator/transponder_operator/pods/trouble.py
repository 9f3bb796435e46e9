"""Pure: why a relay pod is dead, or does not start: a condition reason and a sentence, which hold no secret.

Texts that kubelet changes from one attempt to the next are left out: a status is written on transitions only.
"""

import contextlib
import re
import signal
from collections.abc import Mapping
from typing import Any

from transponder_crd.relay_host import Absence

MAX_MESSAGE = 300

_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
"""What a condition reason may be (metav1.Condition)."""

_PULLING = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_CREATING = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "PreCreateHookError",
    "PostStartHookError",
    "RunContainerError",
}
_DISRUPTIONS = {
    "PreemptionByScheduler": Absence("Preempted", "the relay had to make room for a pod of higher priority"),
    "DeletionByTaintManager": Absence("NodeLost", "the node of the relay was lost or tainted"),
    "EvictionByEvictionAPI": Absence("Evicted", "the relay was evicted, as by a drain of its node"),
    "DeletionByPodGC": Absence("NodeLost", "the node of the relay is gone"),
}


def starting_trouble(status: Mapping[str, Any], container: Mapping[str, Any], image: str) -> Absence | None:
    """What keeps a pod from starting; None: nothing that is known. `container`: its status of the relay's one."""
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        reason = str(scheduled.get("reason") or "Unschedulable")
        return Absence(_reason(reason), _sentence("no node takes the relay", scheduled.get("message")))
    for init in status.get("initContainerStatuses") or []:
        waiting = _waiting(init)
        if waiting in _PULLING | _CREATING | {"CrashLoopBackOff"}:
            return Absence("InitContainerFailed", f"init container {init.get('name')}: {waiting}")
    waiting = _waiting(container)
    if waiting in _PULLING:
        return Absence("ImagePullFailed", f"the image {image} cannot be pulled")
    if waiting in _CREATING:
        message = ((container.get("state") or {}).get("waiting") or {}).get("message")
        return Absence("ContainerNotCreated", _sentence("the container of the relay cannot be made", message))
    return None


def why_dead(status: Mapping[str, Any], container: Mapping[str, Any]) -> Absence:
    """Why a relay does not run any more."""
    disruption = _condition(status, "DisruptionTarget")
    if disruption.get("status") == "True" and disruption.get("reason") in _DISRUPTIONS:
        return _DISRUPTIONS[disruption["reason"]]
    terminated = (container.get("state") or {}).get("terminated") or {}
    if status.get("reason"):
        # of the whole pod: Evicted, NodeLost, Terminated (shutdown of the node), NodeAffinity, UnexpectedAdmissionError
        return Absence(_reason(str(status["reason"])), _sentence("the pod of the relay failed", status.get("message")))
    if terminated.get("reason") == "OOMKilled":
        return Absence("OutOfMemory", "the relay was ended for lack of memory")
    if terminated.get("reason") in ("ContainerCannotRun", "StartError"):
        return Absence("ContainerNotCreated", _sentence("the relay cannot be run", terminated.get("message")))
    if not terminated:
        return Absence("RelayEnded", "the pod of the relay was deleted")
    return Absence("RelayEnded" if terminated.get("exitCode") == 0 else "RelayFailed", _how_it_ended(terminated))


def refused(message: str) -> Absence:
    """The API server does not take the pod: a quota, Pod Security, an admission webhook, a wrong template."""
    return Absence("PodRefused", _sentence("the pod of the relay was not taken", message))


def _how_it_ended(terminated: Mapping[str, Any]) -> str:
    code = int(terminated.get("exitCode") or 0)
    number = int(terminated.get("signal") or 0) or (code - 128 if code > 128 else 0)
    if not number:
        return f"the relay ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"the relay was ended by {signal.Signals(number).name}"
    return f"the relay was ended by signal {number}"


def _waiting(container: Mapping[str, Any]) -> str:
    return str(((container.get("state") or {}).get("waiting") or {}).get("reason") or "")


def _reason(word: str) -> str:
    return word if _REASON.fullmatch(word) else "RelayFailed"


def _sentence(what: str, detail: object) -> str:
    text = " ".join(str(detail).split()) if detail else ""
    text = f"{what}: {text}" if text else what
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((c for c in status.get("conditions") or [] if c.get("type") == kind), {})
