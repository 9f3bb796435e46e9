"""Let publishers, destinations and players come and go for a long time, and see that the product holds no more after.

    make soak                       # 20 minutes
    make soak ARGS="--minutes 5"

The real product sends to a real nginx with its RTMP module and to servers that refuse, reset, hang, vanish and return.
Each round (some 15 s) publishers come, lose packets, stop or vanish, and come back; transponders are started, muted,
given sounds and ended; browsers' players come and go (`churn.py`). When all of it has gone again, save one transponder
whose relay lives as long as the soak, memory, descriptors and threads of the product, of its zygote and of that relay
are read from /proc, and the processes tell their asyncio tasks (`samples.py`, `probe/`). At the end `verdict.py` says
whether they are flat:

* descriptors, threads and tasks: the same after the last round as after the first;
* RSS: a line fitted to the last two thirds grows by no more than --growth-mib over that time;
* no process was replaced, none is left, and the product's log has no error.

The exit code is 0 when all of it is so, or else 1, with a sentence for each fault. A short run is part of `make test`.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from soak.run import soak

GROWTH_MIB = 4.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=20, metavar="N", help="how long (default 20)")
    add("--growth-mib", type=float, default=GROWTH_MIB, metavar="N", help=f"RSS of a process (default {GROWTH_MIB})")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="transponder-soak-") as folder:
        try:
            found = asyncio.run(soak(Path(folder), options.minutes * 60, options.growth_mib, say=say))
        except KeyboardInterrupt:
            print("Ended by Ctrl-C; everything that was started is stopped.", file=sys.stderr)
            return 130
        except BaseException:
            print((Path(folder) / "product.log").read_text()[-8000:], file=sys.stderr)
            raise
    for fault in found:
        print(f"FAULT: {fault}", file=sys.stderr)
    print(f"{len(found)} faults" if found else "flat")
    return 1 if found else 0


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
