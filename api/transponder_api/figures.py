"""What is being sent right now. The relays tell it: it changes too often to be kept with the objects."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from transponder_api.relay_client import RelayClient, RelayUnreachable
from transponder_crd.control import OutputStatistics, RelayReport
from transponder_crd.relay_host import RelayDirectory
from transponder_crd.resource import RtmpTransponder, TransponderPhase

SENDING: Final = frozenset({TransponderPhase.LIVE, TransponderPhase.HOLDING})

TIMEOUT: Final = 0.5
"""Seconds: an answer without figures is better than a late one."""

MOST_RELAYS: Final = 200
"""Asked for one answer. Whoever lists more streams reads the metrics."""


class Figures:
    """Asks one relay for each stream."""

    def __init__(self, relays: RelayDirectory, client: RelayClient) -> None:
        self._relays = relays
        self._client = client

    async def of(self, transponders: Sequence[RtmpTransponder]) -> Mapping[str, OutputStatistics]:
        """By uid; only of those that are sending, and whose relay answers; none for more than MOST_RELAYS streams.
        Raises nothing of its own."""
        sending = {t.uid: t.spec.stream_name for t in transponders if t.status.phase in SENDING}
        names = sorted(set(sending.values()))
        if len(names) > MOST_RELAYS:
            return {}
        reports = await asyncio.gather(*map(self._report, names))
        outputs = (output for report in reports if report for output in report.outputs)
        return {output.id: output.statistics for output in outputs if output.id in sending}

    async def _report(self, stream_name: str) -> RelayReport | None:
        address = await self._relays.address(stream_name)
        if address is None:
            return None
        try:
            return await self._client.report(address, TIMEOUT)
        except RelayUnreachable:
            return None
