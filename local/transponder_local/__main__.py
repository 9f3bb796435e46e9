"""`transponder`: the command of the product."""

import asyncio
import sys

import uvloop

from transponder_local.app import run
from transponder_local.command_line import read_settings
from transponder_local.errors import StartError
from transponder_local.log import set_up_logging

BAD_SETTING = 2


def main() -> None:
    """Exit code 0 after Ctrl-C or SIGTERM, 1 after a fault, 2 when it cannot start as it was told to."""
    try:
        settings = read_settings()
        set_up_logging(settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(run(settings))
    except StartError as error:
        sys.exit(_fail(str(error)))
    sys.exit(code)


def _fail(message: str) -> int:
    sys.stderr.write(f"transponder: {message}\n")
    return BAD_SETTING


if __name__ == "__main__":
    main()
