"""Relay hosts on pods, for the operator program: how each is made, and what is told of its relays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transponder_crd.kubernetes.control_key import ensure_control_key
from transponder_crd.kubernetes.relay_pods import RELAY_SELECTOR
from transponder_crd.names import LABEL_INSTANCE
from transponder_crd.relay_host import Absence
from transponder_crd.start_error import BadSetting, variable
from transponder_operator.events import EventRecorder
from transponder_operator.installation import Host, Installation
from transponder_operator.metrics import Metrics
from transponder_operator.operator_settings import OperatorSettings
from transponder_operator.pods.cluster import find_pool_owner
from transponder_operator.pods.host import PodRelays
from transponder_operator.pods.manifest import InvalidTemplate, read_template
from transponder_operator.transitions import Notice


class PodHosts:
    """`installation.Hosts`."""

    def __init__(self, settings: OperatorSettings, home: str, metrics: Metrics, recorder: EventRecorder) -> None:
        """`home`: the operator's own namespace. Raises BadSetting when no pod can be made of the template."""
        self._settings = settings
        self._home = home
        self._metrics = metrics
        self._recorder = recorder
        self._template = read_relay_template(settings.relay_template)

    @property
    def selector(self) -> str:
        return relay_selector(self._template)

    async def make(self, installation: Installation) -> Host:
        kube, namespace, settings = installation.kube, installation.namespace, self._settings
        key = await ensure_control_key(kube, self._home, settings.control_key_secret)
        # an owner is in the namespace of what it owns
        pool_owner = await find_pool_owner(kube, namespace, settings.pool_owner) if namespace == self._home else None
        return PodRelays(
            kube,
            namespace,
            self._template,
            installation.pods,
            key,
            installation.wake,
            settings,
            report=installation.relays.report,
            observer=_Observer(installation, self._metrics, self._recorder),
            pool_owner=pool_owner,
            pool_size=lambda: self._pool_size(installation),
        )

    def _pool_size(self, installation: Installation) -> int:
        """Of all namespaces only those have idle relays in which there is something to relay."""
        return 0 if self._settings.everywhere and not installation.is_used else self._settings.pool_size


def relay_selector(template: Mapping[str, Any]) -> str:
    """Pure: label selector of the relay pods of this release, where its template names one."""
    labels = (template.get("metadata") or {}).get("labels") or {}
    release = labels.get(LABEL_INSTANCE)
    return f"{RELAY_SELECTOR},{LABEL_INSTANCE}={release}" if release else RELAY_SELECTOR


def read_relay_template(path: Path) -> dict[str, Any]:
    """Raises BadSetting when no pod can be made of it."""
    try:
        return read_template(path)
    except InvalidTemplate as error:
        raise BadSetting(f"{variable('relay_template')}: {error}") from None
    except OSError as error:
        raise BadSetting(f"{variable('relay_template')}: {path}: {error.strerror}") from None


class _Observer:
    """`pods.host.PodObserver`: counts, and tells the transponders of a stream that its relay was lost."""

    def __init__(self, installation: Installation, metrics: Metrics, recorder: EventRecorder) -> None:
        self._installation = installation
        self._metrics = metrics
        self._recorder = recorder

    def on_claimed(self, stream_name: str, pod_name: str, *, warm: bool) -> None:  # noqa: ARG002
        self._metrics.claimed(warm)

    def on_lost(self, stream_name: str | None, pod_name: str, why: Absence) -> None:
        self._metrics.lost(why.reason)
        if stream_name is None:
            return
        for transponder in self._installation.objects.transponders.of("stream", stream_name):
            self._recorder.tell(transponder, Notice("Warning", why.reason, f"{why.message} ({pod_name})"))
