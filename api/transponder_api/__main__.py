"""`transponder-api`: the API as a program of its own, on the Kubernetes API."""

import asyncio
import sys

import uvloop

from transponder_api.pod_settings import PodSettings
from transponder_api.program import run
from transponder_crd.log import set_up_logging
from transponder_crd.start_error import StartError, read_environment

BAD_SETTING = 2


def main() -> None:
    """Exit code 0 after SIGTERM, 1 after a fault, 2 when it cannot start as it was told to."""
    try:
        settings = read_environment(PodSettings)
        set_up_logging(settings.log_level, log_format=settings.log_format)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(run(settings))
    except StartError as error:
        sys.stderr.write(f"transponder-api: {error}\n")
        code = BAD_SETTING
    sys.exit(code)


if __name__ == "__main__":
    main()
