"""REST, WHIP and the WebSDK as clients outside the cluster call them, by the Ingress; and kubectl beside it.

The controller is nginx with the rules of the chart's Ingress.
"""

import asyncio
import re
from itertools import pairwise
from pathlib import Path

from support.clip import Clip
from support.flv import Flv, Interval, decode_sound, silences, tones
from support.ingress import IngressController
from support.installation import Installation
from support.product import Rest
from support.recordings import check_against, whole_recording
from support.rtmp_peer import RtmpPeer
from support.websdk import WebSdkClient
from support.whip_sender import WhipSender

KEY = "key-of-the-rest-client"
LIVE_HERTZ, INSERTED_HERTZ = 1000, 2000


async def test_startup_and_a_second_destination(
    installed: Installation, ingress: IngressController, peer: RtmpPeer, rest: Rest, sender: WhipSender, tmp_path: Path
) -> None:
    """The URL of REST is in a Secret that goes with its transponder; a destination may come to a live stream."""
    before = await asyncio.to_thread(installed.objects)
    first = await rest.startup("market", f"{peer.url}/{KEY}", rtmpTransponderFullUrl=True)
    await rest.until_state(first["mediaSessionId"], "WaitingForPublisher")
    async with sender:
        await sender.start(f"{ingress.base}/whip/market")
        assert re.fullmatch(rf"{ingress.base}/.+", sender.resource or "")
        await rest.until_state(first["mediaSessionId"], "Live")
        await peer.receives(KEY, 200_000)
        second = await rest.startup("market", peer.url)
        refused = await rest.push("startup", {"streamName": "market", "rtmpUrl": peer.url})
        assert refused.status == 409
        await rest.until_state(second["mediaSessionId"], "Live")
        await asyncio.to_thread(keeps_urls_in_secrets, installed, first["mediaSessionId"])
        await peer.receives("rtmp_market", 300_000)
        await rest.tell("terminate", second["mediaSessionId"])
        check_against(sender, await whole_recording(peer, "rtmp_market", tmp_path))
        assert [t["mediaSessionId"] for t in await rest.find_all()] == [first["mediaSessionId"]]
    check_against(sender, await whole_recording(peer, KEY, tmp_path))
    await rest.tell("terminate", first["mediaSessionId"])
    await installed.until_only(before)
    assert KEY not in await asyncio.to_thread(installed.logs)


def keeps_urls_in_secrets(installed: Installation, media_session_id: str) -> None:
    kubectl = installed.kubectl
    found = kubectl.json("get", "rtmpt")["items"]
    (first,) = [t for t in found if t["metadata"]["uid"] == media_session_id]
    assert all("rtmpUrl" not in t["spec"] for t in found)
    secret = kubectl.json("get", "secret", first["spec"]["rtmpUrlFrom"]["secretKeyRef"]["name"])
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [media_session_id]
    assert KEY not in kubectl("get", "rtmpt,streams,pods,events", "-o", "yaml")


async def test_mute_and_sound_by_both(
    installed: Installation, peer: RtmpPeer, rest: Rest, sender: WhipSender, tmp_path: Path
) -> None:
    """What one sets the other shows and takes back, and the sound that arrives is as both say."""
    id_ = (await rest.startup("radio", peer.url))["mediaSessionId"]
    name = await asyncio.to_thread(_name_of, installed, id_)
    size = 0

    async def hear() -> None:
        """Let more than a second of it arrive."""
        nonlocal size
        size += 180_000
        await peer.receives("rtmp_radio", size)

    async with sender:
        await sender.start(installed.whip("radio"))
        await rest.until_state(id_, "Live")
        await hear()
        await patch(installed, name, '{"spec": {"muted": true}}')
        await rest.until(id_, lambda t: bool(t["muted"]), "muted")
        await hear()
        await rest.tell("unmute", id_)
        assert await spec_of(installed, name, "muted") == "false"
        await hear()
        await rest.tell("sound_on", id_, soundFile="tone.wav", loop=True)
        assert "tone.wav" in await spec_of(installed, name, "sound")
        await hear()
        await patch(installed, name, '{"spec": {"sound": null}}')
        await rest.until(id_, lambda t: not t["soundEnabled"], "without sound")
        await hear()
        missing = await rest.push("sound_on", {"mediaSessionId": id_, "soundFile": "none.wav", "loop": False})
        assert missing.status == 404
    await rest.tell("terminate", id_)
    check_sound(await whole_recording(peer, "rtmp_radio", tmp_path))


def _name_of(installed: Installation, media_session_id: str) -> str:
    found = installed.kubectl.json("get", "rtmpt")["items"]
    (name,) = [t["metadata"]["name"] for t in found if t["metadata"]["uid"] == media_session_id]
    return str(name)


async def patch(installed: Installation, name: str, change: str) -> None:
    await asyncio.to_thread(installed.kubectl, "patch", "rtmpt", name, "--type=merge", f"--patch={change}")


async def spec_of(installed: Installation, name: str, field: str) -> str:
    return await asyncio.to_thread(installed.kubectl, "get", "rtmpt", name, "-o", f"jsonpath={{.spec.{field}}}")


def check_sound(flv: Flv) -> None:
    """Beeps each second; none while it was muted; beeps; the inserted tone and no beep; beeps."""
    sound = decode_sound(flv)
    beeps = [beep.start for beep in tones(sound, LIVE_HERTZ)]
    (muted,) = silences(sound, 0.95)
    (inserted,) = _joined(tones(sound, INSERTED_HERTZ, 0.5))
    print(f"beeps at {[f'{b:.2f}' for b in beeps]}; muted {muted}; inserted {inserted}")
    assert muted.end < inserted.start
    assert not [beep for beep in beeps if muted.start < beep < muted.end - 0.02]
    assert not [beep for beep in beeps if inserted.start < beep < inserted.end - 0.02]
    assert any(beep < muted.start for beep in beeps)
    assert any(muted.end - 0.1 < beep < inserted.start for beep in beeps)
    assert any(beep > inserted.end - 0.1 for beep in beeps)


def _joined(parts: list[Interval], gap: float = 0.1) -> list[Interval]:
    """A file that is played again has a short seam."""
    whole = parts[:1]
    for before, after in pairwise(parts):
        if after.start - before.end < gap:
            whole[-1] = Interval(whole[-1].start, after.end)
        else:
            whole.append(after)
    return whole


async def test_the_websdk_by_the_ingress(
    installed: Installation, ingress: IngressController, peer: RtmpPeer, media: Clip, reachable: str, tmp_path: Path
) -> None:
    """Its WebSocket has a path of its own beside REST and WHIP; with `rtmpUrl` in the publication."""
    before = await asyncio.to_thread(installed.objects)
    url = f"ws://{ingress.address}/websocket"
    async with WebSdkClient.connected(url) as client, WhipSender(media, candidates=False, address=reachable) as sender:
        await client.publish("id", "studio", await sender.offer(), rtmpUrl=peer.url)
        _, answer = await client.until("setRemoteSDP", 20)
        await sender.accept(answer)
        assert await client.status("id") == ("PUBLISHING", None)
        await peer.receives("rtmp_studio", 300_000)
        await asyncio.gather(client.unpublish("id"), sender.stop())
        assert await client.status("id") == ("UNPUBLISHED", "Stopped by user")
    check_against(sender, await whole_recording(peer, "rtmp_studio", tmp_path))
    await installed.until_only(before)
