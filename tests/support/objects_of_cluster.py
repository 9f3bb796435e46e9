"""Transponders as a person with kubectl writes and reads them."""

from typing import Any

from support.kubectl import Kubectl

Object = dict[str, Any]


def transponder(name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "transponder.dev/v1alpha1",
        "kind": "RtmpTransponder",
        "metadata": {"name": name},
        "spec": spec,
    }


def condition(kubectl: Kubectl, name: str, type_: str) -> tuple[str, str]:
    """Status and reason of a condition of the transponder."""
    conditions = kubectl.json("get", "rtmptransponder", name)["status"]["conditions"]
    (found,) = [c for c in conditions if c["type"] == type_]
    return found["status"], found["reason"]
