"""What every integration test has: the running product, an RTMP server, a clip to publish, a watch over secrets."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.clip import Clip, clip
from support.nginx_rtmp import NginxRtmp, nginx_rtmp
from support.product import MANGLED, Product, running_product
from support.secret_watch import SecretWatch


@pytest.fixture(autouse=True)
def secret_watch(tmp_path: Path) -> Iterator[SecretWatch]:
    """After the test: no log of the product that lies in `tmp_path` holds a key, or an error."""
    watch = SecretWatch()
    yield watch
    for log in tmp_path.rglob("product.log"):
        text = log.read_text(errors="replace")
        shown = [line for line in text.splitlines() if watch.found_in(line)]
        assert not shown, f"secrets in the log: {shown}"
        assert not MANGLED.search(text), f"an error in the log:\n{text}"


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
