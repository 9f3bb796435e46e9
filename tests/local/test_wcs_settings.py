"""Settings under the names of Flashphoner WCS, and which of several sources wins."""

from pathlib import Path
from typing import Any

import pytest

from transponder_crd.start_error import BadSetting
from transponder_local.command_line import OPTIONS, read_settings
from transponder_local.settings import LocalSettings
from transponder_local.wcs_settings import WCS_NAMES

URL = "rtmp://rtmp.server.com:1935/"
KEY = "s3cr3t-key-0123456789"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    others = ("TRANSPONDER_AUTO_START", "TRANSPONDER_AUTO_START_URL", "TRANSPONDER_WCS_UNSET_PREFIX")
    for name in {*WCS_NAMES, *others, *(option.variable for option in OPTIONS)}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "flashphoner.properties"


def read(*arguments: str) -> LocalSettings:
    return read_settings(["local", *arguments])


def with_file(file: Path, text: str, *arguments: str) -> LocalSettings:
    file.write_text(text)
    return read("--wcs-properties", str(file), *arguments)


def dumped(settings: LocalSettings, setting: str) -> Any:
    value: Any = settings
    for part in setting.split("."):
        value = getattr(value, part)
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


NAMES = [
    ("rtmp_transponder_stream_name_prefix", "x_", "defaults.stream_name_prefix", "x_"),
    ("rtmp_transponder_full_url", "true", "defaults.full_url", True),
    ("rtmp_flash_ver_publisher", "LNX 76.219.189.0", "defaults.flash_version", "LNX 76.219.189.0"),
    ("rtmp_push_auto_start_url", URL, "auto_start_url", URL),
    ("http.port", "9091", "http_port", 9091),
    ("https.port", "8888", "https_port", 8888),
    ("ws.port", "80", "ws_port", 80),
    ("wss.port", "443", "wss_port", 443),
    ("rest_access_control_allow_origin", "https://a, https://b", "cors_origin", "https://a  https://b"),
    ("keep_alive.server_interval", "2500", "keep_alive_interval", 2.5),
    ("keep_alive.probes", "3", "keep_alive_probes", 3),
    ("media_port_from", "31100", "media_port_range", (31100, 32000)),
    ("media_port_to", "31500", "media_port_range", (31001, 31500)),
]


def test_every_name_is_tested() -> None:
    assert {name for name, *_ in NAMES} | {"rtmp_push_auto_start"} == WCS_NAMES


@pytest.mark.parametrize(("name", "text", "setting", "value"), NAMES)
def test_names_in_the_file(file: Path, name: str, text: str, setting: str, value: object) -> None:
    assert dumped(with_file(file, f"{name} ={text} \n"), setting) == value


@pytest.mark.parametrize(("name", "text", "setting", "value"), NAMES)
def test_names_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, setting: str, value: object
) -> None:
    monkeypatch.setenv(name, text)
    assert dumped(read(), setting) == value


def test_auto_start(file: Path) -> None:
    """rtmp_push_auto_start, rtmp_push_auto_start_url."""
    settings = with_file(file, f"rtmp_push_auto_start=true\nrtmp_push_auto_start_url={URL}\n")
    destination = settings.auto_start_destination()
    assert destination is not None
    assert destination.compose("s1", "rtmp_", False, "").app.get_secret_value() == "live"
    assert read().auto_start_destination() is None


def test_media_ports(file: Path) -> None:
    settings = with_file(file, "media_port_from =31001\nmedia_port_to =31101\n")
    assert settings.relay_template().media_port_range == (31001, 31101)


# ------------------------------------------------------------------------------------------ precedence


def test_option_environment_file_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "http.port=1\nws.port=2\nrtmp_transponder_stream_name_prefix=file_\nrtmp_transponder_full_url=true\n"
    settings = with_file(file, text)
    assert (settings.http_port, settings.ws_port, settings.https_port) == (1, 2, 8444)
    monkeypatch.setenv("http.port", "3")
    monkeypatch.setenv("rtmp_transponder_stream_name_prefix", "wcs_")
    settings = with_file(file, text)
    assert (settings.http_port, settings.ws_port, settings.defaults.stream_name_prefix) == (3, 2, "wcs_")
    monkeypatch.setenv("TRANSPONDER_HTTP_PORT", "4")
    monkeypatch.setenv("TRANSPONDER_DEFAULTS__STREAM_NAME_PREFIX", "ours_")
    settings = with_file(file, text)
    assert (settings.http_port, settings.defaults.stream_name_prefix) == (4, "ours_")
    settings = with_file(file, text, "--http-port", "5", "--stream-name-prefix", "option_", "--no-full-url")
    assert (settings.http_port, settings.ws_port) == (5, 2)
    assert (settings.defaults.stream_name_prefix, settings.defaults.full_url) == ("option_", False)


def test_the_file_may_be_named_in_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("http.port=9091\n")
    monkeypatch.setenv("TRANSPONDER_WCS_PROPERTIES", str(file))
    assert read().http_port == 9091


# ------------------------------------------------------------------------------------------ no prefix


