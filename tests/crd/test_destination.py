"""RTMP URLs: the composition table of the WCS compatibility notes row by row, bad URLs, and what may be shown."""

import dataclasses
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_crd.defaults import Defaults
from transponder_crd.destination import Destination, InvalidRtmpUrl

VERSION = "FMLE/3.0"
KEY_QUERY = "148?ds=1&s_l=1&a=AT%2Bx"


@pytest.mark.parametrize(
    ("url", "stream", "prefix", "full_url", "app", "tc_url", "name"),
    [
        pytest.param("rtmp://h:1935/live", "s1", "rtmp_", False, "live", "rtmp://h:1935/live", "rtmp_s1", id="row 1"),
        pytest.param("rtmp://h:1935/live", "s1", "", False, "live", "rtmp://h:1935/live", "s1", id="row 2"),
        pytest.param("rtmp://h/live", "s1", "rtmp_", False, "live", "rtmp://h/live", "rtmp_s1", id="row 3"),
        pytest.param("rtmp://h:1935/live/", "s1", "rtmp_", False, "live", "rtmp://h:1935/live", "rtmp_s1", id="row 4"),
        pytest.param(
            "rtmp://h:1935/app/inst", "s1", "rtmp_", False, "app/inst", "rtmp://h:1935/app/inst", "rtmp_s1", id="row 5"
        ),
        pytest.param(
            "rtmp://h:1935/app/?user=u&pass=p",
            *("s1", "rtmp_", True),
            *("app/?user=u&pass=p", "rtmp://h:1935/app/?user=u&pass=p", "rtmp_s1"),
            id="row 6",
        ),
        pytest.param(
            "rtmp://p5.example.org:1935/live/?user1&pass1",
            *("stream1", "rtmp_", True),
            *("live/?user1&pass1", "rtmp://p5.example.org:1935/live/?user1&pass1", "rtmp_stream1"),
            id="row 6, the traced URL",
        ),
        pytest.param(
            "rtmp://h:1935/app/inst/?user=u&pass=p",
            *("s1", "rtmp_", True),
            *("app/inst/?user=u&pass=p", "rtmp://h:1935/app/inst/?user=u&pass=p", "rtmp_s1"),
            id="row 7",
        ),
        pytest.param(
            "rtmp://h:1935/app/?user=u&pass=p",
            *("s1", "rtmp_", False),
            *("app/?user=u&pass=p", "rtmp://h:1935/app/?user=u&pass=p", "rtmp_s1"),
            id="row 8",
        ),
        pytest.param("rtmp://h:1935/app/xyz", "s1", "rtmp_", True, "app", "rtmp://h:1935/app", "xyz", id="row 9"),
        pytest.param(
            "rtmp://h:1935/app/inst/xyz", "s1", "rtmp_", True, "app/inst", "rtmp://h:1935/app/inst", "xyz", id="row 10"
        ),
        pytest.param("rtmp://h:1935/live", "s1", "rtmp_", True, "live", "rtmp://h:1935/live", "rtmp_s1", id="row 11"),
        pytest.param(
            "rtmp://h:1935/app/xyz?tok=1", "s1", "rtmp_", True, "app", "rtmp://h:1935/app", "xyz?tok=1", id="row 12"
        ),
        pytest.param(
            *("rtmp://a.rtmp.youtube.com/live2", "KEY", "", False),
            *("live2", "rtmp://a.rtmp.youtube.com/live2", "KEY"),
            id="row 13",
        ),
        pytest.param("rtmp://h:80/rtmp/", KEY_QUERY, "", False, "rtmp", "rtmp://h:80/rtmp", KEY_QUERY, id="row 14"),
        pytest.param(
            "rtmp://user:pw@h:1935/live", "s1", "rtmp_", True, "live", "rtmp://h:1935/live", "rtmp_s1", id="row 15"
        ),
        pytest.param("rtmps://h:443/app/", "s1", "", False, "app", "rtmps://h:443/app", "s1", id="row 16"),
        pytest.param("rtmp://h:1935/", "s1", "rtmp_", False, "live", "rtmp://h:1935/live", "rtmp_s1", id="row 17"),
        pytest.param(
            *("rtmp://demo:1935/live/testStream", "testStream", "rtmp_", True),
            *("live", "rtmp://demo:1935/live", "testStream"),
            id="row 18",
        ),
        pytest.param(
            *("rtmp://demo:1935/live/testStream", "testStream", "rtmp_", False),
            *("live/testStream", "rtmp://demo:1935/live/testStream", "rtmp_testStream"),
            id="row 19",
        ),
        pytest.param("rtmp://h", "s", "", True, "live", "rtmp://h/live", "s", id="no path"),
        pytest.param("rtmp://h?k=v/w", "s", "", True, "live?k=v/w", "rtmp://h/live?k=v/w", "s", id="no path, a query"),
        pytest.param("rtmp://h/app/x/", "s", "", True, "app/x", "rtmp://h/app/x", "s", id="full URL, no name"),
        pytest.param("rtmp://h/a%20b/%2F", "s", "", True, "a%20b", "rtmp://h/a%20b", "%2F", id="never decoded"),
        pytest.param("RTMP://h/live", "s", "", False, "live", "rtmp://h/live", "s", id="scheme in capitals"),
        pytest.param("rtmp://[::1]:99/live", "s", "", False, "live", "rtmp://[::1]:99/live", "s", id="IPv6"),
    ],
)
def test_compose(url: str, stream: str, prefix: str, full_url: bool, app: str, tc_url: str, name: str) -> None:
    target = Destination.parse(url).compose(stream, prefix, full_url, VERSION)
    assert target.app.get_secret_value() == app
    assert target.tc_url.get_secret_value() == tc_url
    assert target.stream_name.get_secret_value() == name
    assert target.flash_version == VERSION


