"""`transponder-operator`: its settings come from the environment as `TRANSPONDER_<NAME>`."""

import argparse
import asyncio
import sys

import uvloop

from transponder_crd.log import set_up_logging
from transponder_crd.start_error import StartError, read_environment
from transponder_operator.operator_settings import OperatorSettings
from transponder_operator.program import FORCED, run
from transponder_operator.uninstall import uninstall

BAD_SETTING = 2


def main() -> None:
    """Exit code 0 after SIGTERM or Ctrl-C, 1 when the Lease was lost or after a fault, 2 when it cannot start as it
    was told to."""
    parser = argparse.ArgumentParser(prog="transponder-operator", description=__doc__)
    parser.add_argument("--uninstall", action="store_true", help="end all relays, let all transponders go, and stop")
    work = uninstall if parser.parse_args().uninstall else run
    try:
        settings = read_environment(OperatorSettings)
        set_up_logging(settings.log_level, log_format=settings.log_format)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(work(settings))
    except StartError as error:
        sys.stderr.write(f"transponder-operator: {error}\n")
        sys.exit(BAD_SETTING)
    except KeyboardInterrupt:
        sys.exit(FORCED)
    sys.exit(code)


if __name__ == "__main__":
    main()
