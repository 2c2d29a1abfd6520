"""7z and rar archives, read by libarchive in a process of its own (`foreign_child`).

7z members have checksums, which libarchive compares. Those of stored members in RAR 4 archives it passes over (3.6.2): there only
the archive's own hash vouches for the bytes.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from conda_assets.unpack.entry import Entry, Sort, seconds_as_ns
from conda_assets.unpack.kinds import Container
from conda_assets.unpack.limits import Limits, Meter
from conda_assets.unpack.refusal import Refused

__all__ = ["foreign_entries"]

_CHILD = Path(__file__).with_name("foreign_child.py")
# Isolated, so that nothing of the working directory is imported; then with the module path of this process.
_START = (
    "import sys; sys.path[:] = {paths!r}; sys.argv[:] = {argv!r}; import runpy; runpy.run_path({child!r}, run_name='__main__')"
)
_HEAD = struct.Struct(">cL")
_INSTALL = (
    "install it beside conda-assets: `conda install -c conda-forge libarchive-c`, or `pip install 'conda-assets[archives]'`"
)
_GRACE_S = 5.0


@contextmanager
def foreign_entries(file: BinaryIO, kind: Container, limits: Limits, meter: Meter) -> Iterator[Iterator[Entry]]:
    """The members, while the context lasts; the process ends with it.

    Raises:
        Refused: damaged, encrypted, or no libarchive here.
    """
    start = _START.format(
        paths=[path for path in sys.path if path], argv=[str(_CHILD), str(limits.memory_bytes)], child=str(_CHILD)
    )
    # The child reads from where the descriptor stands, which Python's buffer is ahead of.
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    with subprocess.Popen(
        [sys.executable, "-I", "-c", start], stdin=file.fileno(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        try:
            yield _entries(process, process.stdout, kind, meter)
        finally:
            process.stdout.close()
            process.kill()
            process.wait(_GRACE_S)


def _entries(process: subprocess.Popen[bytes], pipe: IO[bytes], kind: Container, meter: Meter) -> Iterator[Entry]:
    frames = _Frames(process, pipe, kind, meter)
    while (facts := frames.member()) is not None:
        sort = Sort[facts["sort"]]
        yield Entry(
            name=facts["name"],
            sort=sort,
            size_bytes=facts["size"] if sort is Sort.FILE else 0,
            modified_ns=seconds_as_ns(facts["mtime"]),
            executable=sort is Sort.FILE and facts["executable"],
            leads=facts["leads"],
            blocks=frames.blocks(),
        )


class _Frames:
    """What the child says, one frame ahead."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes], kind: Container, meter: Meter) -> None:
        self._process, self._pipe, self._kind, self._meter = process, pipe, kind, meter
        self._frame = (b"", b"")

    def member(self) -> dict[str, Any] | None:
        """The next member's facts; None at the end. Bytes before it are passed over.

        Raises:
            Refused: the child could not go on.
        """
        if not self._frame[0]:
            self._frame = self._read()
        for _ in self.blocks():
            pass
        kind, data = self._frame
        if kind == b"Z":
            return None
        self._frame = self._read()
        said: dict[str, Any] = json.loads(data)
        return said

    def blocks(self) -> Iterator[bytes]:
        """The bytes of the member that was asked for last.

        Raises:
            Refused: the child could not go on.
        """
        while self._frame[0] == b"D":
            yield self._frame[1]
            self._frame = self._read()

    def _read(self) -> tuple[bytes, bytes]:
        head = self._pipe.read(_HEAD.size)
        if len(head) == _HEAD.size:
            kind, length = _HEAD.unpack(head)
            data = self._pipe.read(length)
            if len(data) == length:
                if kind == b"X":
                    raise self._refusal(**json.loads(data))
                if kind == b"D":
                    self._meter.came(length)
                return kind, data
        status = self._process.wait(_GRACE_S)
        raise Refused(f"libarchive crashed on this .{self._kind.value} archive (status {status}): it is damaged or hostile")

    def _refusal(self, why: str, said: str) -> Refused:
        if why == "missing":
            return Refused(f".{self._kind.value} archives are read with libarchive, which is not here: {said}", _INSTALL)
        if "crypt" in said.lower():
            return Refused("the archive is encrypted, and there is no password to give", "publish it without a password")
        return Refused(
            f"the .{self._kind.value} archive is damaged: {said}", "fetch it again; if its hash is right, it was published so"
        )
