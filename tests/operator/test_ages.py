"""Ages count from the earlier of two: when this process first saw the object, and what the object says."""

from datetime import UTC, datetime, timedelta

import pytest

from transponder_crd.meta import ObjectMeta
from transponder_crd.resource import RtmpTransponder, TransponderSpec
from transponder_operator.ages import Ages

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def transponder(created: datetime | None = NOW, deleted: datetime | None = None, uid: str = "u") -> RtmpTransponder:
    metadata = ObjectMeta(name="t", uid=uid, creation_timestamp=created, deletion_timestamp=deleted)
    return RtmpTransponder(metadata=metadata, spec=TransponderSpec(stream_name="s", rtmp_url="rtmp://h/a"))


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=1)])
def test_a_server_whose_clock_is_ahead_delays_nothing(ahead: timedelta) -> None:
    ages, one = Ages(), transponder(NOW + ahead)
    assert ages.look("s", [one], NOW) == {"u": 0.0}
    assert ages.look("s", [one], NOW + timedelta(seconds=3)) == {"u": 3.0}


def test_what_was_there_before_this_process_is_as_old_as_it_says() -> None:
    assert Ages().look("s", [transponder(NOW - timedelta(minutes=1))], NOW) == {"u": 60.0}


def test_a_deletion_has_an_age_of_its_own() -> None:
    ages = Ages()
    ages.look("s", [transponder()], NOW)
    later = NOW + timedelta(hours=1)
    skewed = transponder(deleted=later + timedelta(hours=1))
    assert ages.look("s", [skewed], later) == {"u": 0.0}
    assert ages.look("s", [skewed], later + timedelta(seconds=5)) == {"u": 5.0}


def test_what_is_gone_is_forgotten() -> None:
    ages, one = Ages(), transponder(created=None)
    ages.look("s", [one], NOW)
    ages.look("s", [], NOW)
    assert ages.look("s", [one], NOW + timedelta(seconds=9)) == {"u": 0.0}
    ages.look("s", [one], NOW)
    assert ages.look("other", [transponder(uid="v")], NOW) == {"v": 0.0}
