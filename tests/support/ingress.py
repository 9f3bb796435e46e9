"""An ingress controller in a pod: nginx, configured by the rules of the namespace's Ingresses."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cluster.images import PEER_IMAGE
from support.kubectl import Kubectl
from support.restricted import restricted_pod

Object = dict[str, Any]

_NAME = "ingress"
_PORT, _HEALTH_PORT = 8000, 8001

_SERVER = """
    server {{
        listen {port};
        server_name {host};
        {locations}
    }}"""

_LOCATION = """location {path} {{
            proxy_pass http://{backend};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_read_timeout 3600s;
        }}"""

_CONFIGURATION = """
daemon off;
pid /tmp/nginx.pid;
events {{}}
http {{
    access_log /dev/stdout;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' close;
    }}
    server {{
        listen {health_port};
        location = /healthz {{ return 204; }}
    }}{servers}
}}
"""


@dataclass(frozen=True)
class IngressController:
    address: str
    """host:port of the pod."""

    @property
    def base(self) -> str:
        return f"http://{self.address}"


@contextmanager
def ingress_controller(kubectl: Kubectl) -> Iterator[IngressController]:
    """Running in kubectl's namespace by the Ingresses that are there now, for the length of the block."""
    ingresses = kubectl.json("get", "ingresses")["items"]
    names = {b["name"] for rule in _rules(ingresses) for b in _backends(rule)}
    services = {name: kubectl.json("get", "service", name) for name in names}
    config: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _NAME}}
    config["data"] = {"nginx.conf": configuration(ingresses, services)}
    pod = restricted_pod(_NAME, PEER_IMAGE, ["nginx", "-e", "/dev/stderr", "-c", "/config/nginx.conf"], _HEALTH_PORT)
    pod["spec"]["volumes"].append({"name": "config", "configMap": {"name": _NAME}})
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": "config", "mountPath": "/config"})
    kubectl.apply(config, pod)
    kubectl.wait(f"pod/{_NAME}", "condition=Ready")
    yield IngressController(f"{kubectl.json('get', 'pod', _NAME)['status']['podIP']}:{_PORT}")
    kubectl("delete", f"configmap/{_NAME}", f"pod/{_NAME}")


def configuration(ingresses: list[Object], services: dict[str, Object]) -> str:
    """nginx's, for the rules of these; `services` by name."""
    servers = []
    for rule in _rules(ingresses):
        paths = [_LOCATION.format(path=p["path"], backend=_address(p, services)) for p in rule["http"]["paths"]]
        servers.append(_SERVER.format(port=_PORT, host=rule.get("host", "_"), locations="\n        ".join(paths)))
    return _CONFIGURATION.format(health_port=_HEALTH_PORT, servers="".join(servers))


def _rules(ingresses: list[Object]) -> list[Object]:
    return [rule for ingress in ingresses for rule in ingress["spec"]["rules"]]


def _backends(rule: Object) -> list[Object]:
    return [path["backend"]["service"] for path in rule["http"]["paths"]]


def _address(path: Object, services: dict[str, Object]) -> str:
    """host:port of the path's Service, whose port is given by name or number."""
    wanted = path["backend"]["service"]["port"]
    spec = services[path["backend"]["service"]["name"]]["spec"]
    (port,) = [p["port"] for p in spec["ports"] if p["name"] == wanted.get("name") or p["port"] == wanted.get("number")]
    return f"{spec['clusterIP']}:{port}"
