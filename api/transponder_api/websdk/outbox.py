"""What waits to be sent to one client. Whoever has something to say never waits for a client that does not read."""

import asyncio
from collections import deque

MAX_CHARACTERS = 1 << 20
"""What may wait. A client that lets more pile up is cut off."""


class Outbox:
    def __init__(self) -> None:
        self._texts: deque[str] = deque()
        self._characters = 0
        self._there = asyncio.Event()
        self.overflow = False
        """More was to be sent than fits: some of it is lost, and the session is to be ended."""

    def put(self, text: str) -> None:
        if self._characters + len(text) > MAX_CHARACTERS:
            self.overflow = True
        else:
            self._texts.append(text)
            self._characters += len(text)
        self._there.set()

    async def wait(self) -> None:
        """Return when there is something to send, or too much."""
        await self._there.wait()

    def take(self) -> str | None:
        """The next text; None if there is none."""
        if not self._texts:
            self._there.clear()
            return None
        text = self._texts.popleft()
        self._characters -= len(text)
        return text
