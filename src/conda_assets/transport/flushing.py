"""What arrives goes to the disk little by little, beside the transfer.

aria2 saves its state once a second, the data before it, and takes nothing from its servers meanwhile; and a file gets its name
when all of it is on the disk. What only the memory has by then, both wait for: at 119 MB/s the former took 3 % of a transfer's
time, the latter 0.3 s behind the last byte of 400 MB. A thread that has begun before leaves them next to nothing.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

__all__ = ["Flusher"]

# Between two rounds: what arrives in it is what others may have to wait for.
_PAUSE_S = 0.1


class Flusher:
    """Its thread begins with the first file. Errors of the disk are for those who wait for the data, not for this."""

    def __init__(self) -> None:
        self._due: set[Path] = set()
        self._changed, self._over = threading.Condition(), False
        self._thread: threading.Thread | None = None

    def note(self, path: Path) -> None:
        """There is more of this file."""
        if not hasattr(os, "fdatasync"):
            return
        with self._changed:
            self._due.add(path)
            if self._thread is None and not self._over:
                self._thread = threading.Thread(target=self._run, name="flush", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Begin no further round; does not wait for the disk."""
        with self._changed:
            self._over = True
            self._due.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due and not self._over:
                    self._changed.wait()
                if self._over:
                    return
                due, self._due = self._due, set()
            for path in due:
                with suppress(OSError):
                    _flush(path)
            with self._changed:
                if not self._over:
                    self._changed.wait_for(lambda: self._over, _PAUSE_S)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
