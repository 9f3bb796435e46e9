"""`transponder-api` against a real Kubernetes API server: its start, two replicas of it, its end."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from cluster.control_plane import ControlPlane, control_plane
from support.api import INSTANCE, Relay, Statuses
from support.api_pod import NAMESPACE, USER, ApiPod, add_relay_pod, install, running_api_pod
from support.unavailable import skipped_without
from support.websdk import OFFER, PLAY_OFFER, WebSdkClient
from yarl import URL

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.control_key import DEFAULT_SECRET, ensure_control_key
from transponder_crd.kubernetes.informer import Informer
from transponder_crd.kubernetes.paths import objects, secrets
from transponder_crd.kubernetes.store import KubernetesStore, Mirrors
from transponder_crd.names import stream_object_name
from transponder_crd.resource import RtmpTransponder, Stream, StreamPhase, StreamStatus
from transponder_crd.store import NotFound

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.cluster, pytest.mark.timeout(120)]

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
CANDIDATE = b"a=ice-ufrag:ufrg\r\na=ice-pwd:pppppppppppppppppppppp\r\na=end-of-candidates\r\n"
URL_WITH_KEY = "rtmp://127.0.0.1:1935/live/geheimer-schluessel"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with skipped_without(), control_plane() as started:
        yield started


@dataclass
class World:
    """What is around the API: the cluster, the one who writes statuses, a relay's control port."""

    plane: ControlPlane
    kube: Kube
    store: KubernetesStore
    kubeconfig: Path
    relay: Relay

    async def cleared(self) -> list[str]:
        """The names of what was left; it is gone then."""
        left = []
        for kind in (RtmpTransponder, Stream):
            for item in (await self.store.list(kind)).items:
                left.append(item.name)
                with suppress(NotFound):
                    await self.store.delete(kind, item.name)  # whoever writes statuses takes the finalizers away
        return left

    async def phase(self, name: str, phase: StreamPhase) -> None:
        stream = await self.store.get(Stream, stream_object_name(name))
        status = StreamStatus(phase=phase, relay_pod=INSTANCE)
        await self.store.update_status(stream.model_copy(update={"status": status}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        kube = Kube.connect(plane.kubeconfig)
        stack.push_async_callback(kube.close)
        await install(kube)
        kubeconfig = plane.kubeconfig_for(USER, namespace=NAMESPACE)
        await _waits_for_the_control_key(kube, kubeconfig, tmp_path_factory.mktemp("first"))
        key = await ensure_control_key(kube, NAMESPACE, DEFAULT_SECRET)
        relay = await stack.enter_async_context(Relay(key.token(INSTANCE)).running())
        await add_relay_pod(kube, INSTANCE, "shop", URL(relay.url).port or 0)
        mirrors = Mirrors.empty()
        store = KubernetesStore(kube, NAMESPACE, mirrors)
        courses = [
            Informer(kube, objects(RtmpTransponder, NAMESPACE), mirrors.transponders).run(),
            Informer(kube, objects(Stream, NAMESPACE), mirrors.streams).run(),
            Statuses(store).run(),
        ]
        tasks = [asyncio.create_task(course) for course in courses]
        try:
            yield World(plane, kube, store, kubeconfig, relay)
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def _waits_for_the_control_key(kube: Kube, kubeconfig: Path, folder: Path) -> None:
    """The first of all, since the key is made once: alive but not ready, and ended by SIGTERM all the same."""
    async with running_api_pod(folder, kubeconfig) as pod:
        await pod.until_probe("/healthz", 200)
        await pod.until_probe("/readyz", 503, f"the Secret {DEFAULT_SECRET}, which the operator makes")
        assert await pod.program.end(signal.SIGTERM, 5) == 0, pod.program.text()
        assert not await pod.program.none_left(2)


@pytest_asyncio.fixture(loop_scope="module")
async def replicas(world: World, tmp_path: Path) -> AsyncIterator[tuple[ApiPod, ApiPod]]:
    world.relay.reset()
    async with (
        running_api_pod(tmp_path / "a", world.kubeconfig) as first,
        running_api_pod(tmp_path / "b", world.kubeconfig) as second,
    ):
        for pod in (first, second):
            await pod.until_probe("/readyz", 200)
        yield first, second
        for pod in (first, second):
            if pod.program.running:
                assert await pod.program.end(signal.SIGTERM, 10) == 0, pod.program.text()
            assert "Traceback" not in pod.program.text(), pod.program.text()
            assert "geheim" not in pod.program.text()
    assert await world.cleared() == []


async def test_a_session_of_one_is_known_to_the_other_at_once(world: World, replicas: tuple[ApiPod, ApiPod]) -> None:
    """Again and again, so that the watch of the other is late now and then."""
    here, there = replicas
    for _ in range(5):
        begun = await here.rest.request("POST", "/whip/shop", data=OFFER.encode(), headers=SDP)
        assert begun.status == 201, begun.text
        session, patch = begun.headers["Location"], FRAGMENT | {"If-Match": begun.headers["ETag"]}
        assert (await there.rest.request("PATCH", session, data=CANDIDATE, headers=patch)).status == 204
        assert (await there.rest.request("POST", "/whip/shop", data=OFFER.encode(), headers=SDP)).status == 409
        assert (await there.rest.request("DELETE", session)).status == 200
        assert (await here.rest.request("DELETE", session)).status == 404
        again = await here.rest.request("POST", "/whip/shop", data=OFFER.encode(), headers=SDP)
        assert again.status == 201, again.text
        ended = await there.rest.request("POST", "/rest-api/stream/terminate", json={"name": "shop"})
        assert ended.status == 200, ended.text
        here, there = there, here
    played = await here.rest.request("POST", "/whep/shop", data=PLAY_OFFER.encode(), headers=SDP)
    assert (await there.rest.request("DELETE", played.headers["Location"])).status == 200
    assert len(world.relay.offers) == 10


async def test_a_transponder_of_one_is_known_to_the_other_at_once(
    world: World, replicas: tuple[ApiPod, ApiPod]
) -> None:
    here, there = replicas
    for _ in range(5):
        made = await here.rest.startup("shop", URL_WITH_KEY, rtmpTransponderFullUrl=True)
        found = await there.rest.push("find", {"streamName": "shop"})
        assert [one["mediaSessionId"] for one in found.body] == [made["mediaSessionId"]], found.text
        await there.rest.tell("mute", made["mediaSessionId"])
        await here.rest.until(made["mediaSessionId"], lambda one: bool(one["muted"]), "muted")
        await there.rest.tell("terminate", made["mediaSessionId"])
        here, there = there, here


async def test_of_the_same_startups_at_once_one_wins(world: World, replicas: tuple[ApiPod, ApiPod]) -> None:
    wish = {"streamName": "shop", "rtmpUrl": URL_WITH_KEY}
    answers = await asyncio.gather(*(pod.rest.push("startup", wish) for pod in replicas * 4))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    made = next(answer.body for answer in answers if answer.status == 200)
    transponder = await world.store.by_uid(RtmpTransponder, made["mediaSessionId"])
    assert transponder.spec.rtmp_url_from is not None
    kept = await world.kube.get(secrets(NAMESPACE, transponder.spec.rtmp_url_from.secret_key_ref.name))
    assert kept["metadata"]["ownerReferences"][0]["uid"] == transponder.uid
    await replicas[1].rest.tell("terminate", made["mediaSessionId"])


async def test_websdk_sessions_of_two_replicas(world: World, replicas: tuple[ApiPod, ApiPod]) -> None:
    here, there = replicas
    async with WebSdkClient.connected(here.websdk) as mine, WebSdkClient.connected(there.websdk) as yours:
        await mine.publish("one", "shop")
        assert (await mine.until("setRemoteSDP"))[0] == "one"
        await world.phase("shop", StreamPhase.PUBLISHING)
        assert await mine.status("one") == ("PUBLISHING", None)
        await yours.publish("two", "shop")
        assert await yours.status("two") == ("FAILED", "Stream name is already in use")
        await yours.play("three", "shop", PLAY_OFFER)
        assert (await yours.until("setRemoteSDP"))[0] == "three"
        ended = await there.rest.request("POST", "/rest-api/stream/terminate", json={"name": "shop"})
        assert ended.status == 200, ended.text
        assert await mine.status("one") == ("UNPUBLISHED", "Stopped by rest /terminate")


async def test_metrics(world: World, replicas: tuple[ApiPod, ApiPod]) -> None:
    await replicas[0].rest.find_all()
    text = (await replicas[0].probe("/metrics")).text
    route = "/rest-api/push/find_all"
    assert f'transponder_api_requests_total{{method="POST",route="{route}",status="4xx"}} 1.0' in text
    for name in ('watch_silence_seconds{kind="pods"}', "websdk_sessions", "offers", "request_seconds"):
        assert f"transponder_api_{name}" in text, name
    assert "process_resident_memory_bytes" in text


async def test_a_restarted_api_server(world: World, replicas: tuple[ApiPod, ApiPod]) -> None:
    await asyncio.to_thread(world.plane.restart, "kube-apiserver")
    here, there = replicas
    made = await here.rest.startup("shop", URL_WITH_KEY)
    await there.rest.until(made["mediaSessionId"], lambda one: True, "known to the other", timeout=30)
    await there.rest.tell("terminate", made["mediaSessionId"])
    for pod in replicas:
        assert (await pod.probe("/readyz")).status == 200


# ------------------------------------------------------------------------------------------ the end


async def test_who_is_being_sent_here_is_served_at_the_end(world: World, tmp_path: Path) -> None:
    async with running_api_pod(tmp_path, world.kubeconfig, lame_duck_seconds=2) as pod:
        await pod.until_probe("/readyz", 200)
        assert "Connection" not in (await pod.rest.request("GET", "/healthz")).headers
        pod.program.process.send_signal(signal.SIGTERM)
        await pod.until_probe("/readyz", 503, "the end")
        answer = await pod.rest.request("GET", "/healthz")
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        assert await asyncio.wait_for(pod.program.process.wait(), 10) == 0
        assert not await pod.program.none_left(2)


async def test_streams_of_websdk_sessions_may_go_on_at_the_end(world: World, tmp_path: Path) -> None:
    async with running_api_pod(tmp_path, world.kubeconfig, drain_seconds=60) as pod:
        await pod.until_probe("/readyz", 200)
        async with WebSdkClient.connected(pod.websdk) as client:
            await client.publish("one", "shop")
            await client.until("setRemoteSDP")
            await world.phase("shop", StreamPhase.PUBLISHING)
            assert await client.status("one") == ("PUBLISHING", None)
            pod.program.process.send_signal(signal.SIGTERM)
            await pod.until_probe("/readyz", 503)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pod.program.process.wait(), 2)
            await client.unpublish("one", "shop")
            assert await client.status("one") == ("UNPUBLISHED", "Stopped by user")
            assert await asyncio.wait_for(pod.program.process.wait(), 10) == 0


async def test_the_second_signal_waits_for_nobody(world: World, tmp_path: Path) -> None:
    async with running_api_pod(tmp_path, world.kubeconfig, drain_seconds=60, lame_duck_seconds=60) as pod:
        await pod.until_probe("/readyz", 200)
        async with WebSdkClient.connected(pod.websdk) as client:
            await client.publish("one", "shop")
            await client.until("setRemoteSDP")
            await world.phase("shop", StreamPhase.PUBLISHING)
            pod.program.process.send_signal(signal.SIGTERM)
            await pod.until_probe("/readyz", 503)
            assert await pod.program.end(signal.SIGTERM, 10) == 0, pod.program.text()
    assert (await world.store.list(Stream)).items == [], "the stream of a lost WebSocket is ended"


# ------------------------------------------------------------------------------------------ what is in the way


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"http_port": "x"}, "TRANSPONDER_HTTP_PORT: "),
        (
            {"http_port": "off", "ws_port": "off"},
            "TRANSPONDER_HTTP_PORT: a port of HTTP or WebSockets",
        ),
        ({"ice_servers": "["}, "TRANSPONDER_ICE_SERVERS: must be JSON"),
        ({"token_file": "/none"}, "TRANSPONDER_TOKEN_FILE: must be a file that can be read, and /none is not"),
        ({"kubeconfig": "none"}, "no Kubernetes cluster to connect to: "),
        ({"metrics_port": "taken"}, "Address already in use"),
    ],
)
async def test_why_it_does_not_start(setting: dict[str, str], line: str, world: World, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "none" if setting.get("kubeconfig") else world.kubeconfig
    settings = {name: value for name, value in setting.items() if name != "kubeconfig"}
    if "metrics_port" in settings:
        settings["metrics_port"] = str(URL(world.relay.url).port)
    async with running_api_pod(tmp_path, kubeconfig, **settings) as pod:
        assert await asyncio.wait_for(pod.program.process.wait(), 20) == 2
        (said,) = pod.program.text().splitlines()
        assert said.startswith("transponder-api: ")
        assert line in said
