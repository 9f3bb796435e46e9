"""Settings under the names that Flashphoner WCS gives them: from its properties file, and from the environment."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from transponder_crd.start_error import BadSetting
from transponder_local.properties import BadProperties, Properties, decode, parse

UnsetPrefix = Literal["commented", "absent", "never"]
"""When a file that gives no prefix for stream names means that there is none: if its line is commented out, as
Flashphoner's manual has it (`commented`); whenever the file does not give it (`absent`); never (`never`)."""

MAX_FILE_BYTES = 1 << 20

PREFIX = "rtmp_transponder_stream_name_prefix"


class Given(NamedTuple):
    """A value of a setting."""

    setting: str
    """Field of LocalSettings; a dot leads into `defaults`."""
    value: Any
    where: str
    """For an error: what the person who wrote it knows it by."""


class FromFile(NamedTuple):
    given: list[Given]
    unused: tuple[str, ...]
    """Keys that mean nothing here."""


class _Wcs(NamedTuple):
    setting: str
    convert: Callable[[str], Any] = str
    """Raises ValueError with the rule."""


def _milliseconds(value: str) -> float:
    if not value.isascii() or not value.isdecimal():
        raise ValueError("must be a whole number of milliseconds")
    return int(value) / 1000


def _origins(value: str) -> str:
    return value.replace(",", " ")


_SETTINGS = {
    PREFIX: _Wcs("defaults.stream_name_prefix"),
    "rtmp_transponder_full_url": _Wcs("defaults.full_url"),
    "rtmp_flash_ver_publisher": _Wcs("defaults.flash_version"),
    "rtmp_push_auto_start": _Wcs("auto_start"),
    "rtmp_push_auto_start_url": _Wcs("auto_start_url"),
    "http.port": _Wcs("http_port"),
    "https.port": _Wcs("https_port"),
    "ws.port": _Wcs("ws_port"),
    "wss.port": _Wcs("wss_port"),
    "rest_access_control_allow_origin": _Wcs("cors_origin", _origins),
    "keep_alive.server_interval": _Wcs("keep_alive_interval", _milliseconds),
    "keep_alive.probes": _Wcs("keep_alive_probes"),
}
_MEDIA_PORTS = {"media_port_from": "31001", "media_port_to": "32000"}
"""Two keys for one setting, with Flashphoner's defaults."""

WCS_NAMES = frozenset({*_SETTINGS, *_MEDIA_PORTS})


class _Text(NamedTuple):
    value: str
    where: str


def from_environment(environment: Mapping[str, str]) -> list[Given]:
    """Raises BadSetting."""
    return _translate(
        {name: _Text(environment[name], f"{name} in the environment") for name in WCS_NAMES & environment.keys()}
    )


def from_file(path: Path, unset_prefix: UnsetPrefix) -> FromFile:
    """Raises BadSetting."""
    properties = _read(path)
    entries = properties.entries
    texts = {
        key: _Text(entries[key].value.strip(), f"{path} line {entries[key].line}, {key}")
        for key in WCS_NAMES & entries.keys()
    }
    if PREFIX not in texts and _means_no_prefix(properties, unset_prefix):
        texts[PREFIX] = _Text("", f"{path}, {PREFIX}")
    return FromFile(_translate(texts), tuple(key for key in entries if key not in WCS_NAMES))


def _means_no_prefix(properties: Properties, unset_prefix: UnsetPrefix) -> bool:
    return unset_prefix == "absent" or (unset_prefix == "commented" and PREFIX in properties.commented_out)


def _read(path: Path) -> Properties:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadSetting(f"--wcs-properties {path}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise BadSetting(f"--wcs-properties {path}: must be at most {MAX_FILE_BYTES} bytes long")
    try:
        return parse(decode(data))
    except BadProperties as error:
        raise BadSetting(f"{path} line {error.line}: {error.rule}") from None


def _translate(texts: Mapping[str, _Text]) -> list[Given]:
    given = []
    for name in sorted(texts.keys() & _SETTINGS.keys()):
        setting, convert = _SETTINGS[name]
        try:
            given.append(Given(setting, convert(texts[name].value), texts[name].where))
        except ValueError as error:
            raise BadSetting(f"{texts[name].where}: {error}") from None
    return given + _media_ports({name: text for name, text in texts.items() if name in _MEDIA_PORTS})


def _media_ports(texts: Mapping[str, _Text]) -> list[Given]:
    if not texts:
        return []
    first, last = (texts[name].value if name in texts else default for name, default in _MEDIA_PORTS.items())
    return [Given("media_port_range", f"{first}-{last}", " and ".join(text.where for text in texts.values()))]
