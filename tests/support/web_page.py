"""The product's web page in headless Chromium, driven by Playwright and watched for faults."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, async_playwright
from support.chromium import FLAGS, chromium_program

SECONDS = 1000
WAIT = 20 * SECONDS
"""Milliseconds, as Playwright counts."""

VIOLATIONS = """document.addEventListener('securitypolicyviolation', event => {
  console.error(`violates ${event.effectiveDirective}: ${event.blockedURI}`);
});"""

INSECURE_HOST = "page.test"
"""This machine by a name that browsers do not trust without HTTPS."""

CAMERA = (*FLAGS[1:], f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1")  # Playwright says --headless itself
NO_CAMERA = tuple(flag.replace("=fps=30", "=device-count=0") for flag in CAMERA)
REFUSED = tuple(flag for flag in CAMERA if "fake-ui" not in flag)
"""Headless, so that nobody can allow what is asked for."""
NO_DEVICES = tuple(flag for flag in CAMERA if "fake-device" not in flag)

FOCUSED = """() => {
  const node = document.activeElement;
  return node.ariaLabel || node.labels?.[0]?.innerText.trim() || node.innerText.trim();
}"""


@dataclass
class WebPage:
    """The page, and what its console said. Chromium reports each HTTP error there; expected ones are named."""

    page: Page
    expected: list[str] = field(default_factory=lambda: ["404 /find_all"])
    """`status end-of-path` of answers that are part of the test."""
    faults: list[str] = field(default_factory=list)

    def expect_answer(self, status: int | str, path: str) -> None:
        self.expected.append(f"{status} {path}")

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        url = message.location["url"]
        if message.text.startswith("Failed to load resource") and self._is_expected(message.text, url):
            return
        self.faults.append(f"{message.type}: {message.text} {url}")

    def _is_expected(self, text: str, url: str) -> bool:
        pairs = (entry.split(" ") for entry in self.expected)
        return any((status in text) and url.endswith(path) for status, path in pairs)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def destination(self, url: str) -> Locator:
        """The row of the destination that is shown as `url`."""
        return self.page.locator("li.destination").filter(has=self.page.get_by_text(url, exact=True))

    async def shows(self, where: Locator, text: str) -> None:
        """Wait until `where` shows `text`; TimeoutError of Playwright."""
        await where.get_by_text(text, exact=True).first.wait_for(timeout=WAIT)

    async def add_destination(self, stream_name: str, url: str, key: str = "") -> None:
        # the first look at an empty server opens the form: a click before it would be a click to close it
        await self.shows(self.page.locator("#server-state"), "Connected")
        if await self.button("Add destination").get_attribute("aria-expanded") != "true":
            await self.button("Add destination").click()
        form = self.page.locator("#add-form")
        await form.get_by_label("Stream name").fill(stream_name)
        await form.get_by_label("Server URL").fill(url)
        await form.get_by_role("textbox", name="Stream key").fill(key)
        await self.button("Add").click()

    async def publish(self, stream_name: str) -> None:
        publish = self.page.locator("#publish")
        await publish.get_by_label("Stream name").fill(stream_name)
        await self.button("Start publishing").click()
        await self.shows(publish, "Publishing")

    async def tab_to(self, name: str) -> None:
        """Press Tab until what is called `name` has the focus."""
        seen = []
        for _ in range(60):
            await self.page.keyboard.press("Tab")
            seen.append(await self.page.evaluate(FOCUSED))
            if seen[-1] == name:
                return
        raise AssertionError(f"Tab never reaches {name}: {seen}")

    async def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(await self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@asynccontextmanager
async def launched(flags: Sequence[str] = CAMERA) -> AsyncIterator[Browser]:
    """Chromium, or skip."""
    chromium = chromium_program()
    if chromium is None:
        pytest.skip("Chromium is not installed (Debian: chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(flags))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_page(browser: Browser, base: str, *, width: int = 1280, script: str = "") -> AsyncIterator[WebPage]:
    """The page at `base` in a fresh profile; `script` runs before its own ones. After the block: no script failed,
    nothing broke the security policy."""
    context = await browser.new_context(viewport={"width": width, "height": 900})
    try:
        await context.add_init_script(VIOLATIONS + script)
        opened = WebPage(await context.new_page())
        opened.page.set_default_timeout(WAIT)
        opened.page.on("console", opened.on_console)
        opened.page.on("pageerror", lambda error: opened.faults.append(f"exception: {error}"))
        await opened.page.goto(base + "/")
        yield opened
        assert not opened.faults, opened.faults
    finally:
        await context.close()
