"""The operator's settings, as the environment gives them."""

import os

import pytest

from transponder_crd.start_error import BadSetting, read_environment
from transponder_operator.operator_settings import OperatorSettings


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRANSPONDER_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("text", "namespaces", "everywhere"),
    [("", (), False), ("*", ("*",), True), (" a, b ,a", ("a", "b"), False)],
)
def test_namespaces(monkeypatch: pytest.MonkeyPatch, text: str, namespaces: tuple[str, ...], everywhere: bool) -> None:
    monkeypatch.setenv("TRANSPONDER_NAMESPACES", text)
    settings = read_environment(OperatorSettings)
    assert (settings.namespaces, settings.everywhere) == (namespaces, everywhere)


def test_parts_of_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSPONDER_DEFAULTS__RECONNECT__MAX_SECONDS", "7")
    monkeypatch.setenv("TRANSPONDER_POOL_SIZE", "3")
    monkeypatch.setenv("TRANSPONDER_AUTO_START", "true")
    monkeypatch.setenv("TRANSPONDER_AUTO_START_URL", "rtmp://host/live/s3cr3t")
    monkeypatch.setenv("TRANSPONDER_SOMETHING_OF_THE_API", "1")
    settings = read_environment(OperatorSettings)
    assert (settings.defaults.reconnect.max_seconds, settings.pool_size) == (7.0, 3)
    assert settings.auto_start_destination() is not None
    assert "s3cr3t" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("NAMESPACES", "a,*", "must be names, or * alone"),
        ("NAMESPACES", "Upper", "must be names of namespaces, with commas between"),
        ("LEASE_SECONDS", "1", "must be greater than or equal to 5"),
        ("PORT", "70000", "must be less than or equal to 65535"),
        ("MEDIA_PORT_RANGE", "9-3", "the first port must not be above the last"),
        ("AUTO_START_URL", "http://secret-host/secret", "must start with rtmp:// or rtmps://"),
    ],
)
def test_a_bad_one_is_named_with_its_rule(monkeypatch: pytest.MonkeyPatch, name: str, value: str, rule: str) -> None:
    monkeypatch.setenv(f"TRANSPONDER_{name}", value)
    with pytest.raises(BadSetting) as caught:
        read_environment(OperatorSettings)
    assert str(caught.value) == f"TRANSPONDER_{name}: {rule}"
    assert "secret" not in str(caught.value)
