"""A second real browser: headless Firefox on a page served from here, as publisher with its fake camera and microphone.

Debian has no program that drives it, so the page drives itself and reports.
"""

import contextlib
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

from support.chromium import PUBLISH_PAGE, BrowserPage, served
from support.processes import Program, clean_environment

PREFERENCES = {
    "media.navigator.streams.fake": "true",
    "media.navigator.permission.disabled": "true",
    "media.peerconnection.ice.obfuscate_host_addresses": "false",
    "network.proxy.type": "0",
    "network.captive-portal-service.enabled": "false",
    "network.connectivity-service.enabled": "false",
    "app.update.enabled": "false",
    "browser.shell.checkDefaultBrowser": "false",
    "browser.safebrowsing.malware.enabled": "false",
    "browser.safebrowsing.phishing.enabled": "false",
    "datareporting.policy.dataSubmissionEnabled": "false",
    "extensions.update.enabled": "false",
    "media.gmp-manager.updateEnabled": "false",
    "services.settings.server": '"http://127.0.0.1:9"',
    "toolkit.telemetry.enabled": "false",
}


def firefox_program() -> str | None:
    """Where Firefox is, or None."""
    return shutil.which("firefox-esr") or shutil.which("firefox")


def own_address() -> str | None:
    """An IPv4 address of this machine other than loopback, which Firefox leaves out of ICE. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: an address that nobody has
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") else address


@asynccontextmanager
async def firefox_publisher(
    whip_url: str, folder: Path, *, width: int = 640, height: int = 360, fps: int = 30
) -> AsyncIterator[BrowserPage]:
    """Firefox publishing its fake camera to `whip_url`; its profile and output go to `folder`."""
    firefox = firefox_program()
    assert firefox, "Firefox is not installed"
    profile = folder / "profile"
    profile.mkdir(parents=True)
    lines = [f'user_pref("{name}", {value});\n' for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines))
    browser = BrowserPage(PUBLISH_PAGE)
    query = urlencode({"whip": whip_url, "width": width, "height": height, "fps": fps})
    async with served(browser.application()) as base:
        command = [firefox, "--headless", "--no-remote", "--profile", str(profile), f"{base}/?{query}"]
        program = await Program.start(command, folder / "firefox.log", clean_environment(folder), folder)
        try:
            yield browser
        finally:
            with contextlib.suppress(TimeoutError):
                await program.end(signal.SIGTERM, 5)
            await program.destroy()
