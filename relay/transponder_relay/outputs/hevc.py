"""HEVC as it came, for servers of enhanced RTMP (ISO/IEC 14496-15, 8.3.3.1.2)."""

from transponder_relay.ingest.hevc_syntax import (
    PARAMETER_SETS,
    SPS,
    SequenceParameters,
    nal_type,
    nal_units,
    parse_sps,
)
from transponder_relay.media import VideoConfig
from transponder_relay.outputs.enhanced import FourCC, video_config
from transponder_relay.outputs.tagger import Tagger

_COMPLETE = 0x80
"""Of an array: there are no others of its kind in the pictures, as `hvc1` says."""


class HevcTagger(Tagger):
    """Pictures, without their parameter sets: these go into the description."""

    CODE = FourCC.HEVC

    def _read(self, keyframe: bytes) -> tuple[VideoConfig | None, bytes]:
        nals = list(nal_units(keyframe))
        sets = {kind: [nal for nal in nals if nal_type(nal) == kind] for kind in PARAMETER_SETS}
        config = self._config  # it holds for a keyframe without sets of its own
        if all(sets.values()):
            sps = parse_sps(sets[SPS][0])
            config = video_config(self.CODE, sps.width, sps.height, _record(sps, sets))
        rest = (nal for nal in nals if nal_type(nal) not in PARAMETER_SETS)
        return config, b"".join(part for nal in rest for part in (len(nal).to_bytes(4), nal))


def _record(sps: SequenceParameters, sets: dict[int, list[bytes]]) -> bytes:
    """HEVCDecoderConfigurationRecord; neither segmentation, parallelism nor frame rate is told."""
    record = bytearray((1, *sps.profile, 0xF0, 0, 0xFC, 0xFC | sps.chroma_format))
    record += bytes((0xF8 | sps.luma_depth, 0xF8 | sps.chroma_depth, 0, 0))
    record += bytes((sps.sub_layers << 3 | sps.nesting << 2 | 3, len(sets)))  # lengths of 4 bytes
    for kind, nals in sets.items():
        record += bytes((_COMPLETE | kind,)) + len(nals).to_bytes(2)
        record += b"".join(len(nal).to_bytes(2) + nal for nal in nals)
    return bytes(record)
