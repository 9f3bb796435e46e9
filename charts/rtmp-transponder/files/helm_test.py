"""What `helm test` runs in a pod: REST makes a transponder, a relay takes it, and it is ended. Nothing is sent on."""

import json
import os
import time
import uuid
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

API = os.environ["API"]
TOKEN_FILE = Path("/etc/transponder/token/token")
TOKEN = TOKEN_FILE.read_text().strip() if TOKEN_FILE.exists() else None
NEEDS_STREAM = os.environ["STARTUP_NEEDS_STREAM"] == "true"
SECONDS = 60


def call(path: str, body: object) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {TOKEN}"} if TOKEN else {})
    try:
        with urlopen(Request(API + path, json.dumps(body).encode(), headers), timeout=15) as response:
            return response.status, response.read()
    except HTTPError as error:
        return error.code, error.read()


def expect(status: int, path: str, body: object) -> bytes:
    got, answer = call(path, body)
    print(f"{path}: {got}")
    if got != status:
        raise SystemExit(f"{status} was expected: {answer.decode(errors='replace')[:500]}")
    return answer


def state_without_pending(stream: str) -> str:
    """The transponder's state, once there is a relay for it."""
    deadline, state = time.monotonic() + SECONDS, "Pending"
    while state == "Pending" and time.monotonic() < deadline:
        time.sleep(0.5)
        state = json.loads(expect(200, "/rest-api/push/find", {"streamName": stream}))[0]["state"]
    return state


stream = f"helm-test-{uuid.uuid4().hex[:12]}"
# an address of RFC 5737, at which nobody is; and a stream that nobody publishes is sent nowhere
wish = {"streamName": stream, "rtmpUrl": "rtmp://192.0.2.1:1935/live"}
if NEEDS_STREAM:
    expect(404, "/rest-api/push/startup", wish)
    raise SystemExit
started = json.loads(expect(200, "/rest-api/push/startup", wish))
try:
    state = state_without_pending(stream)
finally:
    expect(200, "/rest-api/push/terminate", {"mediaSessionId": started["mediaSessionId"]})
if state != "WaitingForPublisher":
    raise SystemExit(f"{state} after {SECONDS} s: no relay took the transponder")
