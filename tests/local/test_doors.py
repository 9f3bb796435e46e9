"""The ports of the product: which are open, in plain and by TLS, and what is said of those in the way."""

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from support.product import running_product

from transponder_api.doors import HTTP, HTTPS, WS, WSS, listening
from transponder_api.tls import server_tls
from transponder_crd.start_error import StartError
from transponder_local.banner import banner
from transponder_local.command_line import option, read_settings
from transponder_local.settings import LocalSettings

FREE = ["--http-port", "0", "--https-port", "0", "--ws-port", "0", "--wss-port", "0"]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path) -> list[str]:
    """Options that name a certificate and its key."""
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(tmp_path / "cert.pem", append=True)
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    return ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]


def read(*arguments: str) -> LocalSettings:
    return read_settings(["local", *arguments])


def refused(options: Sequence[str]) -> str:
    settings = read(*options)

    def start() -> None:
        server_tls(settings, option)
        with listening(settings, named=option):
            pass

    with pytest.raises(StartError) as caught:
        start()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_ports_of_tls_need_a_certificate(tls: list[str]) -> None:
    with listening(read(*FREE)) as listeners:
        assert list(listeners) == [HTTP, WS]
    with listening(read(*FREE, *tls)) as listeners:
        assert list(listeners) == [HTTP, HTTPS, WS, WSS]
        assert len({listener.getsockname()[1] for listener in listeners.values()}) == 4


def test_each_port_can_be_off(tls: list[str]) -> None:
    with listening(read(*FREE, *tls, "--http-port", "off", "--wss-port", "")) as listeners:
        assert list(listeners) == [HTTPS, WS]
    line = refused(["--http-port", "off", "--ws-port", "off"])
    assert line == "--http-port: a port of HTTP or WebSockets at least must be on"


@pytest.mark.parametrize("option", ["--http-port", "--https-port", "--ws-port", "--wss-port"])
def test_a_port_in_use_names_its_option(option: str, tls: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused([*FREE, *tls, option, port])
        assert line == f"{option} {port}: Address already in use (127.0.0.1:{port})"


def test_without_a_certificate_there_is_no_tls() -> None:
    assert server_tls(read()) is None


def test_bad_certificates(tls: list[str], tmp_path: Path, authority: trustme.CA) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    missing = ["--tls-cert", str(tmp_path / "none.pem"), "--tls-key", str(key)]
    assert refused(missing) == f"--tls-cert {tmp_path}/none.pem: No such file or directory"
    missing = ["--tls-cert", str(certificate), "--tls-key", str(tmp_path / "none.pem")]
    assert refused(missing) == f"--tls-key {tmp_path}/none.pem: No such file or directory"
    good = key.read_bytes()
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(key)
    does_not_fit = f"--tls-cert {certificate}: must be PEM, and --tls-key {key} its private key"
    assert refused(tls) == does_not_fit
    key.write_text("no key")
    assert refused(tls) == does_not_fit
    secret = BestAvailableEncryption(b"password")
    encrypted = load_pem_private_key(good, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
    key.write_bytes(encrypted)
    assert refused(tls) == f"--tls-key {key}: must not be encrypted"


def test_the_banner_has_all_addresses() -> None:
    settings = read("--data", "/d", "--host", "0.0.0.0")
    assert banner(settings, {HTTP: 8081, HTTPS: 8444, WS: 8080, WSS: 8443}).splitlines() == [
        "page     http://127.0.0.1:8081/",
        "page     https://127.0.0.1:8444/",
        "REST     http://127.0.0.1:8081/rest-api/push/",
        "REST     https://127.0.0.1:8444/rest-api/push/",
        "WHIP     http://127.0.0.1:8081/whip/<stream name>",
        "WHIP     https://127.0.0.1:8444/whip/<stream name>",
        "WHEP     http://127.0.0.1:8081/whep/<stream name>",
        "WHEP     https://127.0.0.1:8444/whep/<stream name>",
        "OpenAPI  http://127.0.0.1:8081/openapi.json",
        "OpenAPI  https://127.0.0.1:8444/openapi.json",
        "WebSDK   ws://127.0.0.1:8080",
        "WebSDK   wss://127.0.0.1:8443",
        "data     /d",
        "sounds   /d/sounds",
    ]
    assert "REST     http://[::1]:1/rest-api/push/" in banner(read("--host", "::1"), {HTTP: 1})
    assert "REST" not in banner(read(), {WS: 8080})


async def test_rest_and_websdk_by_tls(tmp_path: Path, tls: list[str], authority: trustme.CA) -> None:
    """8444 and 8443: the real product, its certificate verified."""
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with running_product(tmp_path, *tls, "--https-port", "0", "--wss-port", "0") as product:
        printed = dict(reversed(line.split(None, 1)) for line in product.log().splitlines() if "://" in line)
        rest = next(url for url in printed if url.startswith("https:") and "rest-api" in url)
        websdk = next(url for url in printed if url.startswith("wss:"))
        body = {"streamName": "shop", "rtmpUrl": "rtmp://127.0.0.1:1/live"}
        async with aiohttp.ClientSession(trust_env=False) as client:
            async with client.post(f"{rest}startup", json=body, ssl=trust) as answer:
                assert answer.status == 200
                made = await answer.json()
            assert [one["mediaSessionId"] for one in await product.rest.find_all()] == [made["mediaSessionId"]]
            async with client.ws_connect(websdk, ssl=trust) as session:
                await session.send_json({"message": "connection", "data": [{"appKey": "defaultApp"}]})
                assert "getUserData" in {(await session.receive_json())["message"] for _ in range(2)}
