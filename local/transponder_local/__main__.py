"""`transponder`: the command of the product."""

import asyncio
import sys

import uvloop

from transponder_crd.log import set_up_logging
from transponder_crd.start_error import StartError
from transponder_local.app import FORCED, run
from transponder_local.command_line import read_settings

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
    except KeyboardInterrupt:  # Ctrl-C before it serves; what was begun has been ended
        sys.exit(FORCED)
    sys.exit(code)


def _fail(message: str) -> int:
    sys.stderr.write(f"transponder: {message}\n")
    return BAD_SETTING


if __name__ == "__main__":
    main()
