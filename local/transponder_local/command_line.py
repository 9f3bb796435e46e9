"""The command line of `transponder`: each option is a setting of `LocalSettings`, which has its rule and default."""

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_settings import SettingsError

from transponder_crd.start_error import bad_setting, variable
from transponder_local.settings import LocalSettings, WcsFileSettings, layered
from transponder_local.wcs_settings import Given, from_environment, from_file


class Option(NamedTuple):
    flag: str
    setting: str
    """Field of LocalSettings; a dot leads into `defaults`."""
    metavar: str | None
    help: str
    """`metavar` None: a switch."""
    many: bool = False

    @property
    def variable(self) -> str:
        return variable(*self.setting.split("."))


OPTIONS = (
    Option("--data", "data_folder", "DIR", "folder of the database (default: ~/.local/share/rtmp-transponder)"),
    Option("--sounds", "sounds_folder", "DIR", "folder of the WAV files for sound_on (default: sounds in --data)"),
    Option("--host", "host", "ADDRESS", "where to listen (default: 127.0.0.1; 0.0.0.0 is every address)"),
    Option(
        "--http-port", "http_port", "PORT",
        "REST, WHIP, WHEP and the page (default: 8081; 0 takes a free port, off takes none)",
    ),
    Option("--https-port", "https_port", "PORT", "the same by TLS, if there is a certificate (default: 8444)"),
    Option("--ws-port", "ws_port", "PORT", "the WebSDK's WebSocket (default: 8080; 0 and off as above)"),
    Option("--wss-port", "wss_port", "PORT", "the same by TLS, if there is a certificate (default: 8443)"),
    Option("--tls-cert", "tls_cert", "FILE", "certificate and those it was issued by, PEM"),
    Option("--tls-key", "tls_key", "FILE", "private key of the certificate, PEM"),
    Option("--cors-origin", "cors_origin", "ORIGIN", "web origins that may call (default: * for all; empty for none)"),
    Option(
        "--media-address", "media_addresses", "ADDRESS",
        "address that browsers are to send media to; may be given more than once (default: all of this machine)", True,
    ),
    Option("--media-port-range", "media_port_range", "FIRST-LAST", "UDP ports for media (default: any free ones)"),
    Option("--max-bitrate", "max_bitrate", "BITS", "bit/s that a browser may send (default: 4000000)"),
    Option(
        "--stream-name-prefix", "defaults.stream_name_prefix", "TEXT",
        "put before stream names on the RTMP side (default: rtmp_; empty for none)",
    ),
    Option("--full-url", "defaults.full_url", None, "RTMP URLs end with the stream name or key"),
    Option("--audio-codec", "defaults.audio_codec", "CODEC", "of the RTMP side: aac, pcma, pcmu, speex (default: aac)"),
    Option("--enhanced-rtmp", "defaults.enhanced_rtmp", None, "send Opus, VP9, AV1, HEVC as they are (enhanced RTMP)"),
    Option(
        "--hold-seconds", "defaults.hold_seconds", "SECONDS",
        "how long RTMP sessions stay up without their publisher (default: 10; 0 ends them at once)",
    ),
    Option("--rtmps-ca", "rtmps_ca_file", "FILE", "PEM file of authorities to trust besides those of the system"),
    Option("--wcs-properties", "wcs_properties", "FILE", "settings of Flashphoner WCS (its flashphoner.properties)"),
    Option("--log-level", "log_level", "LEVEL", "DEBUG, INFO, WARNING or ERROR (default: INFO)"),
)  # fmt: skip

EPILOG = """\
Each option may be given in the environment instead: --http-port as TRANSPONDER_HTTP_PORT, --data as
TRANSPONDER_DATA_FOLDER, and so on (docs/operations.md has the list). TRANSPONDER_TOKEN, for which there is no option,
is the bearer token that REST and WHIP then ask for. Options win over the environment, which wins over the file of
--wcs-properties.

Ctrl-C ends everything in order: RTMP sessions are closed, transponders are kept and come back at the next start.
"""


def read_settings(arguments: Sequence[str] | None = None) -> LocalSettings:
    """The settings of this run. Raises BadSetting; SystemExit for --help, --version and a malformed command line."""
    given = vars(_parser().parse_args(arguments))
    options = {option.setting: given[option.setting] for option in OPTIONS if given[option.setting] is not None}
    fallback: list[Given] = []
    try:
        file = WcsFileSettings(**{name: options[name] for name in WcsFileSettings.model_fields if name in options})
        fallback = _wcs_settings(file)
        return layered(_nested(options.items()), _nested((one.setting, one.value) for one in fallback))
    except (ValidationError, SettingsError) as error:
        raise bad_setting(error, lambda loc: _fallback_of(loc, options, fallback) or _name(loc)) from None


def option(setting: str) -> str:
    """What a field of the settings is given by."""
    return next((option.flag for option in OPTIONS if option.setting == setting), variable(setting))


def _wcs_settings(settings: WcsFileSettings) -> list[Given]:
    """What is said under the names of Flashphoner WCS; later ones win. Raises BadSetting."""
    given: list[Given] = []
    if path := settings.wcs_properties:
        file = from_file(path, settings.wcs_unset_prefix)
        given = [*file.given, Given("unused_properties", file.unused, str(path))]
    return [*given, *from_environment(os.environ)]


def _nested(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A dot in a name leads into a group."""
    nested: dict[str, Any] = {}
    for setting, value in values:
        group, _, name = setting.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[name] = value
    return nested


def _fallback_of(loc: Sequence[str], options: Mapping[str, Any], fallback: Sequence[Given]) -> str | None:
    """Where the value of a setting comes from, if neither option nor environment gives it."""
    settings = {".".join(loc[:2]), loc[0]} if loc else set()
    variables = {variable(*setting.split(".")) for setting in settings}
    if settings & options.keys() or variables & {name.upper() for name in os.environ}:
        return None
    return next((one.where for one in reversed(fallback) if one.setting in settings), None)


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog="transponder", description="Publish from a browser by WebRTC and send that stream to any RTMP(S) server."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('rtmp-transponder')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_OneLineParser)
    local = commands.add_parser(
        "local",
        help="run everything on this machine: REST, WHIP and the relays",
        description="Run everything on this machine: REST, WHIP and the relays.",
        epilog=EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=32, width=116),
        allow_abbrev=False,
    )
    for option in OPTIONS:
        if option.metavar is None:
            local.add_argument(
                option.flag, dest=option.setting, action=argparse.BooleanOptionalAction, help=option.help
            )
        else:
            action = "append" if option.many else "store"
            local.add_argument(
                option.flag, dest=option.setting, metavar=option.metavar, action=action, help=option.help
            )
    return parser


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _name(loc: Sequence[str]) -> str:
    """What the user knows a setting by: its option and its variable."""
    settings = (".".join(loc), ".".join(loc[:1]))
    option = next((option for option in OPTIONS if option.setting in settings), None)
    return f"{option.flag} ({option.variable})" if option else variable(*loc)
