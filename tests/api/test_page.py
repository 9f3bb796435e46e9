"""The files of the web page over HTTP: types, caching, security, and what the token guards."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.api import Api, running_api

from transponder_api.page import page_files

FILES = page_files()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """An API that wants a token."""
    async with running_api(tmp_path_factory.mktemp("api"), token="page-token") as started:
        yield started


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("path", sorted(FILES))
async def test_each_file_is_served_as_it_is_without_a_token(guarded: Api, path: str) -> None:
    answer = await guarded.request("GET", path)
    assert answer.status == 200
    assert answer.text.encode() == FILES[path].body
    assert answer.headers["Content-Type"] == FILES[path].media_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "camera=(self)" in answer.headers["Permissions-Policy"]


async def test_the_policy_lets_nothing_in_but_the_page_itself(guarded: Api) -> None:
    policy = dict(
        part.split(" ", 1)
        for part in (await guarded.request("GET", "/")).headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert "style-src" not in policy
    assert "unsafe" not in str(policy)
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"


async def test_an_unchanged_file_is_not_sent_again(guarded: Api) -> None:
    first = await guarded.request("GET", "/page/main.js")
    assert first.headers["Cache-Control"] == "no-cache"
    tag = first.headers["ETag"]
    for given in (tag, f'"other", W/{tag}', "*"):
        again = await guarded.request("GET", "/page/main.js", headers={"If-None-Match": given})
        assert (again.status, again.text) == (304, "")
        assert again.headers["ETag"] == tag
    other = await guarded.request("GET", "/page/main.js", headers={"If-None-Match": '"other"'})
    assert (other.status, other.text) == (200, first.text)


async def test_head_answers_without_the_file(guarded: Api) -> None:
    answer = await guarded.request("HEAD", "/")
    assert (answer.status, answer.text) == (200, "")
    assert int(answer.headers["Content-Length"]) == len(FILES["/"].body)


@pytest.mark.parametrize("path", ["/page/", "/page/../app.py", "/page/%2e%2e/app.py", "/page/index.html", "/page/x.js"])
async def test_nothing_else_is_served(api: Api, path: str) -> None:
    assert (await api.request("GET", path)).status == 404


@pytest.mark.parametrize("path", ["/page/x.js", "/page/", "//", "/rest-api/push/find_all"])
async def test_all_but_the_files_wants_the_token(guarded: Api, path: str) -> None:
    assert (await guarded.request("GET", path)).status == 401


async def test_the_page_is_not_in_openapi(guarded: Api) -> None:
    described = (await guarded.request("GET", "/openapi.json")).body
    assert not [path for path in described["paths"] if path == "/" or path.startswith("/page")]
