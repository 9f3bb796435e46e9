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
        self.overflow = asyncio.Event()
        """Set when more was to be sent than fits: some of it is lost, and the session is to be ended."""

    def put(self, text: str) -> None:
        if self._characters + len(text) > MAX_CHARACTERS:
            self.overflow.set()
            return
        self._texts.append(text)
        self._characters += len(text)
        self._there.set()

    async def take(self) -> str:
        """The next text, as soon as there is one."""
        while not self._texts:
            self._there.clear()
            await self._there.wait()
        text = self._texts.popleft()
        self._characters -= len(text)
        return text
