"""A part of a file, read as it is sent: memory does not grow with it."""

from __future__ import annotations

import io
import os
from typing import Any

from conda_assets.model import Stored

__all__ = ["Window"]


class Window(io.RawIOBase):
    """`size_bytes` of a stored file from `start`, as a file that knows its length and can be read again."""

    def __init__(self, stored: Stored, start: int, size_bytes: int) -> None:
        super().__init__()
        self._descriptor = os.open(stored.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._file = os.fdopen(self._descriptor, "rb", buffering=0)
        self._start, self._size_bytes, self._at = start, size_bytes, 0

    def __len__(self) -> int:
        return self._size_bytes

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """From the part's start."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Within the part."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """0 at the part's end."""
        view = memoryview(buffer)[: max(0, self._size_bytes - self._at)]
        self._file.seek(self._start + self._at)
        count = self._file.readinto(view) or 0
        self._at += count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