@pytest.mark.parametrize(
    ("url", "tls", "host", "port"),
    [
        pytest.param("rtmp://h/live", False, "h", 1935, id="row 3"),
        pytest.param("rtmps://h:443/app/", True, "h", 443, id="row 16"),
        ("rtmps://h/app", True, "h", 443),
        ("rtmp://127.0.0.1:65535", False, "127.0.0.1", 65535),
        ("rtmp://[fe80::1%eth0]/live", False, "fe80::1%eth0", 1935),
        ("rtmp://[::1]:1/live", False, "::1", 1),
        ("rtmp://münchen.example./live", False, "münchen.example.", 1935),
        ("rtmp://my_host-1/live", False, "my_host-1", 1935),
    ],
)
def test_where_to_connect(url: str, tls: bool, host: str, port: int) -> None:
    target = Destination.parse(url).compose("s", "", False, VERSION)
    assert (target.tls, target.host, target.port) == (tls, host, port)


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        pytest.param("rtmp://user:pw@h:1935/live", "user", "pw", id="row 15"),
        ("rtmp://user@h/live", "user", None),
        ("rtmp://user:@h/live", "user", ""),
        ("rtmp://us%40er:a:b@c@h/live", "us%40er", "a:b@c"),
        ("rtmp://user:p?w@h/live", "user", "p?w"),
        ("rtmp://@h/live", None, None),
        ("rtmp://h/live/u:p@x", None, None),
    ],
)
def test_credentials(url: str, user: str | None, password: str | None) -> None:
    target = Destination.parse(url).compose("s", "", False, VERSION)
    assert target.host == "h"
    assert target.user == user
    assert (target.password and target.password.get_secret_value()) == password or password == ""
    assert (target.password is None) == (password is None)
    assert "@h" not in target.tc_url.get_secret_value()


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("", "start with"),
        ("http://h/live", "start with"),
        ("rtmp:/h/live", "start with"),
        ("rtmpt://h/live", "start with"),
        (" rtmp://h/live", "white space"),
        ("rtmp://h/li ve", "white space"),
        ("rtmp://h/live\n", "white space"),
        ("rtmp://h/li\x00ve", "control"),
        ("rtmp://h/\u200blive", "invisible"),
        ("rtmp://h/\ud800", "invisible"),
        ("rtmp://", "have a host"),
        ("rtmp:///live", "have a host"),
        ("rtmp://:1935/live", "have a host"),
        ("rtmp://user:pw@/live", "have a host"),
        ("rtmp://?k=v", "have a host"),
        ("rtmp://-h/live", "valid host name"),
        ("rtmp://a..b/live", "valid host name"),
        ("rtmp://h#x/live", "valid host name"),
        ("rtmp://" + "a" * 254, "valid host name"),
        ("rtmp://::1/live", "brackets"),
        ("rtmp://[::1/live", "brackets"),
        ("rtmp://[::1]x/live", "brackets"),
        ("rtmp://[1.2.3.4]/live", "valid IPv6"),
        ("rtmp://[]/live", "valid IPv6"),
        ("rtmp://h:/live", "port"),
        ("rtmp://h:0/live", "port"),
        ("rtmp://h:65536/live", "port"),
        ("rtmp://h:-1/live", "port"),
        ("rtmp://h:١/live", "port"),
        ("rtmp://user:pa/ss@h/live", "port"),
        ("rtmp://h/" + "a" * 2040, "2048"),
    ],
)
def test_bad_urls(url: str, rule: str) -> None:
    with pytest.raises(InvalidRtmpUrl, match=rule) as caught:
        Destination.parse(url)
    assert caught.value.rule == str(caught.value)


def test_the_longest_url() -> None:
    assert Destination.parse("rtmp://h/" + "a" * 2039).host == "h"


