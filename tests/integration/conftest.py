"""What every integration test has: the running product, an RTMP server, a clip to publish, a watch over secrets."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.clip import Clip, clip
from support.nginx_rtmp import NginxRtmp, nginx_rtmp
from support.product import MANGLED, Product, running_product
from support.secret_watch import SecretWatch


@pytest.fixture
def secret_watch() -> SecretWatch:
    """Makes the keys of a test."""
    return SecretWatch()


@pytest.fixture
def expected_errors() -> list[str]:
    """Parts of ERROR lines that a test is about."""
    return []


@pytest.fixture(autouse=True)
def clean_log(tmp_path: Path, secret_watch: SecretWatch, expected_errors: list[str]) -> Iterator[None]:
    """After the test: no log of the product that lies in `tmp_path` holds a key, or an error of another kind."""
    yield
    for log in tmp_path.rglob("product.log"):
        lines = log.read_text(errors="replace").splitlines()
        shown = [line for line in lines if secret_watch.found_in(line)]
        assert not shown, f"secrets in the log: {shown}"
        errors = [line for line in lines if MANGLED.search(line) and not any(e in line for e in expected_errors)]
        assert not errors, "\n".join(["errors in the log:", *lines])


@pytest.fixture
async def product(tmp_path: Path) -> AsyncIterator[Product]:
    """A running product; ended by Ctrl-C after the test, with exit code 0 and no process left."""
    async with running_product(tmp_path) as started:
        yield started


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NginxRtmp]:
    """An RTMP server that records."""
    async with nginx_rtmp(tmp_path / "nginx") as started:
        yield started


@pytest.fixture(scope="session")
def media() -> Clip:
    """Twelve seconds of coded pictures and sound with a flash and a beep each second."""
    return clip()
