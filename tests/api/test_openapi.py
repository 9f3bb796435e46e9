"""The API holds what its OpenAPI document says: schemathesis calls it with all that the document allows, and more."""

import asyncio
import sys
from pathlib import Path

import pytest
from support.api import running_api
from support.processes import clean_environment

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
FOLDER = Path(__file__).parents[1] / "support" / "schemathesis"
SECONDS = 45

OPTIONS = (
    "--phases=examples,coverage,fuzzing",
    "--max-examples=15",
    "--generation-deterministic",
    "--request-timeout=5",
    "--max-response-time=2",
    "--no-color",
    "--warnings=off",
)


@pytest.mark.integration
async def test_openapi_document_is_kept(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        (api.sounds / "sample.wav").touch()
        command = [str(SCHEMATHESIS), f"--config-file={FOLDER / 'schemathesis.toml'}", "run"]
        process = await asyncio.create_subprocess_exec(
            *command, f"{api.base}/openapi.json", *OPTIONS,
            cwd=FOLDER, env=clean_environment(tmp_path, {"PYTHONDONTWRITEBYTECODE": "1"}),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    print(output.decode())
    assert process.returncode == 0, output.decode()
