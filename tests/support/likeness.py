"""How alike two coded pictures look once decoded."""

from collections.abc import Iterable

import av
import numpy as np
import numpy.typing as npt

Luma = npt.NDArray[np.uint8]


def decoded(codec: str, pictures: Iterable[bytes], extradata: bytes | None = None) -> list[Luma]:
    """The luma of every picture, in order. `codec`: FFmpeg's name. Raises av.FFmpegError for one that is damaged."""
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = extradata
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    found = []
    for data in [*(av.Packet(p) for p in pictures), None]:
        for frame in decoder.decode(data):
            assert not frame.is_corrupt
            plane = frame.planes[0]
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            found.append(rows[: frame.height, : frame.width].copy())
    return found


def likeness(one: Luma, other: Luma) -> float:
    """PSNR in dB: over 30 is the same picture coded again, below 20 another one."""
    error = float(np.mean((one.astype(np.float32) - other.astype(np.float32)) ** 2))
    return 10 * float(np.log10(255**2 / max(error, 1e-6)))
