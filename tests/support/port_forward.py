"""`kubectl port-forward`: a Service at 127.0.0.1, where browsers allow a page the camera."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from support.kubectl import Kubectl
from support.processes import free_port


@contextmanager
def port_forward(kubectl: Kubectl, what: str, *ports: int) -> Iterator[Sequence[int]]:
    """Local ports for these ports of `service/name` or `pod/name`, for the length of the block."""
    local = [free_port() for _ in ports]
    pairs = [f"{here}:{there}" for here, there in zip(local, ports, strict=True)]
    command = kubectl.command("port-forward", "--address=127.0.0.1", what, *pairs)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            for _ in ports:
                line = process.stdout.readline()  # it says one for each, once it listens; or what is wrong, and ends
                assert line.startswith("Forwarding from 127.0.0.1:"), line
            yield local
        finally:
            process.terminate()
