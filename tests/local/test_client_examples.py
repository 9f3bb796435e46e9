"""The programs in docs/clients.md, run against the product as they are written but for the addresses."""

import asyncio
import re
import sys
from pathlib import Path

import pytest
from support.processes import clean_environment
from support.product import Product, running_product
from support.sounds import tone, wav

DOCS = Path(__file__).parents[2] / "docs"
CLIENTS = (DOCS / "clients.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", CLIENTS, re.MULTILINE | re.DOTALL)


async def run(product: Product, folder: Path, *command: str, program: str) -> str:
    """What the program prints; AssertionError unless it ends with 0."""
    program = program.replace("http://127.0.0.1:8081", product.base)
    program = re.sub(r"rtmp://(rtmp|live)\.example\.com", "rtmp://127.0.0.1", program)
    process = await asyncio.create_subprocess_exec(
        *command,
        env=clean_environment(folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(program.encode()), 30)
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_all_of_them(tmp_path: Path) -> None:
    async with running_product(tmp_path) as product:
        (product.sounds / "sample.wav").write_bytes(wav(tone(440, 5)))
        start, change = blocks("sh")
        await run(product, tmp_path, "bash", "-eu", program=start)
        made = await product.rest.find_all()
        assert sorted(one["rtmpUrl"] for one in made) == [
            "rtmp://127.0.0.1/app/***",
            "rtmp://127.0.0.1/muted",
            "rtmp://127.0.0.1/sound",
            "rtmp://127.0.0.1:1935/live",
        ]
        assert [one["muted"] for one in made if one["rtmpUrl"].endswith("muted")] == [True]
        assert [one["soundEnabled"] for one in made if one["rtmpUrl"].endswith("sound")] == [True]
        await run(product, tmp_path, "bash", "-eu", program=change)
        assert len(await product.rest.find_all()) == 3
        plain, aio = blocks("python")
        output = await run(product, tmp_path, sys.executable, "-", program=plain)
        assert output.startswith("400 rtmpUrl: must start with rtmp:// or rtmps://\n")
        assert "shop rtmp://127.0.0.1/python " in output
        assert await run(product, tmp_path, sys.executable, "-", program=aio) == "nobody publishes the stream yet\n"
        assert len(await product.rest.find_all()) == 3


@pytest.mark.parametrize("file", sorted(DOCS.glob("*.md")), ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text()):
        assert (file.parent / target).exists(), target
