"""Show the product at work: publish, send, mute, insert a sound, terminate; then look at what arrived."""

import argparse
import asyncio
import shutil
import sys
from pathlib import Path

from demo.show import DemoError, Plan, show

RTMP_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


def main() -> int:
    options = _options()
    plan = Plan(seconds=options.seconds, out=options.out.resolve(), rtmp_url=options.rtmp_url)
    try:
        _check_tools(plan)
        asyncio.run(show(plan))
    except DemoError as problem:
        print(f"The demo failed: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Ended by Ctrl-C; everything that was started is stopped.", file=sys.stderr)
        return 130
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    add = parser.add_argument
    add("--rtmp-url", metavar="URL", help="send to this server, stream key included, instead of a local one")
    add("--seconds", type=float, default=20, metavar="N", help="length of the show (default 20, at least 10)")
    add("--out", type=Path, default=Path("demo-output"), metavar="FOLDER", help="default: demo-output")
    options = parser.parse_args()
    if options.seconds < 10:
        parser.error("--seconds must be at least 10")
    return options


def _check_tools(plan: Plan) -> None:
    missing = [name for name in ("nginx", "ffmpeg", "ffprobe") if not shutil.which(name)]
    if not plan.rtmp_url and not RTMP_MODULE.exists():
        missing.append("nginx' RTMP module")
    if missing:
        raise DemoError(f"not installed: {', '.join(missing)} (on Debian: apt install nginx libnginx-mod-rtmp ffmpeg)")


if __name__ == "__main__":
    sys.exit(main())
