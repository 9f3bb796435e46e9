"""The operator program as it is, but with the relays of a `RelayFarm` in place of pods."""

import asyncio
import os
import sys

import uvloop
from support.relay_farm import FarmHosts

from transponder_crd.log import set_up_logging
from transponder_crd.start_error import read_environment
from transponder_operator.operator_settings import OperatorSettings
from transponder_operator.program import run


def main() -> None:
    settings = read_environment(OperatorSettings)
    set_up_logging(settings.log_level)
    farm = FarmHosts(os.environ["FARM_URL"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(run(settings, lambda *_: farm)))


if __name__ == "__main__":
    main()
