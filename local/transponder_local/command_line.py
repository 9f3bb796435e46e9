"""The command line of `transponder`: each option is a setting of `LocalSettings`, which has its rule and default."""

import argparse
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_settings import SettingsError

from transponder_local.settings import LocalSettings


class BadSetting(Exception):
    """One line that names the setting and the rule."""


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
        return "TRANSPONDER_" + self.setting.upper().replace(".", "__")


OPTIONS = (
    Option("--data", "data_folder", "DIR", "folder of the database (default: ~/.local/share/rtmp-transponder)"),
    Option("--sounds", "sounds_folder", "DIR", "folder of the WAV files for sound_on (default: sounds in --data)"),
    Option("--host", "host", "ADDRESS", "where REST and WHIP listen (default: 127.0.0.1; 0.0.0.0 is every address)"),
    Option("--http-port", "http_port", "PORT", "TCP port of REST and WHIP (default: 8081; 0 takes a free one)"),
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
    Option("--enhanced-rtmp", "defaults.enhanced_rtmp", None, "send Opus and VP9 as they come, by enhanced RTMP"),
    Option(
        "--hold-seconds", "defaults.hold_seconds", "SECONDS",
        "how long RTMP sessions stay up without their publisher (default: 10; 0 ends them at once)",
    ),
    Option("--rtmps-ca", "rtmps_ca_file", "FILE", "PEM file of authorities to trust besides those of the system"),
    Option("--log-level", "log_level", "LEVEL", "DEBUG, INFO, WARNING or ERROR (default: INFO)"),
)  # fmt: skip

EPILOG = """\
Each option may be given in the environment instead: --http-port as TRANSPONDER_HTTP_PORT, --data as
TRANSPONDER_DATA_FOLDER, and so on (docs/operations.md has the list). TRANSPONDER_TOKEN, for which there is no option,
is the bearer token that REST and WHIP then ask for. Options win over the environment.

Ctrl-C ends everything in order: RTMP sessions are closed, transponders are kept and come back at the next start.
"""


def read_settings(arguments: Sequence[str] | None = None) -> LocalSettings:
    """The settings of this run. Raises BadSetting; SystemExit for --help, --version and a malformed command line."""
    given = vars(_parser().parse_args(arguments))
    values: dict[str, Any] = {}
    for option in OPTIONS:
        value = given[option.setting]
        if value is not None:
            group, _, name = option.setting.rpartition(".")
            (values.setdefault(group, {}) if group else values)[name] = value
    try:
        return LocalSettings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        loc = [str(part) for part in first["loc"]]
        raise BadSetting(f"{_name(loc)}: {_rule(first['msg'])}") from None
    except SettingsError as error:  # its text: error parsing value for field "name" from source "..."
        field = re.search(r'field "(\w+)"', str(error))
        raise BadSetting(f"{_name([field[1]]) if field else 'environment'}: must be JSON") from None


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


def _name(loc: list[str]) -> str:
    """What the user knows a setting by: its option and its variable."""
    settings = (".".join(loc), ".".join(loc[:1]))
    option = next((option for option in OPTIONS if option.setting in settings), None)
    return f"{option.flag} ({option.variable})" if option else "TRANSPONDER_" + "__".join(loc).upper()


def _rule(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should", "must").replace("Value should", "must")
