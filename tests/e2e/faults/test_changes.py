"""The cluster's owner changes the release and the custom resources while a stream is live."""

import asyncio
import copy
import json

from support.installation import Installation
from support.kubectl import Kubectl, Object
from support.live_stream import LIVE, WAITING, Site, aside, until
from support.product import Rest

CRD = "rtmptransponders.transponder.dev"
MAX_BITRATE = "TRANSPONDER_MAX_BITRATE"


async def test_helm_upgrade(site: Site) -> None:
    """Streams stay where they are. Idle relays, and API pods, are replaced by those of the new values."""
    installed = site.installed
    async with site.live("upgraded") as live:
        api = {pod["metadata"]["uid"] for pod in await aside(installed.pods, "api")}
        values = {"relay": {"maxBitrate": 3_000_000}, "api": {"corsOrigin": "https://shop.example.com"}}
        await aside(installed.upgrade, values)
        await until(
            installed.idle_relays,
            lambda pods: len(pods) == 2 and {setting(pod, MAX_BITRATE) for pod in pods} == {"3000000"},
            "idle relays of the new template",
            60,
        )
        pods = await aside(installed.pods, "api")
        assert not {pod["metadata"]["uid"] for pod in pods} & api
        assert {setting(pod, "TRANSPONDER_CORS_ORIGIN") for pod in pods} == {"https://shop.example.com"}
        await live.goes_on()
        assert site.phase(live.name) == LIVE
        assert await aside(installed.relay_of, live.name) == live.relay
        old = await aside(installed.kubectl.json, "get", "pod", live.relay)
        assert setting(old, MAX_BITRATE) == "4000000"
        await live.ends_unharmed()
    await site.until_phase("upgraded", WAITING)


def setting(pod: Object, name: str) -> str:
    environment = pod["spec"]["containers"][0]["env"]
    return str(next(item["value"] for item in environment if item["name"] == name))


async def test_a_new_version_of_the_custom_resource(site: Site, rest: Rest, cluster_kubectl: Kubectl) -> None:
    """It has a field that these programs do not know: nothing is lost of it, nor of the stream."""
    before = await aside(cluster_kubectl.json, "get", "crd", CRD)
    async with site.live("crd-upgraded") as live:
        try:
            await aside(change_schema, cluster_kubectl, with_field(before))
            await until(lambda: takes_field(site.installed, live.name), bool, "the new field taken", 20)
            await rest.tell("mute", await aside(uid, site.installed, live.name))
            await site.add("crd-new")
            await site.until_phase("crd-new", WAITING)
            await live.goes_on()
            found = await aside(site.installed.kubectl.json, "get", "rtmpt", live.name)
            assert (found["spec"]["caption"], found["spec"]["muted"]) == ("of tomorrow", True)
            assert (found["status"]["phase"], found["status"]["relayPod"]) == (LIVE, live.relay)
            assert found["metadata"]["finalizers"] == ["transponder.dev/close-output"]
            await live.ends_unharmed()
        finally:
            await asyncio.shield(aside(change_schema, cluster_kubectl, before))
    await site.until_phase(live.name, WAITING)


def with_field(crd: Object) -> Object:
    new = copy.deepcopy(crd)
    schema = new["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["caption"] = {"type": "string", "maxLength": 100}
    return new


def change_schema(kubectl: Kubectl, crd: Object) -> None:
    versions = {"spec": {"versions": crd["spec"]["versions"]}}
    kubectl("patch", "crd", CRD, "--type=merge", "--patch", json.dumps(versions))


def takes_field(installed: Installation, name: str) -> bool:
    """The API server learns of a changed schema a moment later, and drops the field until then."""
    patch = '{"spec":{"caption":"of tomorrow"}}'
    said = installed.kubectl("patch", "rtmpt", name, "--type=merge", "--patch", patch, "-o", "json")
    return "caption" in json.loads(said)["spec"]


def uid(installed: Installation, name: str) -> str:
    return str(installed.kubectl.json("get", "rtmpt", name)["metadata"]["uid"])
