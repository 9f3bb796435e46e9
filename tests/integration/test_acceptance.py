"""What destinations ask of a live stream, by YouTube's list of faults: ours has none, and the table finds them."""

import asyncio
import subprocess
from pathlib import Path

import pytest
from support.acceptance import faults
from support.clip import Clip
from support.nginx_rtmp import NginxRtmp
from support.product import running_product
from support.whip_sender import WhipSender

pytestmark = pytest.mark.integration

VIDEO = "-f lavfi -i testsrc2=s=640x360:r=30 -c:v libx264 -preset ultrafast -b:v 800k -maxrate 800k -bufsize 800k"
NOISY = "-vf noise=alls=20:allf=t,format=yuv420p"
SOUND = "-f lavfi -i anoisesrc=r=48000"
STEREO = "-c:a aac -b:a 128k -ar 48000 -ac 2"
GOOD_GOP = "-g 60 -bf 0 -sc_threshold 0"
FAULTY = {
    "nothing": (f"{SOUND} {VIDEO} {NOISY} {GOOD_GOP} {STEREO}", []),
    "a keyframe in 6 s": (f"{SOUND} {VIDEO} {NOISY} -g 180 -sc_threshold 0 -bf 0 {STEREO}", ["gopSizeLong"]),
    "open groups": (f"{SOUND} {VIDEO} {NOISY} -g 60 -bf 2 -x264-params open-gop=1:scenecut=0 {STEREO}", ["openGop"]),
    "mono at 22 kHz": (
        f"{SOUND} {VIDEO} {NOISY} {GOOD_GOP} -c:a aac -b:a 32k -ar 22050 -ac 1",
        ["audioSampleRate", "audioStereoMismatch", "audioBitrateLow"],
    ),
    "MP3": (f"{SOUND} {VIDEO} {NOISY} {GOOD_GOP} -c:a libmp3lame -b:a 128k -ar 44100 -ac 2", ["audioCodec"]),
    "a black picture": (
        f"{SOUND} {VIDEO.replace('testsrc2', 'color')} -pix_fmt yuv420p {GOOD_GOP} {STEREO}",
        ["videoBitrateLow"],
    ),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_the_table_finds_what_is_wrong(fault: str, tmp_path: Path) -> None:
    options, expected = FAULTY[fault]
    path = tmp_path / "made.flv"
    command = ["ffmpeg", "-v", "error", *options.split(), "-t", "7", str(path)]
    subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
    assert faults(path) == expected


def test_the_table_finds_that_sound_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "made.flv"
    command = ["ffmpeg", "-v", "error", *f"{VIDEO} {NOISY} {GOOD_GOP} -t 3 {path}".split()]
    subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
    assert "noAudioStream" in faults(path)


@pytest.mark.parametrize("audio", [True, False], ids=["with sound", "without a sound track"])
async def test_what_a_destination_gets(tmp_path: Path, server: NginxRtmp, media: Clip, audio: bool) -> None:
    """Over a hold too: its pictures and its silence must be as good."""
    async with running_product(tmp_path, "--hold-seconds", "2.5") as product:
        id_ = (await product.rest.startup("demo", server.url))["mediaSessionId"]
        async with WhipSender(media, audio=audio) as sender:
            await sender.start(product.whip("demo"))
            await product.rest.until_state(id_, "Live")
            await server.receives("rtmp_demo", 800_000, timeout=20)
        await product.rest.until_state(id_, "WaitingForPublisher")
        path = await server.finished("rtmp_demo")
        await product.rest.tell("terminate", id_)
    found = await asyncio.to_thread(faults, path)
    assert found == ["audioBitrateLow"], "beeps, or no sound at all, take less than what the encoder may use"
