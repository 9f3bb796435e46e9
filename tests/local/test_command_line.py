"""Settings from the command line and the environment; every bad one is one line that names it."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from transponder_crd.start_error import BadSetting
from transponder_local.command_line import OPTIONS, read_settings
from transponder_local.settings import LocalSettings, default_data_folder


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def read(*arguments: str) -> LocalSettings:
    return read_settings(["local", *arguments])


def test_defaults(tmp_path: Path) -> None:
    settings = read()
    assert settings.data_folder == tmp_path / ".local/share/rtmp-transponder"
    assert settings.sounds_folder == tmp_path / ".local/share/rtmp-transponder/sounds"
    assert (settings.host, settings.http_port, settings.log_level) == ("127.0.0.1", 8081, "INFO")
    assert settings.defaults.stream_name_prefix == "rtmp_"
    assert settings.token is None


def test_options() -> None:
    settings = read(
        *("--data", "/d", "--host", "0.0.0.0", "--http-port", "0", "--cors-origin", ""),
        *("--media-address", "10.0.0.1", "--media-address", "::1", "--media-port-range", "40000-40100"),
        *("--max-bitrate", "2500000", "--stream-name-prefix", "", "--full-url", "--log-level", "debug"),
    )
    assert (settings.data_folder, settings.sounds_folder) == (Path("/d"), Path("/d/sounds"))
    assert (settings.host, settings.http_port, settings.cors_origin) == ("0.0.0.0", 0, "")
    assert [str(address) for address in settings.media_addresses] == ["10.0.0.1", "::1"]
    assert (settings.defaults.stream_name_prefix, settings.defaults.full_url) == ("", True)
    assert settings.log_level == "DEBUG"
    relay = settings.relay_template()
    assert (relay.media_addresses, relay.media_port_range) == (["10.0.0.1", "::1"], (40000, 40100))
    assert (relay.max_bitrate, relay.log_level, relay.sounds_folder) == (2_500_000, "DEBUG", Path("/d/sounds"))


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSPONDER_HTTP_PORT", "9000")
    monkeypatch.setenv("TRANSPONDER_MEDIA_ADDRESSES", "10.0.0.1, 10.0.0.2")
    monkeypatch.setenv("TRANSPONDER_MEDIA_PORT_RANGE", "40000-40100")
    monkeypatch.setenv("TRANSPONDER_DEFAULTS__STREAM_NAME_PREFIX", "x_")
    monkeypatch.setenv("TRANSPONDER_DATA_FOLDER", "/from/environment")
    monkeypatch.setenv("TRANSPONDER_TOKEN", "t0k3n-of-the-environment")
    settings = read("--full-url")
    assert settings.http_port == 9000
    assert [str(address) for address in settings.media_addresses] == ["10.0.0.1", "10.0.0.2"]
    assert settings.media_port_range == (40000, 40100)
    assert (settings.defaults.stream_name_prefix, settings.defaults.full_url) == ("x_", True)
    assert settings.sounds_folder == Path("/from/environment/sounds")
    assert settings.token is not None
    assert "t0k3n" not in repr(settings)


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSPONDER_HTTP_PORT", "9000")
    assert read("--http-port", "9001").http_port == 9001


def test_a_tilde_in_the_environment_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRANSPONDER_DATA_FOLDER", "~/d")
    assert read().data_folder == tmp_path / "d"
    assert read().sounds_folder == tmp_path / "d/sounds"


@pytest.mark.parametrize(("value", "folder"), [("/x", "/x/rtmp-transponder"), ("relative", None), ("", None)])
def test_xdg_data_home(monkeypatch: pytest.MonkeyPatch, value: str, folder: str | None) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", value)
    assert default_data_folder() == (Path(folder) if folder else Path.home() / ".local/share/rtmp-transponder")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--http-port", "65536"], "--http-port (TRANSPONDER_HTTP_PORT): must be less than or equal to 65535"),
        (["--http-port", "x"], "--http-port (TRANSPONDER_HTTP_PORT): must be a valid integer"),
        (["--media-address", "x"], "--media-address (TRANSPONDER_MEDIA_ADDRESSES): "),
        (["--media-port-range", "1"], "--media-port-range (TRANSPONDER_MEDIA_PORT_RANGE): must be two ports"),
        (["--media-port-range", "9-3"], "--media-port-range (TRANSPONDER_MEDIA_PORT_RANGE): must name the lower"),
        (["--media-port-range", "0-70000"], "--media-port-range (TRANSPONDER_MEDIA_PORT_RANGE): must be "),
        (["--data", ""], "--data (TRANSPONDER_DATA_FOLDER): must not be empty"),
        (["--sounds", ""], "--sounds (TRANSPONDER_SOUNDS_FOLDER): must not be empty"),
        (["--max-bitrate", "1"], "--max-bitrate (TRANSPONDER_MAX_BITRATE): must be greater"),
        (["--log-level", "loud"], "--log-level (TRANSPONDER_LOG_LEVEL): must be 'DEBUG', 'INFO', "),
        (
            ["--stream-name-prefix", "x" * 65],
            "--stream-name-prefix (TRANSPONDER_DEFAULTS__STREAM_NAME_PREFIX): ",
        ),
    ],
)
def test_bad_options(arguments: Sequence[str], line: str) -> None:
    with pytest.raises(BadSetting) as caught:
        read(*arguments)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("TRANSPONDER_HTTP_PORT", "x", "--http-port (TRANSPONDER_HTTP_PORT): must be a valid integer"),
        ("TRANSPONDER_TOKEN", "", "TRANSPONDER_TOKEN: "),
        ("TRANSPONDER_EFFECT_TIMEOUT", "-1", "TRANSPONDER_EFFECT_TIMEOUT: must be greater than 0"),
        ("TRANSPONDER_DEFAULTS__AUDIO_BITRATE", "1", "TRANSPONDER_DEFAULTS__AUDIO_BITRATE: must be greater"),
        (
            *("TRANSPONDER_DEFAULTS__RECONNECT__INITIAL_SECONDS", "0"),
            "TRANSPONDER_DEFAULTS__RECONNECT__INITIAL_SECONDS: must be greater than or equal to 0.1",
        ),
        (
            *("TRANSPONDER_DEFAULTS__RECONNECT__MAX_ATTEMPTS", "-1"),
            "TRANSPONDER_DEFAULTS__RECONNECT__MAX_ATTEMPTS: must be greater than or equal to 0",
        ),
        ("TRANSPONDER_DEFAULTS", "no json", "TRANSPONDER_DEFAULTS: "),
    ],
)
def test_bad_environment(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadSetting) as caught:
        read()
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["--help"], 0), (["local", "--help"], 0)])
def test_help_and_version(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as caught:
        read_settings(arguments)
    assert caught.value.code == code
    output = capsys.readouterr().out
    if arguments == ["--version"]:
        assert output == f"transponder {version('rtmp-transponder')}\n"
    if arguments == ["local", "--help"]:
        assert all(option.flag in output for option in OPTIONS)


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["local", "--nothing"], ["local", "--http-port"]])
def test_a_malformed_command_line_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_settings(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("transponder")
    assert error.count("\n") == 1
