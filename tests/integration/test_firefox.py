"""Firefox leaves loopback out of ICE: its test runs in a network namespace with one more address and no way out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.firefox import firefox_program

ADDRESS = "10.99.7.1"
NETWORK = (
    "ip link set lo up && ip link add test0 type veth peer name test1 && "
    f"ip addr add {ADDRESS}/24 dev test0 && ip link set test0 up && ip link set test1 up && "
    "ip route add default via 10.99.7.254"  # nobody is there; Firefox looks for its address by the default route
)
CASE = Path(__file__).with_name("firefox_publishes.py")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(firefox_program() is None, reason="Firefox is not installed (Debian: firefox-esr)"),
    pytest.mark.timeout(120),
]


def test_firefox_publishes(tmp_path: Path) -> None:
    probe = subprocess.run(["unshare", "--net", "sh", "-c", NETWORK], capture_output=True, text=True, timeout=10)
    if probe.returncode:
        pytest.skip(f"no network namespace can be made: {probe.stderr.strip()}")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}", str(CASE)]
    result = subprocess.run(
        ["unshare", "--net", "sh", "-c", f'{NETWORK} && exec "$@"', "sh", *command],
        env=os.environ | {"OWN_ADDRESS": ADDRESS},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert result.returncode == 0, result.stdout + result.stderr
