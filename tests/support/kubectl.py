"""kubectl as a function: what tests do as the person at the terminal does."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Object = dict[str, Any]


class KubectlError(Exception):
    """kubectl ended with an error; the text is what it said."""


@dataclass(frozen=True)
class Kubectl:
    """The program with its cluster and namespace."""

    program: Path
    kubeconfig: Path
    namespace: str = "default"

    def __call__(self, *arguments: str, stdin: str | None = None, seconds: float = 60.0) -> str:
        """What it prints. Raises KubectlError, subprocess.TimeoutExpired."""
        done = subprocess.run(self.command(*arguments), input=stdin, capture_output=True, text=True, timeout=seconds)
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def command(self, *arguments: str) -> list[str]:
        """The whole command line, for tests that start it themselves (port-forward, watches)."""
        return [str(self.program), f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]

    def json(self, *arguments: str) -> Object:
        """`kubectl … -o json`."""
        value: Object = json.loads(self(*arguments, "-o", "json"))
        return value

    def apply(self, *objects: Mapping[str, Any]) -> str:
        """`kubectl apply`, refusing fields that the schema does not know."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self("apply", "--validate=strict", "-f", "-", stdin=json.dumps(items))

    def wait(self, what: str, condition: str, seconds: int = 60) -> None:
        """`kubectl wait --for=…`; fails when the time is over."""
        self("wait", what, f"--for={condition}", f"--timeout={seconds}s", seconds=seconds + 10)

    def exec(self, pod: str, *command: str, container: str | None = None, seconds: float = 60.0) -> str:
        """Run a command in a pod."""
        chosen = ["-c", container] if container else []
        return self("exec", pod, *chosen, "--", *command, seconds=seconds)

    def within(self, namespace: str) -> "Kubectl":
        """The same, in another namespace."""
        return Kubectl(self.program, self.kubeconfig, namespace)