@pytest.mark.parametrize(
    ("text", "unset_prefix", "prefix"),
    [
        ("#rtmp_transponder_stream_name_prefix=rtmp_", None, ""),
        ("# rtmp_transponder_stream_name_prefix = rtmp_", None, ""),
        ("", None, "rtmp_"),
        ("# the rtmp_transponder_stream_name_prefix", None, "rtmp_"),
        ("rtmp_transponder_stream_name_prefix=", None, ""),
        ("#rtmp_transponder_stream_name_prefix=rtmp_\nrtmp_transponder_stream_name_prefix=x_", None, "x_"),
        ("#rtmp_transponder_stream_name_prefix=rtmp_", "absent", ""),
        ("", "absent", ""),
        ("rtmp_transponder_stream_name_prefix=x_", "absent", "x_"),
        ("#rtmp_transponder_stream_name_prefix=rtmp_", "never", "rtmp_"),
        ("", "never", "rtmp_"),
    ],
)
def test_a_prefix_that_is_commented_out(
    file: Path, monkeypatch: pytest.MonkeyPatch, text: str, unset_prefix: str | None, prefix: str
) -> None:
    """Flashphoner's manual: commented out means no prefix. A file without the line keeps the default."""
    if unset_prefix:
        monkeypatch.setenv("TRANSPONDER_WCS_UNSET_PREFIX", unset_prefix)
    assert with_file(file, text).defaults.stream_name_prefix == prefix


def test_without_a_file_the_prefix_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSPONDER_WCS_UNSET_PREFIX", "absent")
    assert read().defaults.stream_name_prefix == "rtmp_"


# ------------------------------------------------------------------------------------------ errors


def refused(file: Path, text: str | bytes) -> str:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadSetting) as caught:
        read("--wcs-properties", str(file))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\nhttp.port=x", "{} line 2, http.port: must be a valid integer"),
        ("http.port=65536", "{} line 1, http.port: must be less than or equal to 65535"),
        ("rtmp_transponder_full_url=perhaps", "{} line 1, rtmp_transponder_full_url: must be a valid boolean"),
        ("rtmp_transponder_stream_name_prefix=a b", "{} line 1, rtmp_transponder_stream_name_prefix: "),
        ("keep_alive.server_interval=5s", "{} line 1, keep_alive.server_interval: must be a whole number of millisec"),
        ("keep_alive.server_interval=0", "{} line 1, keep_alive.server_interval: must be greater than 0"),
        ("media_port_from=40000", "{} line 1, media_port_from: must name the lower port first"),
        ("rtmp_push_auto_start_url=http://h/" + KEY, "{} line 1, rtmp_push_auto_start_url: must start with rtmp"),
        ("rtmp_push_auto_start=true", "TRANSPONDER_AUTO_START_URL: is required for automatic starts"),
        ("a=1\nb=\\u12", "{} line 2: \\u must be followed by four hexadecimal digits"),
    ],
)
def test_bad_values_name_file_key_and_rule(file: Path, text: str, line: str) -> None:
    message = refused(file, text)
    assert message.startswith(line.format(file)), message
    assert KEY not in message


def test_the_environment_is_named_too(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("http.port", "x")
    assert refused(file, "http.port=1").startswith("http.port in the environment: must be a valid integer")
    monkeypatch.setenv("TRANSPONDER_HTTP_PORT", "y")
    assert refused(file, "http.port=1").startswith("--http-port (TRANSPONDER_HTTP_PORT): must be a valid integer")


def test_files_that_cannot_be_read(tmp_path: Path, file: Path) -> None:
    with pytest.raises(BadSetting, match=f"^--wcs-properties {file}: No such file or directory$"):
        read("--wcs-properties", str(file))
    with pytest.raises(BadSetting, match=f"^--wcs-properties {tmp_path}: Is a directory$"):
        read("--wcs-properties", str(tmp_path))
    assert refused(file, b"#" * (1 << 20) + b"#") == f"--wcs-properties {file}: must be at most 1048576 bytes long"


def test_a_bad_choice_of_the_prefix_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSPONDER_WCS_UNSET_PREFIX", "sometimes")
    with pytest.raises(BadSetting, match=r"^TRANSPONDER_WCS_UNSET_PREFIX: must be 'commented', 'absent' or 'never'$"):
        read()


# ------------------------------------------------------------------------------------------ the rest of the file


def test_a_whole_file(file: Path) -> None:
    """In the form that Flashphoner's installer writes; what means nothing here is known by name."""
    settings = with_file(
        file,
        "#server ip\n"
        "ip                 =10.0.0.1\n"
        "\n"
        "#webrtc ports range\n"
        "media_port_from        =31001\n"
        "media_port_to          =32000\n"
        "codecs             =opus,alaw,ulaw,h264,vp8\n"
        "ws.port            =8080\n"
        "wss.keystore.password  =" + KEY + "\n"
        "rtmp_transponder_full_url=true\n"
        "#rtmp_transponder_stream_name_prefix=rtmp_\n",
    )
    assert settings.unused_properties == ("ip", "codecs", "wss.keystore.password")
    assert (settings.defaults.full_url, settings.defaults.stream_name_prefix) == (True, "")
    assert KEY not in repr(settings)


def test_ports_can_be_off(file: Path) -> None:
    settings = with_file(file, "http.port=\nws.port=off\n", "--wss-port", "OFF")
    assert (settings.http_port, settings.ws_port, settings.wss_port) == (None, None, None)


@pytest.mark.parametrize("only", ["--tls-cert", "--tls-key"])
def test_certificate_and_key_go_together(only: str) -> None:
    with pytest.raises(BadSetting) as caught:
        read(only, "/some.pem")
    assert str(caught.value) == "--tls-key (TRANSPONDER_TLS_KEY): certificate and key must be given together"
