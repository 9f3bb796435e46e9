"""A watch that is late is told apart from one that is dead."""

from typing import Any

from transponder_operator.watch_log import WatchLog


def obj(uid: str, version: int) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}


def test_what_was_told_is_not_missed() -> None:
    log = WatchLog()
    log.tell(obj("a", 1))
    log.tell(obj("a", 2))
    log.listed([obj("a", 2)], log.events, now=0)
    assert log.longest_missed(now=100) == 0


def test_a_change_is_missed_until_the_watch_tells() -> None:
    log = WatchLog()
    log.tell(obj("a", 1))
    log.listed([obj("a", 5)], log.events, now=0)
    assert log.longest_missed(now=9) == 9
    log.tell(obj("a", 5))
    assert log.longest_missed(now=9) == 0


def test_a_new_object_is_missed_until_the_watch_tells_whatever_else_it_tells() -> None:
    log = WatchLog()
    log.listed([obj("a", 1), obj("b", 2)], log.events, now=0)
    log.tell(obj("a", 1))
    assert log.longest_missed(now=9) == 9
    log.listed([obj("a", 1), obj("b", 2)], log.events, now=9)
    assert log.longest_missed(now=20) == 20
    log.tell(obj("b", 2))
    assert log.longest_missed(now=20) == 0


def test_a_listing_that_is_older_than_the_watch_is_no_miss() -> None:
    log = WatchLog()
    log.tell(obj("a", 1))
    before = log.events
    log.tell(obj("a", 3))
    log.listed([obj("a", 2)], before, now=0)
    assert log.longest_missed(now=9) == 0


def test_an_object_that_always_changes_is_not_missed() -> None:
    """Each listing is a little ahead of the watch."""
    log = WatchLog()
    for moment in range(0, 1000, 100):
        log.tell(obj("a", moment))
        log.listed([obj("a", moment + 1)], log.events, now=moment)
        assert log.longest_missed(now=moment) == 0


def test_what_is_gone_is_not_missed_and_is_forgotten() -> None:
    log = WatchLog()
    log.listed([obj("a", 1), obj("b", 1)], log.events, now=0)
    log.tell(obj("a", 1))
    log.tell(obj("a", 2))  # its end
    assert log.longest_missed(now=9) == 9
    log.listed([], log.events, now=10)
    assert log.longest_missed(now=100) == 0
    log.listed([obj("a", 3)], log.events, now=100)
    assert log.longest_missed(now=101) == 1
