"""Conditions as Kubernetes' `metav1.Condition`, and how one is set without moving its transition time."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from transponder_crd.model import Model


class ConditionType(StrEnum):
    RELAY_READY = "RelayReady"
    PUBLISHER_CONNECTED = "PublisherConnected"
    DESTINATION_CONNECTED = "DestinationConnected"
    READY = "Ready"
    """Media reaches the destination."""


class Condition(Model):
    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    message: Annotated[str, Field(max_length=32768)] = ""
    last_transition_time: datetime
    observed_generation: int = 0


def set_condition(conditions: list[Condition], new: Condition) -> list[Condition]:
    """`conditions` with `new` in place of the one of its type; the time stays where the status word did not change."""
    old = next((c for c in conditions if c.type == new.type), None)
    if old and old.status == new.status:
        new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    if old is None:
        return [*conditions, new]
    return [new if c.type == new.type else c for c in conditions]
