"""The operator as a process, beside a test."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from support.control_port import until

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0


class OperatorProcess:
    """One process; what it says is in `log`."""

    def __init__(
        self, process: asyncio.subprocess.Process, log: Path, port: int, environment: Mapping[str, str]
    ) -> None:
        self._process = process
        self._environment = environment
        self._log = log
        self._port = port

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def resident(self) -> int:
        """Bytes of memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self, seconds: float = 15.0) -> int:
        """Its exit code."""
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text."""
        async with (
            aiohttp.ClientSession(trust_env=False) as client,
            client.get(f"http://127.0.0.1:{self._port}{path}") as response,
        ):
            return response.status, await response.text()

    async def uninstall(self, seconds: float = 30.0) -> int:
        """What the chart's hook does, beside the operator, with its settings and log. The exit code."""
        environment = {**self._environment, "TRANSPONDER_POD_NAME": "uninstall"}
        with self._log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "transponder_operator", "--uninstall",
                env=environment, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            async with asyncio.timeout(seconds):
                return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def is_ready(self) -> bool:
        if self._process.returncode is not None:
            raise AssertionError(f"the operator ended with {self._process.returncode}:\n{self.log}")
        try:
            return (await self.get("/readyz"))[0] == 200
        except aiohttp.ClientError:
            return False

    async def leads(self) -> bool:
        return await self.is_ready() and await self.metric("transponder_operator_leading") == 1

    async def metric(self, sample: str) -> float:
        """The value of a sample, given with its labels as Prometheus prints them; 0 if there is none."""
        _, text = await self.get("/metrics")
        found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{sample} ")]
        return float(found[0]) if found else 0.0


@asynccontextmanager
async def operator_process(
    folder: Path, kubeconfig: Path, farm_url: str | None, port: int, *, leads: bool = True, **settings: str
) -> AsyncIterator[OperatorProcess]:
    """Runs for the length of the block; it leads (or stands by) from its beginning. With a farm its relays are those of
    the farm, else pods."""
    name = settings.setdefault("pod_name", "operator-0")
    log = folder / f"{name}-{port}.log"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "tests"),
        "HOME": str(folder),
        "KUBECONFIG": str(kubeconfig),
        "FARM_URL": farm_url or "",
        "TRANSPONDER_HOST": "127.0.0.1",
        "TRANSPONDER_PORT": str(port),
        **{f"TRANSPONDER_{key.upper()}": value for key, value in settings.items()},
    }
    module = "support.farm_operator" if farm_url else "transponder_operator"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=environment, stdout=output, stderr=output
        )
    operator = OperatorProcess(process, log, port, environment)
    try:
        await until(operator.leads if leads else operator.is_ready, START_SECONDS)
        yield operator
    except TimeoutError:
        raise AssertionError(f"not in time:\n{operator.log}") from None
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
