#!/usr/bin/env bash
# Install what the product (`install.sh run`) or its tests (`install.sh test`) need, on Debian or Ubuntu.
# Python packages go to .venv beside this folder; Debian packages need root, else this says what to install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
what=${1:-run}

say() { printf '%s\n' "$*" >&2; }
die() { say "install: $*"; exit 1; }

apt_install() {  # packages...: those not yet there
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || { say "install: please install: ${missing[*]}"; return 1; }
    if ((EUID != 0)); then
        say "install: please run:  sudo apt-get install --no-install-recommends ${missing[*]}"
        return 1
    fi
    say "install: apt-get install ${missing[*]}"
    apt-get update -qq || say "install: apt-get update failed, going on with the lists at hand"
    # RUNLEVEL=1: the tests start servers of their own; nothing is to be started as a service
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        [[ -n $candidate ]] && command -v "$candidate" >/dev/null || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$candidate"; return; }
    done
    die "Python 3.11 or newer is needed (set PYTHON=/path/to/python3 if it has another name)"
}

make_venv() {
    [[ -x .venv/bin/pip ]] && .venv/bin/python -c '' 2>/dev/null && return
    local python
    python=$(find_python)
    rm -rf .venv
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        apt_install python3-venv || die "Python's venv module is needed"
    fi
    "$python" -m venv .venv
}

pip_install() { .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@"; }

make_venv
apt_install libspeex1 || say "install: audio.codec speex will not be available"
say "install: Python packages into .venv"
if [[ $what == test ]]; then
    pip_install "pip>=25.1"  # knows dependency groups
    pip_install --editable . --group dev
    # A test whose program is missing is reported as skipped, with the reason.
    apt_install nginx libnginx-mod-rtmp ffmpeg || say "install: tests against nginx-rtmp and ffmpeg will be skipped"
    apt_install chromium || say "install: tests in Chromium will be skipped"
    apt_install coturn || say "install: the tests by a TURN server will be skipped"
    apt_install firefox-esr iproute2 || say "install: the test in Firefox will be skipped"
    # Node.js of another make brings npm with it, and Debian's npm cannot be installed beside it
    command -v npm >/dev/null || apt_install nodejs npm || say "install: tests with packages of npm (the WebSDK, node-media-server) will be skipped"
else
    pip_install --editable .
fi
