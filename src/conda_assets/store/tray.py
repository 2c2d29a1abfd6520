"""Many small files on their way at once, in the folder of one claim: written by one thread, adopted by the group.

The order holds for a group as it does for one file: bytes on the disk, then the name. One `syncfs` for all of a group takes a
tenth of the time of an `fsync` each (2,000 files of 50 KB: 0.07 s, 1.3 s).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from pathlib import Path

from conda_assets.digest import Digest
from conda_assets.model import Laid, Stored
from conda_assets.store.claim import Claim
from conda_assets.store.refusal import refusals

__all__ = ["Tray"]

# So few files are synced one by one: the other way waits for what anybody has written there, too.
_FEW = 8
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_SEALS = os.chmod in os.supports_fd


class Tray:
    """Owns the claim, and what an earlier run left in its folder goes. One thread may lay while another one adopts."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._folder, self._path = os.fspath(claim.data.parent), claim.data.parent
        self._shelves: dict[str, Path] = {}
        claim.discard()

    def expect(self, sha256: Iterable[str]) -> None:
        """Files with these hashes are about to be laid: said for all at once, that costs nothing.

        Raises:
            StoreFailed, DiskFull: the system refuses.
        """
        with refusals(self._claim.store_folder, "hold files in"):
            self._claim.expect(*sha256)

    def lay(self, name: str, body: bytes | memoryview, digests: Mapping[str, Digest]) -> Laid:
        """Write a file, read-only, not yet on the disk for certain. `name`: unique in the tray.

        Raises:
            StoreFailed, DiskFull: the system refuses.
        """
        path = f"{self._folder}/{name}"
        with refusals(self._path, "write into", len(body)):
            self._claim.expect(digests["sha256"].hex)
            descriptor = os.open(path, _NEW, 0o600)
            try:
                view = memoryview(body)
                while view:
                    view = view[os.write(descriptor, view) :]
                if _SEALS:
                    os.chmod(descriptor, 0o444)  # noqa: PTH101 - an open file, not a path
            finally:
                os.close(descriptor)
        return Laid(path, digests, len(body))

    def adopt(self, group: Sequence[Laid], turn: AbstractContextManager[object] | None = None) -> list[Stored]:
        """Give the files their final names, in the order of the group. `turn`: entered when the disk has been waited for.

        Raises:
            StoreFailed, DiskFull: the system refuses.
        """
        with refusals(self._claim.store_folder, "adopt a group of files into", sum(each.size_bytes for each in group)):
            _sync(self._folder, [each.path for each in group])
            with turn or nullcontext():
                return [self._claim.shelve(each.path, each.digests, each.size_bytes, self._shelves) for each in group]

    def close(self) -> None:
        """Give the claim back; what was laid and not adopted goes."""
        with suppress(OSError):
            self._claim.discard()
        self._claim.release()


def _sync(folder: str, paths: Sequence[str]) -> None:
    if len(paths) > _FEW and (call := _syncfs()) is not None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if call(descriptor) == 0:
                return
        finally:
            os.close(descriptor)
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@cache
def _syncfs() -> Callable[[int], int] | None:
    """Linux's call, which Python does not have; None elsewhere."""
    if os.name == "nt":
        return None
    import ctypes  # 5 ms that only many files pay

    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, TypeError, AttributeError):
        return None
    call.argtypes, call.restype = [ctypes.c_int], ctypes.c_int
    return lambda descriptor: int(call(descriptor))
