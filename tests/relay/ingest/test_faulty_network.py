"""A publisher over a network with faults: what comes out is whole pictures only, and most of them."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from support.clip import Clip, avcc_nals, clip, slice_crc
from support.lossy_proxy import Faults, LossyProxy, _Way
from support.whip_sender import WhipSender

from transponder_relay.ingest.session import IngestSettings, PublisherSession
from transponder_relay.ingest.timeline import Timeline
from transponder_relay.media import AccessUnit, CodedPicture, SoundPacket

SECONDS = 2.2


@pytest.fixture(scope="module")
def media() -> Clip:
    return clip()


class Received:
    def __init__(self) -> None:
        self.pictures: list[AccessUnit] = []
        self.positions: list[int] = []
        self.connected = asyncio.Event()

    def on_connected(self, video_codec: str | None, audio_codec: str | None) -> None:
        self.connected.set()

    def on_video(self, unit: AccessUnit, time_ms: int) -> None:
        self.pictures.append(unit)

    def on_coded_picture(self, picture: CodedPicture, time_ms: int) -> None:
        raise AssertionError("the clip is H.264")

    def on_sound(self, packet: SoundPacket, position: int) -> None:
        self.positions.append(position)

    def on_ended(self, reason: str) -> None:
        raise AssertionError(reason)


class Run:
    """What one publisher sent through a proxy, and what came of it."""

    def __init__(self, sender: WhipSender, proxy: LossyProxy, received: Received, session: PublisherSession) -> None:
        self.sender, self.proxy, self.received, self.session = sender, proxy, received, session

    def check_references(self) -> int:
        """No picture comes without the one before it, but keyframes. The number of pictures that did not come."""
        sent = iter(self.sender.sent)
        came = []
        for unit in self.received.pictures:
            crc = slice_crc(avcc_nals(unit.avcc))
            picture = next((p for p in sent if p.crc == crc), None)
            assert picture, "a picture that was not sent, or not in that order"
            came.append(picture)
        assert came
        assert came[0].keyframe
        for before, after in pairwise(came):
            assert after.keyframe or after.number == before.number + 1, "a picture without its reference"
        return came[-1].number - came[0].number + 1 - len(came)


async def publish(media: Clip, weather: Sequence[tuple[float, Faults]], back: Faults | None = None) -> Run:
    """`weather`: seconds, and the faults on the way to the relay meanwhile."""
    received = Received()
    async with LossyProxy(weather[0][1], back) as proxy, WhipSender(media) as sender:
        session = PublisherSession(IngestSettings(addresses=("127.0.0.1",)), Timeline(), received)
        try:
            await sender.accept(await proxy.redirect(await session.answer(await sender.offer())))
            async with asyncio.timeout(20):
                await received.connected.wait()
                for seconds, there in weather:
                    proxy.change(there)
                    await asyncio.sleep(seconds)
            await sender.pause()
            await asyncio.sleep(0.3)  # what is on its way
        finally:
            await session.close()
    return Run(sender, proxy, received, session)


@pytest.mark.parametrize(
    ("there", "back", "missing"),
    [
        pytest.param(Faults(loss=0.01, delay=0.02), Faults(delay=0.02), 0, id="1 % loss, 40 ms"),
        pytest.param(Faults(loss=0.05, delay=0.02), Faults(loss=0.05, delay=0.02), 4, id="5 % loss both ways, 40 ms"),
        pytest.param(Faults(loss=0.03, burst=5, delay=0.01), Faults(delay=0.01), 4, id="bursts"),
        pytest.param(Faults(delay=0.01, jitter=0.03), Faults(delay=0.01), 0, id="jitter"),
        pytest.param(Faults(reorder=0.05, duplicate=0.05), None, 0, id="reordered and twice"),
    ],
)
async def test_pictures_come_whole_and_hardly_any_is_missing(
    media: Clip, there: Faults, back: Faults | None, missing: int
) -> None:
    run = await publish(media, [(SECONDS, there)], back)
    assert run.check_references() <= missing
    statistics = run.session.statistics()
    if there.loss:
        assert run.proxy.there.lost > 0
        assert statistics.packets_repaired > 0
        assert run.sender.counts.nacks < 3 * run.proxy.there.lost + 10
        assert statistics.rtt_ms == pytest.approx(1000 * (there.delay + (back.delay if back else 0)), abs=25)
    else:
        assert run.sender.counts.nacks < 0.1 * run.sender.counts.packets, "what is late is not asked for"


async def test_what_cannot_be_repaired_is_cut_to_the_next_keyframe(media: Clip) -> None:
    """No request ever arrives, so the next keyframe is the clip's own, after two seconds."""
    run = await publish(media, [(0.8, Faults()), (0.5, Faults(loss=0.3)), (1.2, Faults())], Faults(loss=1.0))
    assert 60 - 45 <= run.check_references() <= 60 - 15
    assert [unit.keyframe for unit in run.received.pictures].count(True) == 2
    statistics = run.session.statistics()
    assert statistics.video_frames_dropped > 0
    assert statistics.keyframe_requests >= 1
    assert run.sender.counts.plis == 0


def test_the_proxy_loses_the_share_that_it_says_in_bursts_as_long_as_it_says() -> None:
    way = _Way(Faults(loss=0.1, burst=4), seed=3)
    lost = [not way.arrivals(b"\x80", n / 1000) for n in range(40_000)]
    assert sum(lost) / len(lost) == pytest.approx(0.1, rel=0.15)
    bursts = sum(1 for before, now in pairwise([False, *lost]) if now and not before)
    assert sum(lost) / bursts == pytest.approx(4, rel=0.15)
