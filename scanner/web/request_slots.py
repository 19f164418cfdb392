"""A limit on how many large requests are read at a time, in total and per sender."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scanner.web.errors import GateRefused


class RequestSlots:
    """A number of slots; a request waits for one, and is refused if none becomes free.

    Args:
        count: requests that are read at a time.
        wait_s: how long another request waits for a slot.
        per_sender: slots that one sender may hold; None for no limit.
    """

    def __init__(self, count: int, wait_s: float, per_sender: int | None = None) -> None:
        self._free, self._wait_s, self._per_sender = asyncio.Semaphore(count), wait_s, per_sender
        self._held = Counter[str]()

    @asynccontextmanager
    async def acquire(self, sender: str = "") -> AsyncIterator[None]:
        """Hold a slot for as long as the context lasts; raises GateRefused."""
        busy = GateRefused(503, "busy", "too many uploads at once; try again in a minute", 60)
        if self._per_sender is not None and self._held[sender] >= self._per_sender:
            raise busy
        self._held[sender] += 1
        try:
            try:
                async with asyncio.timeout(self._wait_s):
                    await self._free.acquire()
            except TimeoutError:
                raise busy from None
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._held[sender] -= 1
            if not self._held[sender]:
                del self._held[sender]
