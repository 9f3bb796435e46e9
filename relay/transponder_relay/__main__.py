"""`transponder-relay`: one relay as a program of its own, as it runs in a pod. Its settings are in `environment`."""

import errno
import os
import socket
import sys

from transponder_crd.log import set_up_logging
from transponder_crd.start_error import StartError, read_environment, variable
from transponder_relay.environment import RelayEnvironment

BAD_SETTING = 2


def main() -> None:
    """Exit code 0 after SIGTERM, 2 when it cannot start as it was told to."""
    try:
        environment = read_environment(RelayEnvironment)
        settings = environment.relay_settings()
        listener = _listen(environment)
    except StartError as error:
        sys.stderr.write(f"transponder-relay: {error}\n")
        sys.exit(BAD_SETTING)
    set_up_logging(environment.log_level, log_format=environment.log_format)
    # what it may refuse is refused before these: they take most of the start
    from transponder_relay.process import run_relay
    from transponder_relay.warm import prepare

    prepare(settings)
    run_relay(settings, listener)


def _listen(environment: RelayEnvironment) -> socket.socket:
    """The control port. Connections wait until it is served. Raises StartError."""
    host, port = environment.control_host, environment.control_port
    try:
        if host is not None:
            family = socket.AF_INET if host.version == 4 else socket.AF_INET6
            return socket.create_server((str(host), port), family=family, backlog=128)
        return _listen_everywhere(port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "unknown error"  # its own text tells the address again
        raise StartError(f"{variable('control_port')}: port {port} cannot be opened: {why}") from None


def _listen_everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, backlog=128, dualstack_ipv6=True)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):  # the port is the trouble, not IPv6
                raise
    return socket.create_server(("", port), backlog=128)


if __name__ == "__main__":
    main()
