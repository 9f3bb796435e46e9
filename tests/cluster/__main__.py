"""`python -m cluster up|down|status`: a Kubernetes cluster on this machine, for hand and for tests."""

import argparse
import sys

from cluster import local
from cluster.folders import Unavailable
from cluster.processes import ProcessError


def main() -> int:
    """`up` prints the path of the kubeconfig on standard output."""
    parser = argparse.ArgumentParser(prog="cluster", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status"])
    command = parser.parse_args().command
    try:
        return _run(command)
    except (Unavailable, ProcessError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def _run(command: str) -> int:
    if command == "down":
        local.down()
        return 0
    there = local.up() if command == "up" else local.running()
    if there is None:
        print("no cluster")
        return 1
    print(there.kubeconfig)
    return 0


if __name__ == "__main__":
    sys.exit(main())
