"""`python -m cluster prepare|up|load|down|status`: a Kubernetes cluster on this machine, for hand and for tests."""

import argparse
import sys

from cluster import local
from cluster.choice import wants_local
from cluster.control_plane import prepare_control_plane
from cluster.folders import Unavailable
from cluster.processes import ProcessError


def main() -> int:
    """`up` and `status` print the path of the kubeconfig; `load` gives it images built anew;

    `prepare` builds and fetches what takes minutes.
    """
    parser = argparse.ArgumentParser(prog="cluster", description=__doc__)
    parser.add_argument("command", choices=["prepare", "up", "load", "down", "status"])
    command = parser.parse_args().command
    try:
        return _run(command)
    except (Unavailable, ProcessError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def _run(command: str) -> int:
    if command == "prepare":
        prepare_control_plane()
        if wants_local():
            local.prepare()
        return 0
    if command == "load":
        local.load_images()
        return 0
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
