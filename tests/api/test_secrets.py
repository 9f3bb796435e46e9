"""What is secret in an RTMP URL is in the Secret and nowhere else: no answer, no log, no other object."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.api import Api

from transponder_crd.resource import Resource

pytestmark = pytest.mark.asyncio(loop_scope="module")

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
# a prefix that no other text has, so that finding it means that it leaked
secret = st.text(LETTERS + "-._~!$*+,;:%", min_size=1, max_size=20).map(lambda text: f"Geheim{text}Z")
word = st.sampled_from(["live", "app", "a", "app/inst", "live2", "rtmp"])


@dataclass(frozen=True)
class Case:
    url: str
    full_url: bool
    secrets: tuple[str, ...]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """URLs with credentials, queries, keys as last segment, names of full URLs, and broken ones of all these."""
    secrets: list[str] = []

    def hidden(text: str) -> str:
        secrets.append(text)
        return text

    full_url = draw(st.booleans())
    userinfo = f"{hidden(draw(secret))}:{hidden(draw(secret))}@" if draw(st.booleans()) else ""
    path = draw(word)
    if draw(st.booleans()):
        key = draw(secret)
        path += "/" + hidden(key if full_url else key.ljust(12, "0"))
    query = ""
    if draw(st.booleans()):
        query = "?" + "&".join(f"{name}{hidden(draw(secret))}" for name in draw(st.sampled_from([["k="], ["", "p="]])))
    scheme = draw(st.sampled_from(["rtmp", "RTMPS", "rtmp", "http"]))
    port = draw(st.sampled_from(["", ":1935", ":99999"]))
    return Case(f"{scheme}://{userinfo}127.0.0.1{port}/{path}{query}", full_url, tuple(secrets))


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    lines: list[str] = []
    formatter = logging.Formatter("%(name)s %(message)s")
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(formatter.format(record))  # type: ignore[method-assign]
    root = logging.getLogger()
    old, root.level = root.level, logging.DEBUG
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(old)


@given(case=cases())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_secret_in_any_answer_log_or_object(patient: Api, case: Case) -> None:
    with everything_logged() as lines:
        body = {"streamName": "demo", "rtmpUrl": case.url, "rtmpTransponderFullUrl": case.full_url}
        answers = [await patient.push("startup", body), await patient.push("startup", body)]
        answers += [await patient.push("find", body_part) for body_part in ({}, {"rtmpUrl": case.url})]
        if answers[0].status == 200:
            await patient.push("mute", {"mediaSessionId": answers[0].body["mediaSessionId"]})
        transponders, _, kept = await patient.stored()
    texts = [answer.text for answer in answers] + lines
    texts += [item.model_dump_json() for item in transponders] + [repr(item) for item in (*transponders, *kept)]
    for text in texts:
        for hidden in case.secrets:
            assert hidden not in text
    if answers[0].status == 200:
        assert kept[0].string_data["rtmpUrl"].get_secret_value() == case.url
        await patient.push("terminate", {"mediaSessionId": answers[0].body["mediaSessionId"]})
    assert await patient.stored() == ([], [], [])


async def test_a_failing_store_tells_no_secret(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "rtmp://user:geheim99@127.0.0.1/live?k=geheim98"
    create = api.store.create

    async def broken(obj: Resource) -> Resource:
        if obj.kind != "Secret":
            return await create(obj)
        raise RuntimeError(f"cannot store {obj!r}")

    monkeypatch.setattr(api.store, "create", broken)
    with everything_logged() as lines:
        answer = await api.push("startup", {"streamName": "demo", "rtmpUrl": url})
    assert answer.status == 500
    assert not any("geheim" in text for text in (answer.text, *lines))
    assert any("cannot store" in line for line in lines), "the log says what happened"
