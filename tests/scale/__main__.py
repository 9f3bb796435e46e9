"""Many transponders on a real API server: how long the operator takes for all of them, what it writes, what it needs.

    make scale                     # 1,000 transponders, each of a stream of its own
    make scale ARGS="-n 200"

etcd and the API server are real ones on loopback (tests/cluster), the operator is the program itself; its relays are
control ports of one HTTP server, since a thousand relay processes would be a test of the machine. All three and the
test share the processors, so that the times are bounds and no limits. Each step is measured until all objects say so:

    create     transponders are created by 16 clients, until all wait for their publisher
    restart    the operator is killed and started again, until it has looked at all of them
    publish    all streams are published, until all are Live
    mute       all are muted by kubectl's patch, until all have it in effect
    delete     all are deleted, until none is left

"writes" are the operator's requests to the API server that change an object, for each transponder; Events apart.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from cluster.control_plane import control_plane
from cluster.folders import Unavailable
from scale.run import Row, measure


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", type=int, default=1000, metavar="N", help="transponders (default 1000)")
    options = parser.parse_args()
    try:
        with control_plane() as plane, tempfile.TemporaryDirectory(prefix="transponder-scale-") as folder:
            rows = asyncio.run(measure(options.n, plane.kubeconfig, Path(folder)))
    except Unavailable as error:
        print(f"scale: {error}", file=sys.stderr)
        return 2
    print(table(options.n, rows))
    return 0


def table(count: int, rows: list[Row]) -> str:
    """As Markdown."""
    lines = [
        f"{count} transponders",
        "",
        "| step | seconds | a second | writes each | Events each | operator CPU, s | operator RSS, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.step} | {row.seconds:.1f} | {count / row.seconds:.0f} | {row.writes:.2f} | {row.events:.2f} "
            f"| {row.cpu:.1f} | {row.resident / 2**20:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
