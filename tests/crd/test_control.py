"""Control messages: what they reveal, and how statistics add up."""

import pytest
from pydantic import SecretStr

from transponder_crd.control import IngestStatistics, RtmpTarget

TARGET = RtmpTarget(
    host="h",
    port=1935,
    app=SecretStr("app/?token=hidden-token"),
    tc_url=SecretStr("rtmp://h/app/?token=hidden-token"),
    stream_name=SecretStr("hidden-key"),
    flash_version="FMLE/3.0",
    user="hidden-user",
    password=SecretStr("hidden-password"),
)


def test_a_target_is_whole_as_json_and_shows_nothing_otherwise() -> None:
    assert RtmpTarget.model_validate_json(TARGET.model_dump_json()) == TARGET
    assert "hidden" not in repr(TARGET) + str(TARGET)


def test_statistics_of_publishers_add_up_and_the_last_one_tells_the_rest() -> None:
    first = IngestStatistics(packets_received=10, keyframes=2, rtt_ms=5.0)
    second = IngestStatistics(packets_received=7, rtt_ms=9.5, skew_ms=-1.0)
    both = first.followed_by(second)
    assert (both.packets_received, both.keyframes, both.rtt_ms, both.skew_ms) == (17, 2, 9.5, -1.0)


@pytest.mark.parametrize("field", ["packets_received", "video_frames", "keyframe_requests"])
def test_nothing_is_lost_when_a_publisher_goes(field: str) -> None:
    first = IngestStatistics().model_copy(update={field: 3})
    assert getattr(first.followed_by(IngestStatistics()), field) == 3
