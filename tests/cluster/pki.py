"""Certificates and kubeconfig files of one cluster: one authority for servers and clients, thrown away with it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass(frozen=True)
class KeyPair:
    """PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates into a folder. Kubernetes reads a user's name from CN and the group from O."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder
        self._authority = trustme.CA()
        self.certificate = folder / "ca.crt"
        self._authority.cert_pem.write_to_path(str(self.certificate))

    def server(self, name: str, addresses: Sequence[str]) -> KeyPair:
        """For a server that is reached by these host names and IP addresses."""
        return self._written(name, self._authority.issue_cert(*addresses, common_name=name))

    def client(self, name: str, user: str, group: str | None = None) -> KeyPair:
        """For a client that is this user of this group."""
        # The host name is for Go alone, which refuses an empty list of names.
        issued = self._authority.issue_cert("client.invalid", common_name=user, organization_name=group)
        return self._written(name, issued)

    def service_account_key(self) -> Path:
        """The private key that signs service account tokens; its public half is taken from the same file."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        path = self._folder / "service-accounts.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        return path

    def kubeconfig(
        self, name: str, server: str, user: str, group: str | None = None, namespace: str = "default"
    ) -> Path:
        """A kubeconfig that holds everything it needs, for this user of this group."""
        pair = self.client(name, user, group)
        path = self._folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(_kubeconfig(server, self.certificate, pair, namespace)))
        path.chmod(0o600)
        return path

    def _written(self, name: str, issued: trustme.LeafCert) -> KeyPair:
        pair = KeyPair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        pair.key.write_bytes(issued.private_key_pem.bytes())
        pair.key.chmod(0o600)
        return pair


def _kubeconfig(server: str, authority: Path, pair: KeyPair, namespace: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "local", "cluster": {"server": server, "certificate-authority-data": _base64(authority)}}
        ],
        "users": [
            {
                "name": "local",
                "user": {
                    "client-certificate-data": _base64(pair.certificate),
                    "client-key-data": _base64(pair.key),
                },
            }
        ],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local", "namespace": namespace}}],
        "current-context": "local",
    }


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
