"""Object metadata as Kubernetes has it (the part the product uses), so that both stores speak of the same things."""

from datetime import datetime

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from transponder_crd.model import Model


class OwnerReference(Model):
    """Kubernetes' `metav1.OwnerReference`: an object is collected when the last of its owners is gone."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Model):
    """Kubernetes' `metav1.ObjectMeta`. The server's own fields (uid, generation, ...) are empty before creation."""

    # the API server adds fields of its own (managedFields, selfLink, ...), which are not ours to judge
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")

    name: str
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []
