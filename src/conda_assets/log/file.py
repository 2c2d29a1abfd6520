"""The file: lines of several processes, bound in size and age. Not `logging`: 13 ms at import, and no such file there."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from conda_assets.locking import alone
from conda_assets.log.masking import mask
from conda_assets.settings import LEVELS

__all__ = ["Log"]

_LARGEST_BYTES = 1 << 20
_OLDER_ONES = 4
_OLDEST_S = 30 * 86400.0
_ROTATING_S = 1.0
_LINE_BYTES = 16384
# Looked at so often, not at each line: two questions to the system would cost as much as the line.
_LOOK_EVERY_S, _LOOK_EVERY_BYTES = 0.2, 1 << 16
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class Log:
    """Writes lines at or above a level; the first one makes the file. Where none can be made it is silent. Safe for threads.

    `folder`: asked for it when first needed. `secrets`: values that must not stand there whatever they look like.
    """

    def __init__(
        self,
        level: str = "info",
        *,
        secrets: Collection[str] = (),
        folder: Callable[[], Path] | None = None,
        largest_bytes: int = _LARGEST_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._least = LEVELS.index(level)
        self._secrets, self._folder, self._largest_bytes, self._clock = secrets, folder or _default_folder, largest_bytes, clock
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._descriptor: int | None = None
        self._is_broken = False
        self._looked_at, self._since_bytes = 0.0, 0
        self.written = False

    @property
    def path(self) -> Path:
        """Where the file is, or would be."""
        if self._path is None:
            self._path = self._folder() / "conda-assets.log"
        return self._path

    def wants(self, level: str) -> bool:
        """Lines of that level are written."""
        return LEVELS.index(level) >= self._least and not self._is_broken

    def write(self, level: str, text: str) -> None:
        """Add a record; further lines of it are indented."""
        if not self.wants(level):
            return
        now = self._clock()
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z {os.getpid()} {level:<7} "
        safe = _CONTROL.sub(" ", mask(text, self._secrets)).replace("\n", "\n    ")
        line = f"{stamp}{safe}"[:_LINE_BYTES] + "\n"
        with self._lock:
            try:
                self._append(line.encode("utf-8", "backslashreplace"))
                self.written = True
            except OSError:
                self._is_broken = True  # a transfer does not end because nothing can be written down

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _append(self, line: bytes) -> None:
        now = time.monotonic()
        looks = now - self._looked_at >= _LOOK_EVERY_S or self._since_bytes >= min(_LOOK_EVERY_BYTES, self._largest_bytes // 16)
        if self._descriptor is not None and looks and not self._is_there():
            os.close(self._descriptor)
            self._descriptor = None
        if self._descriptor is None:
            self._descriptor = self._opened()
        os.write(self._descriptor, line)
        self._since_bytes += len(line)
        if looks:
            self._looked_at, self._since_bytes = now, 0
            if os.fstat(self._descriptor).st_size > self._largest_bytes:
                self._rotate()

    def _is_there(self) -> bool:
        """The name still leads to our file: another process may have rotated it."""
        assert self._descriptor is not None
        with suppress(OSError):
            return os.path.samestat(os.fstat(self._descriptor), self.path.lstat())
        return False

    def _opened(self) -> int:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._drop_old()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        return os.open(self.path, flags, 0o600)

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def _rotate(self) -> None:
        with alone(self.path.with_name(".lock"), seconds=_ROTATING_S, mode=0o600) as mine:
            # Another one may have done it while we waited.
            if not mine or self.path.lstat().st_size <= self._largest_bytes:
                return
            with suppress(OSError):  # Windows, while another process has it open: the next one tries again
                for number in range(_OLDER_ONES - 1, -1, -1):
                    if self._older(number).exists():
                        self._older(number).replace(self._older(number + 1))

    def _drop_old(self) -> None:
        for number in range(_OLDER_ONES + 1):
            with suppress(OSError):
                if self._clock() - self._older(number).stat().st_mtime > _OLDEST_S:
                    self._older(number).unlink()


def _default_folder() -> Path:
    from platformdirs import user_log_path

    return user_log_path("conda-assets", appauthor=False)
