"""A relay plays its stream: sender → relay → players, in one process over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import aioice
import pytest
from aiortc.rtp import RtcpRtpfbPacket, RtpPacket
from support.clip import Clip, clip
from support.whep_player import WhepPlayer
from support.whip_sender import WhipSender

from transponder_crd.control import (
    DesiredPublisher,
    DesiredRelay,
    Offer,
    PlayerEvent,
    PlayerState,
    PlayOffer,
    PublisherState,
    StreamEvent,
)
from transponder_crd.offer import InvalidOffer, check_play_offer
from transponder_relay.playback import player as player_module
from transponder_relay.playback import players as players_module
from transponder_relay.playback.offer import Playable
from transponder_relay.playback.player import Player
from transponder_relay.playback.players import NothingPublished
from transponder_relay.relay import Relay
from transponder_relay.settings import RelaySettings

SETTINGS = RelaySettings(instance="relay-1", stream_name="demo", token="secret", media_addresses=["127.0.0.1"])  # type: ignore[arg-type]

CHROMIUM = (Path(__file__).parents[2] / "wire" / "play-offer-chromium-156.sdp").read_bytes().decode()


@pytest.fixture(scope="module")
def media() -> Clip:
    return clip()


@asynccontextmanager
async def published(sender: WhipSender) -> AsyncIterator[Relay]:
    """A relay with a publisher that is connected."""
    relay = Relay(SETTINGS)
    relay.apply(DesiredRelay(stream_name="demo", publisher=DesiredPublisher(id="p1")))
    try:
        await sender.accept(await relay.answer(Offer(publisher_id="p1", sdp=await sender.offer())))
        await until_state(relay, PublisherState.CONNECTED)
        yield relay
    finally:
        await relay.close()


async def until_state(relay: Relay, state: PublisherState) -> None:
    async with asyncio.timeout(10):
        while True:
            change = relay.next_change()
            report = relay.report().publisher
            if report and report.state == state:
                return
            await relay.wait_for(change, 10)


async def play(relay: Relay, player: WhepPlayer, player_id: str = "player-1") -> None:
    offer = await player.offer()
    check_play_offer(offer)
    await player.accept(await relay.play(PlayOffer(player_id=player_id, sdp=offer)))


async def next_state(queue: asyncio.Queue[PlayerEvent]) -> tuple[PlayerState | None, str | None]:
    event = await asyncio.wait_for(queue.get(), 10)
    return event.state, event.reason


async def test_every_picture_and_sound_packet_is_as_published(media: Clip) -> None:
    async with WhipSender(media, on_pli="ignore") as sender, published(sender) as relay, WhepPlayer() as player:
        await play(relay, player)
        await player.until(lambda: len(player.pictures) >= 75 and len(player.reports("audio")) >= 2)
        assert player.pictures[0].keyframe
        assert [n[0] & 31 for n in player.pictures[0].parameter_sets] == [7, 8]
        sent = [picture.crc for picture in sender.sent]
        first = sent.index(player.pictures[0].crc)
        assert [p.crc for p in player.pictures] == sent[first : first + len(player.pictures)]
        delays = sorted(p.arrival - s.time for p, s in zip(player.pictures, sender.sent[first:], strict=False))
        assert delays[len(delays) // 2] < 0.01
        assert all(2880 <= b.time - a.time & 0xFFFFFFFF <= 3150 for a, b in pairwise(player.pictures))
        payloads = [payload for _, payload in player.sound]
        start = media.sound.index(payloads[0])
        assert payloads[:50] == [media.sound[(start + n) % len(media.sound)] for n in range(50)]
        assert all(b - a & 0xFFFFFFFF == 960 for (a, _), (b, _) in pairwise(player.sound))
        assert player.counts.nacks == 0
        check_common_clock(player)


def check_common_clock(player: WhepPlayer) -> None:
    """Sender reports place a picture and the sound of the same moment at the same time, to some milliseconds."""
    picture, sound = player.reports("video")[-1], player.reports("audio")[-1]
    assert picture.packet_count > 0
    apart = (picture.ntp_timestamp - sound.ntp_timestamp) / 2**32
    last_picture, (last_sound, _) = player.pictures[-1], player.sound[-1]
    of_picture = (last_picture.time - picture.rtp_timestamp) / 90_000 + apart
    of_sound = (last_sound - sound.rtp_timestamp) / 48_000
    assert abs(of_picture - of_sound) < 0.08, "the last picture and the last packet of sound are of about one moment"


async def test_losses_are_repaired_by_rtx(media: Clip) -> None:
    async with WhipSender(media) as sender, published(sender) as relay, WhepPlayer(loss=0.05) as player:
        await play(relay, player)
        await player.until(lambda: len(player.pictures) >= 75)
        assert player.counts.lost > 5
        assert player.counts.retransmitted >= player.counts.lost - 5
        assert_unbroken(player, sender)


async def test_losses_are_repaired_without_rtx(media: Clip) -> None:
    async with WhipSender(media) as sender, published(sender) as relay, WhepPlayer(loss=0.05, rtx=False) as player:
        await play(relay, player)
        await player.until(lambda: len(player.pictures) >= 75)
        assert player.counts.lost > 5
        assert_unbroken(player, sender)


def assert_unbroken(player: WhepPlayer, sender: WhipSender) -> None:
    sent = [picture.crc for picture in sender.sent]
    first = sent.index(player.pictures[0].crc)
    assert [p.crc for p in player.pictures] == sent[first : first + len(player.pictures)]


@pytest.mark.parametrize("form", ["pli", "fir"])
async def test_a_keyframe_is_asked_of_the_publisher(media: Clip, form: str) -> None:
    async with WhipSender(media) as sender, published(sender) as relay, WhepPlayer(audio=False) as player:
        await play(relay, player)
        await player.until(lambda: len(player.pictures) >= 5)
        asked = sender.counts.plis
        for _ in range(5):
            await player.ask_for_keyframe(form)
        await player.until(lambda: sender.counts.plis > asked and player.pictures[-1].keyframe)
        assert sender.counts.plis <= asked + 2, "the five requests were told as one"


async def test_a_player_begins_at_a_keyframe_that_it_asked_for(media: Clip) -> None:
    async with WhipSender(media) as sender, published(sender) as relay, WhepPlayer(audio=False) as player:
        await asyncio.sleep(0.3)  # in the midst of a group of pictures
        await play(relay, player)
        began = asyncio.get_running_loop().time()
        await player.until(lambda: bool(player.pictures))
        assert player.pictures[0].keyframe
        assert asyncio.get_running_loop().time() - began < 0.5
        assert sender.counts.plis >= 1


async def test_the_end_of_the_publisher_ends_its_players(media: Clip) -> None:
    async with WhipSender(media) as sender, published(sender) as relay, WhepPlayer() as player:
        await play(relay, player)
        queue = relay.players.follow("player-1")
        assert queue is not None
        await player.until(lambda: len(player.pictures) >= 3)
        await sender.stop()
        states = [await next_state(queue)]
        while states[-1][0] is not PlayerState.ENDED:
            states.append(await next_state(queue))
        assert states[-1] == (PlayerState.ENDED, "Stopped by publisher stop")
        await asyncio.wait_for(player.closed_by_peer.wait(), 5)
        assert player.counts.byes == 1
        again = relay.players.follow("player-1")
        assert again is not None
        assert await next_state(again) == (PlayerState.ENDED, "Stopped by publisher stop")
        with pytest.raises(NothingPublished):
            await relay.play(PlayOffer(player_id="player-2", sdp=await player.offer()))


async def test_a_player_that_leaves_ends_alone(media: Clip) -> None:
    async with WhipSender(media) as sender, published(sender) as relay, WhepPlayer() as stays:
        leaves = WhepPlayer()
        await play(relay, leaves, "leaves")
        await play(relay, stays, "stays")
        queue = relay.players.follow("leaves")
        assert queue is not None
        await leaves.until(lambda: len(leaves.pictures) >= 3)
        await leaves.stop()
        states = [await next_state(queue)]
        while states[-1][0] is not PlayerState.ENDED:
            states.append(await next_state(queue))
        assert states[-1] == (PlayerState.ENDED, "Stopped by user")
        seen = len(stays.pictures)
        await stays.until(lambda: len(stays.pictures) > seen + 10)
        assert len(relay.players.connected) == 1


async def test_a_player_that_never_connects_ends(media: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    async with WhipSender(media) as sender, published(sender) as relay, WhepPlayer() as player:
        settings = relay.players._settings
        monkeypatch.setattr(relay.players, "_settings", type(settings)(settings.addresses, connect_timeout=0.2))
        await relay.play(PlayOffer(player_id="silent", sdp=await player.offer()))
        queue = relay.players.follow("silent")
        assert queue is not None
        assert await next_state(queue) == (PlayerState.CONNECTING, None)
        assert await next_state(queue) == (PlayerState.ENDED, "Failed by ICE timeout")
        assert relay.players.connected == ()


async def test_stop_and_stream_events(media: Clip) -> None:
    async with WhipSender(media) as sender, published(sender) as relay, WhepPlayer() as player:
        await play(relay, player)
        queue = relay.players.follow("player-1")
        assert queue is not None
        relay.players.send_event(StreamEvent(type="data", payload={"count": 1}))
        events = []
        while not events or events[-1].stream_event is None:
            events.append(await asyncio.wait_for(queue.get(), 5))
        assert events[-1].stream_event == StreamEvent(type="data", payload={"count": 1})
        for _ in range(2000):  # a follower that does not read
            relay.players.send_event(StreamEvent(type="data"))
        assert relay.players.stop("player-1")
        assert not relay.players.stop("player-1")
        assert not relay.players.stop("unknown")
        assert relay.players.follow("unknown") is None
        while (last := await next_state(queue))[0] is not PlayerState.ENDED:
            pass
        assert last == (PlayerState.ENDED, "Stopped by user"), "a state is never lost"
        await asyncio.wait_for(player.closed_by_peer.wait(), 5)


async def test_refusals(media: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = Relay(SETTINGS)
    async with WhepPlayer() as player:
        offer = await player.offer()
        with pytest.raises(NothingPublished):
            await relay.play(PlayOffer(player_id="p", sdp=offer))
    async with WhipSender(media) as sender, published(sender) as relay:
        with pytest.raises(InvalidOffer, match="packetization-mode=1"):
            await relay.play(
                PlayOffer(player_id="p", sdp=offer.replace("packetization-mode=1", "packetization-mode=0"))
            )
        with pytest.raises(InvalidOffer, match="H264 and opus"):
            await relay.play(PlayOffer(player_id="p", sdp=offer.replace("recvonly", "sendonly")))
        await relay.play(PlayOffer(player_id="p", sdp=offer))
        with pytest.raises(InvalidOffer, match="must be new"):
            await relay.play(PlayOffer(player_id="p", sdp=offer))
        monkeypatch.setattr(players_module, "MAX_PLAYERS", 1)
        with pytest.raises(players_module.TooManyPlayers):
            await relay.play(PlayOffer(player_id="q", sdp=offer))


async def test_sound_alone(media: Clip) -> None:
    async with WhipSender(media, video=False) as sender, published(sender) as relay, WhepPlayer() as player:
        await play(relay, player)
        await player.until(lambda: len(player.sound) >= 20)
        assert "m=video 0 " in player.answer


async def test_the_publisher_ends_while_a_player_is_answered(media: Clip) -> None:
    async with WhipSender(media) as sender, published(sender) as relay, WhepPlayer() as player:
        offer = PlayOffer(player_id="p", sdp=await player.offer())
        answering = asyncio.create_task(relay.play(offer))
        await asyncio.sleep(0)  # it has begun
        with pytest.raises(InvalidOffer, match="must be new"):
            await relay.play(offer)
        relay.apply(DesiredRelay(stream_name="demo"))
        with pytest.raises(NothingPublished):
            await answering
        assert relay.players.follow("p") is None


async def test_requests_for_packets_are_bounded(media: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "MAX_RESENT", 10)
    async with WhipSender(media) as sender, published(sender) as relay, WhepPlayer(audio=False) as player:
        await play(relay, player)
        await player.until(lambda: len(player.pictures) >= 20 and bool(player.reports("video")))
        reports = len(player.reports("video"))
        await player.until(lambda: len(player.reports("video")) > reports)
        last = player._highest
        await player.send_rtcp(
            RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=player._ssrcs["video"], lost=[*range(last - 60, last)])
        )
        await player.until(lambda: len(player.reports("video")) > reports + 1)
        assert player.counts.retransmitted == 10


async def test_a_dead_player_harms_nothing_and_ends(media: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7675: consent to send expires; here after 6 checks that are 0.1 s apart in place of 5 s."""
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.1)
    monkeypatch.setattr(aioice.stun, "RETRY_MAX", 1)
    monkeypatch.setattr(aioice.stun, "RETRY_RTO", 0.02)
    async with WhipSender(media) as sender, published(sender) as relay, WhepPlayer() as lives:
        dies = WhepPlayer()
        await play(relay, lives, "lives")
        await play(relay, dies, "dies")
        queue = relay.players.follow("dies")
        assert queue is not None
        await dies.until(lambda: len(dies.pictures) >= 3)
        await dies.vanish()
        while (last := await next_state(queue))[0] is not PlayerState.ENDED:
            pass
        assert last == (PlayerState.ENDED, "Failed by ICE keep alive")
        seen = len(lives.pictures)
        await lives.until(lambda: len(lives.pictures) > seen + 10)
        assert_unbroken(lives, sender)


async def test_g711_keeps_its_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = Relay(SETTINGS)
    player = Player("p", relay.players._settings, lambda now: now * 1000, relay.players)
    packets: list[RtpPacket] = []
    monkeypatch.setattr(player._transport, "send_rtp", lambda data: packets.append(RtpPacket.parse(data)))
    try:
        answer = await player.answer(CHROMIUM, Playable(False, "PCMU"))
        assert "a=rtpmap:0 PCMU/8000\r\n" in answer
        for number in range(3):
            player.sound(bytes(160), 480 + 960 * number)
        assert [b.timestamp - a.timestamp & 0xFFFFFFFF for a, b in pairwise(packets)] == [160, 160]
    finally:
        await player.close()
        await relay.close()
