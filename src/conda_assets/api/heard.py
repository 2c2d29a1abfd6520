"""aria2 with its own log, which is taken into ours when it ends: for `--log-level debug`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from conda_assets.log import open_log
from conda_assets.settings import Network, Settings
from conda_assets.transport.aria2 import Aria2

__all__ = ["Heard"]

# Of a long log the end, which is where it went wrong; a record of ours holds less than one line of ours may.
_LONGEST_BYTES = 512 << 10
_LINES_AT_ONCE = 50


class Heard(Aria2):
    """As `Aria2`. What aria2 writes meanwhile may hold URLs and headers: only we can read it, and it has no name once open."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], binary: Path, network: Network, *, scratch: Path, **options: Any
    ) -> None:
        self._own_log, self._settings, self._environ = scratch / "aria2.log", settings, environ
        self._written: BinaryIO | None = None
        super().__init__(binary, network, scratch=scratch, log=self._own_log, **options)

    def log_begun(self) -> None:
        """A kill of both then leaves nothing of it."""
        self._written = self._own_log.open("rb")
        with suppress(OSError):  # not of an open file on every system
            self._own_log.unlink()

    def close(self) -> None:
        """See `Transport`."""
        super().close()
        if self._written is None:
            return  # it never started
        with self._written as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LONGEST_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        self._written = None
        self._own_log.unlink(missing_ok=True)
        with open_log(self._settings.log_level, self._environ, self._settings) as log:
            for start in range(0, len(lines), _LINES_AT_ONCE):
                log.write("debug", "\n".join(["aria2:", *lines[start : start + _LINES_AT_ONCE]]))
