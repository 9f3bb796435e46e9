"""The keyframe policy against simulated sources, at 30 pictures a second."""

from collections.abc import Callable
from itertools import pairwise

from transponder_relay.ingest.keyframes import MIN_GAP, KeyframePolicy

Source = Callable[[float, float | None], bool]
"""Whether the picture at that time is a keyframe, given when the last unanswered request came."""


def run(
    policy: KeyframePolicy, source: Source, seconds: float, start: float = 100.0
) -> tuple[list[float], list[float]]:
    """Times of keyframes and of requests, from the start."""
    keyframes: list[float] = []
    requests: list[float] = []
    asked: float | None = None
    for number in range(int(seconds * 30)):
        now = start + number / 30
        if source(now - start, asked):
            asked = None
            keyframes.append(now - start)
            policy.keyframe(now)
        if policy.due(now):
            requests.append(now - start)
            asked = now - start
    return keyframes, requests


def periodic(period: float, ignores: bool = True, latency: float = 0.06) -> Source:
    last = [-period]

    def source(now: float, asked: float | None) -> bool:
        answer = not ignores and asked is not None and now >= asked + latency
        if answer or now >= last[0] + period - 0.001:
            last[0] = now
            return True
        return False

    return source


def browser(latency: float) -> Source:
    return lambda now, asked: now == 0 or (asked is not None and now >= asked + latency)


def gaps(times: list[float]) -> list[float]:
    return [b - a for a, b in pairwise(times)]


def test_a_source_with_its_own_keyframes_at_the_interval_is_never_asked() -> None:
    for ignores in (True, False):
        _, requests = run(KeyframePolicy(2.0), periodic(2.0, ignores), 60)
        assert requests == []


def test_small_irregularities_of_a_periodic_source_are_no_reason_to_ask() -> None:
    last = [-2.0, 0]

    def source(now: float, asked: float | None) -> bool:
        if now >= last[0] + (2.0, 2.2, 1.9, 2.1)[int(last[1]) % 4]:
            last[:] = [now, last[1] + 1]
            return True
        return False

    assert run(KeyframePolicy(2.0), source, 60)[1] == []


def test_a_browser_is_asked_so_early_that_the_interval_holds() -> None:
    for latency in (0.02, 0.1, 0.3):
        keyframes, requests = run(KeyframePolicy(2.0), browser(latency), 60)
        assert gaps(keyframes)[0] < 2.25 + latency + 0.1, "the first interval shows what kind of source it is"
        assert all(1.2 < gap <= 2.0 for gap in gaps(keyframes)[4:]), gaps(keyframes)
        assert len(requests) - (len(keyframes) - 1) in (0, 1), "one request for each, the last one perhaps unanswered"


def test_a_source_with_rare_keyframes_is_asked_between_them() -> None:
    keyframes, _ = run(KeyframePolicy(2.0), periodic(10.0, ignores=False), 60)
    assert max(gaps(keyframes)[2:]) <= 2.1


def test_a_source_that_ignores_requests_is_asked_no_more_than_the_throttle_allows() -> None:
    _, requests = run(KeyframePolicy(2.0), periodic(10.0), 60)
    assert min(gaps(requests)) >= MIN_GAP - 0.001


def test_damage_is_told_at_once_and_again_until_a_keyframe_comes() -> None:
    policy = KeyframePolicy(2.0)
    policy.keyframe(0.0)
    policy.want()
    assert policy.due(0.1)
    policy.want()
    assert not policy.due(0.2)
    assert not policy.due(0.1 + MIN_GAP - 0.01)
    assert policy.due(0.1 + MIN_GAP)
    policy.keyframe(0.7)
    assert not policy.due(1.3)
    assert policy.requests == 2


def test_before_the_first_picture_nothing_is_overdue() -> None:
    policy = KeyframePolicy(2.0)
    assert not policy.due(1000.0)
    policy.want()
    assert policy.due(1000.1)


def test_a_new_interval_takes_effect() -> None:
    policy = KeyframePolicy(10.0)
    keyframes, _ = run(policy, browser(0.05), 40)
    policy.set_interval(1.0)
    after, _ = run(policy, browser(0.05), 20, start=200.0)
    assert max(gaps(keyframes)) > 8
    assert max(gaps(after)[2:]) <= 1.0
