"""Object names: DNS-1123 labels, readable, one for each source."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_crd import names

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123, section 2.1
ANY = st.text(max_size=100)
# little variety, so that the slugs of many pairs agree
ALIKE = st.text("aA-_ ", max_size=4)


@given(stream=ANY, url=ANY)
def test_names_are_dns_labels_and_stay_the_same(stream: str, url: str) -> None:
    for name in (
        names.transponder_object_name(stream, url),
        names.stream_object_name(stream),
        names.relay_object_name(stream),
    ):
        assert LABEL.fullmatch(name)
    assert names.relay_object_name(stream)[0].isalpha()
    assert names.stream_object_name(stream) == names.stream_object_name(stream)


@given(one=st.tuples(ALIKE, ALIKE), other=st.tuples(ALIKE, ALIKE))
def test_distinct_sources_have_distinct_names(one: tuple[str, str], other: tuple[str, str]) -> None:
    same = one == other
    assert (names.transponder_object_name(*one) == names.transponder_object_name(*other)) == same
    same = one[0] == other[0]
    assert (names.stream_object_name(one[0]) == names.stream_object_name(other[0])) == same
    assert (names.relay_object_name(one[0]) == names.relay_object_name(other[0])) == same


@pytest.mark.parametrize("name", [names.stream_object_name, names.relay_object_name])
def test_names_read_well(name: Callable[[str], str]) -> None:
    assert "my-stream-1-" in name("My Stream_1")
    assert re.search(r"-[0-9a-f]{16}$", name("x" * 255))


def test_a_key_in_a_stream_name_is_not_logged() -> None:
    assert names.loggable("148?ds=1&a=key") == names.loggable("148?key") == "148?…"
    assert names.loggable("demo") == "demo"


def test_names_do_not_change_between_releases() -> None:
    """Objects of an earlier release must be found again."""
    assert names.stream_object_name("demo") == "demo-2a97516c354b6884"
    assert names.transponder_object_name("demo", "rtmp://h/live") == "demo-7b7e9f13e360e2e8"
    assert names.stream_object_name("日本") == "stream-cf2abf0c5be326cb"


def test_names_of_url_secrets_are_new_each_time_and_labels() -> None:
    for name in ("short", "x" * 63):
        first, second = names.url_secret_name(name), names.url_secret_name(name)
        assert first != second
        assert len(first) <= names.MAX_LENGTH
        assert first.startswith(name[:40])
