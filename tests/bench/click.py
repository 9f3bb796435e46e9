"""From the click on Start to the first frame that the RTMP server records, in the WebSDK's own page and Chromium.

    PYTHONPATH=tests .venv/bin/python -m bench.click [--runs 10]

Each run loads the page webrtc-as-rtmp-republishing anew, so its first click opens the WebSocket and the camera; after
Stop it clicks once more, with another name. Chromium, its encoder, the product and nginx share the machine. One clock.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.__main__ import worker
from bench.tail import VIDEO
from support.nginx_rtmp import NginxRtmp, nginx_rtmp
from support.product import Product, running_product
from support.vendor_site import EXAMPLES, VendorPage, vendor_site

PAGE = f"{EXAMPLES}/webrtc-as-rtmp-republishing/webrtc-as-rtmp-republishing.html"
SOUND = 8
LONGEST = 1.0
"""Seconds that the median may take."""

WATCH = """() => {
  window.times = {};
  const note = name => { times[name] = performance.timeOrigin + performance.now(); };
  document.querySelector('#publishBtn').addEventListener('click', () => note('click'), true);
  new MutationObserver(() => note(document.querySelector('#status').textContent))
    .observe(document.querySelector('#status'), {childList: true, characterData: true, subtree: true});
}"""


@dataclass(frozen=True)
class Click:
    """Times of the monotonic clock."""

    name: str
    at: float
    publishing: float


async def main() -> int:
    runs = _runs()
    with tempfile.TemporaryDirectory(prefix="transponder-bench-") as folder:
        firsts, seconds, recorded = await _measure(Path(folder), runs)
    print("seconds after the click, median (longest)", "", "| | PUBLISHING | first picture | first sound |", sep="\n")
    print("|---|---|---|---|", _row("first click of a page", firsts, recorded), sep="\n")
    print(_row("again in the same session", seconds, recorded))
    return 0 if median(_delays(firsts, recorded, VIDEO)) <= LONGEST else 1


def _runs() -> int:
    parser = argparse.ArgumentParser(prog="bench.click", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    return int(parser.parse_args().runs)


Recorded = dict[str, list[tuple[float, int, int, int]]]


async def _measure(folder: Path, runs: int) -> tuple[list[Click], list[Click], Recorded]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(nginx_rtmp(folder / "nginx"))
        product = await stack.enter_async_context(running_product(folder, "--log-level", "WARNING"))
        site = await stack.enter_async_context(vendor_site())
        tail = await stack.enter_async_context(worker("tail", str(server.recording("-").parent)))
        await tail.ready("ready")
        firsts, seconds = [], []
        for run in range(runs):
            async with site.open(PAGE) as page:
                await page.page.evaluate(WATCH)
                firsts.append(await _click(page, product, server, f"first{run}"))
                seconds.append(await _click(page, product, server, f"again{run}"))
        return firsts, seconds, await tail.result()


async def _click(page: VendorPage, product: Product, server: NginxRtmp, name: str) -> Click:
    """Start, until there is a recording, and Stop."""
    await page.fill(url=product.websdk, rtmpUrl=server.url, streamName=name)
    await page.click("publishBtn")
    await page.shows("status", "PUBLISHING")
    times = await page.page.evaluate("times")
    await server.receives(f"rtmp_{name}", 20_000, 20)
    await page.click("publishBtn")
    await page.shows("status", "UNPUBLISHED")
    await server.finished(f"rtmp_{name}")
    since_1970 = time.time() - time.monotonic()
    return Click(name, times["click"] / 1000 - since_1970, times["PUBLISHING"] / 1000 - since_1970)


def _delays(clicks: list[Click], recorded: Recorded, tag_type: int) -> list[float]:
    """From each click to the first tag of that type that is no header."""
    rows = ((click.at, recorded[f"rtmp_{click.name}"]) for click in clicks)
    return [next(at for at, kind, _, crc in tags if kind == tag_type and crc) - click for click, tags in rows]


def _row(what: str, clicks: list[Click], recorded: Recorded) -> str:
    columns = [[click.publishing - click.at for click in clicks]]
    columns += [_delays(clicks, recorded, kind) for kind in (VIDEO, SOUND)]
    return " | ".join([f"| {what}", *(f"{median(each):.2f} ({max(each):.2f})" for each in columns)]) + " |"


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
