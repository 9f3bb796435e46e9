"""Ports of relays that share their node's address."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from transponder_operator.pods.ports import MediaMode, pick_control_port, pick_media_block
from transponder_operator.pods.settings import PodSettings


@given(st.sets(st.integers(95, 115), max_size=12), st.integers(0, 1000))
def test_a_control_port_that_nobody_has(in_use: set[int], seed: int) -> None:
    port = pick_control_port((100, 112), in_use, random.Random(seed))
    assert 100 <= port <= 112
    assert port not in in_use or {*range(100, 113)} <= in_use


def test_control_ports_are_shared_evenly_when_there_are_too_few() -> None:
    rng, in_use = random.Random(1), list[int]()
    for _ in range(9):
        in_use.append(pick_control_port((100, 102), in_use, rng))
    assert sorted(in_use) == [100, 100, 100, 101, 101, 101, 102, 102, 102]


@given(st.integers(1, 5), st.integers(0, 1000))
def test_blocks_do_not_overlap(size: int, seed: int) -> None:
    rng, taken = random.Random(seed), list[tuple[int, int]]()
    for _ in range(20 // size):
        first, last = block = pick_media_block((100, 119), size, taken, rng)
        assert (last - first + 1, first >= 100, last <= 119) == (size, True, True)
        assert all(last < other[0] or first > other[1] for other in taken)
        taken.append(block)


def test_blocks_of_another_size_are_kept_away_from() -> None:
    picked = {pick_media_block((100, 107), 4, [(98, 101)], random.Random(seed)) for seed in range(20)}
    assert picked == {(104, 107)}
    assert pick_media_block((100, 107), 4, [(103, 104)], random.Random(1))  # both are hit: either


def test_blocks_are_shared_when_there_are_too_few() -> None:
    assert pick_media_block((100, 107), 4, [(100, 103), (104, 107), (100, 103)], random.Random(1)) == (104, 107)


def test_a_range_without_room() -> None:
    with pytest.raises(ValueError, match="at least 4 ports"):
        pick_media_block((100, 102), 4, [], random.Random(1))


class Settings(PodSettings, BaseSettings):
    """As the operator mixes them."""

    model_config = SettingsConfigDict(env_prefix="TRANSPONDER_", env_nested_delimiter="__")


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"MEDIA_MODE": "hostPort", "MEDIA_PORT_RANGE": "30000-30999", "CONTROL_PORT_RANGE": "20000 - 20001"}
    values |= {"MEDIA_ADDRESSES": "203.0.113.7, 2001:db8::7,", "POOL_SIZE": "3"}
    for name, value in values.items():
        monkeypatch.setenv(f"TRANSPONDER_{name}", value)
    settings = Settings()
    assert settings.media_mode is MediaMode.HOST_PORT
    assert (settings.media_port_range, settings.control_port_range) == ((30000, 30999), (20000, 20001))
    assert (settings.media_addresses, settings.pool_size) == (["203.0.113.7", "2001:db8::7"], 3)


def test_empty_settings_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEDIA_PORT_RANGE", "MEDIA_ADDRESSES"):
        monkeypatch.setenv(f"TRANSPONDER_{name}", "")
    settings = Settings()
    assert (settings.media_port_range, settings.media_addresses) == (None, [])


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"media_port_range": "30000"}, "two ports with a dash"),
        ({"media_port_range": "30001-30000"}, "must not be above"),
        ({"media_port_range": "0-30000"}, "greater than or equal to 1"),
        ({"media_mode": "hostPort"}, "needs mediaPortRange"),
        ({"media_mode": "hostPort", "media_port_range": "30000-30002"}, "at least portsPerRelay"),
        ({"media_mode": "hostpot"}, "podNetwork"),
        ({"pool_size": -1}, "greater than or equal to 0"),
    ],
)
def test_settings_that_make_no_sense(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        PodSettings(**values)
