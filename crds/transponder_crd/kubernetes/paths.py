"""Paths of the Kubernetes API, pure. An empty namespace means all namespaces (for lists and watches alone)."""

from urllib.parse import quote

from transponder_crd.resource import Resource


def objects(kind: type[Resource], namespace: str, name: str | None = None, subresource: str | None = None) -> str:
    """Of a kind of ours, or of Secrets: its list, an object or a subresource of it (`status`)."""
    version = kind.model_fields["api_version"].default or "v1"
    return _path(_root(version), namespace, kind.PLURAL, name, subresource)


def pods(namespace: str, name: str | None = None, subresource: str | None = None) -> str:
    return _path("/api/v1", namespace, "pods", name, subresource)


def secrets(namespace: str, name: str | None = None) -> str:
    return _path("/api/v1", namespace, "secrets", name)


def config_maps(namespace: str, name: str | None = None) -> str:
    return _path("/api/v1", namespace, "configmaps", name)


def leases(namespace: str, name: str | None = None) -> str:
    return _path("/apis/coordination.k8s.io/v1", namespace, "leases", name)


def events(namespace: str, name: str | None = None) -> str:
    return _path("/api/v1", namespace, "events", name)


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _path(root: str, namespace: str, plural: str, name: str | None, subresource: str | None = None) -> str:
    if not namespace and name is not None:
        raise ValueError("a single object is in a namespace")
    parts = ["namespaces", namespace] if namespace else []
    parts += [part for part in (plural, name, subresource) if part is not None]
    if not all(parts):
        raise ValueError("a name must not be empty")  # it would be the whole list
    return f"{root}/{'/'.join(quote(part, safe='') for part in parts)}"
