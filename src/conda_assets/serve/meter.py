"""How fast it has been lately, and how full the disk is."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Meter"]

# A sample a second, so that a plot shows the last ten minutes.
_SAMPLES = 600
_STOCK_S = 60.0


class Meter:
    """`stock`: counts (files, bytes) of the store, which takes seconds when there are many; `free`: bytes of room on its disk."""

    def __init__(self, stock: Callable[[], tuple[int, int]], free: Callable[[], int]) -> None:
        self._stock, self._free = stock, free
        self.speeds: deque[int] = deque(maxlen=_SAMPLES)
        self.files = self.stored_bytes = self.free_bytes = 0
        self._counted_at = 0.0
        self._counting = threading.Lock()

    def sample(self, bytes_per_s: float) -> None:
        """Once a second."""
        self.speeds.append(round(bytes_per_s))
        if time.monotonic() - self._counted_at > _STOCK_S and self._counting.acquire(blocking=False):
            self._counted_at = time.monotonic()
            threading.Thread(target=self._count, name="stock", daemon=True).start()

    def stale(self) -> None:
        """A file has come: count again soon."""
        self._counted_at = min(self._counted_at, time.monotonic() - _STOCK_S + 2.0)

    def _count(self) -> None:
        try:
            self.files, self.stored_bytes = self._stock()
            self.free_bytes = self._free()
        finally:
            self._counting.release()
