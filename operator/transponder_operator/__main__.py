"""`transponder-operator`: its settings come from the environment as `TRANSPONDER_<NAME>`."""

import asyncio
import sys

import uvloop

from transponder_crd.log import set_up_logging
from transponder_crd.start_error import StartError, read_environment
from transponder_operator.operator_settings import OperatorSettings
from transponder_operator.program import FORCED, run

BAD_SETTING = 2


def main() -> None:
    """Exit code 0 after SIGTERM or Ctrl-C, 1 when the Lease was lost or after a fault, 2 when it cannot start as it
    was told to."""
    try:
        settings = read_environment(OperatorSettings)
        set_up_logging(settings.log_level, log_format=settings.log_format)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(run(settings))
    except StartError as error:
        sys.stderr.write(f"transponder-operator: {error}\n")
        sys.exit(BAD_SETTING)
    except KeyboardInterrupt:
        sys.exit(FORCED)
    sys.exit(code)


if __name__ == "__main__":
    main()
