"""One API server, synchronously: credentials, TLS, proxies and the connection pool of the `kubernetes` package."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3
from kubernetes import config
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject

from transponder_crd.kubernetes.errors import Busy
from transponder_crd.store import StoreError

logger = logging.getLogger(__name__)

JSON = "application/json"
CONNECT_SECONDS = 5.0
POOLED_CONNECTIONS = 24
"""Requests at once, and watches."""

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

# A peer that vanished without a word is noticed after 30 + 3 * 10 s.
_KEEPALIVE = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)

Query = Sequence[tuple[str, str]]


class NoCluster(StoreError):
    """There is no usable kubeconfig and no service account."""


class Reply(NamedTuple):
    code: int
    headers: Mapping[str, str]
    body: bytes


class Login(NamedTuple):
    """How somebody else may talk to the same API server."""

    server: str
    ca_file: str | None
    """None: the certificate authorities of the system."""
    verified: bool
    """Is the server's certificate to be checked?"""
    certificate_file: str | None
    key_file: str | None
    authorization: str | None
    """The header's value: a secret."""

    def __repr__(self) -> str:
        return f"Login({self.server})"


class Connection:
    """Thread-safe. `load` reads the credentials anew; it is called again when the server takes them no more."""

    def __init__(self, load: Callable[[], Configuration], namespace: str) -> None:
        self.namespace = namespace
        """Of the service account, or of the kubeconfig's context."""
        self._load = load
        self._lock = threading.Lock()
        self._configuration = load()
        self._configuration.socket_options = list(_KEEPALIVE)
        self._configuration.connection_pool_maxsize = POOLED_CONNECTIONS
        self._client = RESTClientObject(self._configuration)

    @classmethod
    def open(cls, kubeconfig: Path | str | None = None) -> "Connection":
        """By that kubeconfig, else as a pod, else by `$KUBECONFIG` or `~/.kube/config`. Raises NoCluster."""
        try:
            if kubeconfig is None and NAMESPACE_FILE.exists():
                return cls(_of_pod, NAMESPACE_FILE.read_text(encoding="ascii").strip())
            path = str(kubeconfig) if kubeconfig is not None else None
            _, context = config.list_kube_config_contexts(config_file=path)  # type: ignore[no-untyped-call]
            return cls(lambda: _of_file(path), context["context"].get("namespace") or "default")
        except (config.ConfigException, OSError) as error:
            raise NoCluster(f"no Kubernetes cluster to connect to: {error}") from None

    def close(self) -> None:
        self._client.pool_manager.clear()

    def login(self) -> Login:
        """As it is now: tokens are exchanged every hour or so."""
        settings = self._configuration
        return Login(
            server=settings.host,
            ca_file=settings.ssl_ca_cert,
            verified=settings.verify_ssl,
            certificate_file=settings.cert_file,
            key_file=settings.key_file,
            authorization=self._authorization(),
        )

    def request(
        self, method: str, path: str, query: Query = (), body: Any = None, content_type: str = JSON, *, timeout: float
    ) -> Reply:
        """`timeout` is in seconds, for each read. Raises Busy where no answer came."""
        payload = None if body is None else json.dumps(body, allow_nan=False).encode()
        response = self._send(method, path, query, payload, content_type, timeout)
        try:
            return Reply(response.status, response.headers, response.read())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Busy(f"{path}: the answer broke off ({type(error).__name__})") from None
        finally:
            _finish(response)

    def stream(self, path: str, query: Query, *, timeout: float) -> urllib3.BaseHTTPResponse:
        """The open answer, of any code; the caller closes it. Raises Busy."""
        return self._send("GET", path, query, None, JSON, timeout)

    def _send(
        self, method: str, path: str, query: Query, payload: bytes | None, content_type: str, timeout: float
    ) -> urllib3.BaseHTTPResponse:
        used = self._authorization()
        response = self._send_as(used, method, path, query, payload, content_type, timeout)
        if response.status != 401:
            return response
        with self._lock:
            fresh = self._authorization()
            if fresh == used:
                self._reload()
                fresh = self._authorization()
        if fresh == used:
            return response
        _finish(response)
        return self._send_as(fresh, method, path, query, payload, content_type, timeout)

    def _send_as(
        self,
        authorization: str | None,
        method: str,
        path: str,
        query: Query,
        payload: bytes | None,
        content_type: str,
        timeout: float,
    ) -> urllib3.BaseHTTPResponse:
        url = self._configuration.host + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": JSON, "User-Agent": "rtmp-transponder"}
        headers |= {"Authorization": authorization} if authorization else {}
        headers |= {"Content-Type": content_type} if payload is not None else {}
        limits = urllib3.Timeout(connect=CONNECT_SECONDS, read=timeout)
        try:
            return self._client.pool_manager.request(
                method, url, body=payload, headers=headers, timeout=limits,
                retries=False, redirect=False, preload_content=False,
            )  # fmt: skip
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            raise Busy(f"{path}: the API server cannot be reached", nothing_done=True) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Busy(f"{path}: no answer from the API server ({type(error).__name__})") from None

    def _authorization(self) -> str | None:
        """The header's value; the package reads a token file again by itself once a minute."""
        settings = self._configuration.auth_settings().get("BearerToken")
        return settings["value"] if settings else None

    def _reload(self) -> None:
        try:
            fresh = self._load()
        except (config.ConfigException, OSError) as error:
            logger.warning("the credentials cannot be read again: %s", type(error).__name__)
            return
        self._configuration.api_key = fresh.api_key
        self._configuration.refresh_api_key_hook = fresh.refresh_api_key_hook


def _of_pod() -> Configuration:
    configuration = Configuration()
    config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return configuration


def _of_file(path: str | None) -> Configuration:
    configuration = Configuration()
    config.load_kube_config(config_file=path, client_configuration=configuration)  # type: ignore[no-untyped-call]
    return configuration


def _finish(response: urllib3.BaseHTTPResponse) -> None:
    """Back to the pool when it was read to its end, else closed."""
    try:
        response.drain_conn()
    finally:
        response.release_conn()
