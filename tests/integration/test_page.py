"""The web page, used in headless Chromium as people use it: by mouse, by keyboard alone, and when things go wrong."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect
from support.api import running_api
from support.nginx_rtmp import NginxRtmp, nginx_rtmp
from support.product import MANGLED, Product, running_product, start_product
from support.secret_watch import SecretWatch
from support.sounds import tone, wav
from support.web_page import INSECURE_HOST, NO_CAMERA, NO_DEVICES, REFUSED, WAIT, WebPage, launched, open_page

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

NOWHERE = "rtmp://127.0.0.1:1/live"
PHONE = 360
expect.set_options(timeout=WAIT)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Product]:
    """One product for all tests of this file; in the end its log holds no error."""
    async with running_product(tmp_path_factory.mktemp("page")) as started:
        yield started
    assert not MANGLED.search(started.log()), started.log()


@pytest_asyncio.fixture(loop_scope="module")
async def product(running: Product) -> AsyncIterator[Product]:
    """The product, without streams and transponders."""
    yield running
    for transponder in await running.rest.find_all():
        await running.rest.tell("terminate", transponder["mediaSessionId"])
    streams = await running.rest.request("POST", "/rest-api/stream/find_all")
    for stream in streams.body if streams.status == 200 else []:
        name = stream["name"]  # its own page may have ended it by now
        await running.rest.request("POST", "/rest-api/stream/terminate", json={"name": name})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launched() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def server(tmp_path: Path) -> AsyncIterator[NginxRtmp]:
    async with nginx_rtmp(tmp_path / "nginx") as started:
        yield started


# ------------------------------------------------------------------------------------------ by mouse


async def test_publish_send_mute_sound_terminate(
    product: Product, server: NginxRtmp, secret_watch: SecretWatch, browser: Browser
) -> None:
    (product.sounds / "jingle.wav").write_bytes(wav(tone(440, 1)))
    key = secret_watch.key()
    async with open_page(browser, product.base) as web:
        await web.add_destination("show", server.url, key)
        row = web.destination(f"{server.url}/***")
        await web.shows(row, "Waiting for publisher")
        await web.publish("show")
        await web.shows(row, "Live")
        await server.receives(key, 20_000)
        (found,) = await product.rest.find_all()
        assert (found["width"], found["height"]) == (1280, 720), "the camera's size from the first picture on"
        await expect(row.locator("[data-slot=bitrate]")).to_have_text(re.compile(r"\d+ kbit/s|\d\.\d Mbit/s"))
        await check_figures(web.page.locator("#publish-figures"), "bitrate", "size", "fps", "loss", "roundTrip")
        await check_sound(web, product, row)
        assert key not in await web.page.content() + product.log()
        await row.get_by_role("button", name="Terminate").click()
        await web.page.get_by_role("dialog").get_by_role("button", name="Terminate").click()
        await expect(row).to_have_count(0)
        assert await product.rest.find_all() == []
        await web.button("Stop publishing").click()
        await web.shows(web.page.locator("#publish"), "Not publishing")
        await web.shows(web.page.locator("#empty"), "Nothing is being sent yet")


async def check_figures(figures: Locator, *names: str) -> None:
    patterns = {
        "bitrate": r"[1-9]\d* kbit/s|\d\.\d Mbit/s",
        "size": r"\d{3,4} × \d{3}",
        "fps": r"[1-9]\d? fps",
        "loss": r"\d+(\.\d)? %",
        "roundTrip": r"\d+ ms",
    }
    for name in names:
        await expect(figures.locator(f"[data-figure={name}]")).to_have_text(re.compile(patterns[name]))


async def check_sound(web: WebPage, product: Product, row: Locator) -> None:
    async def state() -> tuple[bool, bool]:
        (found,) = await product.rest.find_all()
        return found["muted"], found["soundEnabled"]

    await row.get_by_role("button", name="Mute").click()
    await web.shows(row, "Muted")
    assert await state() == (True, False)
    await row.get_by_role("button", name="Unmute").click()
    await web.shows(row, "Live sound")
    assert await state() == (False, False)
    await row.get_by_role("button", name="Play sound").click()
    await row.get_by_label("Sound file").fill("jingle.wav")
    await row.get_by_label("Repeat until switched off").check()
    await row.get_by_role("button", name="Play", exact=True).click()
    await row.get_by_role("button", name="Stop sound").wait_for()
    assert await state() == (False, True)
    await row.get_by_role("button", name="Stop sound").click()
    await row.get_by_role("button", name="Play sound").wait_for()
    assert await state() == (False, False)


async def test_preview_plays_what_is_published(product: Product, browser: Browser) -> None:
    async with open_page(browser, product.base) as web:
        await web.publish("seen")
        card = web.page.locator("li.stream").filter(has_text="seen")
        await card.get_by_role("button", name="Preview").click()
        video = card.get_by_label("Preview of seen", exact=True)
        await until_advancing(video)
        await check_figures(card.locator(".figures"), "bitrate", "size", "fps", "loss")
        await web.button("Stop publishing").click()
        await web.shows(card.get_by_role("status"), "The stream has ended.")
        await expect(card).to_have_count(0)


async def until_advancing(video: Locator) -> None:
    """The picture has a size, and its time goes on for a second."""
    seen = "video => [video.videoWidth, video.currentTime]"
    async with asyncio.timeout(20):
        while (await video.evaluate(seen))[0] == 0:  # noqa: ASYNC110 - in another program
            await asyncio.sleep(0.05)
        _, start = await video.evaluate(seen)
        while (await video.evaluate(seen))[1] < start + 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


# ------------------------------------------------------------------------------------------ by keyboard


async def test_everything_by_keyboard_on_a_phone(product: Product, browser: Browser) -> None:
    async with open_page(browser, product.base, width=PHONE) as web:
        press, write = web.page.keyboard.press, web.page.keyboard.type
        await web.shows(web.page.locator("#empty"), "Nothing is being sent yet")
        assert await web.overflow() <= 0
        await web.tab_to("Start publishing")
        await press("Enter")
        await web.shows(web.page.locator("#publish"), "Publishing")
        await web.tab_to("Server URL")
        await write(NOWHERE)
        await press("Enter")
        row = web.destination(NOWHERE)
        await web.shows(row, "Reconnecting")
        assert await web.overflow() <= 0
        await web.tab_to("Mute")
        await press("Space")
        await web.shows(row, "Muted")
        await expect(row.get_by_role("button", name="Unmute")).to_be_focused()
        await web.tab_to("Play sound")
        await press("Enter")
        await expect(row.get_by_label("Sound file")).to_be_focused()
        assert await web.overflow() <= 0
        await press("Escape")
        await expect(row.get_by_role("button", name="Play sound")).to_be_focused()
        await web.tab_to("Terminate")
        await press("Enter")
        await expect(web.button("Keep")).to_be_focused()
        await press("Escape")
        assert len(await product.rest.find_all()) == 1
        await expect(row.get_by_role("button", name="Terminate")).to_be_focused()
        await press("Enter")
        await press("Shift+Tab")
        await press("Enter")
        await expect(row).to_have_count(0)
        await expect(web.page.locator("#announcer")).to_contain_text("Terminated")
        await web.tab_to("Stop publishing")
        await press("Enter")
        await web.shows(web.page.locator("#publish"), "Not publishing")


# ------------------------------------------------------------------------------------------ when things go wrong


async def test_refusals_are_told_beside_what_they_are_about(product: Product, browser: Browser) -> None:
    async with open_page(browser, product.base) as web:
        for status, path in ((400, "/startup"), (409, "/startup"), (404, "/sound_on"), (409, "/whip/taken")):
            web.expect_answer(status, path)
        form = web.page.locator("#add-form")
        await web.add_destination("", "http://x")
        await web.shows(form, "Enter a stream name.")
        await web.shows(form, "The URL must begin with rtmp:// or rtmps:// and a host.")
        await expect(form.get_by_label("Server URL")).to_be_focused()
        await web.add_destination("<b>show</b>", "rtmp://host:99999/live")
        await web.shows(form, "Must have a port from 1 to 65535.")
        assert await form.get_by_label("Server URL").get_attribute("aria-invalid") == "true"
        await web.add_destination("<b>show</b>", NOWHERE)
        await web.shows(web.page.locator("h3"), "<b>show</b>")
        await web.add_destination("<b>show</b>", NOWHERE)
        await web.shows(form, "This stream is sent there already.")
        row = web.destination(NOWHERE)
        await row.get_by_role("button", name="Play sound").click()
        await row.get_by_label("Sound file").fill("missing.wav")
        await row.get_by_role("button", name="Play", exact=True).click()
        await expect(row.locator(".field-error")).to_be_visible()
        async with open_page(browser, product.base) as other:
            await other.publish("taken")
            await web.page.locator("#publish").get_by_label("Stream name").fill("taken")
            await web.button("Start publishing").click()
            await web.shows(
                web.page.locator("#publish"), "A stream of this name is being published. Choose another name."
            )
            await web.shows(web.page.locator("#publish"), "Not publishing")


async def test_a_destination_that_cannot_be_reached_says_why(product: Product, browser: Browser) -> None:
    async with open_page(browser, product.base) as web:
        await web.add_destination("show", NOWHERE)
        await web.publish("show")
        row = web.destination(NOWHERE)
        await web.shows(row, "Reconnecting")
        await expect(row.locator(".problem")).to_have_text(re.compile(r"The server cannot be reached\..*refused"))


async def test_a_stream_that_the_server_ends_is_not_published_again(product: Product, browser: Browser) -> None:
    async with open_page(browser, product.base) as web:
        await web.publish("ended")
        answer = await product.rest.request("POST", "/rest-api/stream/terminate", json={"name": "ended"})
        assert answer.status == 200
        await web.shows(web.page.locator("#publish"), "The server has ended this stream.")
        await web.shows(web.page.locator("#publish"), "Not publishing")


async def test_publishing_goes_on_after_a_relay_was_lost(product: Product, browser: Browser) -> None:
    async with open_page(browser, product.base) as web:
        for status in (404, 409, 503):
            web.expect_answer(status, "")
        await web.publish("lost")
        (relay,) = product.relays()
        os.kill(relay, signal.SIGKILL)
        await web.shows(web.page.locator("#publish"), "Reconnecting")
        await web.shows(web.page.locator("#publish"), "Publishing")


async def test_a_camera_that_is_refused(product: Product) -> None:
    async with launched(REFUSED) as browser, open_page(browser, product.base) as web:
        await web.button("Start publishing").click()
        await web.shows(web.page.locator("#publish"), "Camera not allowed")
        await web.shows(web.page.locator("#publish"), "Not publishing")


async def test_without_a_camera_sound_alone_is_published(product: Product) -> None:
    async with launched(NO_CAMERA) as browser, open_page(browser, product.base) as web:
        await expect(web.page.get_by_label("Camera", exact=True)).to_have_text("No camera found")
        await web.publish("radio")
        await web.shows(web.page.locator("#publish"), "Sound only")
        await expect(web.page.locator("li.stream").filter(has_text="radio")).to_contain_text("WHIP · Opus")


async def test_no_camera_and_no_microphone(product: Product) -> None:
    async with launched(NO_DEVICES) as browser, open_page(browser, product.base) as web:
        if await web.page.evaluate("navigator.mediaDevices.enumerateDevices().then(devices => devices.length)"):
            pytest.skip("this machine has a camera or a microphone")
        await web.shows(web.page.locator("#publish"), "No camera or microphone found")
        await expect(web.button("Start publishing")).to_be_disabled()


async def test_a_page_by_plain_http_says_that_the_camera_needs_https(product: Product, browser: Browser) -> None:
    async with open_page(browser, product.base.replace("127.0.0.1", INSECURE_HOST)) as web:
        await web.shows(web.page.locator("#publish"), "Camera needs HTTPS")
        await expect(web.button("Start publishing")).to_be_disabled()
        await web.add_destination("show", NOWHERE)
        await web.shows(web.destination(NOWHERE), "Waiting for publisher")


async def test_a_server_that_goes_and_comes_back(tmp_path: Path, browser: Browser) -> None:
    product = await start_product(tmp_path)
    port = int(product.base.rpartition(":")[2])
    try:
        async with open_page(browser, product.base) as web:
            await web.shows(web.page.locator("header"), "Connected")
            web.expect_answer("net::ERR_CONNECTION_REFUSED", "")
            await product.stop()
            await web.shows(web.page.locator("header"), "No connection")
            product = await start_product(tmp_path, port=port)
            await web.shows(web.page.locator("header"), "Connected")
        await product.stop()
    finally:
        await product.rest.close()
        await product.program.destroy()


async def test_a_server_that_wants_a_token(tmp_path: Path, browser: Browser) -> None:
    async with running_api(tmp_path, token="page-token") as api, open_page(browser, api.base) as web:
        web.expect_answer(401, "/find_all")
        dialog = web.page.get_by_role("dialog", name="Access token needed")
        await web.shows(web.page.locator("header"), "Locked")
        await dialog.get_by_label("Access token").fill("wrong")
        await dialog.get_by_role("button", name="Continue").click()
        await web.shows(dialog, "The server does not take this token.")
        await dialog.get_by_label("Access token").fill("page-token")
        await dialog.get_by_role("button", name="Continue").click()
        await web.shows(web.page.locator("header"), "Connected")
        await web.page.reload()
        await web.shows(web.page.locator("header"), "Connected")
