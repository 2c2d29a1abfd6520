"""aria2 with its own log, which is taken into ours when it ends: for `--log-level debug`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conda_assets.log import open_log
from conda_assets.settings import Network, Settings
from conda_assets.transport.aria2 import Aria2

__all__ = ["Heard"]

# Of a long log the end, which is where it went wrong; a record of ours holds less than one line of ours may.
_LONGEST_BYTES = 512 << 10
_LINES_AT_ONCE = 50


class Heard(Aria2):
    """As `Aria2`. What aria2 writes meanwhile may hold URLs and headers: it lies in `scratch`, for us alone."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], binary: Path, network: Network, *, scratch: Path, **options: Any
    ) -> None:
        self._own_log, self._settings, self._environ = scratch / "aria2.log", settings, environ
        super().__init__(binary, network, scratch=scratch, log=self._own_log, **options)

    def close(self) -> None:
        """See `Transport`."""
        super().close()
        try:
            with self._own_log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LONGEST_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()
            self._own_log.unlink()
        except OSError:
            return  # it never started
        with open_log(self._settings.log_level, self._environ, self._settings) as log:
            for start in range(0, len(lines), _LINES_AT_ONCE):
                log.write("debug", "\n".join(["aria2:", *lines[start : start + _LINES_AT_ONCE]]))
