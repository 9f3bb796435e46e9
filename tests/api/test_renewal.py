"""Files that are exchanged while the API runs, as cert-manager and a mounted Secret do it: certificate, token."""

import asyncio
import logging
import shutil
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme
from support.api import running_api
from support.websdk import running_websdk

from transponder_api import tls
from transponder_api.health import Health, create_health_app
from transponder_api.metrics import Metrics
from transponder_api.server import Door, bind, serving_all
from transponder_api.settings import ApiSettings
from transponder_api.tls import renewed, server_tls
from transponder_crd.start_error import BadSetting, StartError, read_environment


class Mounted:
    """A folder as the kubelet mounts a Secret: links into a folder that is exchanged as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._count = folder, 0

    def put(self, **files: bytes) -> None:
        self._count += 1
        version = self.folder / f"..{self._count}"
        version.mkdir()
        for name, content in files.items():
            (version / name).write_bytes(content)
        link = self.folder / "..new"
        link.symlink_to(version.name)
        link.replace(self.folder / "..data")
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        if self._count > 1:
            shutil.rmtree(self.folder / f"..{self._count - 1}")


def pem(authority: trustme.CA) -> dict[str, bytes]:
    leaf = authority.issue_cert("127.0.0.1")
    return {"crt": b"".join(blob.bytes() for blob in leaf.cert_chain_pems), "key": leaf.private_key_pem.bytes()}


async def served_by(port: int, trust: ssl.SSLContext) -> str:
    """The serial number of the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    serial = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
    writer.close()
    await writer.wait_closed()
    return str(serial)


async def test_a_renewed_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.02)
    caplog.set_level(logging.INFO)
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    secret = Mounted(tmp_path)
    secret.put(**pem(authority))
    settings = ApiSettings(tls_cert=tmp_path / "crt", tls_key=tmp_path / "key")
    context = server_tls(settings)
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]

    async def until_logged(text: str, times: int = 1) -> None:
        async with asyncio.timeout(5):
            while caplog.text.count(text) < times:  # noqa: ASYNC110 (a log cannot be awaited)
                await asyncio.sleep(0.01)

    app = create_health_app(Health(), Metrics().registry)
    async with serving_all([Door(app, listener, context)]), renewed(settings, context), aiohttp.ClientSession() as http:
        async with http.get(f"https://127.0.0.1:{port}/healthz", ssl=trust) as answer:
            assert answer.status == 200
            first = await served_by(port, trust)
            secret.put(**pem(authority))
            await until_logged("the certificate was renewed")
            second = await served_by(port, trust)
            assert second != first
        secret.put(crt=pem(authority)["crt"], key=pem(authority)["key"])  # of another certificate
        await until_logged("the former certificate stays: TRANSPONDER_TLS_CERT")
        assert await served_by(port, trust) == second
        secret.put(**pem(authority))
        await until_logged("the certificate was renewed", 2)
        assert await served_by(port, trust) not in (first, second)
        async with http.get(f"https://127.0.0.1:{port}/healthz", ssl=trust) as answer:
            assert answer.status == 200, "on the connection that was there before"


def test_files_that_are_no_good_name_the_variable(tmp_path: Path) -> None:
    settings = ApiSettings(tls_cert=tmp_path / "none", tls_key=tmp_path / "none")
    with pytest.raises(StartError, match=f"^TRANSPONDER_TLS_CERT {tmp_path}/none: No such file or directory$"):
        server_tls(settings)


async def test_a_token_in_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "secret"
    folder.mkdir()
    secret = Mounted(folder)
    secret.put(token=b"first-token\n")
    async with running_api(tmp_path, token_file=folder / "token") as api:

        async def status(token: str) -> int:
            return (await api.request("GET", "/ice-servers", headers={"Authorization": f"Bearer {token}"})).status

        assert (await status("first-token"), await status("second")) == (200, 401)
        secret.put(token=b"second")
        assert (await status("first-token"), await status("second")) == (401, 200)
        secret.put(token=b" \n")
        assert (await status(""), await status("second")) == (401, 200), "an empty file opens nothing"
        (folder / "..data").unlink()
        assert await status("second") == 200


async def test_the_websdk_wants_the_token_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    async with running_websdk(tmp_path, token_file=file) as server:
        async with server.client(authToken="first"):
            pass
        file.write_text("second")
        async with server.client(greet=False) as client:
            await client.call("connection", {"appKey": "defaultApp", "authToken": "first"})
            assert await client.closed() == 1008
        async with server.client(authToken="second"):
            pass


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (None, "must be a file that can be read, and {file} is not: No such file or directory"),
        (b" \n", "must be a file of one line, and {file} is not"),
        (b"one\ntwo\n", "must be a file of one line, and {file} is not"),
        (b"\xff", "must be a file of UTF-8 text, and {file} is not"),
    ],
)
def test_a_bad_token_file(content: bytes | None, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("TRANSPONDER_TOKEN_FILE", str(file))
    with pytest.raises(BadSetting) as caught:
        read_environment(ApiSettings)
    assert str(caught.value) == f"TRANSPONDER_TOKEN_FILE: {rule.format(file=file)}"


def test_only_one_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("geheim1")
    monkeypatch.setenv("TRANSPONDER_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("TRANSPONDER_TOKEN", "geheim2")
    with pytest.raises(BadSetting, match=r"^TRANSPONDER_TOKEN_FILE: must not be given together with the token itself$"):
        read_environment(ApiSettings)
