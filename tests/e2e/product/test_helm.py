"""What Helm itself does with a release that is in use."""

import asyncio

from support.installation import RELEASE, Installation


async def test_helm_test(installed: Installation) -> None:
    before = await asyncio.to_thread(installed.objects)
    said = await asyncio.to_thread(installed.run_helm, "test", RELEASE, "--logs", "--timeout=60s")
    assert "Phase:          Succeeded" in said
    assert "/rest-api/push/terminate: 200" in said
    await installed.until_only(before)
