"""Rates of counters that are looked at now and then."""

import pytest

from transponder_relay.rates import NONE, Counted, Rates


def test_they_are_of_the_last_seconds() -> None:
    rates = Rates()
    for second in range(10):
        octets = 1000 * second if second < 5 else 5000 + 3000 * (second - 5)
        rates.look(100.0 + second, {"a": Counted(octets, 30 * second)})
    assert rates.of("a") == (3000 * 8, 30)


def test_one_that_came_later_counts_from_its_own_first_look() -> None:
    rates = Rates()
    rates.look(1.0, {"a": Counted(0, 0)})
    rates.look(2.0, {"a": Counted(100, 1), "b": Counted(50_000, 9)})
    assert rates.of("b") == NONE
    rates.look(4.0, {"a": Counted(200, 2), "b": Counted(50_500, 19)})
    assert rates.of("b") == (pytest.approx(2000), pytest.approx(5))
    assert rates.of("c") == NONE


def test_without_media_there_is_none() -> None:
    rates = Rates()
    assert rates.due(7.0)
    rates.look(7.0, {"a": Counted(0, 0)})
    assert not rates.due(7.9)
    rates.look(8.0, {"a": Counted(1000, 1)})
    rates.clear()
    assert rates.of("a") == NONE
    assert rates.due(8.0)


def test_what_is_forgotten_counts_from_nothing_again() -> None:
    rates = Rates()
    for second in range(3):
        rates.look(float(second), {"a": Counted(1_000_000 * second, 30 * second), "b": Counted(100 * second, 0)})
    rates.forget("a")
    rates.look(3.0, {"a": Counted(10, 0), "b": Counted(300, 0)})
    assert rates.of("a") == NONE
    assert rates.of("b") == (pytest.approx(800), 0)
    rates.look(4.0, {"a": Counted(1010, 30), "b": Counted(400, 0)})
    assert rates.of("a") == (pytest.approx(8000), pytest.approx(30))