@pytest.mark.parametrize(
    ("url", "redacted", "of_full_url"),
    [
        ("rtmp://h:1935/live", "rtmp://h:1935/live", None),
        ("RTMP://h/live/", "RTMP://h/live/", None),
        ("rtmp://h/app/inst", "rtmp://h/app/inst", "rtmp://h/app/***"),
        ("rtmp://h/app/xyz/", "rtmp://h/app/xyz/", None),
        ("rtmp://h/a-long-application", "rtmp://h/a-long-application", None),
        ("rtmp://h/app/live_1234567", "rtmp://h/app/***", None),
        ("rtmp://h/app/live_1234567//?k=v", "rtmp://h/app/***//?k=***", None),
        ("rtmp://user:pw@h", "rtmp://***@h", None),
        ("rtmp://user:pw@h:99/live", "rtmp://***@h:99/live", None),
        ("rtmp://h/live/?user1&pass1", "rtmp://h/live/?***&***", None),
        ("rtmp://h/live?user=u&pass=&&a2V5==&k=a=b", "rtmp://h/live?user=***&***&***&***&k=***", None),
        ("rtmp://h/app/xyz?tok=1", "rtmp://h/app/xyz?tok=***", "rtmp://h/app/***?tok=***"),
        ("rtmp://h?k=v", "rtmp://h/?k=***", None),
        ("rtmps://[::1]:1/a/b?k=v", "rtmps://[::1]:1/a/b?k=***", "rtmps://[::1]:1/a/***?k=***"),
    ],
)
def test_redacted(url: str, redacted: str, of_full_url: str | None) -> None:
    destination = Destination.parse(url)
    assert destination.redacted() == redacted
    assert destination.redacted(full_url=True) == (of_full_url or redacted)
    assert repr(destination) == f"Destination({of_full_url or redacted})"


def secrets(letters: str) -> st.SearchStrategy[str]:
    """Texts of at least 4 characters that no other secret of the URL holds."""
    return st.tuples(st.sampled_from(letters), st.text(letters + "0123456789_-%~!$'()*,;", min_size=3)).map("".join)


@given(*map(secrets, ("AB", "CD", "EF", "GH", "JK")), st.text("@:?", max_size=3))
def test_no_secret_is_ever_shown(user: str, password: str, value: str, bare: str, key: str, tail: str) -> None:
    url = f"rtmp://{user}:{password}{tail}@host.example:1935/live/{key}?tok={value}&{bare}"
    destination = Destination.parse(url)
    target = destination.compose("s", "", True, VERSION)
    shown = [repr(destination), str(destination), destination.redacted(full_url=True), repr(target), str(target)]
    for secret in (user, password, value, bare, key):
        assert not any(secret in text for text in shown)
    plain = destination.redacted()
    assert not any(secret in plain for secret in (user, password, value, bare))
    assert (key in plain) == (len(key) < 12)


@given(st.text("rtmps:/@?&=#[]%. 0159ab\x00é", max_size=40).map("rtmp://".__add__))
def test_any_text_parses_or_breaks_a_rule(url: str) -> None:
    destination = parse_or_none(url)
    if destination is None:
        return
    parts = [destination.user, destination.password, destination.query]
    assert all(part is None or part in url for part in parts)
    for full_url in (False, True):
        target = destination.compose("name", "p_", full_url, VERSION)
        assert target.app.get_secret_value()
        assert target.stream_name.get_secret_value()
        assert target.tc_url.get_secret_value().endswith("/" + target.app.get_secret_value())


def parse_or_none(url: str) -> Destination | None:
    try:
        return Destination.parse(url)
    except InvalidRtmpUrl:
        return None


@given(*map(secrets, ("AB", "CD", "EF", "GH", "JK")), st.sampled_from([":0", ":x", "[", " ", "\n"]))
def test_errors_hold_no_part_of_the_url(user: str, password: str, host: str, app: str, key: str, flaw: str) -> None:
    with pytest.raises(InvalidRtmpUrl) as caught:
        Destination.parse(f"rtmp://{user}:{password}@{host}{flaw}/{app}/{key}")
    chain = "".join(traceback.format_exception_only(caught.value)) + str(caught.value.__cause__)
    assert not any(secret in chain for secret in (user, password, host, app, key))
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_destination_is_a_value() -> None:
    destination = Destination.parse("rtmp://h/live")
    assert destination == Destination.parse("rtmp://h/live")
    with pytest.raises(dataclasses.FrozenInstanceError):
        destination.host = "other"  # type: ignore[misc]


def test_defaults() -> None:
    defaults = Defaults()
    assert defaults.flash_version.startswith("FMLE/3.0 (compatible; rtmp-transponder/")
    assert (defaults.reconnect.initial_seconds, defaults.reconnect.max_seconds) == (1, 30)
